//! Incidents and capsules on disk: the only owner of on-disk formats.
//!
//! ```text
//! DIR/incidents.db           rows of all incidents, notes, counters, occurrences, builds, audit log, accounts (SQLite, WAL)
//! DIR/lock                   held by the one process that may write
//! DIR/reserve                room that is given up when the disk is full, so that a row still fits
//! DIR/capsules/INC-42/       incident.json, capture.json.zst, core.zst
//! DIR/capsules/.tmp-*        half-written or half-removed; swept away by the next `open`
//! ```
//!
//! **Acknowledged means durable.** A capsule is written under a temporary name, every file and the directory are synced,
//! it is renamed, the parent is synced, and only then its row is committed (`synchronous = FULL`). A crash in between
//! leaves a directory without a row, which the next [`Store::open`] adopts.
//!
//! **Never the reason for an outage.** [`Quota`] bounds what is kept. Without room the oldest capsules of processes that
//! are no longer held go first, then the new capsule gets smaller; the row itself is the last thing to be given up.
//! What had to go is listed in `Incident::not_captured`.
//!
//! The row is the truth; `incident.json` is a copy that makes a capsule readable on its own. This crate knows nothing of
//! processes, alerts or the network, and it blocks: call it from a thread that may.

mod accounts;
mod audit;
mod capsule;
mod container;
mod core_file;
mod error;
mod format;
mod medium;
mod place;
mod record;
mod recover;
mod room;
mod rows;
mod store;
mod transfer;

pub use container::read_capsule;
pub use core_file::CoreFile;
pub use error::StoreError;
pub use freezeframe_model::AuditEntry;
pub use store::{CaptureVersion, Quota, Store, Usage};

#[cfg(test)]
mod tests;
