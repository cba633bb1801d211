//! The two symbols and the one structure that the supervisor knows.
//!
//! Nothing here may change its name, order or meaning without a new [`REPORT_VERSION`]: the reader is another process
//! that looks at raw memory. Who reads, and what happens then, is not known here.

use std::sync::atomic::{AtomicU32, Ordering};

/// [`Report::version`] of this layout.
pub const REPORT_VERSION: u32 = 1;
/// [`Report::kind`]: `hold!`.
pub const KIND_HOLD: u32 = 1;
/// [`Report::kind`]: a false condition in `ensure!`.
pub const KIND_ASSERTION: u32 = 2;
/// [`Report::kind`]: a `tracing` event of level ERROR.
pub const KIND_ERROR_EVENT: u32 = 3;

/// Longest message in bytes; longer ones are cut and end in `…`.
pub const MESSAGE_MAX_BYTES: usize = 4096;
/// Most bytes of `key=value` lines.
pub const FIELDS_MAX_BYTES: usize = 8192;
/// Most bytes of span names and their fields.
pub const SPAN_MAX_BYTES: usize = 4096;
/// Most bytes of a trace context.
pub const TRACEPARENT_MAX_BYTES: usize = 256;

/// What the trap function is called with. All texts are UTF-8, not terminated, and valid for the call only; a text
/// that is absent has length 0 and a pointer that means nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// [`KIND_HOLD`], [`KIND_ASSERTION`] or [`KIND_ERROR_EVENT`].
    pub kind: u32,
    /// What is wrong, in the service's own words.
    pub message: *const u8,
    /// In bytes, at most [`MESSAGE_MAX_BYTES`].
    pub message_len: usize,
    /// Source file of the call, as the compiler was given it.
    pub file: *const u8,
    /// In bytes.
    pub file_len: usize,
    /// Counted from 1; 0 where unknown.
    pub line: u32,
    /// Always 0.
    pub _pad: u32,
    /// Lines of `key=value`, each ended by a line feed. Line feeds inside a value are written as `\n`.
    pub fields: *const u8,
    /// In bytes, at most [`FIELDS_MAX_BYTES`].
    pub fields_len: usize,
    /// Spans from the root to the innermost, `name{key=value key=value}` joined with ` > `.
    pub span: *const u8,
    /// In bytes, at most [`SPAN_MAX_BYTES`].
    pub span_len: usize,
    /// Field `traceparent` of the event or of the innermost span that has one (W3C Trace Context, section 3.2).
    pub traceparent: *const u8,
    /// In bytes, at most [`TRACEPARENT_MAX_BYTES`].
    pub traceparent_len: usize,
}

/// 1 while a supervisor listens, else 0. Only the supervisor writes it, from outside the process.
// `used`: nothing in the program ever stores to it, so an optimiser that sees the whole program could take it for 0.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
#[used]
pub static freezeframe_armed: AtomicU32 = AtomicU32::new(0);

/// The address of the trap leaves the program here: no whole-program optimisation may change how it is called.
#[used]
static TRAP: extern "C" fn(*const Report) = freezeframe_trap;

/// Where the supervisor plants its breakpoint: the first argument is the report. Does nothing by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn freezeframe_trap(report: *const Report) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: one `nop`. It is an opaque user of the report, so that every byte of it is in memory by then; it
    // neither touches the stack nor the flags.
    unsafe {
        std::arch::asm!("nop /* {0} */", in(reg) report, options(nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    std::hint::black_box(report);
    #[cfg(test)]
    sink::receive(report);
}

/// Whether a supervisor listens: one relaxed load.
#[inline(always)]
pub fn armed() -> bool {
    freezeframe_armed.load(Ordering::Relaxed) != 0
}

/// Source position of a call.
pub(crate) struct Site<'a> {
    pub(crate) file: &'a str,
    pub(crate) line: u32,
}

/// Builds the report on the stack of the failing thread and traps.
#[cold]
pub(crate) fn raise(kind: u32, message: &str, site: Site<'_>, fields: &str, span: &str, traceparent: &str) {
    let report = Report {
        version: REPORT_VERSION,
        kind,
        message: message.as_ptr(),
        message_len: message.len(),
        file: site.file.as_ptr(),
        file_len: site.file.len(),
        line: site.line,
        _pad: 0,
        fields: fields.as_ptr(),
        fields_len: fields.len(),
        span: span.as_ptr(),
        span_len: span.len(),
        traceparent: traceparent.as_ptr(),
        traceparent_len: traceparent.len(),
    };
    freezeframe_trap(&raw const report);
}

/// Stands in for the supervisor in this crate's tests: keeps what each thread trapped with.
#[cfg(test)]
pub(crate) mod sink {
    use std::cell::RefCell;
    use std::sync::atomic::Ordering;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::{REPORT_VERSION, Report, freezeframe_armed};

    /// A report, copied out of the raw memory as the supervisor does.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub(crate) struct Seen {
        pub(crate) kind: u32,
        pub(crate) message: String,
        pub(crate) file: String,
        pub(crate) line: u32,
        pub(crate) fields: String,
        pub(crate) span: String,
        pub(crate) traceparent: String,
    }

    thread_local! {
        static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
    }

    /// Everything that this thread trapped with since the last call.
    pub(crate) fn take() -> Vec<Seen> {
        SEEN.with(|seen| std::mem::take(&mut *seen.borrow_mut()))
    }

    pub(super) fn receive(report: *const Report) {
        // SAFETY: `raise` passes the address of a live report.
        let report = unsafe { &*report };
        assert_eq!((report.version, report._pad), (REPORT_VERSION, 0));
        let text = |start: *const u8, len: usize| {
            // SAFETY: each pair comes from one `&str` that outlives the call.
            let bytes = unsafe { std::slice::from_raw_parts(start, len) };
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let seen = Seen {
            kind: report.kind,
            message: text(report.message, report.message_len),
            file: text(report.file, report.file_len),
            line: report.line,
            fields: text(report.fields, report.fields_len),
            span: text(report.span, report.span_len),
            traceparent: text(report.traceparent, report.traceparent_len),
        };
        SEEN.with(|all| all.borrow_mut().push(seen));
    }

    /// Sets the process-wide switch for one test; tests that do so run one after the other.
    pub(crate) struct Armed(#[allow(dead_code)] MutexGuard<'static, ()>);

    impl Armed {
        pub(crate) fn yes() -> Self {
            Self::set(1)
        }

        pub(crate) fn no() -> Self {
            Self::set(0)
        }

        fn set(value: u32) -> Self {
            static TURN: Mutex<()> = Mutex::new(());
            let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
            freezeframe_armed.store(value, Ordering::Relaxed);
            Self(turn)
        }
    }

    impl Drop for Armed {
        fn drop(&mut self) {
            freezeframe_armed.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::Report;

    /// The supervisor reads these offsets out of another process.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn layout_is_fixed() {
        assert_eq!(size_of::<Report>(), 96);
        let offsets = [
            offset_of!(Report, version),
            offset_of!(Report, kind),
            offset_of!(Report, message),
            offset_of!(Report, message_len),
            offset_of!(Report, file),
            offset_of!(Report, file_len),
            offset_of!(Report, line),
            offset_of!(Report, _pad),
            offset_of!(Report, fields),
            offset_of!(Report, fields_len),
            offset_of!(Report, span),
            offset_of!(Report, span_len),
            offset_of!(Report, traceparent),
            offset_of!(Report, traceparent_len),
        ];
        assert_eq!(offsets, [0, 4, 8, 16, 24, 32, 40, 44, 48, 56, 64, 72, 80, 88]);
    }
}
