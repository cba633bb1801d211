//! Whose code a frame is: the service's own, or a library's. By paths and names alone.

use freezeframe_model::FrameKind;

/// The rule that tells the service's own code from libraries.
///
/// Prefixes are compared with the source file (as recorded, and joined with the directory of compilation) and with the
/// function's name; `include` wins over `exclude`, and both over what is built in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserCode {
    /// Always the service's own.
    pub include: Vec<String>,
    /// Never the service's own.
    pub exclude: Vec<String>,
}

/// What is known of a frame.
pub(crate) struct Origin<'a> {
    pub(crate) function: &'a str,
    /// As recorded.
    pub(crate) file: &'a str,
    /// Joined with the directory of compilation.
    pub(crate) full_path: &'a str,
    /// Path of the mapped file.
    pub(crate) module: &'a str,
    pub(crate) in_main_executable: bool,
    /// The mapped file describes its own functions: one without a description is the compiler's.
    pub(crate) module_is_described: bool,
}

const LIBRARY_DIRECTORIES: [&str; 7] = [
    "/rustc/",
    "/.cargo/registry/",
    "/.cargo/git/",
    "/lib/rustlib/src/",
    "/usr/lib/",
    "/usr/include/",
    "/usr/src/",
];

/// Beginnings of source paths as distributions' builds record them: `./nptl/pthread_create.c` and the like.
const LIBRARY_SOURCES: [&str; 9] = [
    "./nptl/",
    "./csu/",
    "./stdlib/",
    "./signal/",
    "./assert/",
    "../sysdeps/",
    "./sysdeps/",
    "./debug/",
    "library/std/",
];

/// Crates whose functions are nobody's own, whatever their file says: inlined and generic code is compiled elsewhere.
const LIBRARY_CRATES: [&str; 26] = [
    "std",
    "core",
    "alloc",
    "proc_macro",
    "test",
    "panic_unwind",
    "hashbrown",
    "backtrace",
    "gimli",
    "addr2line",
    "tokio",
    "futures",
    "futures_util",
    "futures_core",
    "hyper",
    "hyper_util",
    "h2",
    "http",
    "axum",
    "axum_core",
    "tower",
    "__rustc",
    "tracing",
    "tracing_core",
    "tracing_subscriber",
    "freezeframe_sdk",
];

/// Entry points and helpers that stand in the main executable without being anybody's code.
const RUNTIME_FUNCTIONS: [&str; 8] = [
    "_start",
    "__libc_start_main",
    "_init",
    "_fini",
    "rust_begin_unwind",
    "__rust_start_panic",
    "rust_panic",
    "clone",
];

const SYSTEM_MODULES: [&str; 6] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/", "[vdso]"];

impl UserCode {
    pub(crate) fn kind(&self, origin: &Origin<'_>) -> FrameKind {
        let listed = |prefixes: &[String]| {
            let texts = [origin.function, origin.file, origin.full_path];
            prefixes.iter().any(|prefix| texts.iter().any(|text| text.starts_with(prefix.as_str())))
        };
        if listed(&self.include) {
            return FrameKind::User;
        }
        if listed(&self.exclude) || is_library(origin) {
            return FrameKind::Library;
        }
        FrameKind::User
    }
}

fn is_library(origin: &Origin<'_>) -> bool {
    let in_directory = |path: &str| LIBRARY_DIRECTORIES.iter().any(|directory| path.contains(directory));
    if in_directory(origin.file) || in_directory(origin.full_path) {
        return true;
    }
    let from_build = |path: &str| LIBRARY_SOURCES.iter().any(|directory| path.starts_with(directory));
    if from_build(origin.file) || from_build(origin.full_path) {
        return true;
    }
    if LIBRARY_CRATES.contains(&crate_of(origin.function)) || origin.function.starts_with("__gnu_cxx::") {
        return true;
    }
    if SYSTEM_MODULES.iter().any(|directory| origin.module.starts_with(directory))
        && !origin.in_main_executable
    {
        return true;
    }
    // Without debug information only the main executable is presumed to be the service.
    let presumed = origin.in_main_executable && !origin.module_is_described;
    origin.file.is_empty() && (!presumed || RUNTIME_FUNCTIONS.contains(&origin.function))
}

/// The first path segment of a function's name: `app` of `<app::Order as core::fmt::Debug>::fmt`.
fn crate_of(function: &str) -> &str {
    let mut name = function;
    loop {
        let trimmed = name.trim_start_matches(['<', '&', '(', '[', '*']);
        let trimmed = ["mut ", "const ", "dyn "]
            .iter()
            .fold(trimmed, |name, word| name.strip_prefix(word).unwrap_or(name));
        if trimmed == name {
            break;
        }
        name = trimmed;
    }
    let Some((head, _)) = name.split_once("::") else { return "" };
    // `<T as core::future::Future>::poll`: a type without a path says nothing; the trait then decides.
    match head.split_once(" as ") {
        Some((_, of)) => of,
        None => head,
    }
}

/// Whether the function is on the way from an error to its being noticed: panic and abort machinery.
pub(crate) fn is_error_machinery(function: &str) -> bool {
    const PARTS: [&str; 14] = [
        "core::panicking::",
        "std::panicking::begin_panic",
        "std::panicking::rust_panic",
        "std::panicking::panic_handler",
        "std::panicking::panic_with_hook",
        "rust_begin_unwind",
        "rust_panic",
        "core::result::unwrap_failed",
        "core::option::unwrap_failed",
        "core::option::expect_failed",
        "core::slice::index::",
        "std::process::abort",
        "std::terminate",
        "__gnu_cxx::__verbose_terminate_handler",
    ];
    const NAMES: [&str; 16] = [
        "abort",
        "raise",
        "gsignal",
        "__pthread_kill_implementation",
        "pthread_kill",
        "__pthread_kill_internal",
        "__assert_fail",
        "__assert_fail_base",
        "__cxa_throw",
        "__cxxabiv1::__terminate",
        "__fortify_fail",
        "__chk_fail",
        "__stack_chk_fail",
        "freezeframe_trap",
        "__libc_message",
        "tgkill",
    ];
    let bare = function.split(['(', '@']).next().unwrap_or(function);
    NAMES.contains(&bare) || PARTS.iter().any(|part| function.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(function: &str, file: &str) -> FrameKind {
        let origin = Origin {
            function,
            file,
            full_path: file,
            module: "/srv/app",
            in_main_executable: true,
            module_is_described: false,
        };
        UserCode::default().kind(&origin)
    }

    #[test]
    fn own_code_and_libraries() {
        use FrameKind::{Library, User};
        for (function, file, expected) in [
            ("app::orders::price", "src/orders.rs", User),
            ("<app::Order as core::fmt::Display>::fmt", "src/orders.rs", User),
            ("core::ptr::drop_in_place<app::Order>", "", Library),
            ("<alloc::vec::Vec<app::Order> as core::ops::drop::Drop>::drop", "", Library),
            (
                "core::ops::function::FnOnce::call_once",
                "/rustc/59807616e/library/core/src/ops/function.rs",
                Library,
            ),
            (
                "serde_json::from_str",
                "/home/x/.cargo/registry/src/index.crates.io-1/serde_json-1/src/de.rs",
                Library,
            ),
            ("handle", "main.c", User),
            ("handle", "", User),
            ("_start", "", Library),
            ("std::vector<int>::push_back(int const&)", "/usr/include/c++/12/bits/stl_vector.h", Library),
            ("<T as core::future::future::Future>::poll", "", Library),
        ] {
            assert_eq!(kind(function, file), expected, "{function} in {file}");
        }
    }

    #[test]
    fn configuration_wins_over_what_is_built_in() {
        let rule = UserCode { include: vec!["tokio::our_fork".into()], exclude: vec!["src/vendor/".into()] };
        let origin = |function, file| Origin {
            function,
            file,
            full_path: file,
            module: "/srv/app",
            in_main_executable: true,
            module_is_described: false,
        };
        assert_eq!(rule.kind(&origin("tokio::our_fork::run", "x.rs")), FrameKind::User);
        assert_eq!(rule.kind(&origin("app::parse", "src/vendor/parse.rs")), FrameKind::Library);
    }

    #[test]
    fn frames_of_catch_unwind_are_not_machinery() {
        assert!(is_error_machinery("core::panicking::panic_fmt"));
        assert!(is_error_machinery("__rustc::rust_panic"));
        assert!(!is_error_machinery("std::panicking::catch_unwind::do_call"));
        assert!(!is_error_machinery("std::panicking::try"));
        assert!(!is_error_machinery("app::abort_order"));
    }
}
