//! The HTTP gateway in front of the instances.
//!
//! It routes requests to instances, knows every request that an instance is working on, and can send it elsewhere, answer
//! it or break it off when the instance is taken out of service. It remembers what each user's session did last.
//!
//! # Path of a request
//! 1. `worker`: one thread per core with its own listener, event loop and connections accepts the client.
//! 2. `client_io` and `framing`: HTTP/2 or HTTP/1? Requests whose end two servers could see differently are spoiled here.
//! 3. `proxy`: `admission` is asked, `headers` are made fit for an instance, `session` and `trace` ids are found.
//! 4. `route`: an instance is picked, and the request takes a `slot` there that other threads can see.
//! 5. `pool`: a connection is taken or opened; `body` passes both ways frame by frame, never collected.
//! 6. `flight`: whatever the end, the slot is free, the `Observer` is told, the `journey` is longer by one.
//!
//! It does not know why an instance is routed or evicted, what an incident is, or what is done with an exchange.

mod admission;
mod body;
mod client_io;
mod config;
mod flight;
mod framing;
mod gate;
mod headers;
mod journey;
mod listen;
mod outbound;
mod pool;
mod proxy;
mod refusal;
mod route;
mod session;
mod slot;
mod trace;
mod tunnel;
mod worker;

use std::io;
use std::net::SocketAddr;

use freezeframe_model::Exchange;

pub use admission::{Admission, Arrival, Decision, Open};
pub use config::Config;
pub use gate::Gate;
pub use route::Evicted;

/// Is told of every finished request.
pub trait Observer: Send + Sync {
    /// Called once per request on the worker's thread, after its last byte: it must be cheap and must not block.
    fn exchange(&self, exchange: &Exchange);
}

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
}
