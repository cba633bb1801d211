//! The lines of the access log. Whatever a client sends, a line is one line, and JSON is JSON.

use std::io::Write;

use freezeframe_model::Outcome;
use http::{HeaderValue, Version};

use crate::access_log::Particulars;
use crate::report::Finished;

/// Longest text of a client's that is logged, in bytes.
const TEXT_MAX: usize = 512;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// Writing to a vector does not fail.

/// A JSON object: numbers are microseconds and bytes, what is not known is left out.
pub(crate) fn json(line: &mut Vec<u8>, f: &Finished<'_>, particulars: Option<&Particulars>, at_us: i64) {
    let at = Moment::of(at_us);
    let _ = write!(
        line,
        "{{\"time\":\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z\",\"peer\":\"{}\",\"method\":\"",
        at.year, at.month, at.day, at.hour, at.minute, at.second, at.micros, f.peer
    );
    escape(line, f.method.as_str().as_bytes(), Style::Json);
    line.extend(b"\",\"path\":\"");
    escape(line, f.path.as_bytes(), Style::Json);
    line.push(b'"');
    if let Some(particulars) = particulars {
        let _ = write!(line, ",\"protocol\":\"{}\"", version(particulars.version));
        let texts = [("host", &particulars.host), ("user_agent", &particulars.user_agent)];
        for (name, value) in texts {
            if let Some(value) = value {
                let _ = write!(line, ",\"{name}\":\"");
                escape(line, value.as_bytes(), Style::Json);
                line.push(b'"');
            }
        }
    }
    let _ = write!(
        line,
        ",\"status\":{},\"outcome\":\"{}\",\"bytes\":{},\"total_us\":{},\"queue_us\":{}",
        f.status,
        outcome(f.outcome),
        f.response_bytes,
        f.total_us,
        f.queue_us
    );
    if let Some(us) = f.service_us {
        let _ = write!(line, ",\"service_us\":{us}");
    }
    if let Some(route) = f.route {
        let _ = write!(line, ",\"route\":\"{}\",\"service\":\"{}\"", route.name, route.service);
    }
    if let Some(instance) = f.instance {
        let _ = write!(line, ",\"instance\":{}", instance.0);
    }
    if let Some(bound) = f.shed {
        let _ = write!(line, ",\"shed\":\"{bound}\"");
    }
    if f.retries > 0 {
        let _ = write!(line, ",\"retries\":{}", f.retries);
    }
    line.extend(b"}\n");
}

/// `%h - - %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`, without queries.
pub(crate) fn combined(line: &mut Vec<u8>, f: &Finished<'_>, particulars: Option<&Particulars>, at_us: i64) {
    let at = Moment::of(at_us);
    let month = MONTHS.get(at.month.saturating_sub(1) as usize).unwrap_or(&"Jan");
    let _ = write!(
        line,
        "{} - - [{:02}/{month}/{:04}:{:02}:{:02}:{:02} +0000] \"",
        f.peer, at.day, at.year, at.hour, at.minute, at.second
    );
    escape(line, f.method.as_str().as_bytes(), Style::Combined);
    line.push(b' ');
    escape(line, f.path.as_bytes(), Style::Combined);
    let protocol = particulars.map_or("HTTP/1.1", |particulars| version(particulars.version));
    let _ = write!(line, " {protocol}\" {} {}", f.status, f.response_bytes);
    let referer = particulars.and_then(|particulars| particulars.referer.as_ref());
    let referer = referer.map(|value| place_of(value.as_bytes()));
    let user_agent = particulars.and_then(|particulars| particulars.user_agent.as_ref());
    for text in [referer, user_agent.map(HeaderValue::as_bytes)] {
        line.extend(b" \"");
        escape(line, text.unwrap_or(b"-"), Style::Combined);
        line.push(b'"');
    }
    line.push(b'\n');
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::UpstreamFailed(_) => "upstream_failed",
        Outcome::ClientGone => "client_gone",
        Outcome::Refused(_) => "refused",
    }
}

/// A referring page without what follows its path.
fn place_of(url: &[u8]) -> &[u8] {
    url.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Json,
    Combined,
}

/// Visible ASCII as it is, everything else escaped: a log is read by terminals too.
fn escape(line: &mut Vec<u8>, text: &[u8], style: Style) {
    for &byte in text.get(..TEXT_MAX).unwrap_or(text) {
        match byte {
            b'"' | b'\\' => line.extend([b'\\', byte]),
            b' '..=b'~' => line.push(byte),
            // Bytes that are no ASCII become the character of that number (Latin-1), which loses nothing.
            _ if style == Style::Json => drop(write!(line, "\\u{byte:04x}")),
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
    }
}

/// A moment in UTC.
struct Moment {
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    micros: u32,
}

impl Moment {
    /// From microseconds since 1970, by the proleptic Gregorian calendar.
    fn of(at_us: i64) -> Self {
        let (seconds, micros) = (at_us.div_euclid(1_000_000), at_us.rem_euclid(1_000_000));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years begin in March here: then leap days are at their end. 146,097 days are 400 years.
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let small = |number: i64| u32::try_from(number).unwrap_or(0);
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: small(month),
            day: small(day),
            hour: small(second / 3_600),
            minute: small(second / 60 % 60),
            second: small(second % 60),
            micros: small(micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Route;
    use expect_test::expect;
    use freezeframe_model::InstanceId;
    use http::Method;
    use proptest::prelude::*;

    fn line(format: fn(&mut Vec<u8>, &Finished<'_>, Option<&Particulars>, i64), agent: &[u8]) -> String {
        let route = Route::to("shop");
        let finished = Finished {
            worker: 0,
            peer: [10, 0, 0, 1].into(),
            method: &Method::GET,
            path: "/a",
            route: Some(&route),
            route_index: Some(0),
            instance: Some(InstanceId(3)),
            status: 200,
            outcome: &Outcome::Answered,
            shed: None,
            retries: 1,
            response_bytes: 512,
            queue_us: 7,
            service_us: Some(1_500),
            total_us: 2_000,
        };
        let particulars = Particulars {
            version: Version::HTTP_2,
            host: Some(HeaderValue::from_static("shop.example")),
            user_agent: HeaderValue::from_bytes(agent).ok(),
            referer: Some(HeaderValue::from_static("https://a.example/b?token=secret#x")),
        };
        let mut line = Vec::new();
        format(&mut line, &finished, Some(&particulars), 1_709_210_096_000_042);
        String::from_utf8(line).expect("ASCII")
    }

    #[test]
    fn lines_say_what_happened() {
        expect![[r#"
            {"time":"2024-02-29T12:34:56.000042Z","peer":"10.0.0.1","method":"GET","path":"/a","protocol":"HTTP/2","host":"shop.example","user_agent":"curl \"x\"","status":200,"outcome":"answered","bytes":512,"total_us":2000,"queue_us":7,"service_us":1500,"route":"shop","service":"shop","instance":3,"retries":1}
        "#]]
        .assert_eq(&line(json, b"curl \"x\""));
        expect![[r#"
            10.0.0.1 - - [29/Feb/2024:12:34:56 +0000] "GET /a HTTP/2" 200 512 "https://a.example/b" "curl \"x\""
        "#]]
        .assert_eq(&line(combined, b"curl \"x\""));
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, (1970, 1, 1)),
            (951_782_400, (2000, 2, 29)),
            (4_102_444_800, (2100, 1, 1)),
            (1_767_225_599, (2025, 12, 31)),
            (-1, (1969, 12, 31)),
        ] {
            let moment = Moment::of(seconds * 1_000_000);
            assert_eq!((moment.year, moment.month, moment.day), date);
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_out_of_its_line(agent in proptest::collection::vec(any::<u8>(), 0..600)) {
            for format in [json, combined] {
                let line = line(format, &agent);
                prop_assert_eq!(line.matches('\n').count(), 1);
                prop_assert!(line.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
                let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
                prop_assert_eq!(quotes % 2, 0);
            }
        }
    }
}
