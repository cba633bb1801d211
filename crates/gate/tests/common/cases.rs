//! Files that each are a case: what is sent, and what has to come of it. Their form is in `tests/smuggling/README.md`.

use std::path::Path;

pub struct Case {
    pub name: String,
    /// Lines before the `---`, in order.
    settings: Vec<(String, String)>,
    /// What comes after it, with escapes and repetitions resolved.
    pub sent: Vec<u8>,
}

impl Case {
    /// Every file of this kind.
    pub fn all(extension: &str) -> Vec<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smuggling");
        let entries = std::fs::read_dir(&directory).expect("the cases");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Self {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("text");
        let (head, sent) = text.split_once("---\n").unwrap_or_else(|| panic!("{name}: no ---"));
        let lines = head.lines().filter(|line| !line.starts_with("# "));
        let setting = |line: &str| {
            // Names of pseudo fields begin with a colon.
            let colon =
                line.get(1..).and_then(|rest| rest.find(':')).unwrap_or_else(|| panic!("{name}: {line:?}"));
            let (key, value) = line.split_at(colon + 1);
            (key.to_owned(), value[1..].strip_prefix(' ').unwrap_or(&value[1..]).to_owned())
        };
        let settings: Vec<_> = lines.map(setting).collect();
        assert!(head.starts_with("# "), "{name}: says why it is here");
        Self { sent: resolve(sent, &name), settings, name }
    }

    /// The one value of a setting.
    pub fn one<'a>(&'a self, key: &'a str) -> &'a str {
        let found: Vec<_> = self.every(key).collect();
        assert_eq!(found.len(), 1, "{}: {key}", self.name);
        found[0]
    }

    /// All values of a setting.
    pub fn every<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.settings.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Every line that is none of these settings, in order, escapes resolved.
    pub fn others(&self, known: &[&str]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rest = self.settings.iter().filter(|(key, _)| !known.contains(&key.as_str()));
        rest.map(|(key, value)| (resolve(key, &self.name), resolve(value, &self.name))).collect()
    }
}

fn resolve(text: &str, name: &str) -> Vec<u8> {
    let text: String = text.lines().collect();
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'\\' => {
                let (byte, after) = escape(tail).unwrap_or_else(|| panic!("{name}: an unknown escape"));
                bytes.push(byte);
                rest = after;
            }
            b'{' => {
                let end =
                    tail.iter().position(|byte| *byte == b'}').unwrap_or_else(|| panic!("{name}: no }}"));
                let inner = std::str::from_utf8(&tail[..end]).expect("text");
                let (what, times) = inner.rsplit_once('*').unwrap_or_else(|| panic!("{name}: no *"));
                let times = times.parse().expect("a number");
                bytes.extend(resolve(what, name).repeat(times));
                rest = &tail[end + 1..];
            }
            byte => bytes.push(*byte),
        }
    }
    bytes
}

fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let byte = match text.first()? {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'0' => 0,
        same @ (b'\\' | b'"') => *same,
        b'x' => {
            let digits = std::str::from_utf8(text.get(1..3)?).ok()?;
            return Some((u8::from_str_radix(digits, 16).ok()?, &text[3..]));
        }
        _ => return None,
    };
    Some((byte, &text[1..]))
}
