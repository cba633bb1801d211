//! Messages of the shim's socket, in pieces of any size; what was read is written as something that reads the same.
#![no_main]

use freezeframe_shim::protocol::{Command, Decoder, Report, encode};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|input: &[u8]| {
    let [kind, piece, stream @ ..] = input else { return };
    if kind % 2 == 0 {
        read::<Command>(stream, usize::from(*piece));
    } else {
        read::<Report>(stream, usize::from(*piece));
    }
});

fn read<T: Serialize + DeserializeOwned + std::fmt::Debug>(stream: &[u8], piece: usize) {
    let mut decoder = Decoder::default();
    for piece in stream.chunks(piece.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.take::<T>() {
                Ok(Some(message)) => check(&message),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    // Without its length, too: most inputs never get one right.
    if let Ok(message) = serde_json::from_slice::<T>(stream) {
        check(&message);
    }
}

fn check<T: Serialize + DeserializeOwned + std::fmt::Debug>(message: &T) {
    let mut decoder = Decoder::default();
    decoder.push(&encode(message).expect("what was read is written"));
    let again = decoder.take::<T>().expect("and read").expect("wholly");
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}
