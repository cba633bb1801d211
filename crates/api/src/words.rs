//! How times, durations and threads are put into words: the same in JSON, on the page and in the terminal.

mod markdown;
mod tasks;

pub use markdown::Report;
pub use tasks::{TaskGroup, task_activity, task_counts, task_groups, task_ids, task_site, task_state};

use freezeframe_model::{
    Capture, Exchange, Frame, FrameKind, Incident, IncidentState, Loss, NetworkCut, Outcome, RequestMatch,
    Thread, ThreadState, Timestamp, Timings,
};
use time::OffsetDateTime;

/// The moment in UTC; moments outside of the years that RFC 3339 can write become 1970.
fn utc(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1000)
        .ok()
        .filter(|moment| (0..=9999).contains(&moment.year()))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// RFC 3339 in UTC with milliseconds: `2026-11-21T03:11:58.042Z`.
pub fn rfc3339(at: Timestamp) -> String {
    let moment = utc(at);
    let (date, clock) = (moment.date(), moment.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.millisecond()
    )
}

/// Reads RFC 3339; `None` where the text is none.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let moment = OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos() / 1000).ok().map(Timestamp)
}

/// For people: `2026-11-21 03:11:58 UTC`.
pub fn date_and_time(at: Timestamp) -> String {
    let text = rfc3339(at);
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default())
}

/// Time of day with milliseconds, for logs: `03:11:58.042`.
pub fn clock(at: Timestamp) -> String {
    rfc3339(at).get(11..23).unwrap_or_default().to_owned()
}

/// A duration as people say it: `850 µs`, `126 ms`, `4.2 s`, `17 min`, `3 h 47 min`, `2 d 4 h`.
pub fn duration_us(us: u64) -> String {
    let seconds = us / 1_000_000;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1000),
        1_000_000..60_000_000 => format!("{}.{} s", seconds, us % 1_000_000 / 100_000),
        60_000_000..3_600_000_000 => format!("{} min", seconds / 60),
        3_600_000_000..86_400_000_000 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Like [`duration_us`], from milliseconds.
pub fn duration_ms(ms: u64) -> String {
    if ms == 0 { "0 ms".to_owned() } else { duration_us(ms.saturating_mul(1000)) }
}

/// A size as people say it: `512 B`, `3.3 MiB`, cut off rather than rounded.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = UNITS[0];
    for next in UNITS.into_iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// What a thread is doing: `running`, `in epoll_wait`, `waits for a lock that thread 4123 (probably) owns`.
pub fn thread_activity(thread: &Thread) -> String {
    if let Some(lock) = &thread.blocked_on {
        return match (lock.owner, lock.guessed) {
            (Some(owner), false) => format!("waits for a lock that thread {owner} owns"),
            (Some(owner), true) => format!("waits for a lock that thread {owner} probably owns"),
            (None, _) => format!("waits for a {} at {:#x}", lock.kind, lock.address),
        };
    }
    match (&thread.syscall, thread.state) {
        (Some(call), _) => format!("in {call}"),
        (None, ThreadState::Running) => "running".to_owned(),
        (None, ThreadState::Sleeping) => "waiting in the kernel".to_owned(),
        (None, ThreadState::Blocked) => "in uninterruptible sleep".to_owned(),
        (None, ThreadState::Dead) => "ended".to_owned(),
    }
}

/// `src/pricing.rs:118`; empty where the file is unknown.
pub fn place(file: &str, line: u32) -> String {
    match (file.is_empty(), line) {
        (true, _) => String::new(),
        (false, 0) => file.to_owned(),
        (false, line) => format!("{file}:{line}"),
    }
}

/// A mark for a state, always shown beside its word; no colour emoji, so that it looks the same everywhere.
pub fn state_icon(state: IncidentState) -> &'static str {
    match state {
        IncidentState::Draining => "◔",
        IncidentState::Held => "●",
        IncidentState::Released => "▷",
        IncidentState::Killed => "✕",
        IncidentState::Expired => "◷",
        IncidentState::Lost => "◌",
        IncidentState::Recorded => "○",
    }
}

/// Whether users still feel it, first of all that is asked: `replaced in 412 ms`; `None` where there was nothing to replace.
pub fn replaced(incident: &Incident) -> (Option<bool>, String) {
    match (incident.timings.replaced_us, incident.state) {
        (Some(us), _) => (Some(true), format!("replaced in {}", duration_us(us))),
        (None, IncidentState::Recorded) => (None, "nothing was taken out of routing to hold it".to_owned()),
        (None, IncidentState::Draining) => (Some(false), "not replaced yet".to_owned()),
        (None, _) => (Some(false), "not replaced".to_owned()),
    }
}

/// `ends in 3 h 47 min`; `None` where nothing is held.
pub fn lease(incident: &Incident, now: Timestamp) -> Option<String> {
    let until = incident.hold.lease_until;
    if !incident.state.is_live() || until == Timestamp::default() {
        return None;
    }
    Some(match until.since_ms(now) {
        0 => "is over".to_owned(),
        left => format!("ends in {}", duration_ms(left)),
    })
}

/// `none besides the failing one`, `3 besides the failing one`.
pub fn requests_lost(incident: &Incident) -> String {
    match incident.requests_lost {
        0 => "none besides the failing one".to_owned(),
        lost => format!("{lost} besides the failing one"),
    }
}

/// Whether the quarantine is as it should be (`None` where there is none), and how it is.
pub fn quarantine(incident: &Incident) -> (Option<bool>, String) {
    match incident.state {
        IncidentState::Draining => (None, "out of routing, other requests finish".to_owned()),
        IncidentState::Held => {
            let firm = !matches!(incident.hold.network, NetworkCut::Missing(_));
            (Some(firm), format!("out of routing, {}", incident.hold.describe()))
        }
        IncidentState::Recorded => (None, "not held, only recorded".to_owned()),
        over => (None, format!("ended: {over}")),
    }
}

/// `once`, `3 times`.
pub fn seen(incident: &Incident) -> String {
    if incident.count == 1 { "once".to_owned() } else { format!("{} times", incident.count) }
}

/// The first digits of the build, as people tell builds apart; empty where it is unknown.
pub fn short_build(incident: &Incident) -> String {
    incident.build_id.to_string().chars().take(7).collect()
}

/// How the failing request was recognised: a guess is called one.
pub fn recognised(matched: RequestMatch) -> &'static str {
    match matched {
        RequestMatch::Span => "named by the service's own span",
        RequestMatch::OnlyOne => "the only one in flight",
        RequestMatch::Memory => "its traceparent was found in the failing thread's memory",
        RequestMatch::LastAfterDrain => "the only one left after the drain",
        RequestMatch::Unknown => "a guess",
    }
}

/// How an exchange ended: `answered`, `failed: connection reset`, `refused by the gate, retried`.
pub fn outcome(exchange: &Exchange) -> String {
    let outcome = match &exchange.outcome {
        Outcome::Answered => "answered".to_owned(),
        Outcome::UpstreamFailed(why) => format!("failed: {why}"),
        Outcome::ClientGone => "the client went away".to_owned(),
        Outcome::Refused(_) => "refused by the gate".to_owned(),
    };
    if exchange.retried { format!("{outcome}, retried") } else { outcome }
}

/// Milestones after the trap that were reached: name, words, and microseconds after it.
pub fn milestones(timings: &Timings) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    let all = [
        ("stopped", "every thread stopped", timings.stopped_us),
        ("fingerprinted", "fingerprint known", timings.fingerprinted_us),
        ("unrouted", "out of routing", timings.unrouted_us),
        ("replaced", "replaced", timings.replaced_us),
        ("resumed", "other threads run on", timings.resumed_us),
        ("captured", "frames and values decoded", timings.captured_us),
        ("held", "held", timings.held_us),
        ("stored", "stored", timings.stored_us),
    ];
    all.into_iter().filter_map(|(name, title, us)| Some((name, title, us?)))
}

/// What is missing: the incident's own losses, then those of the capture that it does not repeat.
pub fn losses<'a>(
    incident: &'a Incident,
    capture: Option<&'a Capture>,
) -> impl Iterator<Item = &'a Loss> + use<'a> {
    let of_capture = capture.map(|capture| capture.not_captured.as_slice()).unwrap_or_default();
    incident.not_captured.iter().chain(of_capture.iter().filter(|loss| !incident.not_captured.contains(loss)))
}

/// What can be done next, as command lines with their meaning.
pub fn next_commands(incident: &Incident) -> Vec<(String, &'static str)> {
    let live: &[_] = &[
        ("attach", "open a debugger on the held process"),
        ("extend", "hold it four hours longer"),
        ("release", "let it go on and end in good order"),
        ("kill", "end it; what was captured stays"),
    ];
    let always = [("export", "everything in one file")];
    let live = if incident.state.is_live() { live } else { &[] };
    live.iter()
        .chain(&always)
        .map(|(command, meaning)| (format!("freezeframe {command} {}", incident.id), *meaning))
        .collect()
}

/// The frame of the site in the failing thread's stack, and its number: the one at the site's line, else in the site's
/// function, else the innermost of the user's own.
pub fn site_frame(capture: &Capture) -> Option<(usize, &Frame)> {
    let own = || {
        let frames = capture.failing_thread().map(|thread| thread.frames.as_slice()).unwrap_or_default();
        frames.iter().enumerate().filter(|(_, frame)| frame.kind == FrameKind::User)
    };
    let site = &capture.site;
    own()
        .find(|(_, frame)| frame.function == site.function && frame.line == site.line)
        .or_else(|| own().find(|(_, frame)| frame.function == site.function))
        .or_else(|| own().next())
}

/// The thread and frame that are meant where a question does not say: the failing thread, there the site's frame, elsewhere
/// the innermost.
pub fn default_frame(
    incident: &Incident,
    capture: Option<&Capture>,
    thread: Option<i32>,
    frame: Option<usize>,
) -> (i32, usize) {
    let failing = capture.and_then(|capture| capture.failing_thread().or(capture.threads.first()));
    let failing = failing.map_or(incident.hold.failing_tid, |thread| thread.id);
    let thread = thread.unwrap_or(failing);
    let site = || Some(site_frame(capture?)?.0).filter(|_| thread == failing);
    (thread, frame.or_else(site).unwrap_or(0))
}

/// A stack with what is not the user's put aside.
#[derive(Debug, PartialEq)]
pub enum StackPart<'a> {
    /// The user's own frame and its number, counted from the innermost.
    Own(usize, &'a Frame),
    /// Consecutive frames of libraries, with the number of the first.
    Library(usize, &'a [Frame]),
}

/// Splits a stack into the user's own frames and runs of library frames.
pub fn stack_parts(frames: &[Frame]) -> Vec<StackPart<'_>> {
    let same_side = |a: &Frame, b: &Frame| a.kind != FrameKind::User && b.kind != FrameKind::User;
    let mut first = 0;
    frames
        .chunk_by(same_side)
        .map(|run| {
            let number = first;
            first += run.len();
            match run {
                [only] if only.kind == FrameKind::User => StackPart::Own(number, only),
                _ => StackPart::Library(number, run),
            }
        })
        .collect()
}

/// Control characters, those that reorder text so that it reads as something else (Unicode TR 36, "Trojan Source"), and those that
/// nobody sees, in which a text can carry another one. Neither a page, a terminal nor an assistant may get them as they stand.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `1 library frame`, `14 library frames`.
pub fn counted(count: usize, singular: &str) -> String {
    if count == 1 { format!("1 {singular}") } else { format!("{count} {singular}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_rfc_3339_and_read_back() {
        let at = Timestamp(1_795_230_718_042_567);
        assert_eq!(rfc3339(at), "2026-11-21T03:11:58.042Z");
        assert_eq!(date_and_time(at), "2026-11-21 03:11:58 UTC");
        assert_eq!(clock(at), "03:11:58.042");
        assert_eq!(parse_rfc3339("2026-11-21T04:11:58.042+01:00"), Some(Timestamp(1_795_230_718_042_000)));
        for at in [i64::MIN, i64::MAX] {
            assert_eq!(rfc3339(Timestamp(at)), "1970-01-01T00:00:00.000Z");
        }
    }

    #[test]
    fn durations_and_sizes_are_said_as_people_say_them() {
        let said: Vec<_> =
            [0, 999, 1_260, 126_000, 4_249_000, 59_999_999, 1_020_000_000, 13_620_000_000, u64::MAX]
                .into_iter()
                .map(duration_us)
                .collect();
        assert_eq!(
            said,
            [
                "0 µs",
                "999 µs",
                "1.2 ms",
                "126 ms",
                "4.2 s",
                "59.9 s",
                "17 min",
                "3 h 47 min",
                "213503982 d 8 h"
            ]
        );
        assert_eq!(
            [0, 1023, 1024, 3_565_158, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "3.3 MiB", "16383.9 PiB"]
        );
    }

    #[test]
    fn library_frames_are_put_aside_in_runs() {
        let frame = |kind| Frame { kind, ..Frame::default() };
        let (user, library, trampoline) =
            (frame(FrameKind::User), frame(FrameKind::Library), frame(FrameKind::SignalTrampoline));
        let frames = [library.clone(), trampoline, user.clone(), user, library];
        let parts: Vec<_> = stack_parts(&frames)
            .iter()
            .map(|part| match part {
                StackPart::Own(number, _) => format!("own {number}"),
                StackPart::Library(number, run) => format!("library {number} x{}", run.len()),
            })
            .collect();
        assert_eq!(parts, ["library 0 x2", "own 2", "own 3", "library 4 x1"]);
        assert!(stack_parts(&[]).is_empty());
    }
}
