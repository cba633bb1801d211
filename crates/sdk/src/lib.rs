//! What a service links so that Freezeframe can hold it where the service itself says that something is wrong.
//!
//! - [`hold!`] marks a place that should never be reached.
//! - [`ensure!`] states a condition that should always be true. The program goes on either way.
//! - `layer()` (feature `tracing`) does the same for every `tracing` event of level ERROR.
//!
//! Without a supervisor all of this does nothing: one relaxed load of [`freezeframe_armed`] and a branch that is never
//! taken. A supervisor arms by writing 1 into that symbol and plants a breakpoint on [`freezeframe_trap`]; the crate
//! never talks to anybody, opens nothing, starts no thread and needs no runtime. It does not know who listens, nor
//! whether the process is held or merely counted: after the trap it returns as if nothing had happened.
//!
//! The supervisor finds both by their names, so the binary must keep its symbol table: `strip = "debuginfo"` is fine,
//! `strip = "symbols"` disarms the crate.
//!
//! ```
//! use freezeframe_sdk::{ensure, hold};
//!
//! fn take(stock: i64, wanted: i64) -> i64 {
//!     let left = stock - wanted;
//!     if !ensure!(left >= 0, "sold {wanted} of {stock}") {
//!         return 0; // the service decides how it goes on
//!     }
//!     left
//! }
//!
//! fn carrier(zone: u8) -> &'static str {
//!     match zone {
//!         0 => "letter",
//!         1 => "parcel",
//!         other => {
//!             hold!("zone {other} has no carrier");
//!             "parcel"
//!         }
//!     }
//! }
//!
//! assert_eq!(take(5, 6), 0);
//! assert_eq!(carrier(7), "parcel");
//! ```

#![deny(missing_docs)]

#[cfg(feature = "tracing")]
mod layer;
mod macros;
mod report;
mod text;

#[cfg(feature = "tracing")]
pub use layer::{ErrorEvents, layer};
pub use report::{
    FIELDS_MAX_BYTES, KIND_ASSERTION, KIND_ERROR_EVENT, KIND_HOLD, MESSAGE_MAX_BYTES, REPORT_VERSION, Report,
    SPAN_MAX_BYTES, TRACEPARENT_MAX_BYTES, armed, freezeframe_armed, freezeframe_trap,
};

/// What the macros expand to; not part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::macros::{assertion, hold};
}
