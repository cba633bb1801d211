//! Writes the seeds that are made from the corpus of cores: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.
//!
//! Only what the targets need goes into a seed: sections, registers and some memory around the stack pointers. A small seed is one
//! that a fuzzer gets through.

use std::io;
use std::path::Path;

use freezeframe_debuginfo::{Core, Options};
use freezeframe_fuzz::fixture::{ALL, Fixture};
use freezeframe_fuzz::parts::{MEMORY, Part, REGISTERS, SECTIONS};
use freezeframe_redact::Redactor;
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSection};

/// Seeds over this are not worth their while.
const SEED_BYTES_MAX: usize = 24 * 1024;
/// Memory from a stack pointer outwards.
const STACK: usize = 512;
/// Bytes of one other part of memory.
const DATA: usize = 1024;

/// The incident of a capsule, which must be a sound one.
#[derive(serde::Deserialize)]
struct Envelope {
    #[serde(rename = "incident")]
    _incident: freezeframe_model::Incident,
}

/// Its text.
const INCIDENT: &str = r#"{"format":"freezeframe-incident/1","incident":{"build_id":"010203","captured_at":1700000000000000,
"count":1,"fingerprint":"07070707070707070707070707070707","hold":{},"id":"INC-42","instance":3,"kind":"panic",
"logs":[{"at":1,"stream":"stderr","text":"log"}],"message":"attempt","site":{"file":"a.rs","function":"a::b","line":41},
"request":{"in_flight":0,"journey":[],"matched_by":"unknown","request":null},"requests_lost":0,"not_captured":[],
"timings":{},"service":"shop","state":"recorded","updated_at":1}}"#;

fn main() -> io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for fixture in ALL {
        let whole = parts(&fixture, |_| true)?;
        let tables = |name: &str| name.contains("frame") || matches!(name, ".text" | ".symtab" | ".strtab");
        let made = [
            ("dwarf", whole),
            ("cfi", parts(&fixture, tables)?),
            ("core", core(&fixture)?),
            ("capsule", capsule(&fixture)?),
        ];
        for (target, seed) in made {
            if seed.len() <= SEED_BYTES_MAX {
                std::fs::create_dir_all(seeds.join(target))?;
                std::fs::write(seeds.join(target).join(fixture.name()), seed)?;
            }
        }
    }
    Ok(())
}

/// See the target for the form.
fn capsule(fixture: &Fixture) -> io::Result<Vec<u8>> {
    serde_json::from_str::<Envelope>(INCIDENT).map_err(io::Error::other)?;
    let capture = fixture.open()?.capture(&Options::default(), &Redactor::default());
    let capture = serde_json::to_vec(&capture).map_err(io::Error::other)?;
    let head = br#"{"format":"freezeframe-capture/1","capture":"#;
    Ok([&[1], INCIDENT.as_bytes(), &[0xff], head, &capture, b"}"].concat())
}

fn parts(fixture: &Fixture, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<u8>> {
    let program = fixture.program()?;
    let file = ElfFile64::<LittleEndian>::parse(program.as_slice()).map_err(io::Error::other)?;
    let mut seed = Vec::new();
    for (name, kind) in SECTIONS.iter().zip(0..).filter(|(name, _)| wanted(name)) {
        if let Some(section) = file.section_by_name(name) {
            let bytes = section.data().map_err(io::Error::other)?;
            Part { kind, address: section.address(), bytes }.write(&mut seed);
        }
    }
    let core = fixture.open()?;
    for (address, bytes) in memory(&core) {
        Part { kind: MEMORY, address, bytes: &bytes }.write(&mut seed);
    }
    for thread in core.threads() {
        let bytes: Vec<u8> =
            thread.registers.values.iter().flat_map(|value| value.unwrap_or(0).to_le_bytes()).collect();
        Part { kind: REGISTERS, address: 0, bytes: &bytes }.write(&mut seed);
    }
    Ok(seed)
}

/// Around the stack pointers, and the beginnings of what is writable.
fn memory(core: &Core) -> Vec<(u64, Vec<u8>)> {
    let stacks =
        core.threads().iter().filter_map(|thread| Some((thread.registers.sp()?.saturating_sub(128), STACK)));
    let data = core.modules().mappings().iter().filter(|mapping| mapping.writable && mapping.start < 1 << 32);
    let places = stacks.chain(data.map(|mapping| (mapping.start, DATA)));
    let read = |(from, length): (u64, usize)| {
        let length = (0..=length)
            .rev()
            .step_by(64)
            .find(|length| core.memory().read_bytes(from, *length, DATA).is_ok())?;
        Some((from, core.memory().read_bytes(from, length, DATA).ok()?))
    };
    places.filter_map(read).collect()
}

/// The core with less memory: notes and first pages whole, of stacks only what is in use.
fn core(fixture: &Fixture) -> io::Result<Vec<u8>> {
    const HEADER: usize = 64;
    const ENTRY: usize = 56;
    let whole = fixture.core()?;
    let core = fixture.open()?;
    let stacks: Vec<u64> = core.threads().iter().filter_map(|thread| thread.registers.sp()).collect();
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    let count = usize::from(u16::from_le_bytes([whole[56], whole[57]]));
    let table = word(&whole, 32) as usize;
    let mut header = whole[..HEADER].to_vec();
    header[32..40].copy_from_slice(&(HEADER as u64).to_le_bytes());
    // No sections: gdb writes some.
    header[40..48].fill(0);
    header[60..64].fill(0);
    let (mut entries, mut contents) = (Vec::new(), Vec::new());
    for at in 0..count {
        let mut entry = whole[table + at * ENTRY..][..ENTRY].to_vec();
        let (offset, start, stored) = (word(&entry, 8) as usize, word(&entry, 16), word(&entry, 32) as usize);
        let is_load = entry[0] == 1;
        let sp = stacks.iter().find(|sp| is_load && (start..start + stored as u64).contains(sp));
        let (skip, length) = match sp {
            Some(sp) => ((sp - start) as usize / 16 * 16, STACK),
            None if is_load => (0, DATA),
            None => (0, stored),
        };
        let length = length.min(stored - skip);
        let place = HEADER + count * ENTRY + contents.len();
        contents.extend(&whole[offset + skip..][..length]);
        entry[8..16].copy_from_slice(&(place as u64).to_le_bytes());
        entry[16..24].copy_from_slice(&(start + skip as u64).to_le_bytes());
        entry[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        let rest = word(&entry, 40) - skip as u64;
        entry[40..48].copy_from_slice(&rest.to_le_bytes());
        entries.extend(entry);
    }
    Ok([header, entries, contents].concat())
}
