//! `/proc/PID/maps` as data. Does not open anything.

/// One line of `/proc/PID/maps` (proc_pid_maps(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// Device of the file: major, minor.
    pub device: (u32, u32),
    /// Inode of the file; 0 for anonymous memory.
    pub inode: u64,
    /// Path as the process sees it, `[stack]` and the like, or empty.
    pub path: String,
    /// Whether the file has no name any more.
    pub deleted: bool,
}

/// The kernel's limit of mappings per process is 65,530 by default; a text with many more is not one of ours.
const MAPPINGS_MAX: usize = 1 << 20;

const DELETED: &str = " (deleted)";

/// Reads the whole text; lines that do not have the form are left out. The result is sorted by address.
pub fn parse_maps(text: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = text.lines().filter_map(parse_line).take(MAPPINGS_MAX).collect();
    mappings.sort_by_key(|mapping| mapping.start);
    mappings
}

fn parse_line(line: &str) -> Option<Mapping> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (hex(start)?, hex(end)?);
    if start >= end {
        return None;
    }
    let (flags, rest) = rest.split_once(' ')?;
    let (offset, rest) = rest.split_once(' ')?;
    let (device, rest) = rest.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let path = path.trim_start();
    // A file may really be called like that; then it is taken for deleted, which harms nobody.
    let (path, deleted) = path.strip_suffix(DELETED).map_or((path, false), |path| (path, true));
    let mut flags = flags.bytes();
    let mut flag = |letter| flags.next() == Some(letter);
    Some(Mapping {
        start,
        end,
        offset: hex(offset)?,
        readable: flag(b'r'),
        writable: flag(b'w'),
        executable: flag(b'x'),
        device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
        inode: inode.parse().ok()?,
        path: unescape(path),
        deleted,
    })
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// The kernel writes line ends in paths as `\012`.
fn unescape(path: &str) -> String {
    path.replace("\\012", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_kernel_writes_them() {
        let text = "\
7ffd1000-7ffd3000 r-xp 00000000 00:00 0                                  [vdso]
55d0a000-55d0b000 r--p 00001000 fe:01 1234                               /usr/bin/my server (deleted)
7f000000-7f001000 rw-p 00000000 00:00 0 
";
        let mappings = parse_maps(text);
        assert_eq!(mappings.len(), 3);
        let file = &mappings[0];
        assert_eq!((file.start, file.end, file.offset), (0x55d0_a000, 0x55d0_b000, 0x1000));
        assert_eq!((file.device, file.inode), ((0xfe, 1), 1234));
        assert_eq!((file.path.as_str(), file.deleted), ("/usr/bin/my server", true));
        assert!(file.readable && !file.writable && !file.executable);
        assert_eq!(mappings[1].path, "");
        assert!(mappings[1].writable);
        assert_eq!(mappings[2].path, "[vdso]");
        assert!(mappings[2].executable);
    }

    #[test]
    fn what_is_not_a_mapping_is_left_out() {
        for text in
            ["", "\n\n", "zz-10 r--p 0 0:0 0", "20-10 r--p 0 0:0 0", "1-2", "1-2 r", "1-2 r--p 0 0 0", "ü"]
        {
            assert_eq!(parse_maps(text), [], "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", line in "[0-9a-f]{1,20}-[0-9a-f]{1,20} [rwxp-]{0,5} [0-9a-f]* [0-9:]* [0-9]* ?.*") {
            parse_maps(&text);
            parse_maps(&line);
        }
    }
}
