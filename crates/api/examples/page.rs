//! Serves the pages over one made-up incident, to look at them while changing them: `cargo run -p freezeframe-api --example page`.
//! The address and the token are printed.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write;
use std::sync::Arc;

use freezeframe_api::{Access, router, serve_tcp};
use freezeframe_model::Timestamp;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (mut incident, capture) = common::sample(str::to_owned);
    incident.captured_at = Timestamp(Timestamp::now().0 - 780_000_000);
    incident.hold.lease_until = incident.captured_at.plus_ms(4 * 3_600_000);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    writeln!(std::io::stdout(), "http://{address}/i/INC-42 with the token `look`")?;
    let router = router(Arc::new(common::Fake::new((incident, capture))), Access::token("look", vec![]));
    let (_end, ended) = tokio::sync::watch::channel(false);
    serve_tcp(listener, router, ended).await;
    Ok(())
}
