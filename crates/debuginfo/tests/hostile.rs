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
}

impl Target {
    fn new(source: &str, compiler: &str, flags: &[&str]) -> Self {
        let program = build(source, compiler, flags);
        let stopped = run_until_stop(&program.path);
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", stopped.pid())).expect("a child's maps");
        let bytes = std::fs::read(&program.path).expect("the program");
        Self { mappings: parse_maps(&maps), program, stopped, bytes }
    }

    /// Captures with these bytes as the program's file.
    fn capture(&self, bytes: &[u8], memory: &dyn Memory) {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).and_then(|()| file.rewind()).expect("room for it");
        let own = self.program.path.to_string_lossy().into_owned();
        let open = move |mapping: &Mapping| -> std::io::Result<File> {
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
    let config =
        ProptestConfig { cases, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let sections = sections(&target.lock().expect("no other test").bytes);
    proptest!(config, |(strokes in strokes())| {
        let target = target.lock().expect("no other test");
        let mut bytes = target.bytes.clone();
        damage(&mut bytes, &sections, &strokes);
        target.capture(&bytes, &target.stopped);
    });
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
