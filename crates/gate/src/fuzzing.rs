//! What the fuzz targets reach of the inside. No part of the interface: it changes whenever they do.

use http::{HeaderValue, Method, Version};

use freezeframe_model::Outcome;

use crate::access_log::Particulars;
use crate::framing::Framing;
use crate::log_line;
use crate::report::Finished;
use crate::trace::TraceIds;

/// Where the first offence against framing is in `stream`, which arrives in pieces of `piece` bytes, and whether the stream waits for an
/// upgrade behind it.
pub fn offence(stream: &[u8], piece: usize) -> (Option<usize>, bool) {
    let mut framing = Framing::new();
    let mut before = 0;
    for piece in stream.chunks(piece.max(1)) {
        if let Err(at) = framing.inspect(piece) {
            return (Some(before + at), false);
        }
        before += piece.len();
    }
    (None, framing.awaits_upgrade())
}

/// A `traceparent` and what it is written as again.
pub fn traceparent(text: &[u8]) -> Option<Vec<u8>> {
    TraceIds::parse(text).map(|ids| ids.to_text().to_vec())
}

/// Lines of the access log, in both formats, for a request with this path and these headers.
pub fn log_lines(path: &str, header: &[u8], at_us: i64) -> [Vec<u8>; 2] {
    let value = HeaderValue::from_bytes(header).ok();
    let particulars = Particulars {
        version: Version::HTTP_11,
        host: value.clone(),
        user_agent: value.clone(),
        referer: value,
    };
    let finished = Finished {
        worker: 0,
        peer: [127, 0, 0, 1].into(),
        method: &Method::GET,
        path,
        route: None,
        route_index: None,
        instance: None,
        status: 200,
        outcome: &Outcome::Answered,
        shed: None,
        retries: 0,
        response_bytes: 0,
        queue_us: 0,
        service_us: None,
        total_us: 0,
    };
    [log_line::json, log_line::combined].map(|write| {
        let mut line = Vec::new();
        write(&mut line, &finished, Some(&particulars), at_us);
        line
    })
}
