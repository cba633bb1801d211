//! Where the editor finds a frame's source: in a file of its own, or in the lines that the incident keeps.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use freezeframe_model::{Capture, FrameKind, SourceLine};

use super::protocol::Source;
use super::text::line;

/// Relative paths are looked for in at most so many directories, and so many beginnings of paths are replaced.
const PLACES_MAX: usize = 64;
/// Files that are listed.
const LISTED_MAX: usize = 2000;
/// The first line of a kept source may be at most so far down, so that a wrong number makes no file of gigabytes.
const LINES_MAX: u32 = 1_000_000;

/// The files of the editor's machine, where this session runs on it too.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    /// Whether there is such a file.
    pub is_there: fn(&Path) -> bool,
    /// Its text; `None` where it is none, or too long to be source.
    pub read: fn(&Path) -> Option<String>,
}

/// How paths become those of the editor, and what has been found out so far.
#[derive(Default)]
pub(super) struct Sources {
    files: Option<Files>,
    roots: Vec<PathBuf>,
    /// Longest beginnings first.
    map: Vec<(String, String)>,
    known: HashMap<(String, bool), Source>,
}

/// The number of the lines that an incident keeps, in `sourceReference`.
const KEPT: i64 = 1;

impl Sources {
    pub(super) fn new(files: Option<Files>, roots: Vec<String>, map: BTreeMap<String, String>) -> Self {
        let mut map: Vec<_> = map.into_iter().filter(|(from, _)| !from.is_empty()).take(PLACES_MAX).collect();
        map.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        let roots = roots.into_iter().take(PLACES_MAX).map(PathBuf::from).collect();
        Self { files, roots, map, known: HashMap::new() }
    }

    /// The source of a frame; `None` where the compiler recorded no file.
    pub(super) fn of(&mut self, capture: &Capture, file: &str, kind: FrameKind) -> Option<Source> {
        if file.is_empty() {
            return None;
        }
        let key = (file.to_owned(), kind == FrameKind::User);
        if let Some(known) = self.known.get(&key) {
            return Some(known.clone());
        }
        let source = self.locate(capture, file, kind);
        self.known.insert(key, source.clone());
        Some(source)
    }

    fn locate(&self, capture: &Capture, file: &str, kind: FrameKind) -> Source {
        let kept = file == capture.site.file && !capture.source.is_empty();
        let hint = (kind != FrameKind::User).then_some("deemphasize");
        let source = |path: &str, source_reference, origin| Source {
            name: line(file.rsplit('/').next().unwrap_or(file)).into_owned(),
            path: line(path).into_owned(),
            source_reference,
            presentation_hint: hint,
            origin,
        };
        match self.path(file) {
            Some(path) if kept && self.differs(&path, &capture.source) => {
                source(file, KEPT, Some("from the incident: the file here is of another version"))
            }
            Some(path) => source(&path.to_string_lossy(), 0, None),
            None if kept => source(file, KEPT, Some("from the incident")),
            None => source(file, 0, None),
        }
    }

    /// The editor's file: the first that is there; where that cannot be known, the first that was named.
    fn path(&self, file: &str) -> Option<PathBuf> {
        let mapped = self.map.iter().find_map(|(from, to)| {
            let rest = file.strip_prefix(from.as_str())?;
            // `/build` is no beginning of `/builder/a.rs`.
            let is_whole = from.ends_with('/') || rest.is_empty() || rest.starts_with('/');
            is_whole.then(|| PathBuf::from(format!("{to}{rest}")))
        });
        let relative = Path::new(file).is_relative();
        let rooted = self.roots.iter().filter(|_| relative).map(|root| root.join(file));
        match self.files {
            Some(files) => {
                let here = (!relative).then(|| PathBuf::from(file));
                mapped.into_iter().chain(rooted).chain(here).find(|path| (files.is_there)(path))
            }
            None => mapped.or_else(|| rooted.into_iter().next()),
        }
    }

    /// Whether the file has other lines than the incident, which keeps those of the build.
    fn differs(&self, path: &Path, kept: &[SourceLine]) -> bool {
        let Some(text) = self.files.and_then(|files| (files.read)(path)) else { return false };
        let lines: Vec<&str> = text.lines().collect();
        kept.iter().any(|kept| {
            let found = (kept.number as usize).checked_sub(1).and_then(|at| lines.get(at));
            found.is_none_or(|found| found.trim_end() != kept.text.trim_end())
        })
    }

    /// Where the site's file here is of another version, so that it is not shown; for the console.
    pub(super) fn difference(&self, capture: &Capture) -> Option<String> {
        let path = self.path(&capture.site.file).filter(|_| !capture.source.is_empty())?;
        self.differs(&path, &capture.source).then(|| {
            let path = path.to_string_lossy();
            format!(
                "{} is of another version than the build; the incident's own lines are shown",
                line(&path)
            )
        })
    }

    /// The files of all frames, those of the service itself first.
    pub(super) fn all(&mut self, capture: &Capture) -> Vec<Source> {
        let frames = || capture.threads.iter().flat_map(|thread| &thread.frames);
        let mut files: Vec<(bool, &str, FrameKind)> =
            frames().map(|frame| (frame.kind != FrameKind::User, frame.file.as_str(), frame.kind)).collect();
        files.sort_by_key(|(is_library, file, _)| (*is_library, *file));
        files.dedup_by_key(|(_, file, _)| *file);
        files.truncate(LISTED_MAX);
        files.into_iter().filter_map(|(_, file, kind)| self.of(capture, file, kind)).collect()
    }
}

/// The lines that an incident keeps, each at its own number; `None` where there is nothing of this number.
pub(super) fn kept(capture: &Capture, reference: i64) -> Option<String> {
    let first = capture.source.first().filter(|first| reference == KEPT && first.number <= LINES_MAX)?;
    let last = capture.source.last().map_or(first.number, |last| last.number);
    let mut text = String::new();
    let mut next = 1;
    for kept in &capture.source {
        while next < kept.number.min(LINES_MAX) {
            if next == 1 {
                text += &format!("// Lines {} to {last} are kept with the incident.", first.number);
            }
            text.push('\n');
            next += 1;
        }
        text += &line(&kept.text).replace("\\u{9}", "\t");
        text.push('\n');
        next = kept.number.saturating_add(1);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezeframe_model::Site;

    fn capture() -> Capture {
        let source = [(3, "\tlet x = 1;"), (4, "x / 0")];
        let source = source.map(|(number, text)| SourceLine { number, text: text.to_owned() }).to_vec();
        let site = Site { file: "src/a.rs".to_owned(), line: 4, ..Site::default() };
        Capture { source, site, ..Capture::default() }
    }

    fn shown(sources: &mut Sources, file: &str) -> (String, i64) {
        let source = sources.of(&capture(), file, FrameKind::User).expect("a source");
        (source.path, source.source_reference)
    }

    const HERE: Files = Files {
        is_there: |path| path.starts_with("/home"),
        read: |path| {
            let text =
                if path.starts_with("/home/old") { "1\n2\n3\n4\n" } else { "1\n2\n\tlet x = 1;\r\nx / 0" };
            Some(text.to_owned())
        },
    };

    #[test]
    fn a_file_is_found_by_map_and_by_directory_or_taken_from_the_incident() {
        let map = BTreeMap::from([("/build".to_owned(), "/home/me".to_owned())]);
        let mut here =
            Sources::new(Some(HERE), vec!["/nowhere".to_owned(), "/home/me".to_owned()], map.clone());
        assert_eq!(shown(&mut here, "src/a.rs"), ("/home/me/src/a.rs".to_owned(), 0));
        assert_eq!(shown(&mut here, "/build/src/b.rs"), ("/home/me/src/b.rs".to_owned(), 0));
        assert_eq!(shown(&mut here, "/builder/b.rs"), ("/builder/b.rs".to_owned(), 0), "not found");
        assert_eq!(here.difference(&capture()), None);
        let mut old = Sources::new(Some(HERE), vec!["/home/old".to_owned()], map.clone());
        assert_eq!(shown(&mut old, "src/a.rs"), ("src/a.rs".to_owned(), 1), "of another version");
        assert!(
            old.difference(&capture())
                .is_some_and(|what| what.starts_with("/home/old/src/a.rs is of another"))
        );
        let mut none = Sources::new(Some(HERE), Vec::new(), BTreeMap::new());
        assert_eq!(shown(&mut none, "src/a.rs"), ("src/a.rs".to_owned(), 1));
        // Far from the editor nobody can look: what it says is believed.
        let mut far = Sources::new(None, Vec::new(), map);
        assert_eq!(shown(&mut far, "/build/src/b.rs"), ("/home/me/src/b.rs".to_owned(), 0));
        assert_eq!(shown(&mut far, "src/a.rs"), ("src/a.rs".to_owned(), 1));
    }

    #[test]
    fn kept_lines_stand_at_their_numbers() {
        let text = kept(&capture(), KEPT).expect("kept");
        assert_eq!(text, "// Lines 3 to 4 are kept with the incident.\n\n\tlet x = 1;\nx / 0\n");
        assert_eq!(kept(&capture(), 2), None);
        let far = vec![SourceLine { number: u32::MAX, text: String::new() }];
        assert_eq!(kept(&Capture { source: far, ..Capture::default() }, KEPT), None);
    }
}
