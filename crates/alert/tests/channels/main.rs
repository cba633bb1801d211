//! Channels against receivers on loopback.

mod conformance;
mod messages;
mod receiver;
