//! Which crate may import which: strictly downward, and sideways only where it is listed.

use cargo_metadata::Metadata;

use super::Problem;

/// Every crate of the workspace and its tier. The highest tier are tools that nothing else may use.
const TIERS: &[(&str, u8)] = &[
    ("freezeframe-model", 0),
    ("freezeframe-redact", 0),
    ("freezeframe-lifecycle", 0),
    ("freezeframe-admission", 0),
    ("freezeframe-histogram", 0),
    ("freezeframe-blocks", 0),
    ("freezeframe-debuginfo", 1),
    ("freezeframe-store", 1),
    ("freezeframe-http", 1),
    ("freezeframe-alert", 1),
    ("freezeframe-evidence", 1),
    ("freezeframe-runtime", 2),
    ("freezeframe-shim", 2),
    ("freezeframe-gate", 2),
    ("freezeframe-api", 2),
    ("freezeframe-ui", 2),
    ("freezeframe", 3),
    ("freezeframe-sdk", 3),
    ("freezeframe-example-shop", 3),
    ("freezeframe-tasks-program", 3),
    ("xtask", 4),
    ("bench", 4),
];

/// Imports within a tier, and why.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    (
        "freezeframe-lifecycle",
        "freezeframe-model",
        "decisions are about the model's instances and fingerprints",
    ),
    ("freezeframe-alert", "freezeframe-http", "one HTTP client for alerts and for debug information"),
    ("freezeframe-shim", "freezeframe-runtime", "the shim is the process in which the runtime traces"),
    ("freezeframe-example-shop", "freezeframe-sdk", "the shop shows how a service uses the SDK"),
    ("freezeframe", "freezeframe-example-shop", "the demo runs without anything else installed"),
];

/// What every service links must not drag the project along.
const ALONE: &[&str] = &[
    "freezeframe-model",
    "freezeframe-redact",
    "freezeframe-sdk",
    "freezeframe-admission",
    "freezeframe-histogram",
];

/// One crate of the workspace importing another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) from: String,
    pub(super) to: Option<String>,
}

/// All imports between crates of the workspace; a crate that imports none is there with `None`.
pub(super) fn imports(metadata: &Metadata) -> Vec<Import> {
    let packages = metadata.workspace_packages();
    let ours: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut imports = Vec::new();
    for package in &packages {
        imports.push(Import { from: package.name.to_string(), to: None });
        for dependency in
            package.dependencies.iter().filter(|dependency| ours.contains(&dependency.name.as_str()))
        {
            imports.push(Import { from: package.name.to_string(), to: Some(dependency.name.clone()) });
        }
    }
    imports
}

pub(super) fn check(imports: &[Import]) -> Vec<Problem> {
    imports.iter().filter_map(check_one).collect()
}

fn check_one(import: &Import) -> Option<Problem> {
    let from = import.from.as_str();
    let tier = |name: &str| TIERS.iter().find(|(known, _)| *known == name).map(|(_, tier)| *tier);
    let Some(own) = tier(from) else {
        return Some(Problem::new(
            from,
            "this crate is in no tier",
            "a new crate needs a different privilege, consumer or heavy dependency; then list it in xtask/src/tidy/directions.rs",
        ));
    };
    let to = import.to.as_deref()?;
    if ALONE.contains(&from) {
        let remedy =
            "it must stay usable by itself: pass in what it needs, or move the code to a crate above it";
        return Some(Problem::new(from, format!("imports {to}, but stands alone"), remedy));
    }
    // An unknown target is reported as a crate of its own.
    let other = tier(to)?;
    if other < own || SIDEWAYS.iter().any(|&(a, b, _)| (a, b) == (from, to)) {
        return None;
    }
    let direction = if other == own { "sideways" } else { "upward" };
    Some(Problem::new(
        from,
        format!("imports {to}: {direction}, from tier {own} to tier {other}"),
        "move what both need into a lower crate, or let the binary pass it in",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(from: &str, to: &str) -> Option<String> {
        let import = Import { from: from.to_owned(), to: Some(to.to_owned()) };
        check(&[import]).pop().map(|problem| problem.what)
    }

    #[test]
    fn imports_go_downward() {
        assert_eq!(what("freezeframe-gate", "freezeframe-model"), None);
        assert_eq!(what("freezeframe-shim", "freezeframe-runtime"), None);
        assert_eq!(
            what("freezeframe-runtime", "freezeframe-shim").as_deref(),
            Some("imports freezeframe-shim: sideways, from tier 2 to tier 2")
        );
        assert_eq!(
            what("freezeframe-store", "freezeframe-api").as_deref(),
            Some("imports freezeframe-api: upward, from tier 1 to tier 2")
        );
        assert_eq!(
            what("freezeframe-sdk", "freezeframe-model").as_deref(),
            Some("imports freezeframe-model, but stands alone")
        );
    }

    #[test]
    fn a_crate_in_no_tier_is_a_problem_even_without_imports() {
        let problems = check(&[Import { from: "freezeframe-new".to_owned(), to: None }]);
        assert_eq!(problems.first().map(|problem| problem.what.as_str()), Some("this crate is in no tier"));
    }

    #[test]
    fn every_exception_is_needed_and_has_a_reason() {
        for &(from, to, why) in SIDEWAYS {
            let tiers =
                [from, to].map(|name| TIERS.iter().find(|(known, _)| *known == name).map(|(_, tier)| *tier));
            assert!(tiers[0].is_some() && tiers[0] == tiers[1], "{from} and {to} are not in one tier");
            assert!(!why.is_empty());
        }
    }
}
