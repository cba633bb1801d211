//! What the fuzz targets reach of the inside. No part of the interface: it changes whenever they do.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};

use freezeframe_model::Outcome;

use crate::access_log::Particulars;
use crate::client_io::SPOILER;
use crate::framing::Framing;
use crate::headers::{self, Objection, Origin};
use crate::refusal::asks_for_json;
use crate::report::Finished;
use crate::session::Sessions;
use crate::trace::TraceIds;
use crate::{interim, log_line, matcher};

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

/// What the HTTP library is given of this stream: all of it, or what is before the first offence and something that it refuses.
pub fn spoiled(stream: &[u8]) -> Vec<u8> {
    match Framing::new().inspect(stream) {
        Ok(()) => stream.to_vec(),
        Err(at) => [stream.get(..at).unwrap_or_default(), SPOILER].concat(),
    }
}

/// A target and fields as an instance gets them; otherwise the status that the client gets.
///
/// # Errors
/// The status of the refusal.
pub fn prepared(
    request: Request<()>,
    fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Result<(Uri, HeaderMap), StatusCode> {
    let (mut parts, ()) = request.into_parts();
    parts.headers.extend(fields);
    let survey = headers::survey(&parts.headers);
    let upgrade = survey.wants_upgrade(&parts.headers, parts.version);
    // What is read of them beside that.
    let _ = (Sessions::new(None).key(&parts.headers), asks_for_json(parts.headers.get(http::header::ACCEPT)));
    let origin = Origin::new([127, 0, 0, 1].into(), false);
    survey.prepare_request(&mut parts, &origin, upgrade).map_err(|Objection(status, _)| status)?;
    let _ = survey.take_deadline_ms(&mut parts.headers);
    Ok((parts.uri, parts.headers))
}

/// Fields of a response as its client gets them, and those of an interim one as they are written.
pub fn answered(mut fields: HeaderMap, tunnel: bool) -> (Option<HeaderMap>, Vec<u8>) {
    let written = interim::write(StatusCode::EARLY_HINTS, &fields);
    (headers::prepare_response(&mut fields, tunnel).is_ok().then_some(fields), written)
}

/// Whether a path has dot segments, and a host as routes are looked up by.
pub fn place<'h>(path: &str, host: &'h str) -> (bool, std::borrow::Cow<'h, str>) {
    (matcher::has_dot_segment(path), matcher::bare(host))
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
