//! ELF cores: opened, captured and asked, with the input itself as every file that the core names.
#![no_main]

use freezeframe_debuginfo::{Bounds, Core, Mapping, is_core};
use freezeframe_fuzz::{process::options, scratch};
use freezeframe_redact::Redactor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(file) = scratch::file(input) else { return };
    let Ok(mapped) = file.try_clone() else { return };
    let open = move |mapping: &Mapping| match mapping.inode {
        0 => Err(std::io::ErrorKind::NotFound.into()),
        _ => mapped.try_clone(),
    };
    let Ok(core) = Core::open(file, open) else { return };
    assert!(is_core(input));
    assert!(!core.threads().is_empty());
    let options = options();
    core.capture(&options, &Redactor::default());
    let inspection = core.inspection(&options);
    for thread in core.threads().iter().take(2) {
        let _none = inspection.evaluate(thread.id, 0, "a", Bounds::default(), None);
    }
});
