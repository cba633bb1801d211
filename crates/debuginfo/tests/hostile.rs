//! Damaged executables and damaged memory: nothing panics, hangs or grows, whatever the bytes say.

mod common;

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{Program, Stopped, build, run_until_stop};
use freezeframe_debuginfo::{Mapping, Memory, Modules, Options, Snapshot, Unreadable, parse_maps};
use freezeframe_redact::Redactor;
use proptest::prelude::*;

/// A stopped program whose file is damaged before it is read.
struct Target {
    program: Program,
    stopped: Stopped,
    mappings: Vec<Mapping>,
    bytes: Vec<u8>,
    /// Another file that debug information is in: its path and content.
    split: Option<(String, Vec<u8>)>,
}

impl Target {
    fn new(source: &str, compiler: &str, flags: &[&str]) -> Self {
        let program = build(source, compiler, flags);
        let stopped = run_until_stop(&program.path);
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", stopped.pid())).expect("a child's maps");
        let bytes = std::fs::read(&program.path).expect("the program");
        Self { mappings: parse_maps(&maps), program, stopped, bytes, split: None }
    }

    /// Captures with these bytes as the program's file.
    fn capture(&self, bytes: &[u8], memory: &dyn Memory) {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).and_then(|()| file.rewind()).expect("room for it");
        let own = self.program.path.to_string_lossy().into_owned();
        let split = self.split.as_ref().map(|(path, bytes)| {
            let mut file = tempfile::tempfile().expect("a temporary file");
            file.write_all(bytes).and_then(|()| file.rewind()).expect("room for it");
            (path.clone(), file)
        });
        let open = move |mapping: &Mapping| -> std::io::Result<File> {
            if let Some((path, file)) = &split
                && mapping.path == *path
            {
                return file.try_clone();
            }
            if mapping.path == own {
                return file.try_clone();
            }
            // The C library's own debug information is not what is tested, and large.
            if mapping.path.starts_with("/usr/lib/debug/") {
                Err(std::io::ErrorKind::NotFound.into())
            } else {
                File::open(&mapping.path)
            }
        };
        let modules = Modules::new(self.mappings.clone(), Box::new(open));
        let options = Options { time: Duration::from_millis(500), ..Options::default() };
        let begun = Instant::now();
        let thread = self.stopped.thread();
        let stack = modules.unwind(memory, &thread.registers, 64);
        modules.fingerprint(&stack, "SIGSEGV");
        freezeframe_debuginfo::capture(memory, &modules, &[thread], &options, &Redactor::default());
        assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    }
}

/// Sections in which damage matters most; the whole file now and then.
fn damage(bytes: &mut [u8], sections: &[(u64, u64)], strokes: &[(u8, u32, u8)]) {
    for (section, at, value) in strokes {
        let whole = (0, bytes.len() as u64);
        let (start, length) = sections.get(usize::from(*section)).copied().unwrap_or(whole);
        if let Some(byte) = bytes.get_mut((start + u64::from(*at) % length.max(1)) as usize) {
            *byte = *value;
        }
    }
}

fn sections(bytes: &[u8]) -> Vec<(u64, u64)> {
    use object::{Object, ObjectSection};
    let file = object::File::parse(bytes).expect("an undamaged file");
    let named = file.sections().filter(|section| {
        section.name().is_ok_and(|name| {
            name.starts_with(".debug") || name.starts_with(".eh_frame") || name == ".symtab"
        })
    });
    named.filter_map(|section| section.file_range()).collect()
}

fn strokes() -> impl Strategy<Value = Vec<(u8, u32, u8)>> {
    let value = prop_oneof![Just(0u8), Just(0xff), Just(0x7f), Just(0x80), any::<u8>()];
    proptest::collection::vec((0u8..24, any::<u32>(), value), 1..60)
}

/// `FUZZ_CASES` asks for a longer run than the one of every test.
fn cases(usual: u32) -> u32 {
    std::env::var("FUZZ_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

fn fuzz(target: &Mutex<Target>, cases: u32) {
    fuzz_part(target, cases, false);
}

/// Damages the program, or the other file that its debug information is in.
fn fuzz_part(target: &Mutex<Target>, cases: u32, split: bool) {
    let config =
        ProptestConfig { cases, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let whole = |target: &Target| match &target.split {
        Some((_, bytes)) if split => bytes.clone(),
        _ => target.bytes.clone(),
    };
    let original = whole(&target.lock().expect("no other test"));
    let sections = sections(&original);
    proptest!(config, |(strokes in strokes())| {
        let mut target = target.lock().expect("no other test");
        let mut bytes = original.clone();
        damage(&mut bytes, &sections, &strokes);
        if split {
            let (path, _) = target.split.take().expect("another file");
            target.split = Some((path, bytes));
            target.capture(&target.bytes, &target.stopped);
        } else {
            target.capture(&bytes, &target.stopped);
        }
    });
    if let (true, Some((_, bytes))) = (split, &mut target.lock().expect("no other test").split) {
        *bytes = original;
    }
}

#[test]
fn damaged_cpp_program() {
    fuzz(&Mutex::new(Target::new("values.cpp", "c++", &["-g", "-O1"])), cases(60));
}

#[test]
fn damaged_c_program_with_an_older_dwarf() {
    fuzz(&Mutex::new(Target::new("values.c", "cc", &["-gdwarf-4", "-O0"])), cases(60));
}

#[test]
fn damaged_rust_program() {
    fuzz(&Mutex::new(Target::new("values.rs", "rustc", &["--edition=2021", "-g"])), 8);
}

#[test]
fn truncated_files() {
    let target = Target::new("values.c", "cc", &["-g"]);
    for part in 0..20 {
        let end = target.bytes.len() * part / 20;
        target.capture(&target.bytes[..end], &target.stopped);
    }
}

#[test]
fn a_function_that_ends_behind_all_addresses() {
    let target = Target::new("overlong.c", "cc", &["-fno-asynchronous-unwind-tables"]);
    target.capture(&target.bytes, &target.stopped);
}

/// Memory in which some words are other words, by address.
struct Corrupt<'a> {
    below: &'a Stopped,
    seed: u64,
}

impl Memory for Corrupt<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.below.read(address, into)?;
        for (byte, at) in into.iter_mut().zip(address..) {
            let mixed = ((at / 8) ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if mixed >> 59 == 0 {
                *byte |= (mixed >> 8) as u8;
            }
        }
        Ok(())
    }
}

#[test]
fn damaged_memory() {
    let target = Target::new("values.rs", "rustc", &["--edition=2021", "-g"]);
    for seed in 0..12 {
        target.capture(&target.bytes, &Corrupt { below: &target.stopped, seed });
    }
    target.capture(&target.bytes, &Snapshot::default());
}

#[test]
fn damaged_split_information() {
    let mut target = Target::new("values.c", "cc", &["-gdwarf-5", "-gsplit-dwarf", "-O0"]);
    let split = target.program.directory.path().join("program-values.dwo");
    target.split =
        Some((split.to_string_lossy().into_owned(), std::fs::read(&split).expect("the split file")));
    fuzz_part(&Mutex::new(target), cases(60), true);
}

#[test]
fn damaged_type_units() {
    fuzz(
        &Mutex::new(Target::new("values.cpp", "c++", &["-gdwarf-4", "-fdebug-types-section", "-O0"])),
        cases(40),
    );
}

#[test]
fn damaged_supplementary_information() {
    let mut target = Target::new("values.cpp", "c++", &["-gdwarf-5", "-O0"]);
    let directory = target.program.directory.path().to_owned();
    std::fs::copy(&target.program.path, directory.join("twin")).expect("room for it");
    common::run_tool(&target.program, "dwz", &["-m", "common.dwz", "program", "twin"]);
    target.bytes = std::fs::read(&target.program.path).expect("the program");
    let common = directory.join("common.dwz");
    target.split =
        Some((common.to_string_lossy().into_owned(), std::fs::read(&common).expect("it is there")));
    let target = Mutex::new(target);
    fuzz_part(&target, cases(40), true);
    fuzz(&target, cases(40));
}

#[test]
fn damaged_compressed_sections() {
    fuzz(&Mutex::new(Target::new("values.c", "cc", &["-g", "-O0", "-gz=zlib"])), cases(40));
}

#[test]
fn damaged_containers() {
    fuzz(&Mutex::new(Target::new("containers.cpp", "c++", &["-std=c++17", "-g", "-O0"])), cases(20));
    for (source, compiler, flags) in [
        ("containers.cpp", "c++", &["-std=c++17", "-g"] as &[&str]),
        ("std_types.rs", "rustc", &["--edition=2021", "-g"]),
    ] {
        let target = Target::new(source, compiler, flags);
        for seed in 0..12 {
            target.capture(&target.bytes, &Corrupt { below: &target.stopped, seed });
        }
    }
}
