//! A gate in front of one instance: `proxy 127.0.0.1:8080 127.0.0.1:9000`.
//!
//! Without a second address it answers there itself, from as many threads as the gate has, so that both can be measured:
//! `wrk -c64 http://127.0.0.1:9000/` against `wrk -c64 http://127.0.0.1:8080/`.
#![allow(clippy::print_stderr)]

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use freezeframe_gate::{Config, Gate, Observer};
use freezeframe_model::{Exchange, InstanceId, Outcome};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;

struct Silent;

impl Observer for Silent {
    fn exchange(&self, _: &Exchange) {}

    // As the daemon has it, which wants to know of what ended badly.
    fn is_of_interest(&self, status: u16, outcome: &Outcome) -> bool {
        status >= 500 || matches!(outcome, Outcome::UpstreamFailed(_))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().map_or(Ok(([127, 0, 0, 1], 8080).into()), |addr| addr.parse())?;
    let instance = match args.next() {
        Some(addr) => addr.parse()?,
        None => answer(([127, 0, 0, 1], 9000).into())?,
    };
    let gate = Gate::start(Config::new(listen), Arc::new(Silent))?;
    gate.route(InstanceId(1), instance);
    eprintln!("{} -> {instance}", gate.local_addr());
    loop {
        std::thread::park();
    }
}

/// Answers every request with 512 bytes.
fn answer(addr: SocketAddr) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    std::thread::spawn(move || -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let service = service_fn(|_: Request<Incoming>| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&[b'x'; 512]))))
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        })
    });
    Ok(addr)
}
