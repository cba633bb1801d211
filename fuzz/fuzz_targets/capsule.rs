//! Capsule files: as they are, and with sound digests around the input's JSON.
//!
//! First byte: even for a file as it is; odd for an incident and, behind 0xff, a capture, which are packed first.
#![no_main]

use std::io::Write;

use freezeframe_model::{Capture, Incident};
use freezeframe_store::read_capsule;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

const NAMES: [&str; 3] = ["incident.json.zst", "capture.json.zst", "core.zst"];

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let packed = if kind % 2 == 0 { None } else { pack(rest).ok() };
    let read = read_capsule(&mut packed.as_deref().unwrap_or(rest));
    if let Ok((incident, capture)) = read {
        let again: Incident =
            serde_json::from_slice(&serde_json::to_vec(&incident).expect("writes")).expect("reads");
        assert_eq!(again, incident);
        if let Some(capture) = capture {
            let again: Capture =
                serde_json::from_slice(&serde_json::to_vec(&capture).expect("writes")).expect("reads");
            assert_eq!(again, capture);
        }
    }
});

fn pack(texts: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut file = b"FFCAPS1\n".to_vec();
    for (name, text) in NAMES.iter().zip(texts.split(|byte| *byte == 0xff)) {
        let payload = zstd::stream::encode_all(text, 1)?;
        file.push(name.len() as u8);
        file.write_all(name.as_bytes())?;
        file.write_all(&(payload.len() as u64).to_le_bytes())?;
        file.write_all(&payload)?;
        file.write_all(&Sha256::new_with_prefix(name).chain_update(&payload).finalize())?;
    }
    file.push(0);
    Ok(file)
}
