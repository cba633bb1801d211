//! Never two libraries for one job.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::Metadata;

use super::Problem;

/// Libraries that do what another one here does already. (zlib is none of them: compressed ELF sections are in it.)
const SECOND: &[(&str, &str, &str)] = &[
    ("openssl", "TLS", "rustls with ring"),
    ("openssl-sys", "TLS", "rustls with ring"),
    ("native-tls", "TLS", "rustls with ring"),
    ("boring", "TLS", "rustls with ring"),
    ("aws-lc-rs", "TLS", "rustls with ring"),
    ("aws-lc-sys", "TLS", "rustls with ring"),
    ("hyper-tls", "TLS", "rustls with ring"),
    ("reqwest", "HTTP", "hyper"),
    ("ureq", "HTTP", "hyper"),
    ("isahc", "HTTP", "hyper"),
    ("curl", "HTTP", "hyper"),
    ("attohttpc", "HTTP", "hyper"),
    ("actix-web", "HTTP", "hyper and axum"),
    ("warp", "HTTP", "hyper and axum"),
    ("tiny_http", "HTTP", "hyper"),
    ("async-std", "asynchronous I/O", "tokio"),
    ("smol", "asynchronous I/O", "tokio"),
    ("chrono", "calendar time", "time"),
    ("jiff", "calendar time", "time"),
    ("humantime", "calendar time", "time"),
    ("sqlx", "databases", "rusqlite and tokio-postgres"),
    ("diesel", "databases", "rusqlite and tokio-postgres"),
    ("postgres", "databases", "rusqlite and tokio-postgres"),
    ("simd-json", "JSON", "serde_json"),
    ("log4rs", "logs", "tracing"),
    ("env_logger", "logs", "tracing"),
    ("slog", "logs", "tracing"),
    ("structopt", "the command line", "clap"),
    ("argh", "the command line", "clap"),
];

/// The one exception: what a library brings whatever its features are, and who may use it then. Nobody else may, and so not our own code
/// (docs/decisions/0004).
const BROUGHT: &[(&str, &[&str])] = &[("chrono", &["rmcp", "schemars"])];

/// Libraries of which a second version would be as good as a second library.
const ONE_VERSION: &[&str] = &[
    "axum",
    "clap",
    "gimli",
    "http",
    "hyper",
    "libsqlite3-sys",
    "ring",
    "rusqlite",
    "rustls",
    "serde",
    "tokio",
    "tracing",
    "zstd-sys",
];

/// A package that is built, and who asks for it.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) used_by: BTreeSet<String>,
}

/// Everything that is built for the workspace, its tests included.
pub(super) fn packages(metadata: &Metadata) -> Vec<Package> {
    let name = |id| metadata.packages.iter().find(|package| &package.id == id);
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let mut users: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for node in nodes {
        for dependency in &node.dependencies {
            let user = name(&node.id).map(|package| package.name.to_string()).unwrap_or_default();
            users.entry(dependency).or_default().insert(user);
        }
    }
    users
        .into_iter()
        .filter_map(|(id, used_by)| {
            let package = name(id)?;
            Some(Package { name: package.name.to_string(), version: package.version.to_string(), used_by })
        })
        .collect()
}

pub(super) fn check(packages: &[Package]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let is_brought = |package: &Package| {
        let found = BROUGHT.iter().find(|(name, _)| *name == package.name);
        found.is_some_and(|(_, may)| package.used_by.iter().all(|user| may.contains(&user.as_str())))
    };
    for package in packages.iter().filter(|package| !is_brought(package)) {
        let users = package.used_by.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if let Some((_, job, ours)) = SECOND.iter().find(|(second, ..)| *second == package.name) {
            let what = format!("a second library for {job}, used by {users}");
            problems.push(Problem::new(
                format!("dependency {}", package.name),
                what,
                format!("use {ours}, or turn off the feature that brings it"),
            ));
        }
    }
    for name in ONE_VERSION {
        let versions: Vec<String> = packages
            .iter()
            .filter(|package| package.name == *name)
            .map(|package| {
                format!(
                    "{} for {}",
                    package.version,
                    package.used_by.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                )
            })
            .collect();
        if versions.len() > 1 {
            let what = format!("in several versions: {}", versions.join("; "));
            problems.push(Problem::new(format!("dependency {name}"), what, "bring them to one version"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, user: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            used_by: BTreeSet::from([user.to_owned()]),
        }
    }

    #[test]
    fn a_second_library_for_one_job_is_named_with_its_user() {
        let problems = check(&[package("rustls", "0.23.1", "a"), package("native-tls", "0.2.0", "lettre")]);
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "dependency native-tls: a second library for TLS, used by lettre\n    use rustls with ring, or turn off the feature that brings it"
            ]
        );
    }

    #[test]
    fn what_a_library_brings_is_for_that_library_alone() {
        let chrono = |user: &str| check(&[package("chrono", "0.4.45", user)]).len();
        assert_eq!((chrono("rmcp"), chrono("freezeframe")), (0, 1));
    }

    #[test]
    fn a_second_version_of_a_heavy_library_is_a_problem_of_a_light_one_not() {
        let problems = check(&[
            package("hyper", "1.7.0", "gate"),
            package("hyper", "0.14.0", "old"),
            package("bitflags", "1.0.0", "a"),
            package("bitflags", "2.0.0", "b"),
        ]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].what, "in several versions: 1.7.0 for gate; 0.14.0 for old");
    }
}
