//! The HTTP gateway in front of the instances.
//!
//! It routes requests to instances, knows every request that an instance is working on, and can send it elsewhere, answer
//! it or break it off when the instance is taken out of service. It remembers what each user's session did last.
//!
//! # Path of a request
//! 1. `worker`: one thread per core with its own listener, event loop and connections accepts the client.
//! 2. `addresses` counts it, `tls` is agreed on, `client_io` and `framing`: HTTP/2 or HTTP/1? Requests whose end two servers could see differently are spoiled here.
//! 3. `proxy`: `limits` are kept, `headers` are made fit for an instance, `session` and `trace` ids are found, `matcher` finds
//!    the route of the `plan`; `admission` says whether, when and to which instance it may go.
//! 4. `errand`: the request takes a `slot` at that instance, or at one that is picked (`route`); other threads can see it there.
//! 5. `pool`: a connection to the `upstream` is taken or opened; `body` passes both ways frame by frame, never collected, at a `pace` that is not too slow.
//! 6. `flight`: whatever the end, the slot is free, admission and the `Observer` are told, the `journey` is longer by one, the
//!    route's `meter` by its durations, and the `access_log` by a line.
//!
//! Who steers it does so through `gate`; `registry` keeps the instances and publishes the table that requests read.
//!
//! It does not know why an instance is routed or evicted, what an incident is, or what is done with an exchange.

mod access_log;
mod addresses;
mod admission;
mod body;
mod client_io;
mod config;
mod errand;
mod flight;
mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod gather;
mod headers;
mod health;
mod interim;
mod journey;
mod limits;
mod listen;
mod log_line;
mod matcher;
mod meter;
mod outbound;
mod pace;
mod plan;
mod pool;
mod proxy;
mod refusal;
mod registry;
mod report;
mod route;
mod session;
mod slot;
mod timer;
mod tls;
mod trace;
mod tunnel;
mod upstream;
mod worker;

use std::io;
use std::net::SocketAddr;

pub use access_log::{AccessLog, LogFormat};
pub use config::Config;
pub use gate::Gate;
pub use limits::Limits;
pub use plan::{Route, RouteTable, RouteTableError, Service, Upstreams};
pub use report::{Finished, Observer, ServiceState, UpstreamState};
pub use route::Evicted;
pub use tls::{CertificateFiles, Tls, TlsError};
pub use upstream::{Upstream, UpstreamError};

/// Why the gate could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Somebody listens there already.
    #[error("the address {addr} is in use")]
    AddressInUse {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The address is not ours, or the port is privileged.
    #[error("could not listen on {addr}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread or no event loop.
    #[error("could not start a worker of the gate")]
    Start {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// With this nothing could be served.
    #[error("the setting {setting} must not be 0")]
    Zero {
        /// Its name in [`Config`].
        setting: &'static str,
    },
    /// Smaller than an ordinary request's head.
    #[error("the setting head_bytes_max must be at least 8192")]
    HeadTooSmall,
    /// The access log's file cannot be opened, or its thread not started.
    #[error("the access log cannot be written")]
    AccessLog {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No certificate, no TLS.
    #[error("TLS cannot be spoken")]
    Tls {
        /// What is wrong with the certificates.
        #[source]
        source: TlsError,
    },
    /// With these routes nothing could be found.
    #[error("the routes cannot be used")]
    Routes {
        /// What is wrong with them.
        #[source]
        source: RouteTableError,
    },
}
