//! Frames and values of a stopped process, from ELF and DWARF.
//!
//! Live processes, cores and stored copies are read through one trait, [`Memory`]; files are opened by the caller's
//! function. [`Modules`] unwinds stacks ([`Modules::unwind`]) and gives an error its identity ([`Modules::fingerprint`])
//! without symbols and in microseconds; [`capture`] then turns stopped threads into frames, names and values.
//!
//! What takes time to compute may be kept on disk from one process to the next: [`IndexDirectory`].
//!
//! This crate does not trace, does not know `/proc`, starts no threads, and never runs code of the process. Every byte it
//! reads is taken for hostile: reads are bounded, arithmetic is checked, and what cannot be decoded is said, not skipped.

mod arch;
mod blocked;
mod capture;
mod cfi;
mod core;
mod decoded;
mod demangle;
mod dwarf;
mod elf;
mod expression;
mod frames;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod inspect;
mod language;
mod maps;
mod memory;
mod modules;
mod scope;
mod separate;
mod source;
mod tasks;
mod thread_local;
mod unwind;
mod user_code;
mod values;

pub use arch::{Registers, Vectors};
pub use capture::{Options, StoppedThread, capture};
pub use core::{Core, CoreProcess, CoreSignal, OpenCoreError, is_core, unpack_core};
pub use index::IndexDirectory;
pub use inspect::{Bounds, EvaluateError, Inspection, Obstacle, evaluate_captured, path_of};
pub use maps::{Mapping, parse_maps};
pub use memory::{Layered, Memory, Snapshot, Unreadable};
pub use modules::Modules;
pub use separate::{DebugSources, Fetch, build_id_of, build_of};
pub use unwind::{Recovery, Stack, StackEnd, StackFrame};
pub use user_code::UserCode;
