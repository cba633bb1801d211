//! Export and import, and files from strangers.

use std::io::Write;

use freezeframe_model::{HoldFacts, HoldStrength, Incident, IncidentId, IncidentState};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{capsule_names, capture, losses, open, record, record_as};
use crate::{Quota, Store, StoreError, read_capsule};

fn exported(store: &Store, id: IncidentId, with_core: bool) -> Vec<u8> {
    let mut file = Vec::new();
    store.export(id, with_core, &mut file).expect("exported");
    file
}

fn held(incident: &mut Incident) {
    incident.state = IncidentState::Held;
    incident.hold = HoldFacts { strength: HoldStrength::Frozen, pid: 4242, ..HoldFacts::default() };
}

/// A capsule with everything, and the incident in it.
fn sample(core: &[u8]) -> (Vec<u8>, Incident) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    record(&store, 1);
    let incident = record_as(&store, 500, held);
    let mut writer = store.core_writer(incident.id, 1 << 20).expect("a core");
    writer.write_all(core).expect("room");
    writer.commit().expect("kept");
    (exported(&store, incident.id, true), incident)
}

#[test]
fn an_exported_capsule_is_read_where_nobody_knows_the_service() {
    let (file, incident) = sample(b"\x7fELF core");
    let (read, captured) = read_capsule(&mut &file[..]).expect("readable");
    assert_eq!(read, incident);
    assert_eq!(captured, Some(capture(incident.id, 500)));
}

#[test]
fn an_import_gets_a_new_number_and_holds_nothing() {
    let (file, original) = sample(b"\x7fELF core");
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let id = store.import(&mut &file[..]).expect("imported");
    assert_eq!(id, IncidentId(1));
    let read = store.incident(id).expect("readable").expect("an incident");
    assert_eq!((read.state, &read.hold), (IncidentState::Recorded, &HoldFacts::default()));
    assert_eq!(read.message, original.message);
    assert_eq!(losses(&read), ["held process"]);
    assert_eq!(read.not_captured[0].why, "imported; recorded elsewhere as INC-2");
    assert_eq!(store.capture(id).expect("readable"), Some(capture(original.id, 500)));
    let mut core = Vec::new();
    assert!(store.copy_core(id, 100, &mut core).expect("readable"));
    assert_eq!(core, b"\x7fELF core");
    assert_eq!(store.live().expect("readable"), []);
    assert_eq!(store.newest_of(original.fingerprint).expect("readable"), None, "it did not happen here");
    assert_eq!(capsule_names(&store), ["INC-1"]);
    // And out again.
    let (again, _) = read_capsule(&mut &exported(&store, id, false)[..]).expect("readable");
    assert_eq!(again, read);
}

#[test]
fn a_core_that_does_not_fit_is_left_out_and_the_rest_is_imported() {
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(100_000).collect();
    let (file, _) = sample(&noise);
    for bytes in [50_000, 101_000] {
        let dir = tempfile::tempdir().expect("a directory");
        let quota = Quota { bytes, fingerprint_share: 1.0, ..Quota::default() };
        let store = Store::open(dir.path(), quota).expect("a store");
        let id = store.import(&mut &file[..]).expect("imported");
        let read = store.incident(id).expect("readable").expect("an incident");
        assert_eq!(losses(&read), ["held process", "core file"], "{bytes}");
        assert!(store.capture(id).expect("readable").is_some());
        assert_eq!(store.core_path(id), None);
        assert_eq!(capsule_names(&store), ["INC-1"], "{bytes}");
    }
}

#[test]
fn an_unknown_incident_cannot_be_exported() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = open(dir.path()).export(IncidentId(7), false, &mut std::io::sink()).expect_err("unknown");
    assert_eq!(error.to_string(), "there is no incident INC-7");
}

/// A part with a true digest, whatever its payload.
fn part(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(name.len()).expect("a short name")];
    bytes.extend(name.as_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(payload);
    bytes.extend(Sha256::new_with_prefix(name).chain_update(payload).finalize());
    bytes
}

fn file(parts: &[Vec<u8>]) -> Vec<u8> {
    [b"FFCAPS1\n".to_vec(), parts.concat(), vec![0]].concat()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 3).expect("compressed")
}

fn why(file: &[u8]) -> String {
    let error = read_capsule(&mut &file[..]).expect_err("a bad capsule");
    assert!(matches!(error, StoreError::Damaged { .. } | StoreError::NewerFormat { .. }), "{error}");
    error.to_string()
}

#[test]
fn strangers_files_are_refused_with_a_reason() {
    let incident =
        compressed(&crate::format::encode_incident(&super::incident(IncidentId(1))).expect("encoded"));
    let good = part("incident.json.zst", &incident);
    assert!(read_capsule(&mut &file(&[good.clone(), part("later.addition", b"?")])[..]).is_ok());

    assert!(why(b"").contains("failed to fill"));
    assert!(why(b"PK\x03\x04 something else").contains("does not begin like a capsule"));
    assert!(why(&file(&[])).contains("no incident"));
    assert!(why(&file(&[good.clone(), good.clone()])).contains("twice"));
    assert!(why(&[file(std::slice::from_ref(&good)), vec![1]].concat()).contains("follows its end"));
    assert!(why(&file(&vec![part("x", b""); 65])).contains("too many parts"));
    assert!(why(&file(&[part("incident.json.zst", b"not zstd")])).contains("the incident is damaged"));
    let newer = compressed(br#"{"format":"freezeframe-incident/2","incident":7}"#);
    assert!(why(&file(&[part("incident.json.zst", &newer)])).contains("upgrade freezeframe"));
    let other = compressed(br#"{"format":"something/1","incident":7}"#);
    assert!(
        why(&file(&[part("incident.json.zst", &other)])).contains("its format is not freezeframe-incident")
    );

    // A claim of 2^64 bytes must not be believed.
    let mut claim = b"FFCAPS1\n\x08core.zst".to_vec();
    claim.extend(u64::MAX.to_le_bytes());
    assert!(why(&claim).contains("truncated"));
    let mut claim = b"FFCAPS1\n\x11incident.json.zst".to_vec();
    claim.extend(u64::MAX.to_le_bytes());
    assert!(why(&claim).contains("larger than"));
}

#[test]
fn bombs_are_bounded() {
    // 20 MiB and 300 MiB of zeros in a few kilobytes.
    let bomb = |mib: usize| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("an encoder");
        for _ in 0..mib {
            encoder.write_all(&[0; 1 << 20]).expect("compressed");
        }
        encoder.finish().expect("compressed")
    };
    assert!(why(&file(&[part("incident.json.zst", &bomb(20))])).contains("larger than 16777216 bytes"));
    assert!(why(&file(&[part("capture.json.zst", &bomb(300))])).contains("larger than 268435456 bytes"));
    let start = r#"{"format":"freezeframe-capture/1","capture":{"threads":[{"frames":[{"variables":["#;
    let deep = format!("{start}{}", r#"{"children":["#.repeat(1_000_000));
    assert!(
        why(&file(&[part("capture.json.zst", &compressed(deep.as_bytes()))])).contains("recursion limit")
    );
}

fn mutated(bytes: &[u8], edits: &[(u16, u8)], cut: Option<u16>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, value) in edits {
        let length = bytes.len();
        bytes[usize::from(*at) % length] ^= value;
    }
    if let Some(cut) = cut {
        bytes.truncate(usize::from(cut) % bytes.len());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every change is noticed, and none makes the reader panic.
    #[test]
    fn altered_capsules_are_noticed(
        edits in proptest::collection::vec((any::<u16>(), 1u8..), 1..4),
        cut in proptest::option::of(any::<u16>()),
    ) {
        static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let original = SAMPLE.get_or_init(|| sample(b"\x7fELF core").0);
        let altered = mutated(original, &edits, cut);
        prop_assume!(altered != *original);
        prop_assert!(read_capsule(&mut &altered[..]).is_err());
    }

    /// With digests that fit, whatever is in the JSON: no panic, here or in the import.
    #[test]
    fn altered_contents_do_not_panic(
        edits in proptest::collection::vec((any::<u16>(), 1u8..), 0..6),
        cut in proptest::option::of(any::<u16>()),
    ) {
        let incident = crate::format::encode_incident(&super::incident(IncidentId(1))).expect("encoded");
        let altered = compressed(&mutated(&incident, &edits, cut));
        let file = file(&[part("incident.json.zst", &altered)]);
        if let Ok((incident, _)) = read_capsule(&mut &file[..]) {
            let dir = tempfile::tempdir().expect("a directory");
            let store = open(dir.path());
            let id = store.import(&mut &file[..]).expect("what can be read can be imported");
            let read = store.incident(id).expect("readable").expect("an incident");
            prop_assert_eq!(read.message, incident.message);
        }
    }

    #[test]
    fn any_bytes_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read_capsule(&mut &bytes[..]).is_err());
        let framed = [b"FFCAPS1\n".to_vec(), bytes.clone()].concat();
        prop_assert!(read_capsule(&mut &framed[..]).is_err());
        prop_assert!(crate::format::decode_incident(&bytes, "it").is_err());
        prop_assert!(crate::format::decode_capture(&bytes[..], "it").is_err());
    }
}
