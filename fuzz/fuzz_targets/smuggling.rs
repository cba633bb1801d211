//! Streams of HTTP/1 requests, as the gate lets its HTTP library see them: whatever that takes for a request is one to a strict
//! reader, with the same body, and nothing that a strict reader would not see.
#![no_main]

#[path = "../../crates/gate/tests/common/views.rs"]
#[allow(dead_code)]
mod views;

use freezeframe_gate::fuzzing::spoiled;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use views::{Reader, hyper_sees};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("an event loop");
}

fuzz_target!(|stream: &[u8]| {
    if stream.len() > 16 * 1024 {
        return;
    }
    let given = spoiled(stream);
    let seen = RUNTIME.with(|runtime| runtime.block_on(hyper_sees(&given)));
    let (strict, _) = Reader::Strict.all(stream);
    for (at, request) in seen.iter().enumerate() {
        let expected = strict.get(at).unwrap_or_else(|| panic!("{request:?} is seen by the library alone"));
        let method = |line: &str| line.split(' ').next().map(str::to_owned);
        assert_eq!((method(&request.line), &request.body), (method(&expected.line), &expected.body));
    }
});
