//! Messages on a stream of bytes: `Content-Length: N`, an empty line, N bytes of JSON (the protocol's "base protocol").
//!
//! A peer that does not keep to it is not listened to any further: where one message is unclear, so is everything behind it. That
//! includes browsers, whose requests begin with a line that is no header.

/// Bytes of one message. What editors send is far smaller.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of everything before a message.
const HEADER_BYTES_MAX: usize = 4 << 10;

/// Why a stream is no stream of messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The part before a message does not come to an end.
    #[error("the header is longer than {HEADER_BYTES_MAX} bytes")]
    HeaderTooLong,
    /// A line that is no `Name: value`.
    #[error("a header line is not `Name: value`")]
    NoHeader,
    /// No length, more than one, or none that is a number.
    #[error("a message needs exactly one Content-Length, which is a decimal number")]
    NoLength,
    /// The message is too long.
    #[error("the message is longer than {MESSAGE_BYTES_MAX} bytes")]
    MessageTooLong,
}

/// A stream under way: bytes in, messages out. It keeps at most one message's worth of bytes, plus what came in with them.
#[derive(Debug, Default)]
pub struct Framing {
    bytes: Vec<u8>,
    /// Length of the message that the bytes begin with, once its header has been read.
    length: Option<usize>,
}

impl Framing {
    /// Takes what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message; `None` where more bytes are needed. To be called until it says so before more is pushed.
    ///
    /// # Errors
    /// [`FramingError`]; the stream is of no use from there on.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(length) = self.header()? else { return Ok(None) };
                self.length = Some(length);
                length
            }
        };
        if self.bytes.len() < length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(length);
        self.length = None;
        Ok(Some(std::mem::replace(&mut self.bytes, rest)))
    }

    /// Takes a header off the bytes, if it is complete.
    fn header(&mut self) -> Result<Option<usize>, FramingError> {
        let seen = self.bytes.get(..HEADER_BYTES_MAX.min(self.bytes.len())).unwrap_or_default();
        let end = seen.windows(4).position(|window| window == b"\r\n\r\n");
        // Whoever speaks another protocol is told from the first line on: there may never be an empty one.
        let lines = end.map_or_else(|| seen.rsplitn(2, |byte| *byte == b'\n').nth(1), |end| seen.get(..end));
        let length = length_of(lines.unwrap_or_default())?;
        match end {
            Some(end) => {
                let length = length.ok_or(FramingError::NoLength)?;
                self.bytes.drain(..end + 4);
                Ok(Some(length))
            }
            None if seen.len() == HEADER_BYTES_MAX => Err(FramingError::HeaderTooLong),
            None => Ok(None),
        }
    }
}

fn length_of(header: &[u8]) -> Result<Option<usize>, FramingError> {
    let mut found = None;
    for line in header.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (name, value) = line
            .iter()
            .position(|byte| *byte == b':')
            .and_then(|colon| line.split_at_checked(colon))
            .filter(|(name, _)| {
                !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            })
            .ok_or(FramingError::NoHeader)?;
        if !name.eq_ignore_ascii_case(b"content-length") {
            continue;
        }
        let digits = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        if !is_number || found.is_some() {
            return Err(FramingError::NoLength);
        }
        let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<usize>().ok());
        found =
            Some(length.filter(|length| *length <= MESSAGE_BYTES_MAX).ok_or(FramingError::MessageTooLong)?);
    }
    Ok(found)
}

/// A message with its header.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = format!("Content-Length: {}\r\n\r\n", message.len()).into_bytes();
    bytes.extend_from_slice(message);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(stream: &[u8], piece: usize) -> Result<Vec<String>, FramingError> {
        let (mut framing, mut messages) = (Framing::default(), Vec::new());
        for piece in stream.chunks(piece) {
            framing.push(piece);
            while let Some(message) = framing.next_message()? {
                messages.push(String::from_utf8(message).expect("text"));
            }
        }
        Ok(messages)
    }

    #[test]
    fn messages_are_the_same_in_whatever_pieces_they_come() {
        let mut stream = framed(b"{}");
        stream.extend(b"content-type: x\r\nCONTENT-LENGTH:  4 \r\n\r\n\"\xc3\xa4\"");
        stream.extend(framed(b""));
        for piece in 1..stream.len() {
            let expected = ["{}", "\"ä\"", ""].map(str::to_owned).to_vec();
            assert_eq!(messages(&stream, piece), Ok(expected), "pieces of {piece}");
        }
    }

    #[test]
    fn other_streams_are_refused_at_once() {
        let long = format!("X: {}", "x".repeat(HEADER_BYTES_MAX));
        for (stream, error) in [
            ("GET / HTTP/1.1\r\n", FramingError::NoHeader),
            ("POST http://localhost:1/ HTTP/1.1\r\n", FramingError::NoHeader),
            (": 3\r\n", FramingError::NoHeader),
            ("{\"seq\":1}\n", FramingError::NoHeader),
            ("X: 1\r\n\r\n", FramingError::NoLength),
            ("Content-Length: -1\r\n", FramingError::NoLength),
            ("Content-Length: 0x10\r\n", FramingError::NoLength),
            ("Content-Length: \r\n", FramingError::NoLength),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", FramingError::NoLength),
            ("Content-Length: 1048577\r\n", FramingError::MessageTooLong),
            ("Content-Length: 99999999999999999999999\r\n", FramingError::MessageTooLong),
            (&long, FramingError::HeaderTooLong),
        ] {
            for piece in [1, 7, stream.len()] {
                assert_eq!(messages(stream.as_bytes(), piece), Err(error.clone()), "{stream:?}");
            }
        }
    }
}
