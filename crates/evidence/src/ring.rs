//! The last lines, bounded in number and in bytes.

use std::collections::VecDeque;

use freezeframe_model::{LogLine, Stream};
use freezeframe_redact::{LineRedactor, Redactor};

/// Lines kept by default.
const LINES_MAX: usize = 2000;
/// Bytes of text kept by default.
const BYTES_MAX: usize = 1 << 20;

/// The last lines of one instance; the oldest make room for the newest.
#[derive(Clone, Debug)]
pub struct LogRing {
    lines: VecDeque<LogLine>,
    bytes: usize,
    lines_max: usize,
    bytes_max: usize,
    dropped: u64,
}

impl Default for LogRing {
    fn default() -> Self {
        Self::new(LINES_MAX, BYTES_MAX)
    }
}

impl LogRing {
    /// A ring of at most so many lines and bytes of text.
    pub fn new(lines_max: usize, bytes_max: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, lines_max, bytes_max, dropped: 0 }
    }

    /// Keeps a line.
    pub fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > self.lines_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
            self.dropped += 1;
        }
    }

    /// The last `n` lines, oldest first, with secrets taken out. Only here, and not at each `push`: while nothing is wrong
    /// nobody pays for it, and nothing leaves this ring in another way.
    pub fn tail(&self, n: usize, redactor: &Redactor) -> Vec<LogLine> {
        let (mut stdout, mut stderr) = (LineRedactor::default(), LineRedactor::default());
        let skipped = self.lines.len().saturating_sub(n);
        let redact = |line: &LogLine| {
            let stream = if line.stream == Stream::Stdout { &mut stdout } else { &mut stderr };
            LogLine { text: stream.line(redactor, &line.text).into_owned(), ..line.clone() }
        };
        // Through the skipped ones too: a key may have begun there.
        self.lines.iter().map(redact).skip(skipped).collect()
    }

    /// Lines that made room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezeframe_model::Timestamp;

    fn line(text: &str) -> LogLine {
        LogLine { at: Timestamp(0), stream: Stream::Stdout, text: text.to_owned() }
    }

    #[test]
    fn the_newest_lines_are_kept_within_both_bounds() {
        let mut ring = LogRing::new(3, 10);
        for text in ["a", "b", "c", "d"] {
            ring.push(line(text));
        }
        let texts = |ring: &LogRing| {
            ring.tail(9, &Redactor::default()).into_iter().map(|line| line.text).collect::<Vec<_>>()
        };
        assert_eq!(texts(&ring), ["b", "c", "d"]);
        ring.push(line("123456789"));
        assert_eq!(texts(&ring), ["d", "123456789"]);
        ring.push(line("longer than everything"));
        assert!(texts(&ring).is_empty());
        assert_eq!(ring.dropped(), 6);
    }

    #[test]
    fn secrets_do_not_leave() {
        let mut ring = LogRing::default();
        ring.push(line("login with password=hunter2hunter2"));
        let tail = ring.tail(1, &Redactor::default());
        assert!(!tail[0].text.contains("hunter2"), "{}", tail[0].text);
    }
}
