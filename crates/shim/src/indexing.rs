//! Writing indexes of debug information, in a thread that everybody else goes before.

use freezeframe_runtime::Indexing;

/// Begins; nothing waits for it, and it ends with the shim wherever it is.
pub(crate) fn begin(indexing: Indexing) {
    let work = move || {
        lower_priority();
        match indexing() {
            Ok(0) => {}
            Ok(written) => tracing::info!(written, "indexes of debug information were written"),
            // A capture takes longer without, and says the same.
            Err(error) => tracing::warn!(%error, "no index of debug information"),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("index".to_owned()).spawn(work) {
        tracing::warn!(%error, "no thread for an index of debug information");
    }
}

/// This thread gets what nobody else wants of the processors.
fn lower_priority() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live for the time of the call; 0 means the calling thread. A refusal leaves the priority as it is.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
}
