//! The shim: one small process per instance. It is the instance's parent and tracer, owns its cgroup and pipes, and talks to
//! the daemon over a unix socket in a versioned protocol. It survives the daemon; a later daemon connects to it again.
//!
//! It decides nothing: whether to hold is the daemon's word (`Permit`, `Confirm`, `Refuse`). Without a daemon it holds
//! nothing new, and keeps what is held. It knows no gate, no store, no alert.
//!
//! Reading order: [`protocol`] (what is said), [`files`] (what is left on disk), [`run`] (the loop).

mod captured;
mod commands;
mod crash;
pub mod files;
mod indexing;
pub mod inspect;
mod instance;
mod link;
mod output;
pub mod protocol;
mod stall;
mod wake;

pub use instance::{ShimError, run};
