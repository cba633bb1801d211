//! Every setting, in the order of the reference page. To add one: a field in [`Config`], its default, and a row here.

use super::Config;
use super::assign::Kind;
use super::quantity::is_name;

/// A setting.
pub(super) struct Key {
    /// Where it stands in the file: `hold.drain_ms`.
    pub(super) path: &'static str,
    /// What kind of value it has.
    pub(super) kind: Kind,
    /// For the reference page.
    pub(super) doc: &'static str,
}

/// A section of the file.
pub(super) struct Section {
    /// As in the file: `hold.redact`.
    pub(super) name: &'static str,
    /// For the reference page.
    pub(super) doc: &'static str,
}

/// Largest time in milliseconds that makes sense anywhere: ten minutes.
const TEN_MINUTES: u64 = 600_000;
/// The longest deadline of the gate.
const HOUR: u64 = 3_600_000;
const MS: &str = "milliseconds";

/// Every section, in the order of the reference page.
pub(super) const SECTIONS: &[Section] = &[
    Section { name: "service", doc: "What is run, and where it is reached." },
    Section { name: "service.ready", doc: "When a started instance may take requests." },
    Section {
        name: "gate",
        doc: "How the gate treats requests, and what a client may take of it. Further services and routes are in `[[gate.service]]` and `[[gate.route]]` below.",
    },
    Section { name: "hold", doc: "What is held when something breaks, and how much of it at most." },
    Section {
        name: "hold.redact",
        doc: "What is a secret, besides what Freezeframe takes for one by itself.",
    },
    Section {
        name: "hold.user_code",
        doc: "Which code is your own, where the guess by source path is wrong: the site of an error is the first frame of your own code.",
    },
    Section { name: "store", doc: "What is kept, and how much of it." },
    Section {
        name: "debuginfo",
        doc: "Where debug information is looked for that is not in the program's own files, besides the places where gdb looks first: beside them, and in `/usr/lib/debug`.",
    },
    Section {
        name: "source",
        doc: "Where the service's sources are on this machine, for frames whose lines are not stored with the incident.",
    },
];

/// Every setting outside of `[alert]`.
pub(super) const KEYS: &[Key] = &[
    Key {
        path: "service.name",
        kind: Kind::Text(|c| &mut c.service.name, name),
        doc: "Name in incidents and alerts. The default is the file name of the program.",
    },
    Key {
        path: "service.command",
        kind: Kind::Texts(|c| &mut c.service.command),
        doc: "Program and arguments, without a shell. What follows `--` on the command line takes its place. An instance finds its port in place of `{port}` and in the variable `PORT`.",
    },
    Key {
        path: "service.listen",
        kind: Kind::Address(|c| &mut c.service.listen),
        doc: "Where the gate takes requests for the service.",
    },
    Key {
        path: "service.admin",
        kind: Kind::Address(|c| &mut c.service.admin),
        doc: "Where the page and the API are. It must be a loopback address: tokens pass over it unencrypted.",
    },
    Key {
        path: "service.public_url",
        kind: Kind::MaybeText(|c| &mut c.service.public_url, http_url),
        doc: "Address under which people reach the page, for the links in alerts: that of a proxy with TLS in front of `admin`. Without it, links name `admin`.",
    },
    Key {
        path: "service.instances",
        kind: Kind::Count(|c| &mut c.service.instances, 1..=64),
        doc: "Instances that serve.",
    },
    Key {
        path: "service.spares",
        kind: Kind::Count(|c| &mut c.service.spares, 0..=16),
        doc: "Instances that are started and ready, to take the place of one that breaks.",
    },
    Key {
        path: "service.env",
        kind: Kind::Table(|c| &mut c.service.env),
        doc: "Environment variables of the instances, besides those that Freezeframe was started with.",
    },
    Key {
        path: "service.directory",
        kind: Kind::MaybePath(|c| &mut c.service.directory),
        doc: "Working directory of the instances. The default is the present one.",
    },
    Key {
        path: "service.stop_ms",
        kind: Kind::Number(|c| &mut c.service.stop_ms, 0..=TEN_MINUTES, MS),
        doc: "Time for an instance to end by itself after SIGTERM; then it is killed.",
    },
    Key {
        path: "service.ready.path",
        kind: Kind::MaybeText(|c| &mut c.service.ready.path, url_path),
        doc: "Path that must answer 2xx before an instance takes requests. Without it, an open port is enough.",
    },
    Key {
        path: "service.ready.timeout_ms",
        kind: Kind::Number(|c| &mut c.service.ready.timeout_ms, 100..=TEN_MINUTES, MS),
        doc: "Time to become ready; then the instance is killed and started anew.",
    },
    Key {
        path: "gate.upstreams",
        kind: Kind::Texts(|c| &mut c.gate.upstreams),
        doc: "For `freezeframe gate`: addresses of the service `default`, like `127.0.0.1:9000` or `unix:/run/shop.sock`. One that refuses connections gets no requests until a probe gets through.",
    },
    Key {
        path: "gate.h2c",
        kind: Kind::Flag(|c| &mut c.gate.h2c),
        doc: "Whether the service `default` is spoken to in HTTP/2 with prior knowledge, as gRPC needs it.",
    },
    Key {
        path: "gate.deadline_ms",
        kind: Kind::MaybeNumber(|c| &mut c.gate.deadline_ms, 0..=HOUR, MS),
        doc: "Time from a request's arrival to the head of its response; then the client is answered 503, and the instance let go. Instances find what is left of it in `x-freezeframe-deadline-ms`. 0 is no limit, as is leaving it out, except for `freezeframe gate`, where that is 60000.",
    },
    Key {
        path: "gate.in_flight_max",
        kind: Kind::MaybeNumber(|c| &mut c.gate.in_flight_max, 1..=1_000_000, ""),
        doc: "Requests under way per instance. Further ones wait, and when there is too much to do, the least important are refused. Without it there is no limit, and nothing is shed. Once an instance says by 429 or 503 that it has too much to do, it gets fewer.",
    },
    Key {
        path: "gate.queue_max",
        kind: Kind::Count(|c| &mut c.gate.queue_max, 0..=1_000_000),
        doc: "Requests of a service that wait. Further ones are answered 429 at once.",
    },
    Key {
        path: "gate.retries",
        kind: Kind::MaybeNumber(|c| &mut c.gate.retries, 0..=4, ""),
        doc: "How often a request that may be repeated goes to another instance after one failed it, up to a fifth of the requests. Without it, that is 1 for fixed upstreams and 0 for supervised instances: a request that breaks one must not break the next.",
    },
    Key {
        path: "gate.tls_cert",
        kind: Kind::MaybePath(|c| &mut c.gate.tls_cert),
        doc: "PEM file with a certificate and its chain; with it, the gate speaks only TLS. It is read again when it changes. Further ones, chosen by server name, are in `[[gate.certificate]]`.",
    },
    Key {
        path: "gate.tls_key",
        kind: Kind::MaybePath(|c| &mut c.gate.tls_key),
        doc: "PEM file with the certificate's private key.",
    },
    Key {
        path: "gate.tls_handshake_ms",
        kind: Kind::Number(|c| &mut c.gate.tls_handshake_ms, 100..=TEN_MINUTES, MS),
        doc: "Time for a TLS handshake.",
    },
    Key {
        path: "gate.header_ms",
        kind: Kind::Number(|c| &mut c.gate.header_ms, 100..=TEN_MINUTES, MS),
        doc: "Time for a request's head, and between two requests of a connection.",
    },
    Key {
        path: "gate.connect_ms",
        kind: Kind::Number(|c| &mut c.gate.connect_ms, 10..=TEN_MINUTES, MS),
        doc: "Time for a connection to an instance.",
    },
    Key {
        path: "gate.workers",
        kind: Kind::MaybeNumber(|c| &mut c.gate.workers, 1..=256, ""),
        doc: "Threads. Without it, one per core, at most 4.",
    },
    Key {
        path: "gate.connections_max",
        kind: Kind::Count(|c| &mut c.gate.connections_max, 1..=1_000_000),
        doc: "Connections of clients. Further ones wait.",
    },
    Key {
        path: "gate.connections_per_address_max",
        kind: Kind::Count(|c| &mut c.gate.connections_per_address_max, 1..=1_000_000),
        doc: "Connections of one client address, or of one IPv6 network of 64 bits. Further ones are closed.",
    },
    Key {
        path: "gate.requests_per_s_per_address_max",
        kind: Kind::MaybeNumber(|c| &mut c.gate.requests_per_s_per_address_max, 1..=1_000_000, ""),
        doc: "Requests per second of one client address. Further ones are answered 429. Without it there is no limit.",
    },
    Key {
        path: "gate.headers_max",
        kind: Kind::Count(|c| &mut c.gate.headers_max, 8..=1_000),
        doc: "Header fields of a request. More are answered 431.",
    },
    Key {
        path: "gate.head_bytes_max",
        kind: Kind::Size(|c| &mut c.gate.head_bytes_max, 8_192..=1 << 20),
        doc: "Size of a request's head. A larger one is answered 431.",
    },
    Key {
        path: "gate.uri_bytes_max",
        kind: Kind::Size(|c| &mut c.gate.uri_bytes_max, 64..=1 << 16),
        doc: "Size of a request's target. A longer one is answered 414.",
    },
    Key {
        path: "gate.body_bytes_per_s_min",
        kind: Kind::Count(|c| &mut c.gate.body_bytes_per_s_min, 0..=1_000_000),
        doc: "Bytes per second at which a client must send a request's body and take a response's, while it is the one that is waited for. 0 is no limit.",
    },
    Key {
        path: "gate.body_window_ms",
        kind: Kind::Number(|c| &mut c.gate.body_window_ms, 100..=TEN_MINUTES, MS),
        doc: "Time over which that rate is measured.",
    },
    Key {
        path: "gate.h2_streams_max",
        kind: Kind::Count(|c| &mut c.gate.h2_streams_max, 1..=10_000),
        doc: "Requests that one HTTP/2 client may have open.",
    },
    Key {
        path: "gate.h2_resets_per_s_max",
        kind: Kind::Count(|c| &mut c.gate.h2_resets_per_s_max, 1..=10_000),
        doc: "Requests per second that one HTTP/2 client may reset, over ten seconds. Who resets more loses the connection.",
    },
    Key {
        path: "gate.access_log",
        kind: Kind::MaybePath(|c| &mut c.gate.access_log),
        doc: "File to which a line per request is appended; `-` is standard output. Reading the configuration again (SIGHUP) opens it again. Queries are not logged.",
    },
    Key {
        path: "gate.access_log_format",
        kind: Kind::Text(|c| &mut c.gate.access_log_format, log_format),
        doc: "`json`, or `combined` as Apache's server writes it.",
    },
    Key {
        path: "gate.otlp_url",
        kind: Kind::MaybeText(|c| &mut c.gate.otlp_url, http_url),
        doc: "OpenTelemetry collector that is told how long requests took, as exponential histograms: `http://127.0.0.1:4318/v1/metrics` (OTLP over HTTP, JSON).",
    },
    Key {
        path: "gate.otlp_ms",
        kind: Kind::Number(|c| &mut c.gate.otlp_ms, 100..=HOUR, MS),
        doc: "Time between two reports to it.",
    },
    Key {
        path: "hold.enabled",
        kind: Kind::Flag(|c| &mut c.hold.enabled),
        doc: "Whether anything is held at all. Without it, errors are only counted.",
    },
    Key {
        path: "hold.drain_ms",
        kind: Kind::Number(|c| &mut c.hold.drain_ms, 0..=TEN_MINUTES, MS),
        doc: "Time in which the other requests of a failing instance may finish before it is frozen.",
    },
    Key {
        path: "hold.capture_ms",
        kind: Kind::Number(|c| &mut c.hold.capture_ms, 100..=60_000, MS),
        doc: "Time for reading frames and values after an error; what is not read by then is left out, and said so. The process stands still meanwhile, its other requests do not.",
    },
    Key {
        path: "hold.lease",
        kind: Kind::Duration(|c| &mut c.hold.lease_ms, 1_000..=86_400_000),
        doc: "How long a process is held before it is turned into a core file and ended.",
    },
    Key {
        path: "hold.held_max",
        kind: Kind::Count(|c| &mut c.hold.held_max, 0..=64),
        doc: "Processes held at a time. Further errors pass through and are counted.",
    },
    Key {
        path: "hold.held_bytes_max",
        kind: Kind::Size(|c| &mut c.hold.held_bytes_max, 1 << 20..=1 << 44),
        doc: "Resident memory of all held processes.",
    },
    Key {
        path: "hold.healthy_min",
        kind: Kind::Count(|c| &mut c.hold.healthy_min, 0..=64),
        doc: "Serving instances that a hold must leave. Nothing is held that would leave fewer.",
    },
    Key {
        path: "hold.stall_ms",
        kind: Kind::MaybeNumber(|c| &mut c.hold.stall_ms, 100..=TEN_MINUTES, MS),
        doc: "An instance that answers nothing for this long has stalled: its stacks are captured, and it is held or replaced. Without it, stalls are not looked for.",
    },
    Key {
        path: "hold.health_path",
        kind: Kind::MaybeText(|c| &mut c.hold.health_path, url_path),
        doc: "Path that is asked regularly to notice stalls of an idle instance.",
    },
    Key {
        path: "hold.server_errors",
        kind: Kind::Flag(|c| &mut c.hold.server_errors),
        doc: "Whether an answer with a status from 500 to 599 is recorded as an incident.",
    },
    Key {
        path: "hold.redact.names",
        kind: Kind::Texts(|c| &mut c.hold.redact.names),
        doc: "Parts of names whose values are secrets.",
    },
    Key {
        path: "hold.redact.types",
        kind: Kind::Texts(|c| &mut c.hold.redact.types),
        doc: "Types whose values are secrets, without generic arguments: `shop::Iban`, or `Iban` for every type of that name; `*` stands for any characters. `secrecy::Secret…`, `zeroize::Zeroizing`, `redact::Secret` and types that are called `…Password`, `…Passphrase`, `SecretKey`, `PrivateKey` or `ApiKey` are secrets anyway.",
    },
    Key {
        path: "hold.redact.patterns",
        kind: Kind::Texts(|c| &mut c.hold.redact.patterns),
        doc: "Regular expressions for values that are secrets.",
    },
    Key {
        path: "hold.redact.allow_names",
        kind: Kind::Texts(|c| &mut c.hold.redact.allow_names),
        doc: "Names that are no secrets although they look like it.",
    },
    Key {
        path: "hold.redact.allow_types",
        kind: Kind::Texts(|c| &mut c.hold.redact.allow_types),
        doc: "Types that are no secrets although their names look like it, written like `types`.",
    },
    Key {
        path: "hold.redact.allow_patterns",
        kind: Kind::Texts(|c| &mut c.hold.redact.allow_patterns),
        doc: "Regular expressions for values that are no secrets although they look like it: each must fit the whole of what was taken for one. What is a secret for its name or type stays so.",
    },
    Key {
        path: "hold.user_code.include",
        kind: Kind::Texts(|c| &mut c.hold.user_code.include),
        doc: "Prefixes of function names or source paths that are your own code.",
    },
    Key {
        path: "hold.user_code.exclude",
        kind: Kind::Texts(|c| &mut c.hold.user_code.exclude),
        doc: "Prefixes of function names or source paths that are not; they take precedence.",
    },
    Key {
        path: "store.dir",
        kind: Kind::Path(|c| &mut c.store.dir),
        doc: "Directory for incidents, capsules, the token and the sockets. Created with access for its owner only.",
    },
    Key {
        path: "store.bytes",
        kind: Kind::Size(|c| &mut c.store.bytes, 1 << 20..=1 << 50),
        doc: "Size of all capsules. The oldest make room.",
    },
    Key {
        path: "store.files",
        kind: Kind::Number(|c| &mut c.store.files, 10..=10_000_000, ""),
        doc: "Number of files of all capsules. The oldest make room.",
    },
    Key {
        path: "store.core_bytes_max",
        kind: Kind::Size(|c| &mut c.store.core_bytes_max, 0..=1 << 50),
        doc: "Size of one core file. What does not fit is left out of it. `\"0B\"` keeps no core files.",
    },
    Key {
        path: "store.core_filter",
        kind: Kind::Text(|c| &mut c.store.core_filter, |text| super::parse_core_filter(text).map(drop)),
        doc: "Kinds of memory in a core file, by the bits of `/proc/PID/coredump_filter` (core(5)): 1 anonymous private, 2 anonymous shared, 4 file-backed private, 8 file-backed shared, 0x10 ELF headers, 0x20 private huge pages, 0x40 shared huge pages.",
    },
    Key {
        path: "store.index_bytes",
        kind: Kind::Size(|c| &mut c.store.index_bytes, 0..=1 << 50),
        doc: "Size of all indexes of debug information, which make captures fast; the longest unused make room. They are written in the background once an instance is ready. `\"0B\"` keeps none.",
    },
    Key {
        path: "store.index_dir",
        kind: Kind::MaybePath(|c| &mut c.store.index_dir),
        doc: "Directory for the indexes of debug information. The default is `index` in the data directory. Several services may share one.",
    },
    Key {
        path: "debuginfo.directories",
        kind: Kind::Texts(|c| &mut c.debuginfo.directories),
        doc: "Directories laid out like `/usr/lib/debug`: by path, and by `.build-id`.",
    },
    Key {
        path: "debuginfo.debuginfod_urls",
        kind: Kind::Texts(|c| &mut c.debuginfo.debuginfod_urls),
        doc: "Servers of debug information (debuginfod), asked in this order, after everything else. They learn which builds run here.",
    },
    Key {
        path: "debuginfo.debuginfod_environment",
        kind: Kind::Flag(|c| &mut c.debuginfo.debuginfod_environment),
        doc: "Whether the variable `DEBUGINFOD_URLS` names further servers.",
    },
    Key {
        path: "debuginfo.file_bytes_max",
        kind: Kind::Size(|c| &mut c.debuginfo.file_bytes_max, 1 << 20..=1 << 40),
        doc: "Size of one file of a server. What is larger is not fetched.",
    },
    Key {
        path: "debuginfo.cache_bytes",
        kind: Kind::Size(|c| &mut c.debuginfo.cache_bytes, 1 << 20..=1 << 50),
        doc: "Size of all files of servers, which are kept in the data directory; the longest unused make room.",
    },
    Key {
        path: "source.directories",
        kind: Kind::Texts(|c| &mut c.source.directories),
        doc: "Roots of the sources. A file is found by the end of the path that the compiler recorded. It is shown as it is now, and said to be.",
    },
    Key {
        path: "source.prefixes",
        kind: Kind::Table(|c| &mut c.source.prefixes),
        doc: "What stands in place of the beginning of a recorded path, like `\"/home/ci/build/\" = \"services/\"`. The longest that fits counts.",
    },
    Key {
        path: "source.repositories",
        kind: Kind::Texts(|c| &mut c.source.repositories),
        doc: "Repositories of git, asked after the directories for a file as of `revision`.",
    },
    Key {
        path: "source.revision",
        kind: Kind::MaybeText(|c| &mut c.source.revision, revision),
        doc: "Revision of the sources that the service is built from, for example a commit; set it with every deploy. It is remembered with the build, and shown with its incidents.",
    },
];

impl Key {
    /// The setting of this path.
    pub(super) fn find(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }

    /// `hold` of `hold.drain_ms`.
    pub(super) fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// `drain_ms` of `hold.drain_ms`.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// `FREEZEFRAME_HOLD_DRAIN_MS` of `hold.drain_ms`.
    pub(super) fn variable(&self) -> String {
        format!("FREEZEFRAME_{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// The default as it would stand in the file.
    pub(super) fn default(&self) -> Option<String> {
        self.kind.show(&mut Config::default())
    }
}

fn name(text: &str) -> Result<(), String> {
    let fits = (1..=64).contains(&text.len()) && text.chars().all(is_name) && !text.starts_with('.');
    if fits { Ok(()) } else { Err("expected 1 to 64 letters, digits, `-`, `_` or `.`".to_owned()) }
}

fn log_format(text: &str) -> Result<(), String> {
    if matches!(text, "json" | "combined") { Ok(()) } else { Err("expected `json` or `combined`".to_owned()) }
}

fn url_path(text: &str) -> Result<(), String> {
    let fits =
        text.starts_with('/') && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err("expected a path like \"/healthz\"".to_owned()) }
}

fn revision(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+');
    let fits = (1..=128).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('-');
    if fits { Ok(()) } else { Err("expected the name of a commit or tag".to_owned()) }
}

fn http_url(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let fits = !host.is_empty() && !host.contains('@') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err("expected an address like \"https://freezeframe.example.org\"".to_owned()) }
}
