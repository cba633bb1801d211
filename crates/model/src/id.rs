//! Identifiers, and the one notion of wall-clock time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An incident's number, written `INC-42`; unique within one data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct IncidentId(pub u64);

/// The number of an instance within its service; never reused while the data directory lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub u32);

/// "The same error" across instances and restarts of one build: 128 bits of a hash over build-id-relative return addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint(pub [u8; 16]);

/// The linker's build id (ELF note `NT_GNU_BUILD_ID`), or a hash of the file where it has none; shown in hexadecimal.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BuildId(pub Vec<u8>);

/// Wall-clock time in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A text that is not an identifier of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError {
    /// What a valid one looks like.
    pub expected: &'static str,
    /// What was given, shortened to 64 characters.
    pub given: String,
}

impl ParseIdError {
    fn new(expected: &'static str, given: &str) -> Self {
        Self { expected, given: given.chars().take(64).collect() }
    }
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}", self.given, self.expected)
    }
}

impl std::error::Error for ParseIdError {}

impl Timestamp {
    /// The present, from the system's clock; 0 where the clock stands before 1970.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// This moment plus `ms` milliseconds.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this moment; 0 where `earlier` is later.
    pub fn since_ms(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0) / 1000
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INC-{}", self.0)
    }
}

impl FromStr for IncidentId {
    type Err = ParseIdError;

    /// Takes `INC-42`, `inc-42` and `42`.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let digits = match text.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("INC-") => &text[4..],
            _ => text,
        };
        let number = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        number.map(Self).ok_or_else(|| ParseIdError::new("an incident id like INC-42", text))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = parse_hex(text).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| ParseIdError::new("a fingerprint of 32 hexadecimal digits", text))
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

impl FromStr for BuildId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text).map(Self).ok_or_else(|| ParseIdError::new("a build id in hexadecimal digits", text))
    }
}

macro_rules! text_form {
    ($($id:ty),*) => {$(
        impl From<$id> for String {
            fn from(id: $id) -> String {
                id.to_string()
            }
        }
        impl TryFrom<String> for $id {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }
    )*};
}
text_form!(IncidentId, Fingerprint, BuildId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incident_ids_are_read_as_people_write_them() {
        for text in ["INC-42", "inc-42", "42"] {
            assert_eq!(text.parse(), Ok(IncidentId(42)), "{text}");
        }
        for text in ["", "INC-", "INC-+1", "INC-4x", "ünc-1", "INC-99999999999999999999"] {
            assert!(text.parse::<IncidentId>().is_err(), "{text}");
        }
    }

    #[test]
    fn hexadecimal_ids_survive_a_round_trip_and_refuse_the_rest() {
        let fingerprint = Fingerprint([0xab; 16]);
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for text in ["", "ab", "zz000000000000000000000000000000", "ä"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
