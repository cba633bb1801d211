//! Durations and sizes as people write them.

/// Units of time in milliseconds, largest first.
const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size in bytes, largest first. `GB` is a power of ten, `GiB` a power of two.
const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Milliseconds of `4h`, `90 s`, `1h30min`, `2d`; `m` is taken for minutes.
pub(super) fn parse_duration(text: &str) -> Result<u64, String> {
    let unit = |name: &str| match name {
        "m" => Some(60_000),
        name => TIMES.iter().find(|(unit, _)| *unit == name).map(|(_, ms)| *ms),
    };
    sum(text, unit)
        .ok_or_else(|| "expected a duration like \"4h\", \"1h30min\", \"90s\" or \"500ms\"".to_owned())
}

/// Bytes of `4GiB`, `512 MiB`, `1000`; whole numbers only.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let unit = |name: &str| match name {
        "" => Some(1),
        name => SIZES.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name)).map(|(_, bytes)| *bytes),
    };
    sum(text, unit).ok_or_else(|| "expected a size like \"4GiB\", \"512MiB\" or \"800MB\"".to_owned())
}

/// The sum of numbers with units, without overflow.
fn sum(text: &str, unit: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at(letters);
        let part = number.parse::<u64>().ok()?.checked_mul(unit(name)?)?;
        total = Some(part.checked_add(total.unwrap_or(0))?);
        rest = after.trim_start();
    }
    total
}

/// The shortest exact way to write it: `4h`, `90s`.
pub(super) fn show_duration(ms: u64) -> String {
    show(ms, TIMES.iter().copied())
}

/// The shortest exact way to write it: `4GiB`.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, SIZES.iter().copied().filter(|(unit, _)| unit.ends_with("iB") || *unit == "B"))
}

fn show(count: u64, units: impl Iterator<Item = (&'static str, u64)>) -> String {
    let mut units = units.filter(|(_, size)| count.is_multiple_of(*size) && (count >= *size || *size == 1));
    units.next().map_or_else(|| count.to_string(), |(unit, size)| format!("{}{unit}", count / size))
}

/// Letters of a service's name: it becomes part of paths, host names and messages.
pub(super) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_people_write_them() {
        for (text, ms) in [
            ("4h", 14_400_000),
            ("1h30min", 5_400_000),
            ("90 s", 90_000),
            ("2m", 120_000),
            ("500ms", 500),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            " ",
            "4",
            "h",
            "4x",
            "-1s",
            "1.5h",
            "99999999999999999999s",
            "999999999999999999d",
            "4h!",
            "ä",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for (text, bytes) in
            [("4GiB", 4 << 30), ("512 mib", 512 << 20), ("1GB", 1_000_000_000), ("77", 77), ("0", 0)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "4XiB", "1.5GiB", "-1", "99999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for count in [0, 1, 999, 1000, 60_000, 5_400_000, 14_400_000, 86_400_000, u64::MAX] {
            assert_eq!(parse_duration(&show_duration(count)), Ok(count));
            assert_eq!(parse_size(&show_size(count)), Ok(count));
        }
        assert_eq!((show_duration(14_400_000), show_size(4 << 30)), ("4h".to_owned(), "4GiB".to_owned()));
    }
}
