//! The daemon: gate, shims, store, alerts and API, wired together around one actor.
//!
//! The path of a crash, as it runs through here:
//!
//! 1. A shim reports `Trapped` ([`shims`] → [`actor`]). Every thread of that process stands still and waits for a word.
//! 2. `lifecycle` decides. No: `Refuse`, the program goes on as without us. Yes: `Confirm` to the shim, the gate stops
//!    routing to the instance, a spare takes its place, a new spare is started ([`effects`]).
//! 3. The shim has copied what it needs and lets the other threads run on. The gate tells when nothing but the failing
//!    request is left ([`crash`]); that one is answered 502 with the incident's number.
//! 4. The shim freezes the process, cuts its network and reports `Held`; requests that still hang there are retried
//!    elsewhere or answered 502.
//! 5. The shim's capture arrives and is stored durably; only then the alert goes into its outbox ([`crash`]).
//! 6. People look ([`control`]) and release, kill or extend; the lease ends what nobody ends.
//!
//! Policy is in `lifecycle`, privilege in `shim`; this module carries messages between them and keeps the books.

mod actor;
mod adopt;
mod captures;
mod control;
mod crash;
mod effects;
mod health;
mod inspect;
mod observed;
mod output;
mod people;
mod pulse;
mod shims;
mod start;
mod writer;

pub(crate) use actor::{Mailbox, Message};
pub(crate) use start::{DaemonError, Entrance, Running, start};
