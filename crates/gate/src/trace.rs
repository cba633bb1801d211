//! W3C Trace Context, level 2: the ids that go out with every attempt.
//!
//! A client's trace id is kept, so that its trace stays whole; the parent id is ours and new for each attempt, so that it
//! names exactly one try on exactly one instance.

use std::fmt;

/// Length of a version 00 `traceparent`.
pub(crate) const TEXT_LEN: usize = 55;

/// The fields of a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceIds {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl TraceIds {
    /// A new trace, sampled.
    pub(crate) fn fresh() -> Self {
        let trace = fastrand::u128(1..);
        Self { trace: trace.to_be_bytes(), span: new_span(), flags: 1 }
    }

    /// The same trace under a new parent id.
    pub(crate) fn child(self) -> Self {
        Self { span: new_span(), ..self }
    }

    /// Reads a header's value; `None` for everything that a receiver has to ignore (section 4.3 of the specification).
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let [version] = hex::<1>(text.get(..2)?)?;
        match (version, text.get(TEXT_LEN)) {
            (0xff, _) | (0, Some(_)) => return None,
            // A later version may append fields, after a dash.
            (_, None | Some(b'-')) => {}
            _ => return None,
        }
        let dashes = [2, 35, 52].map(|at| text.get(at) == Some(&b'-'));
        if dashes.contains(&false) {
            return None;
        }
        let trace = hex::<16>(text.get(3..35)?)?;
        let span = hex::<8>(text.get(36..52)?)?;
        let [flags] = hex::<1>(text.get(53..55)?)?;
        let valid = trace != [0; 16] && span != [0; 8];
        valid.then_some(Self { trace, span, flags })
    }

    /// As the header's value, version 00.
    pub(crate) fn to_text(self) -> [u8; TEXT_LEN] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; TEXT_LEN];
        let version = [0];
        let parts: [(usize, &[u8]); 4] =
            [(0, &version), (3, &self.trace), (36, &self.span), (53, &[self.flags])];
        for (start, bytes) in parts {
            for (at, byte) in bytes.iter().enumerate() {
                text[start + 2 * at] = DIGITS[usize::from(byte >> 4)];
                text[start + 2 * at + 1] = DIGITS[usize::from(byte & 15)];
            }
        }
        text
    }
}

impl fmt::Display for TraceIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_text();
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

fn new_span() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}

/// Lower-case hexadecimal digits only, as the specification demands.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_parent_survives_and_a_child_keeps_only_the_trace() {
        let ids = TraceIds::parse(VALID.as_bytes()).expect("valid");
        assert_eq!(ids.to_string(), VALID);
        let child = ids.child();
        assert_eq!(&child.to_string()[..35], &VALID[..35]);
        assert_ne!(&child.to_string()[36..52], &VALID[36..52]);
    }

    #[test]
    fn what_the_specification_calls_invalid_is_ignored() {
        let later = VALID.replacen("00", "cc", 1);
        assert!(TraceIds::parse(later.as_bytes()).is_some());
        assert!(TraceIds::parse(format!("{later}-more").as_bytes()).is_some());
        for text in [
            String::new(),
            VALID[..54].to_owned(),
            format!("{VALID}-more"),
            format!("{later}x"),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            VALID.replacen('-', "_", 2),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(TraceIds::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceIds::parse(&bytes);
        }
    }
}
