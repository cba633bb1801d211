//! The same program in every form that compilers and packagers give debug information: it must always read the same.

mod common;

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use common::{Program, build, run_tool, run_until_stop, show_own_frames, show_variables};
use freezeframe_debuginfo::{DebugSources, Options};
use freezeframe_model::{BuildId, Capture};
use freezeframe_redact::Redactor;

fn capture(program: &Program) -> Capture {
    run_until_stop(&program.path).capture()
}

/// What a form of debug information must not change.
fn shown(capture: &Capture, function: &str) -> String {
    show_own_frames(capture) + &show_variables(capture, function)
}

fn plain(source: &str, compiler: &str, flags: &[&str], function: &str) -> String {
    shown(&capture(&build(source, compiler, flags)), function)
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[track_caller]
fn same(found: &str, expected: &str, what: &str) {
    let (found, expected) = (lines(found), lines(expected));
    let differ = |(found, expected): &(&&str, &&str)| found != expected;
    if let Some((found, expected)) = found.iter().zip(&expected).find(differ) {
        panic!("{what}: {found:?} instead of {expected:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

fn lost(capture: &Capture, words: &str) -> bool {
    capture.not_captured.iter().any(|loss| format!("{} {}", loss.what, loss.why).contains(words))
}

fn with_suffix(directory: &Path, suffix: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the test's directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
}

#[test]
fn split_in_files_beside_the_objects() {
    for (source, function) in [("values.c", "serve"), ("values.cpp", "checkout")] {
        for compiler in if source == "values.c" { ["gcc", "clang"] } else { ["g++", "clang++"] } {
            for version in ["-gdwarf-4", "-gdwarf-5"] {
                let what = format!("{compiler} {version}");
                let whole = plain(source, compiler, &[version, "-O0"], function);
                let program = build(source, compiler, &[version, "-gsplit-dwarf", "-O0"]);
                let files = with_suffix(program.directory.path(), ".dwo");
                assert_eq!(files.len(), 1, "{what}: {files:?}");
                same(&shown(&capture(&program), function), &whole, &what);

                std::fs::remove_file(&files[0]).expect("it was there");
                let without = capture(&program);
                let name = files[0].file_name().expect("a name").to_string_lossy().into_owned();
                assert!(lost(&without, &name), "{what}: {:?}", without.not_captured);
                let frame = without.site.to_string();
                assert!(frame.contains(source), "lines come from the program itself: {frame}");
            }
        }
    }
}

#[test]
fn a_split_file_of_another_build_is_not_believed() {
    let program = build("values.c", "gcc", &["-gdwarf-5", "-gsplit-dwarf", "-O0"]);
    let other = build("values.c", "gcc", &["-gdwarf-5", "-gsplit-dwarf", "-O1", "-DOTHER"]);
    let file = with_suffix(program.directory.path(), ".dwo").remove(0);
    std::fs::copy(with_suffix(other.directory.path(), ".dwo").remove(0), &file).expect("both are there");
    let capture = capture(&program);
    assert!(lost(&capture, "of another build"), "{:?}", capture.not_captured);
}

#[test]
fn split_and_packed() {
    // GNU's packer does not know version 5, and LLVM's does not know what gcc writes of it.
    for (compiler, version, packer) in
        [("gcc", "-gdwarf-4", "dwp"), ("clang", "-gdwarf-4", "llvm-dwp"), ("clang", "-gdwarf-5", "llvm-dwp")]
    {
        let what = format!("{compiler} {version} {packer}");
        let whole = plain("values.c", compiler, &[version, "-O0"], "serve");
        let program = build("values.c", compiler, &[version, "-gsplit-dwarf", "-O0"]);
        pack(&program, packer);
        same(&shown(&capture(&program), "serve"), &whole, &what);
    }
}

/// Leaves nothing but the package.
fn pack(program: &Program, packer: &str) {
    run_tool(program, packer, &["-e", "program", "-o", "program.dwp"]);
    for file in with_suffix(program.directory.path(), ".dwo") {
        std::fs::remove_file(file).expect("it was there");
    }
}

#[test]
fn rust_split_and_packed() {
    let flags = ["--edition=2021", "-g"];
    let whole = plain("values.rs", "rustc", &flags, "price");
    for mode in ["unpacked", "packed"] {
        let mode = format!("-Csplit-debuginfo={mode}");
        let program = build("values.rs", "rustc", &[&flags as &[_], &[mode.as_str()]].concat());
        same(&shown(&capture(&program), "price"), &whole, &mode);
    }
}

#[test]
fn type_units() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        for split in [&["-g"] as &[&str], &["-gsplit-dwarf"]] {
            let flags = [&[version, "-O0"], split].concat();
            for (source, compiler, function) in [
                ("values.c", "gcc", "serve"),
                ("values.cpp", "g++", "checkout"),
                ("values.cpp", "clang++", "checkout"),
            ] {
                let whole = plain(source, compiler, &[version, "-O0"], function);
                let flags = [&flags as &[_], &["-fdebug-types-section"]].concat();
                let program = build(source, compiler, &flags);
                same(&shown(&capture(&program), function), &whole, &format!("{compiler} {flags:?}"));
                if split == ["-gsplit-dwarf"] && (compiler == "clang++" || version == "-gdwarf-4") {
                    pack(&program, if compiler == "clang++" { "llvm-dwp" } else { "dwp" });
                    same(
                        &shown(&capture(&program), function),
                        &whole,
                        &format!("packed {compiler} {flags:?}"),
                    );
                }
            }
        }
    }
}

#[test]
fn parts_moved_to_a_supplementary_file() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        for (source, compiler, function) in [("values.c", "gcc", "serve"), ("values.cpp", "g++", "checkout")]
        {
            let flags = [version, "-O0"];
            let whole = plain(source, compiler, &flags, function);
            let program = build(source, compiler, &flags);
            let directory = program.directory.path();
            std::fs::copy(&program.path, directory.join("twin")).expect("room for it");
            run_tool(&program, "dwz", &["-m", "common.dwz", "program", "twin"]);
            assert!(directory.join("common.dwz").exists());
            same(&shown(&capture(&program), function), &whole, version);
            std::fs::remove_file(directory.join("common.dwz")).expect("it was there");
            let without = capture(&program);
            assert!(lost(&without, "common.dwz"), "{:?}", without.not_captured);
        }
    }
}

#[test]
fn compressed_sections() {
    let whole = plain("values.c", "gcc", &["-g", "-O0"], "serve");
    for format in ["zlib", "zlib-gnu", "zlib-gabi", "zstd"] {
        let program = build("values.c", "gcc", &["-g", "-O0"]);
        let arguments = [&format!("--compress-debug-sections={format}") as &str, "program"];
        run_tool(&program, "objcopy", &arguments);
        same(&shown(&capture(&program), "serve"), &whole, format);
    }
}

/// Takes the debug information out of the program; `link` names the file that is left of it.
fn strip(program: &Program, link: bool) {
    run_tool(program, "objcopy", &["--only-keep-debug", "program", "program.debug"]);
    let arguments: &[&str] = if link {
        &["--strip-all", "--add-gnu-debuglink=program.debug", "program"]
    } else {
        &["--strip-all", "program"]
    };
    run_tool(program, "objcopy", arguments);
}

fn capture_with(program: &Program, sources: DebugSources) -> Capture {
    let stopped = run_until_stop(&program.path);
    let modules = stopped.modules().with_debug_sources(sources);
    let (options, redactor) = (Options::default(), Redactor::default());
    freezeframe_debuginfo::capture(&stopped, &modules, &[stopped.thread()], &options, &redactor)
}

#[test]
fn separate_files_are_found_by_path_by_build_and_by_asking() {
    let flags = ["-g", "-O0", "-Wl,--build-id"];
    let whole = plain("values.c", "gcc", &flags, "serve");
    let program = build("values.c", "gcc", &flags);
    strip(&program, false);
    let own = program.directory.path();
    let without = capture_with(&program, DebugSources::default());
    assert!(lost(&without, "looked for it in /usr/lib/debug/.build-id/"), "{:?}", without.not_captured);

    let (debug, kept) = (own.join("program.debug"), own.join("kept"));
    std::fs::rename(&debug, &kept).expect("it is there");
    let build_id = without.modules[0].build_id.to_string();
    let directory = own.join(".build-id").join(&build_id[..2]);
    std::fs::create_dir_all(&directory).expect("a new directory");
    let by_id = directory.join(format!("{}.debug", &build_id[2..]));
    std::fs::copy(&kept, &by_id).expect("room for it");
    let directories = DebugSources { directories: vec![own.to_owned()], fetch: None };
    same(&shown(&capture_with(&program, directories.clone()), "serve"), &whole, "by build id");

    std::fs::write(&by_id, std::fs::read("/proc/self/exe").expect("this test")).expect("room for it");
    let other = capture_with(&program, directories);
    assert!(lost(&other, "(of another build)"), "{:?}", other.not_captured);

    let fetch = move |id: &BuildId| {
        assert_eq!(id.to_string(), build_id);
        File::open(&kept).map(Some)
    };
    let fetched = DebugSources { directories: Vec::new(), fetch: Some(Arc::new(fetch)) };
    same(&shown(&capture_with(&program, fetched), "serve"), &whole, "fetched");
    let failing =
        DebugSources { directories: Vec::new(), fetch: Some(Arc::new(|_| Err(ErrorKind::TimedOut.into()))) };
    assert!(lost(&capture_with(&program, failing), "debug information server (timed out)"));
}

#[test]
fn without_a_build_id_the_checksum_decides() {
    let flags = ["-g", "-O0", "-Wl,--build-id=none"];
    let whole = plain("values.c", "gcc", &flags, "serve");
    let program = build("values.c", "gcc", &flags);
    strip(&program, true);
    same(&shown(&capture(&program), "serve"), &whole, "beside the program");
    let (debug, hidden) =
        (program.directory.path().join("program.debug"), program.directory.path().join(".debug"));
    std::fs::create_dir(&hidden).expect("a new directory");
    std::fs::rename(&debug, hidden.join("program.debug")).expect("it is there");
    same(&shown(&capture(&program), "serve"), &whole, "in .debug");
    let mut bytes = std::fs::read(hidden.join("program.debug")).expect("it is there");
    bytes.push(0);
    std::fs::write(hidden.join("program.debug"), bytes).expect("room for it");
    assert!(lost(&capture(&program), "(of another build)"));
}
