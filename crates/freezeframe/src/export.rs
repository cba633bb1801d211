//! How long requests took, told to an OpenTelemetry collector now and then: OTLP over HTTP, as JSON.
//!
//! Everything is counted since the start, so a report that does not arrive costs nothing but its time. It does not know what is
//! counted, or how.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freezeframe_gate::Gate;
use freezeframe_histogram::family::{Metric, otlp};
use freezeframe_http::{Endpoint, Trust};

use crate::config::{Config, ConfigError};

const NAME: &str = "freezeframe.gate.request.duration";
const HELP: &str = "Duration of requests through the gate by route, outcome and part.";
/// Time for one report.
const REPORT_LIMIT: Duration = Duration::from_secs(10);

/// Reports for as long as the event loop runs that this is called in, if a collector is named.
///
/// # Errors
/// What is wrong with its address.
pub(crate) fn start(config: &Config, gate: &Gate) -> Result<(), ConfigError> {
    let Some(url) = &config.gate.otlp_url else { return Ok(()) };
    let wrong = |error: &dyn std::error::Error| {
        ConfigError::new(format!("`otlp_url` in [gate]: {}", freezeframe_model::chain(error)))
    };
    let trust = Trust::system().map_err(|error| wrong(&error))?;
    let endpoint = Endpoint::parse(url, &trust).map_err(|error| wrong(&error))?;
    let every = Duration::from_millis(config.gate.otlp_ms);
    tokio::spawn(report(endpoint, every, config.service.name.clone(), gate.clone()));
    Ok(())
}

async fn report(endpoint: Endpoint, every: Duration, service: String, gate: Gate) {
    let since_ns = now_ns();
    let mut is_heard = true;
    loop {
        tokio::time::sleep(every).await;
        let metric = Metric { name: NAME, help: HELP, service: &service, since_ns, now_ns: now_ns() };
        let body = otlp(metric, &gate.durations()).into_bytes();
        let why = match tokio::time::timeout(REPORT_LIMIT, endpoint.post(&[], body)).await {
            Ok(Ok(answer)) if (200..300).contains(&answer.status) => None,
            Ok(Ok(answer)) => Some(format!("it answers {} {}", answer.status, answer.quote)),
            Ok(Err(error)) => Some(freezeframe_model::chain(&error)),
            Err(_) => Some("it takes too long".to_owned()),
        };
        // Once, not every time.
        match (&why, is_heard) {
            (Some(why), true) => tracing::warn!(why, "the OpenTelemetry collector takes no reports"),
            (None, false) => tracing::info!("the OpenTelemetry collector takes reports again"),
            _ => {}
        }
        is_heard = why.is_none();
    }
}

/// The time in nanoseconds of the Unix epoch, which end in the year 2554.
fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
