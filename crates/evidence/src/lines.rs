//! Bytes in any pieces in, lines out.

/// Longer lines are cut; what follows up to the line end is dropped.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// What stands at the end of a line that was cut.
const CUT: &str = " … (cut)";

/// Splits a stream of bytes into lines. Bytes that are not UTF-8 are replaced; `\r\n` ends a line as `\n` does.
#[derive(Clone, Debug, Default)]
pub struct LineSplitter {
    partial: Vec<u8>,
    /// The line is over its bound: the rest of it is dropped.
    over: bool,
}

impl LineSplitter {
    /// Takes bytes in; gives the lines that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(at);
            self.extend(line);
            lines.push(self.take());
            rest = after.get(1..).unwrap_or_default();
        }
        self.extend(rest);
        lines
    }

    /// At the end of the stream: the last line, where it had no line end.
    pub fn flush(&mut self) -> Option<String> {
        (!self.partial.is_empty() || self.over).then(|| self.take())
    }

    /// One byte more than fits is kept, so that a line of just that length may still end in `\r\n`.
    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX + 1 - self.partial.len();
        self.over |= bytes.len() > room;
        self.partial.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn take(&mut self) -> String {
        let mut over = std::mem::take(&mut self.over);
        let mut bytes = std::mem::take(&mut self.partial);
        if bytes.last() == Some(&b'\r') && !over {
            bytes.pop();
        }
        if bytes.len() > LINE_BYTES_MAX {
            over = true;
            let cut = (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX).rev().find(|at| bytes[*at] & 0xc0 != 0x80);
            bytes.truncate(cut.unwrap_or(LINE_BYTES_MAX));
        }
        let mut line = String::from_utf8_lossy(&bytes).into_owned();
        if over {
            line.push_str(CUT);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines: Vec<String> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
        lines.extend(splitter.flush());
        lines
    }

    #[test]
    fn lines_end_where_they_end() {
        assert_eq!(split(&[b"one\r\ntw", b"o\n\nlast"]), ["one", "two", "", "last"]);
        assert_eq!(split(&[b"\xff\xfe\n"]), ["\u{fffd}\u{fffd}"]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut_and_costs_no_memory() {
        let mut splitter = LineSplitter::default();
        for _ in 0..1000 {
            assert!(splitter.push(&[b'x'; 4096]).is_empty());
            assert!(splitter.partial.len() <= LINE_BYTES_MAX + 1);
        }
        let lines = splitter.push(b"\nnext\n");
        assert_eq!(lines[0].len(), LINE_BYTES_MAX + CUT.len());
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn a_line_that_just_fits_is_whole_and_a_character_is_not_split() {
        let mut fits = vec![b'x'; LINE_BYTES_MAX];
        fits.extend(b"\r\n");
        assert_eq!(split(&[&fits]), ["x".repeat(LINE_BYTES_MAX)]);
        let long = format!("x{}\n", "é".repeat(LINE_BYTES_MAX));
        let line = &split(&[long.as_bytes()])[0];
        assert!(!line.contains('\u{fffd}') && line.ends_with(CUT), "{}", line.len());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in 1usize..50) {
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(split(&pieces), split(&[&bytes]));
        }
    }
}
