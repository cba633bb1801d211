//! Everything of tracing that depends on the processor. To add one: a module with the same items, and a line here.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "holding native processes is implemented for x86-64 only; add runtime/src/native/arch/<processor>.rs"
);
