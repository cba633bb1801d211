//! An HTTP/2 client that sends exactly the frames that a test wants (RFC 9113 section 4.1), and says what came back.

use freezeframe_gate::Gate;

use super::Wire;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
/// A HEADERS frame that is the whole request.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;
pub const ACK: u8 = 1;

const REASONS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field as a literal that is never indexed, without Huffman (RFC 7541 section 6.2.3).
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x10];
    for text in [name, value] {
        match text.len() {
            short @ 0..127 => bytes.push(short as u8),
            long => {
                bytes.push(127);
                let mut left = long - 127;
                while left >= 128 {
                    bytes.push((left % 128) as u8 | 128);
                    left /= 128;
                }
                bytes.push(left as u8);
            }
        }
        bytes.extend(text);
    }
    bytes
}

/// A header block of these fields.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect()
}

/// `GET / ` for the host `shop`.
pub fn get() -> Vec<u8> {
    block(&[(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "shop")])
}

/// `POST /` for the host `shop`, and what follows it.
pub fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields =
        block(&[(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "shop")]);
    fields.extend(block(more));
    fields
}

/// A frame of the gate's.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().expect("4 bytes")))
    }

    /// What a test wants to know of it; nothing of frames that only keep the connection going.
    pub fn told(&self) -> Option<String> {
        let reason = |at| REASONS.get(self.number(at) as usize).copied().unwrap_or("?");
        match self.kind {
            HEADERS => status(&self.payload).map(|status| status.to_string()),
            RST_STREAM => Some(format!("reset {}", reason(0))),
            GOAWAY => Some(format!("goaway {}", reason(4))),
            _ => None,
        }
    }
}

/// The status at the beginning of a response's header block: indexed, or a literal whose value has digits (RFC 7541 appendices A, B).
fn status(block: &[u8]) -> Option<u16> {
    let block = match block {
        // An update of the table's size.
        [first, rest @ ..] if first & 0xe0 == 0x20 => rest,
        block => block,
    };
    let indexed = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [first @ 0x88..=0x8e, ..] => Some(indexed[usize::from(first - 0x88)]),
        [0x48 | 0x08 | 0x18, length, rest @ ..] => {
            let text = rest.get(..usize::from(length & 0x7f))?;
            if length & 0x80 == 0 { std::str::from_utf8(text).ok()?.parse().ok() } else { digits(text) }
        }
        _ => None,
    }
}

/// Digits in Huffman's code: 0 to 2 have five bits, the others six.
fn digits(text: &[u8]) -> Option<u16> {
    let bit = |at: usize| text.get(at / 8).map(|byte| u16::from(byte >> (7 - at % 8) & 1));
    let bits = |at: usize, n: usize| (at..at + n).try_fold(0, |sum, at| Some(sum * 2 + bit(at)?));
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = bits(at, 5)?;
        let digit = if short <= 2 { short } else { bits(at, 6)? - 0x19 + 3 };
        at += if short <= 2 { 5 } else { 6 };
        number = number * 10 + digit;
    }
    Some(number)
}

/// A connection by hand.
pub struct Frames {
    pub wire: Wire,
}

impl Frames {
    /// One that has begun as clients do.
    pub async fn connect(gate: &Gate) -> Self {
        let mut frames = Self { wire: Wire::connect(gate).await };
        frames.wire.send(PREFACE).await;
        frames.send(SETTINGS, 0, 0, &[]).await;
        frames
    }

    /// False where the other end is gone.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.wire.try_send(frame(kind, flags, stream, payload)).await
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let head = self.wire.try_take(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.wire.try_take(length).await?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// What the gate says up to its answer to a PING that is sent now, and up to so many streams' heads or resets; or to the end.
    pub async fn told(&mut self, streams: usize) -> Vec<String> {
        const MARK: &[u8] = b"the mark";
        self.send(PING, 0, 0, MARK).await;
        let (mut told, mut ends, mut is_marked) = (Vec::new(), 0, false);
        while ends < streams || !is_marked {
            let Some(frame) = self.next().await else {
                told.push("closed".to_owned());
                break;
            };
            let is_head = frame.kind == HEADERS && status(&frame.payload).is_some();
            ends += usize::from(is_head || frame.kind == RST_STREAM);
            is_marked |= frame.kind == PING && frame.flags == ACK && frame.payload == MARK;
            told.extend(frame.told());
        }
        told
    }
}
