//! `[gate]`: from settings to what the gate is told.
//!
//! Services, routes and certificates are lists in the file; their keys are the fields here. What a route leaves out is as
//! `[gate]` says. It does not check what the gate itself checks: names, paths, hosts.

use std::path::PathBuf;

use freezeframe_gate::{
    AccessLog, CertificateFiles, Config, Limits, LogFormat, Route, RouteTable, Service, Tls, Upstream,
    Upstreams,
};
use serde::Deserialize;

use super::ConfigError;

/// Name of the service of the supervised instances, or of `upstreams`, and of the route that leads to it.
const DEFAULT: &str = "default";
/// Without a word about it, a gate in front of fixed upstreams answers within a minute.
const GATE_DEADLINE_MS: u64 = 60_000;

/// `[gate]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// Fixed upstreams of the service `default`.
    pub(crate) upstreams: Vec<String>,
    /// HTTP/2 to the service `default`.
    pub(crate) h2c: bool,
    /// To the head of the response, in milliseconds; 0 is no limit.
    pub(crate) deadline_ms: Option<u64>,
    /// Per instance.
    pub(crate) in_flight_max: Option<u64>,
    /// Per service.
    pub(crate) queue_max: u32,
    /// Per request.
    pub(crate) retries: Option<u64>,
    /// PEM file.
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file.
    pub(crate) tls_key: Option<PathBuf>,
    /// In milliseconds.
    pub(crate) tls_handshake_ms: u64,
    /// In milliseconds.
    pub(crate) header_ms: u64,
    /// In milliseconds.
    pub(crate) connect_ms: u64,
    /// Threads.
    pub(crate) workers: Option<u64>,
    /// Of all clients.
    pub(crate) connections_max: u32,
    /// Of one client.
    pub(crate) connections_per_address_max: u32,
    /// Of one client.
    pub(crate) requests_per_s_per_address_max: Option<u64>,
    /// Header fields of a request.
    pub(crate) headers_max: u32,
    /// Of a request's head.
    pub(crate) head_bytes_max: u64,
    /// Of a request's target.
    pub(crate) uri_bytes_max: u64,
    /// Both ways; 0 is no limit.
    pub(crate) body_bytes_per_s_min: u32,
    /// In milliseconds.
    pub(crate) body_window_ms: u64,
    /// Of one client.
    pub(crate) h2_streams_max: u32,
    /// Of one client.
    pub(crate) h2_resets_per_s_max: u32,
    /// `-` is standard output.
    pub(crate) access_log: Option<PathBuf>,
    /// `json` or `combined`.
    pub(crate) access_log_format: String,
    /// OpenTelemetry collector.
    pub(crate) otlp_url: Option<String>,
    /// In milliseconds.
    pub(crate) otlp_ms: u64,
    /// `[[gate.service]]`
    pub(crate) services: Vec<ServiceEntry>,
    /// `[[gate.route]]`
    pub(crate) routes: Vec<RouteEntry>,
    /// `[[gate.certificate]]`
    pub(crate) certificates: Vec<CertificateEntry>,
}

/// `[[gate.service]]`: a further service of fixed upstreams.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceEntry {
    name: String,
    upstreams: Vec<String>,
    #[serde(default)]
    h2c: bool,
    in_flight_max: Option<u32>,
    queue_max: Option<u32>,
    deadline_ms: Option<u64>,
}

/// `[[gate.route]]`: a further route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteEntry {
    name: Option<String>,
    host: Option<String>,
    path: Option<String>,
    service: Option<String>,
    deadline_ms: Option<u64>,
    tier: Option<u8>,
    cost: Option<String>,
    retries: Option<u32>,
    in_flight_max: Option<u32>,
    queue_max: Option<u32>,
    request_streams: Option<bool>,
}

/// `[[gate.certificate]]`: a further certificate, chosen by the server name that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateEntry {
    cert: PathBuf,
    key: PathBuf,
}

impl Gate {
    /// Everything but routes; whether TLS can be spoken is seen when the gate starts.
    pub(crate) fn config(&self, config: Config) -> Result<Config, ConfigError> {
        let usize_of = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let limits = Limits {
            connections_per_address_max: self.connections_per_address_max,
            requests_per_s_per_address_max: self.requests_per_s_per_address_max.map(u32_of),
            headers_max: usize_of(self.headers_max.into()),
            head_bytes_max: usize_of(self.head_bytes_max),
            uri_bytes_max: usize_of(self.uri_bytes_max),
            body_bytes_per_s_min: self.body_bytes_per_s_min,
            body_window_ms: self.body_window_ms,
            h2_streams_max: self.h2_streams_max,
            h2_resets_per_s_max: self.h2_resets_per_s_max,
        };
        Ok(Config {
            workers: self.workers.map_or(config.workers, usize_of),
            connect_timeout_ms: self.connect_ms,
            header_timeout_ms: self.header_ms,
            connections_max: usize_of(self.connections_max.into()),
            limits,
            tls: self.tls()?,
            access_log: self.access_log(),
            ..config
        })
    }

    /// The routes where the service `default` is that of the supervised instances.
    pub(crate) fn supervised_routes(&self) -> Result<RouteTable, ConfigError> {
        self.routes(Some(Upstreams::Supervised), None)
    }

    /// The routes where there are only fixed upstreams.
    pub(crate) fn fixed_routes(&self) -> Result<RouteTable, ConfigError> {
        let upstreams = match self.upstreams.as_slice() {
            [] => None,
            texts => Some(Upstreams::Fixed(upstreams(DEFAULT, texts)?)),
        };
        self.routes(upstreams, Some(GATE_DEADLINE_MS))
    }

    fn routes(
        &self,
        default: Option<Upstreams>,
        deadline_ms: Option<u64>,
    ) -> Result<RouteTable, ConfigError> {
        let mut table = RouteTable { services: Vec::new(), routes: Vec::new() };
        for entry in &self.services {
            let upstreams = Upstreams::Fixed(upstreams(&entry.name, &entry.upstreams)?);
            table.services.push(Service {
                h2c: entry.h2c,
                in_flight_max: entry.in_flight_max.or(self.in_flight_max.map(u32_of)),
                queue_max: entry.queue_max.unwrap_or(self.queue_max),
                ..Service::new(&entry.name, upstreams)
            });
        }
        let has_default = default.is_some();
        if let Some(upstreams) = default {
            table.services.push(Service {
                h2c: self.h2c,
                in_flight_max: self.in_flight_max.map(u32_of),
                queue_max: self.queue_max,
                ..Service::new(DEFAULT, upstreams)
            });
        }
        for (at, entry) in self.routes.iter().enumerate() {
            table.routes.push(self.route(entry, at, deadline_ms, &table.services));
        }
        let is_catch_all = |route: &Route| route.host.is_none() && route.path == "/";
        if has_default && !table.routes.iter().any(is_catch_all) {
            let entry = RouteEntry { name: Some(DEFAULT.to_owned()), ..RouteEntry::default() };
            table.routes.push(self.route(&entry, 0, deadline_ms, &table.services));
        }
        table.check().map_err(|error| ConfigError::new(format!("[gate]: {error}")))?;
        Ok(table)
    }

    fn route(&self, entry: &RouteEntry, at: usize, deadline_ms: Option<u64>, services: &[Service]) -> Route {
        let service = entry.service.as_deref().unwrap_or(DEFAULT);
        let found = services.iter().find(|known| known.name == service);
        let is_fixed = found.is_some_and(|service| service.upstreams != Upstreams::Supervised);
        let retries = self.retries.map(u32_of).unwrap_or(u32::from(is_fixed));
        let of_service = self.services.iter().find(|entry| entry.name == service);
        let of_service = of_service.and_then(|entry| entry.deadline_ms);
        let route = Route::to(service);
        Route {
            name: entry.name.clone().unwrap_or_else(|| format!("route-{}", at + 1)),
            host: entry.host.clone(),
            path: entry.path.clone().unwrap_or(route.path),
            deadline_ms: entry
                .deadline_ms
                .or(of_service)
                .or(self.deadline_ms)
                .or(deadline_ms)
                .filter(|ms| *ms > 0),
            tier: entry.tier.unwrap_or(route.tier),
            cost: entry.cost.clone().unwrap_or(route.cost),
            retries: entry.retries.unwrap_or(retries),
            in_flight_max: entry.in_flight_max,
            queue_max: entry.queue_max,
            request_streams: entry.request_streams.unwrap_or(false),
            service: route.service,
        }
    }

    fn access_log(&self) -> Option<AccessLog> {
        let path = self.access_log.clone()?;
        let format = if self.access_log_format == "combined" { LogFormat::Combined } else { LogFormat::Json };
        Some(AccessLog { path: Some(path).filter(|path| path.as_os_str() != "-"), format })
    }

    fn tls(&self) -> Result<Option<Tls>, ConfigError> {
        let first = match (&self.tls_cert, &self.tls_key) {
            (None, None) if self.certificates.is_empty() => return Ok(None),
            (None, None) => None,
            (Some(chain), Some(key)) => Some(CertificateFiles { chain: chain.clone(), key: key.clone() }),
            (Some(_), None) => {
                return Err(ConfigError::new("`tls_cert` in [gate] is set, but `tls_key` is not"));
            }
            (None, Some(_)) => {
                return Err(ConfigError::new("`tls_key` in [gate] is set, but `tls_cert` is not"));
            }
        };
        let files =
            |entry: &CertificateEntry| CertificateFiles { chain: entry.cert.clone(), key: entry.key.clone() };
        let certificates = first.into_iter().chain(self.certificates.iter().map(files)).collect();
        let times = Tls::new("", "");
        Ok(Some(Tls { certificates, handshake_timeout_ms: self.tls_handshake_ms, ..times }))
    }
}

impl Default for Gate {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            upstreams: Vec::new(),
            h2c: false,
            deadline_ms: None,
            in_flight_max: None,
            queue_max: 128,
            retries: None,
            tls_cert: None,
            tls_key: None,
            tls_handshake_ms: 10_000,
            header_ms: 30_000,
            connect_ms: 1_000,
            workers: None,
            connections_max: 10_000,
            connections_per_address_max: limits.connections_per_address_max,
            requests_per_s_per_address_max: limits.requests_per_s_per_address_max.map(u64::from),
            headers_max: u32_of(limits.headers_max as u64),
            head_bytes_max: limits.head_bytes_max as u64,
            uri_bytes_max: limits.uri_bytes_max as u64,
            body_bytes_per_s_min: limits.body_bytes_per_s_min,
            body_window_ms: limits.body_window_ms,
            h2_streams_max: limits.h2_streams_max,
            h2_resets_per_s_max: limits.h2_resets_per_s_max,
            access_log: None,
            access_log_format: "json".to_owned(),
            otlp_url: None,
            otlp_ms: 15_000,
            services: Vec::new(),
            routes: Vec::new(),
            certificates: Vec::new(),
        }
    }
}

fn upstreams(service: &str, texts: &[String]) -> Result<Vec<Upstream>, ConfigError> {
    let wrong = |text: &str, error| ConfigError::new(format!("upstream {text:?} of {service:?}: {error}"));
    texts.iter().map(|text| text.parse().map_err(|error| wrong(text, error))).collect()
}

/// Ranges of settings are checked where they are read.
fn u32_of(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
