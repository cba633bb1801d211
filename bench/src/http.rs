//! As much of an HTTP/1.1 client as the measurements need: one request after the other on a connection, answers with
//! `Content-Length`. Small, because its own cost is on both sides of every comparison.

use std::io::{self, Read, Write};

/// Heads longer than this are refused.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bodies longer than this are refused.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `x-incident-id`.
    pub(crate) incident: Option<String>,
    /// `set-cookie`, up to the first `;` of each.
    pub(crate) cookies: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Whether the connection can be used again.
    pub(crate) keeps_alive: bool,
}

/// A request as it is sent.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = match (method, body.len()) {
        ("GET", 0) => String::new(),
        (_, length) => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n{body}").into_bytes()
}

/// A connection that is used for one request after the other.
pub(crate) struct Connection<S> {
    stream: S,
    received: Vec<u8>,
}

struct Head {
    answer: Answer,
    length: usize,
    body_at: usize,
}

impl<S: Read + Write> Connection<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, received: Vec::with_capacity(4096) }
    }

    /// Sends and waits for the answer. Where the stream has a time limit for reading, `patient` is asked each time that it runs out
    /// whether to go on waiting.
    pub(crate) fn exchange(
        &mut self,
        request: &[u8],
        mut patient: impl FnMut() -> bool,
    ) -> io::Result<Answer> {
        self.stream.write_all(request)?;
        self.received.clear();
        let head = loop {
            if let Some(head) = parse_head(&self.received)? {
                break head;
            }
            self.receive(&mut patient)?;
        };
        let end = head.body_at.saturating_add(head.length);
        while self.received.len() < end {
            self.receive(&mut patient)?;
        }
        let body = self.received.get(head.body_at..end).unwrap_or_default().to_vec();
        Ok(Answer { body, ..head.answer })
    }

    fn receive(&mut self, patient: &mut impl FnMut() -> bool) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.received.extend_from_slice(buffer.get(..length).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if !patient() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn refuse(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer with {what}"))
}

/// `None` where more has to come.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(refuse("an endless head")) } else { Ok(None) };
    };
    let text =
        std::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(|_| refuse("a binary head"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status: u16 = status.ok_or_else(|| refuse("an unknown first line"))?;
    let mut answer =
        Answer { status, incident: None, cookies: Vec::new(), body: Vec::new(), keeps_alive: true };
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().map_err(|_| refuse("an impossible length"))?);
        } else if name.eq_ignore_ascii_case("connection") {
            answer.keeps_alive = !value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("x-incident-id") {
            answer.incident = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("set-cookie") {
            answer.cookies.extend(value.split(';').next().map(str::to_owned));
        }
    }
    let length = match (length, status) {
        (Some(length), _) if length <= BODY_BYTES_MAX => length,
        (None, 204 | 304) => 0,
        _ => return Err(refuse("no length, or too great a one")),
    };
    Ok(Some(Head { answer, length, body_at: end + 4 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one by one.
    struct Drip(std::vec::IntoIter<u8>);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match (self.0.next(), buffer.first_mut()) {
                (Some(byte), Some(slot)) => {
                    *slot = byte;
                    Ok(1)
                }
                _ => Ok(0),
            }
        }
    }

    impl Write for Drip {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(answer: &str) -> io::Result<Answer> {
        Connection::new(Drip(answer.as_bytes().to_vec().into_iter())).exchange(b"", || false)
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let answer = ask(
            "HTTP/1.1 502 Bad Gateway\r\nX-Incident-Id: INC-7\r\nset-cookie: sid=abc; Path=/\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhellorest",
        );
        let expected = Answer {
            status: 502,
            incident: Some("INC-7".to_owned()),
            cookies: vec!["sid=abc".to_owned()],
            body: b"hello".to_vec(),
            keeps_alive: false,
        };
        assert_eq!(answer.ok(), Some(expected));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (answer, kind) in [
            ("", io::ErrorKind::UnexpectedEof),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", io::ErrorKind::UnexpectedEof),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", io::ErrorKind::InvalidData),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", io::ErrorKind::InvalidData),
            ("SSH-2.0\r\n\r\n", io::ErrorKind::InvalidData),
        ] {
            assert_eq!(ask(answer).map_err(|error| error.kind()), Err(kind), "{answer}");
        }
        assert_eq!(
            ask(&"x".repeat(HEAD_BYTES_MAX + 2)).map_err(|error| error.kind()),
            Err(io::ErrorKind::InvalidData)
        );
    }
}
