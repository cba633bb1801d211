//! A capsule as one file that can be sent to somebody else.
//!
//! ```text
//! "FFCAPS1\n"
//! part*   u8 length of name (1 to 64), name, u64 (little endian) length of payload, payload,
//!         SHA-256 of name and payload
//! 0u8     end
//! ```
//! Payloads are zstd-compressed: `incident.json.zst` (always), `record.json.zst`, `capture.json.zst`, `core.zst`. Unknown parts are checked
//! and skipped, so that later versions may add some. The digests find damage; they do not prove where a file is from.
//!
//! Whoever reads here reads a stranger's file: every length is bounded and nothing is allocated on a length's word.

use std::io::{self, Read, Write};

use freezeframe_model::{Capture, Incident, Record};
use sha2::{Digest, Sha256};

use crate::{StoreError, format};

const MAGIC: &[u8; 8] = b"FFCAPS1\n";
pub(crate) const INCIDENT_PART: &str = "incident.json.zst";
pub(crate) const RECORD_PART: &str = "record.json.zst";
pub(crate) const CAPTURE_PART: &str = "capture.json.zst";
pub(crate) const CORE_PART: &str = "core.zst";
/// Parts in one file, known or not.
const MAX_PARTS: u32 = 64;
/// Characters of a part's name.
const MAX_NAME: u8 = 64;
const WHAT: &str = "the capsule file";

/// Reads an exported capsule without importing it; its core, if any, is checked but not kept.
///
/// # Errors
/// [`StoreError::Damaged`] for anything that is not a whole and sound capsule, [`StoreError::NewerFormat`] for one that
/// only a newer version can read.
pub fn read_capsule(from: &mut dyn Read) -> Result<(Incident, Option<Capture>), StoreError> {
    let mut ignore_core = |part: &mut Part<'_, '_>| part.copy(&mut io::sink());
    let Contents { incident, capture, .. } = read(from, &mut ignore_core)?;
    Ok((incident, capture))
}

/// What is in a capsule file besides the core.
pub(crate) struct Contents {
    pub(crate) incident: Incident,
    pub(crate) capture: Option<Capture>,
    pub(crate) record: Record,
}

/// The same; the core's payload goes to `core`.
pub(crate) fn read(
    from: &mut dyn Read,
    core: &mut dyn FnMut(&mut Part<'_, '_>) -> Result<(), StoreError>,
) -> Result<Contents, StoreError> {
    let mut reader = Reader::new(from)?;
    let (mut incident, mut capture, mut record, mut cores) = (None, None, None, 0);
    while let Some(mut part) = reader.next()? {
        match part.name.as_str() {
            INCIDENT_PART if incident.is_none() => {
                let payload = part.payload(format::MAX_INCIDENT)?;
                let bytes = format::decompress(&payload[..], format::MAX_INCIDENT, "the incident")?;
                incident = Some(format::decode_incident(&bytes, "the incident")?);
            }
            RECORD_PART if record.is_none() => {
                let payload = part.payload(format::MAX_INCIDENT)?;
                let bytes = format::decompress(&payload[..], format::MAX_INCIDENT, "the record")?;
                record = Some(format::decode_record(&bytes, "the record")?);
            }
            CAPTURE_PART if capture.is_none() => {
                let payload = part.payload(format::MAX_CAPTURE)?;
                capture = Some(format::decode_capture(&payload[..], "the capture")?);
            }
            CORE_PART if cores == 0 => {
                cores += 1;
                core(&mut part)?;
            }
            INCIDENT_PART | RECORD_PART | CAPTURE_PART | CORE_PART => {
                return Err(StoreError::damaged(WHAT, format!("{} is there twice", part.name)));
            }
            _ => part.copy(&mut io::sink())?,
        }
    }
    match incident {
        Some(incident) => Ok(Contents { incident, capture, record: record.unwrap_or_default() }),
        None => Err(StoreError::damaged(WHAT, "it has no incident")),
    }
}

pub(crate) fn write_start(to: &mut dyn Write) -> io::Result<()> {
    to.write_all(MAGIC)
}

/// Writes a part of exactly `length` bytes.
pub(crate) fn write_part(
    to: &mut dyn Write,
    name: &str,
    length: u64,
    payload: &mut dyn Read,
) -> io::Result<()> {
    let name_length = u8::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&[name_length])?;
    to.write_all(name.as_bytes())?;
    to.write_all(&length.to_le_bytes())?;
    let mut hashing = Hashing { to, digest: Sha256::new_with_prefix(name) };
    let copied = io::copy(&mut payload.take(length), &mut hashing)?;
    if copied != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let digest = hashing.digest.finalize();
    to.write_all(&digest)
}

pub(crate) fn write_end(to: &mut dyn Write) -> io::Result<()> {
    to.write_all(&[0])?;
    to.flush()
}

struct Reader<'r> {
    from: &'r mut dyn Read,
    parts: u32,
}

/// A part whose payload has not been read yet.
pub(crate) struct Part<'r, 'f> {
    pub(crate) name: String,
    pub(crate) length: u64,
    reader: &'r mut Reader<'f>,
}

impl<'f> Reader<'f> {
    fn new(from: &'f mut dyn Read) -> Result<Self, StoreError> {
        let mut reader = Self { from, parts: 0 };
        if reader.bytes::<8>()? != *MAGIC {
            return Err(StoreError::damaged(WHAT, "it does not begin like a capsule"));
        }
        Ok(reader)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(truncated)?;
        Ok(bytes)
    }

    /// The next part; its payload must be taken before the one after.
    fn next(&mut self) -> Result<Option<Part<'_, 'f>>, StoreError> {
        let [name_length] = self.bytes()?;
        if name_length == 0 {
            let mut rest = [0];
            let read = self.from.read(&mut rest).map_err(truncated)?;
            return if read == 0 {
                Ok(None)
            } else {
                Err(StoreError::damaged(WHAT, "something follows its end"))
            };
        }
        self.parts += 1;
        if name_length > MAX_NAME || self.parts > MAX_PARTS {
            return Err(StoreError::damaged(WHAT, "a name is too long, or there are too many parts"));
        }
        let mut name = Vec::new();
        let read =
            (&mut *self.from).take(u64::from(name_length)).read_to_end(&mut name).map_err(truncated)?;
        let name = String::from_utf8(name).ok().filter(|name| {
            read == usize::from(name_length) && name.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let name = name.ok_or_else(|| StoreError::damaged(WHAT, "a part's name is not text"))?;
        let length = u64::from_le_bytes(self.bytes()?);
        Ok(Some(Part { name, length, reader: self }))
    }
}

impl Part<'_, '_> {
    /// Copies the payload to `to` and checks its digest.
    pub(crate) fn copy(&mut self, to: &mut dyn Write) -> Result<(), StoreError> {
        let mut hashing = Hashing { to, digest: Sha256::new_with_prefix(&self.name) };
        let mut payload = (&mut *self.reader.from).take(self.length);
        let copied = io::copy(&mut payload, &mut hashing).map_err(truncated)?;
        let digest = hashing.digest.finalize();
        if copied != self.length || self.reader.bytes::<32>()? != digest[..] {
            return Err(StoreError::damaged(WHAT, format!("{} is truncated or altered", self.name)));
        }
        Ok(())
    }

    /// The payload, if it has at most `max` bytes.
    fn payload(&mut self, max: u64) -> Result<Vec<u8>, StoreError> {
        if self.length > max {
            return Err(StoreError::damaged(WHAT, format!("{} is larger than {max} bytes", self.name)));
        }
        // Grows with what is really there: the length is only a claim.
        let mut payload = Vec::new();
        self.copy(&mut payload)?;
        Ok(payload)
    }
}

fn truncated(error: io::Error) -> StoreError {
    StoreError::damaged(WHAT, error.to_string())
}

struct Hashing<'w> {
    to: &'w mut dyn Write,
    digest: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
