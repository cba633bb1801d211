//! The configuration: what a flag says goes before what the environment says, that before `freezeframe.toml`, and that before the default.
//!
//! Every setting is one row of the table in `keys`: the parser, the environment, the flags, the error messages and the reference page
//! are made from it. This module reads no environment and prints nothing; both are handed to it.

mod assign;
mod error;
mod gate;
mod keys;
mod parse;
mod quantity;
pub(crate) mod reference;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use assign::Given;
pub(crate) use error::ConfigError;
use freezeframe_evidence::SourcePlaces;
use keys::{KEYS, Key};
pub(crate) use parse::{FileConfig, parse};

/// Name of the file that is read where no other is named.
pub(crate) const FILE_NAME: &str = "freezeframe.toml";

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Everything that can be set.
#[derive(Clone, Default)]
pub(crate) struct Config {
    /// What is run.
    pub(crate) service: Service,
    /// How the gate treats requests.
    pub(crate) gate: gate::Gate,
    /// What is held, and how much of it.
    pub(crate) hold: Hold,
    /// Who is told, by the names that the file gives them.
    pub(crate) alert: BTreeMap<String, freezeframe_alert::ChannelConfig>,
    /// What is kept.
    pub(crate) store: Store,
    /// Where debug information is looked for.
    pub(crate) debuginfo: Debuginfo,
    /// Where the service's sources are.
    pub(crate) source: Source,
}

/// `[service]`: what is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Name in incidents and alerts; taken from the command where it is not set.
    pub(crate) name: String,
    /// Program and arguments; empty where neither a flag nor the file names it.
    pub(crate) command: Vec<String>,
    /// Where the gate listens.
    pub(crate) listen: SocketAddr,
    /// Where the page and the API listen: a loopback address.
    pub(crate) admin: SocketAddr,
    /// Address under which people reach the page; used in links.
    pub(crate) public_url: Option<String>,
    /// Instances in routing.
    pub(crate) instances: u32,
    /// Instances that are ready to take over.
    pub(crate) spares: u32,
    /// Environment of the instances, besides what is inherited.
    pub(crate) env: BTreeMap<String, String>,
    /// Working directory of the instances; the present one where it is not set.
    pub(crate) directory: Option<PathBuf>,
    /// When an instance is ready.
    pub(crate) ready: Ready,
    /// Time for a graceful end, in milliseconds.
    pub(crate) stop_ms: u64,
}

/// `[service.ready]`: when an instance is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Path that must answer 2xx; where it is not set, an open port is enough.
    pub(crate) path: Option<String>,
    /// Time to become ready, in milliseconds.
    pub(crate) timeout_ms: u64,
}

/// `[hold]`: what is held, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    /// Whether anything is held at all.
    pub(crate) enabled: bool,
    /// Time for other requests of a failing instance, in milliseconds.
    pub(crate) drain_ms: u64,
    /// Time for reading frames and values, in milliseconds.
    pub(crate) capture_ms: u64,
    /// How long a hold lasts, in milliseconds.
    pub(crate) lease_ms: u64,
    /// Held processes at a time.
    pub(crate) held_max: u32,
    /// Resident memory of all held processes, in bytes.
    pub(crate) held_bytes_max: u64,
    /// Instances in routing that a hold must leave.
    pub(crate) healthy_min: u32,
    /// No progress for so many milliseconds is a stall.
    pub(crate) stall_ms: Option<u64>,
    /// Path that is asked to notice stalls.
    pub(crate) health_path: Option<String>,
    /// Whether an answer with status 5xx is an incident.
    pub(crate) server_errors: bool,
    /// What is a secret, besides what is known to be one.
    pub(crate) redact: freezeframe_redact::Rules,
    /// Which frames are the user's own.
    pub(crate) user_code: UserCode,
}

/// `[hold.user_code]`: which frames are the user's own, where the guess by source path is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserCode {
    /// Prefixes of function names or source paths that are.
    pub(crate) include: Vec<String>,
    /// Prefixes that are not; they take precedence.
    pub(crate) exclude: Vec<String>,
}

/// `[store]`: what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Store {
    /// Data directory.
    pub(crate) dir: PathBuf,
    /// Bytes of all capsules.
    pub(crate) bytes: u64,
    /// Files of all capsules.
    pub(crate) files: u64,
    /// Bytes of one core file.
    pub(crate) core_bytes_max: u64,
    /// Kinds of memory in it, as a hexadecimal mask.
    pub(crate) core_filter: String,
    /// Bytes of all indexes of debug information.
    pub(crate) index_bytes: u64,
    /// Where they are; in the data directory where it is not set.
    pub(crate) index_dir: Option<PathBuf>,
}

/// `[debuginfo]`: where debug information is looked for that is not in the program's own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Debuginfo {
    /// Directories laid out like `/usr/lib/debug`.
    pub(crate) directories: Vec<String>,
    /// Servers.
    pub(crate) debuginfod_urls: Vec<String>,
    /// Whether `DEBUGINFOD_URLS` names more of them.
    pub(crate) debuginfod_environment: bool,
    /// Bytes of one file of theirs.
    pub(crate) file_bytes_max: u64,
    /// Bytes of all files of theirs.
    pub(crate) cache_bytes: u64,
}

/// `[source]`: where the service's sources are, for frames whose lines the capsule does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Roots of the sources.
    pub(crate) directories: Vec<String>,
    /// What stands in place of prefixes of recorded paths.
    pub(crate) prefixes: BTreeMap<String, String>,
    /// Repositories of git.
    pub(crate) repositories: Vec<String>,
    /// What the build was made from.
    pub(crate) revision: Option<String>,
}

impl Source {
    /// The longest prefix counts.
    pub(crate) fn places(&self) -> SourcePlaces {
        let mut prefixes: Vec<(String, String)> = self.prefixes.clone().into_iter().collect();
        prefixes.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        SourcePlaces {
            directories: self.directories.iter().map(PathBuf::from).collect(),
            prefixes,
            repositories: self.repositories.iter().map(PathBuf::from).collect(),
        }
    }
}

/// What the command line says; what it does not say is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// `--data-dir`
    pub(crate) data_dir: Option<PathBuf>,
    /// `--listen`
    pub(crate) listen: Option<SocketAddr>,
    /// `--admin`
    pub(crate) admin: Option<SocketAddr>,
    /// `--instances`
    pub(crate) instances: Option<u32>,
    /// `--spares`
    pub(crate) spares: Option<u32>,
    /// `--upstream`
    pub(crate) upstreams: Vec<String>,
    /// `--in-flight-max`
    pub(crate) in_flight_max: Option<u64>,
    /// `--queue-max`
    pub(crate) queue_max: Option<u32>,
    /// `--deadline-ms`
    pub(crate) deadline_ms: Option<u64>,
    /// `--tls-cert`
    pub(crate) tls_cert: Option<PathBuf>,
    /// `--tls-key`
    pub(crate) tls_key: Option<PathBuf>,
    /// What follows `--`.
    pub(crate) command: Vec<String>,
}

/// Milliseconds of a duration as people write it, `4h` or `1h30min`, for flags.
///
/// # Errors
/// What a duration looks like, where it is none.
pub(crate) fn parse_duration_ms(text: &str) -> Result<u64, String> {
    quantity::parse_duration(text)
}

impl Config {
    /// Reads the file at `path`, or `freezeframe.toml` in the present directory where there is one, and puts environment and flags over it.
    ///
    /// # Errors
    /// A file that was named and cannot be read, and a value that cannot be, from whichever layer.
    pub(crate) fn load(path: Option<&Path>, flags: Flags) -> Result<Self, ConfigError> {
        let file = match path {
            Some(path) => Some(read(path)?),
            None => Path::new(FILE_NAME).exists().then(|| read(Path::new(FILE_NAME))).transpose()?,
        };
        let file = file.map(|text| parse(&text, path.unwrap_or(Path::new(FILE_NAME)))).transpose()?;
        // A variable that is not UTF-8 is none of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::resolve(file, environment, flags)
    }

    /// Puts the layers on top of each other, and checks what one layer alone cannot know.
    ///
    /// # Errors
    /// A value that cannot be, from whichever layer.
    pub(crate) fn resolve(
        file: Option<FileConfig>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: Flags,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some(file) = file {
            file.apply(&mut config)?;
        }
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        for key in KEYS {
            // What is not a key of ours is no error here: Kubernetes sets FREEZEFRAME_SERVICE_HOST for a service of that name.
            if let Some(text) = environment.get(&key.variable()) {
                config.set(key, text, &key.variable())?;
            }
        }
        let path_text = |path: PathBuf| path.to_string_lossy().into_owned();
        for (flag, path, value) in [
            ("--data-dir", "store.dir", flags.data_dir.map(path_text)),
            ("--listen", "service.listen", flags.listen.map(|address| address.to_string())),
            ("--admin", "service.admin", flags.admin.map(|address| address.to_string())),
            ("--instances", "service.instances", flags.instances.map(|count| count.to_string())),
            ("--spares", "service.spares", flags.spares.map(|count| count.to_string())),
            ("--in-flight-max", "gate.in_flight_max", flags.in_flight_max.map(|count| count.to_string())),
            ("--queue-max", "gate.queue_max", flags.queue_max.map(|count| count.to_string())),
            ("--deadline-ms", "gate.deadline_ms", flags.deadline_ms.map(|ms| ms.to_string())),
            ("--tls-cert", "gate.tls_cert", flags.tls_cert.map(path_text)),
            ("--tls-key", "gate.tls_key", flags.tls_key.map(path_text)),
        ] {
            if let (Some(key), Some(value)) = (Key::find(path), value) {
                config.set(key, &value, flag)?;
            }
        }
        if !flags.upstreams.is_empty() {
            config.gate.upstreams = flags.upstreams;
        }
        if !flags.command.is_empty() {
            config.service.command = flags.command;
        }
        config.name_service();
        config.check()?;
        Ok(config)
    }

    /// The settings that differ in `new`, one line each, for people, by the setting's path.
    pub(crate) fn diff(&self, new: &Self) -> Vec<(&'static str, String)> {
        let (mut old, mut new) = (self.clone(), new.clone());
        let mut lines = Vec::new();
        for key in KEYS {
            let show = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
            let (before, after) = (key.kind.show(&mut old), key.kind.show(&mut new));
            if before != after {
                lines.push((key.path, format!("{} {} -> {}", key.path, show(before), show(after))));
            }
        }
        lines
    }

    fn set(&mut self, key: &Key, text: &str, source: &str) -> Result<(), ConfigError> {
        key.kind
            .assign(self, Given::Raw(text.to_owned()))
            .map_err(|why| ConfigError::new(format!("{source} is {text:?}: {why}")))
    }

    /// `./target/release/shop` is the service `shop`.
    fn name_service(&mut self) {
        if self.service.name.is_empty() {
            let program = self.service.command.first().map(Path::new).and_then(Path::file_name);
            let letters = program.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let name: String = letters.chars().filter(|c| quantity::is_name(*c)).take(64).collect();
            self.service.name = if name.is_empty() { "service".to_owned() } else { name };
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Service { listen, admin, instances, .. } = &self.service;
        if !admin.ip().is_loopback() {
            return Err(ConfigError::new(format!(
                "`admin` in [service] is {admin}, which others can reach without encryption: use a loopback address, and a proxy with \
                 TLS in front of it, whose address goes into `public_url`"
            )));
        }
        if listen.port() == admin.port() && listen.port() != 0 {
            return Err(ConfigError::new(format!(
                "`listen` and `admin` in [service] both use port {}",
                listen.port()
            )));
        }
        if self.hold.healthy_min > *instances {
            return Err(ConfigError::new(format!(
                "`healthy_min` in [hold] is {}, but `instances` in [service] is {instances}: nothing could ever be held",
                self.hold.healthy_min
            )));
        }
        if let Some(url) = self.debuginfo.debuginfod_urls.iter().find(|url| !is_http(url)) {
            return Err(ConfigError::new(format!(
                "`debuginfod_urls` in [debuginfo] has {url:?}: expected an address like \"https://debuginfod.example.org\""
            )));
        }
        for (place, paths) in [
            ("`directories` in [debuginfo]", &self.debuginfo.directories),
            ("`directories` in [source]", &self.source.directories),
            ("`repositories` in [source]", &self.source.repositories),
        ] {
            if let Some(path) = paths.iter().find(|path| !Path::new(path).is_absolute()) {
                return Err(ConfigError::new(format!("{place} has {path:?}: expected an absolute path")));
            }
        }
        freezeframe_redact::Redactor::new(&self.hold.redact)
            .map(|_| ())
            .map_err(|error| ConfigError::new(format!("[hold.redact]: {error}")))
    }
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// `0x33` as `/proc/PID/coredump_filter` has it, for flags and settings.
///
/// # Errors
/// What a mask looks like, where it is none.
pub(crate) fn parse_core_filter(text: &str) -> Result<u32, String> {
    let digits = text.trim().trim_start_matches("0x");
    let mask = u32::from_str_radix(digits, 16).ok().filter(|mask| *mask < 0x200);
    mask.ok_or_else(|| "expected a mask like \"0x33\", of the bits of core(5)'s coredump_filter".to_owned())
}

impl Store {
    /// The mask; its text was checked.
    pub(crate) fn core_filter(&self) -> u32 {
        parse_core_filter(&self.core_filter).unwrap_or(0x33)
    }
}

impl Debuginfo {
    /// The servers, with those of the environment where that is wanted.
    pub(crate) fn servers(&self) -> Vec<String> {
        let variable = self.debuginfod_environment.then(|| std::env::var("DEBUGINFOD_URLS").ok()).flatten();
        // Besides URLs it may hold `ima:` words (debuginfod_find_debuginfo(3)).
        let further = variable.iter().flat_map(|text| text.split_whitespace()).filter(|url| is_http(url));
        self.debuginfod_urls.iter().cloned().chain(further.map(str::to_owned)).collect()
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
        .map_err(|error| ConfigError::unreadable(path, error))?;
    Ok(text)
}

impl Default for Service {
    fn default() -> Self {
        Self {
            name: String::new(),
            command: Vec::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 9800)),
            public_url: None,
            instances: 2,
            spares: 1,
            env: BTreeMap::new(),
            directory: None,
            ready: Ready::default(),
            stop_ms: 10_000,
        }
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self { path: None, timeout_ms: 60_000 }
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            enabled: true,
            drain_ms: 2_000,
            capture_ms: 2_000,
            lease_ms: 4 * 3_600_000,
            held_max: 2,
            held_bytes_max: 4 << 30,
            healthy_min: 1,
            stall_ms: None,
            health_path: None,
            server_errors: true,
            redact: freezeframe_redact::Rules::default(),
            user_code: UserCode::default(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            dir: PathBuf::from(".freezeframe"),
            bytes: 1 << 30,
            files: 10_000,
            core_bytes_max: 4 << 30,
            core_filter: "0x33".to_owned(),
            index_bytes: 512 << 20,
            index_dir: None,
        }
    }
}

impl Default for Debuginfo {
    fn default() -> Self {
        Self {
            directories: Vec::new(),
            debuginfod_urls: Vec::new(),
            debuginfod_environment: false,
            file_bytes_max: 2 << 30,
            cache_bytes: 4 << 30,
        }
    }
}
