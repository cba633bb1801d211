//! A strict look at the framing of HTTP/1 requests before the HTTP library sees them (RFC 9112 sections 2.2, 6 and 7.1).
//!
//! The library forgives what attackers use to make two servers disagree about where a request ends: it drops
//! `Content-Length` silently when `Transfer-Encoding` is there too, and takes a bare LF for a line end. [`Framing`] follows the
//! stream from message to message and tells where the first offence is. It does not look into bodies, and does not know what
//! is done about an offence.

/// Longest prefix of a line that is kept when the line arrives in pieces. Framing headers are shorter; the rest is not looked at.
const KEPT_MAX: usize = 128;

/// Where in the stream of requests the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before or in a request's head.
    Head,
    /// In a body of known length, with so many bytes to come.
    Length(u64),
    /// In the line that tells a chunk's size.
    ChunkSize,
    /// In a chunk, with so many bytes to come.
    Chunk(u64),
    /// In the empty line after a chunk.
    ChunkEnd,
    /// In the trailers after the last chunk.
    Trailers,
}

/// What the head said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    has_request_line: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// An offence against the rules of framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offence;

/// Follows one client's stream of requests.
#[derive(Debug)]
pub(crate) struct Framing {
    place: Place,
    head: Head,
    /// Beginning of a line that has not ended yet.
    kept: Vec<u8>,
    /// Whether that line is longer than what was kept.
    cut: bool,
    /// The last byte that was seen in that line.
    last: u8,
    /// The last head asked for another protocol: what follows may not be HTTP.
    upgrading: bool,
    /// Bytes followed that head, and were looked at as HTTP.
    early: bool,
}

impl Framing {
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Head,
            head: Head::default(),
            kept: Vec::new(),
            cut: false,
            last: 0,
            upgrading: false,
            early: false,
        }
    }

    /// Whether the bytes that come next may belong to another protocol, if the upgrade that was asked for is granted.
    pub(crate) fn awaits_upgrade(&self) -> bool {
        self.upgrading && self.place == Place::Head
    }

    /// Whether such bytes came and were looked at as HTTP, because the upgrade was not granted yet.
    pub(crate) fn has_early_bytes(&self) -> bool {
        self.early
    }

    /// Looks at the next bytes of the stream, in whatever pieces they come.
    ///
    /// # Errors
    /// Where in these bytes the offending line ends. Nothing is known about the stream from there on.
    pub(crate) fn inspect(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            self.early |= self.awaits_upgrade();
            at += match &mut self.place {
                Place::Length(left) | Place::Chunk(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= used as u64;
                    if *left == 0 {
                        let in_chunk = matches!(self.place, Place::Chunk(_));
                        self.place = if in_chunk { Place::ChunkEnd } else { Place::Head };
                    }
                    used
                }
                _ => match rest.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        self.finish_line(rest.get(..end).unwrap_or_default()).map_err(|Offence| at + end)?;
                        end + 1
                    }
                    None => {
                        self.keep(rest);
                        rest.len()
                    }
                },
            };
        }
        Ok(())
    }

    /// Takes the last piece of a line, without its LF.
    fn finish_line(&mut self, piece: &[u8]) -> Result<(), Offence> {
        if piece.last().copied().unwrap_or(self.last) != b'\r' {
            return Err(Offence);
        }
        if self.kept.is_empty() {
            // The common case: the whole line is in this piece. Of a long one no more counts than if it had come in several: what
            // is an offence must not depend on how the network cut the stream.
            let line = piece.get(..piece.len().saturating_sub(1)).unwrap_or_default();
            return self.line(line.get(..KEPT_MAX).unwrap_or(line), piece.len() > KEPT_MAX);
        }
        self.keep(piece);
        let mut line = std::mem::take(&mut self.kept);
        if !self.cut {
            line.pop();
        }
        let result = self.line(&line, self.cut);
        line.clear();
        (self.kept, self.cut, self.last) = (line, false, 0);
        result
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = KEPT_MAX - self.kept.len().min(KEPT_MAX);
        self.kept.extend(piece.iter().take(room));
        self.cut |= piece.len() > room;
        self.last = piece.last().copied().unwrap_or(self.last);
    }

    /// A whole line without its CR LF; `cut` where only its beginning is known.
    fn line(&mut self, line: &[u8], cut: bool) -> Result<(), Offence> {
        match self.place {
            Place::Head => self.head_line(line, cut),
            Place::ChunkSize => {
                // Extensions may be as long as they like, the size may not.
                let is_whole = !cut || line.contains(&b';');
                let size = if is_whole { chunk_size(line) } else { None };
                self.place = match size.ok_or(Offence)? {
                    0 => Place::Trailers,
                    size => Place::Chunk(size),
                };
                Ok(())
            }
            Place::ChunkEnd => {
                self.place = Place::ChunkSize;
                if line.is_empty() { Ok(()) } else { Err(Offence) }
            }
            Place::Trailers => {
                if line.is_empty() {
                    self.place = Place::Head;
                }
                Ok(())
            }
            Place::Length(_) | Place::Chunk(_) => Ok(()),
        }
    }

    fn head_line(&mut self, line: &[u8], cut: bool) -> Result<(), Offence> {
        if !self.head.has_request_line {
            // Empty lines before a request are allowed (RFC 9112 section 2.2).
            if !line.is_empty() {
                self.head.has_request_line = true;
                self.head.upgrade = line.starts_with(b"CONNECT ");
            }
            return Ok(());
        }
        if line.is_empty() {
            self.end_of_head();
            return Ok(());
        }
        // A line that continues the one before (obs-fold) hides what it belongs to.
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Offence);
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Ok(()) };
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default();
        // By length first: almost every header is done with after one comparison.
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = if cut { None } else { decimal(value.trim_ascii()) }.ok_or(Offence)?;
                if self.head.length.replace(length).is_some_and(|before| before != length) {
                    return Err(Offence);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.head.chunked = true,
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.head.upgrade = true,
            _ => {}
        }
        if self.head.chunked && self.head.length.is_some() { Err(Offence) } else { Ok(()) }
    }

    fn end_of_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        (self.upgrading, self.early) = (head.upgrade, false);
        self.place = match head.length {
            _ if head.chunked => Place::ChunkSize,
            Some(length) if length > 0 => Place::Length(length),
            _ => Place::Head,
        };
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// The size in a chunk's first line; extensions after `;` are skipped.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_number)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `stream` in pieces of `piece` bytes; where the first offence is.
    fn inspect(stream: &[u8], piece: usize) -> (Option<usize>, Framing) {
        let (mut framing, mut before) = (Framing::new(), 0);
        for bytes in stream.chunks(piece.max(1)) {
            if let Err(at) = framing.inspect(bytes) {
                return (Some(before + at), framing);
            }
            before += bytes.len();
        }
        (None, framing)
    }

    /// The stream up to its first offence, if it has one.
    fn offence(stream: &str) -> Option<&str> {
        let found: Vec<_> = (1..=stream.len()).map(|piece| inspect(stream.as_bytes(), piece).0).collect();
        assert!(found.iter().all(|at| *at == found[0]), "depends on the pieces: {stream:?}");
        found[0].map(|at| &stream[..at])
    }

    #[test]
    fn smuggling_is_found_before_the_head_ends() {
        for stream in [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING:chunked\r\ncontent-length:4\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            // The second of two requests.
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(offence(stream).is_some(), "{stream:?}");
        }
        let head = "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r";
        assert_eq!(offence(&format!("{head}\n\r\n0\r\n\r\n")), Some(head));
        let long = format!("GET / HTTP/1.1\r\nContent-Length: {}4\r\n\r\n", " ".repeat(300));
        assert!(offence(&long).is_some(), "more than is kept: refused rather than guessed");
        let long =
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{}2\r\n", "0".repeat(KEPT_MAX));
        assert!(offence(&long).is_some(), "the same of a chunk's size");
    }

    #[test]
    fn long_lines_are_the_same_in_whatever_pieces_they_come() {
        for length in (KEPT_MAX - 4)..(KEPT_MAX + 4) {
            let padding = "x".repeat(length);
            for stream in [
                format!(
                    "GET /{padding} HTTP/1.1\r\nHost: {padding}\r\n{padding}: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
                ),
                format!(
                    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;{padding}\r\nab\r\n0\r\nT: {padding}\r\n\r\n"
                ),
            ] {
                assert_eq!(offence(&stream), None);
            }
            let spaces = " ".repeat(length);
            offence(&format!("GET / HTTP/1.1\r\nContent-Length: {spaces}4\r\n\r\n"));
            offence(&format!("GET / HTTP/1.1\r\nContent-Length: 4{spaces}\r\n\r\n"));
        }
    }

    #[test]
    fn valid_streams_pass() {
        for stream in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 9\r\n\r\na\nb\n\n\n\n\n\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA;x=\"y\"\r\n0123\n56789\r\n0\r\nT: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 58\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: x\r\n\r\n",
        ] {
            assert_eq!(offence(stream), None);
        }
    }

    #[test]
    fn an_upgrade_is_awaited_after_its_head_only() {
        let upgrade = b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
        let awaiting = inspect(upgrade, 5).1;
        assert!(awaiting.awaits_upgrade() && !awaiting.has_early_bytes());
        let early = inspect(b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81", 1000).1;
        assert!(early.awaits_upgrade() && early.has_early_bytes());
        assert!(!inspect(&upgrade[..40], 5).1.awaits_upgrade());
        let both = [&upgrade[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert!(!inspect(&both, 1000).1.awaits_upgrade());
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let body = proptest::collection::vec(any::<u8>(), 0..60);
        let header = "[A-Za-z-]{1,20}x: [ -~]{0,20}";
        (proptest::collection::vec(header, 0..4), body, 0..3u8, 1..9usize).prop_map(
            |(headers, body, kind, chunk)| {
                let mut bytes = b"POST /path HTTP/1.1\r\n".to_vec();
                headers.iter().for_each(|line| bytes.extend(format!("{line}\r\n").as_bytes()));
                match kind {
                    0 => bytes.extend(b"\r\n"),
                    1 => {
                        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                        bytes.extend(&body);
                    }
                    _ => {
                        bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                        for part in body.chunks(chunk) {
                            bytes.extend(format!("{:x}\r\n", part.len()).as_bytes());
                            bytes.extend(part);
                            bytes.extend(b"\r\n");
                        }
                        bytes.extend(b"0\r\n\r\n");
                    }
                }
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn pipelined_valid_messages_never_offend(
            messages in proptest::collection::vec(message(), 1..5), piece in 1..50usize
        ) {
            let stream = messages.concat();
            let (offence, framing) = inspect(&stream, piece);
            prop_assert_eq!((offence, framing.place), (None, Place::Head));
        }

        #[test]
        fn an_offence_is_always_a_line_end(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..50usize) {
            if let (Some(at), _) = inspect(&bytes, piece) {
                prop_assert_eq!(bytes[at], b'\n');
            }
        }
    }
}
