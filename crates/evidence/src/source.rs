//! Source files on this machine: in directories that were named, or in git repositories at a build's revision.
//!
//! The path that is looked for comes from a program's debug information. Nothing outside of the named places can be reached by it: it is
//! taken apart into its components, `..` is refused, and what was opened must lie, links resolved, within its place. Reads are
//! bounded in bytes and time; git is called without a shell, and reads objects only.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use freezeframe_model::{SourceLine, Timestamp};

/// Largest file that is read.
const MAX_FILE: u64 = 4 << 20;
/// Lines that are kept before and after the one that is asked for.
const AROUND: usize = 100;
/// Longest line, in characters.
const MAX_LINE: usize = 2000;
/// Components of a path, from its end, under which a file may be known in its place.
const MAX_COMPONENTS: usize = 16;
/// For one call of git.
const GIT_LIMIT: Duration = Duration::from_secs(5);

/// Where sources may be.
#[derive(Clone, Debug, Default)]
pub struct SourcePlaces {
    /// Directories, each like the root of the sources.
    pub directories: Vec<PathBuf>,
    /// What stands in place of a prefix of the paths in debug information: `(from, to)`.
    pub prefixes: Vec<(String, String)>,
    /// Working copies or bare repositories of git.
    pub repositories: Vec<PathBuf>,
}

/// Lines of a file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSource {
    /// Whether it is from a repository, otherwise from a directory.
    pub is_git: bool,
    /// What was read: a path, or `REVISION:PATH`.
    pub from: String,
    /// Around the line that was asked for.
    pub lines: Vec<SourceLine>,
    /// Why it may not be what the build was made from.
    pub doubt: Option<String>,
}

impl SourcePlaces {
    /// The lines around `line` (from 1) of a file that a build of `revision` was compiled from; directories before repositories.
    /// `at` is the time of the error.
    ///
    /// # Errors
    /// Why there are none, in words for the person who wanted to see them.
    pub fn find(
        &self,
        file: &str,
        line: u32,
        revision: Option<&str>,
        at: Timestamp,
    ) -> Result<FoundSource, String> {
        if self.directories.is_empty() && self.repositories.is_empty() {
            return Err("the incident has no lines of this file, and no place of sources is configured: \
                        `directories` or `repositories` in [source]"
                .to_owned());
        }
        let mapped =
            self.prefixes.iter().find_map(|(from, to)| Some(format!("{to}{}", file.strip_prefix(from)?)));
        let names = names_of(mapped.as_deref().unwrap_or(file))?;
        if let Some(found) = self.directories.iter().find_map(|root| in_directory(root, &names, line, at)) {
            return Ok(found);
        }
        if self.repositories.is_empty() {
            return Err(format!("none of the configured directories has {file}"));
        }
        let Some(revision) = revision else {
            return Err("which revision the build was made from is not known: set `revision` in [source] when it is deployed".to_owned());
        };
        if !is_revision(revision) {
            return Err("the build's revision is not one that git could know".to_owned());
        }
        let mut why = None;
        for repository in &self.repositories {
            match in_repository(repository, revision, &names, line) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => why = Some(error),
            }
        }
        Err(why.unwrap_or_else(|| format!("no configured place has {file} (revision {revision})")))
    }
}

/// The names under which a path may be known below a root: itself, then without its first component, and so on.
fn names_of(file: &str) -> Result<Vec<PathBuf>, String> {
    let refused = || format!("the path {file:?} of the debug information is not one that is looked for");
    if file.len() > 4096 || file.chars().any(char::is_control) {
        return Err(refused());
    }
    let mut parts = Vec::new();
    for component in Path::new(file).components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(refused()),
        }
    }
    let first = parts.len().saturating_sub(MAX_COMPONENTS);
    let names: Vec<PathBuf> = (first..parts.len()).map(|from| parts.iter().skip(from).collect()).collect();
    if names.is_empty() { Err(refused()) } else { Ok(names) }
}

fn in_directory(root: &Path, names: &[PathBuf], line: u32, at: Timestamp) -> Option<FoundSource> {
    let root = std::fs::canonicalize(root).ok()?;
    names.iter().find_map(|name| {
        let mut file = File::open(root.join(name)).ok()?;
        // Where it really is, now that it is open: nobody can put a link in its place any more.
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let metadata = file.metadata().ok()?;
        if !real.starts_with(&root) || !metadata.is_file() || metadata.len() > MAX_FILE {
            return None;
        }
        let lines = lines_of(&mut file, line)?;
        let changed = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        let is_newer = i64::try_from(changed.as_micros()).is_ok_and(|changed| changed > at.0);
        let doubt = if is_newer {
            "the file was changed after the error: its lines may be others than those that ran"
        } else {
            "the file as it is now: nothing says that the build was made from it"
        };
        Some(FoundSource {
            is_git: false,
            from: real.to_string_lossy().into_owned(),
            lines,
            doubt: Some(doubt.to_owned()),
        })
    })
}

/// Names of commits and tags; nothing that git would take for an option, a range or a path.
fn is_revision(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+');
    !text.is_empty()
        && text.len() <= 128
        && text.chars().all(fits)
        && !text.starts_with('-')
        && !text.contains("..")
}

fn in_repository(
    repository: &Path,
    revision: &str,
    names: &[PathBuf],
    line: u32,
) -> Result<Option<FoundSource>, String> {
    for name in names {
        let object = format!("{revision}:{}", name.display());
        if let Some(bytes) = git_blob(repository, &object)? {
            let lines = lines_of(&mut &bytes[..], line);
            return Ok(lines.map(|lines| FoundSource { is_git: true, from: object, lines, doubt: None }));
        }
    }
    Ok(None)
}

/// The bytes of an object; `None` where there is none of that name.
fn git_blob(repository: &Path, object: &str) -> Result<Option<Vec<u8>>, String> {
    let mut command = Command::new("git");
    // Nothing of our environment and of anybody's settings decides on what git does; an object is read, nothing is run.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("LC_ALL", "C"),
    ] {
        command.env(name, value);
    }
    let trusted = format!("safe.directory={}", repository.display());
    command.arg("-c").arg(trusted).arg("-C").arg(repository).args(["cat-file", "blob", object]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("git cannot be run: {error}"))?;
    let Some(stdout) = child.stdout.take() else { return Ok(None) };
    let (done, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = stdout.take(MAX_FILE + 1).read_to_end(&mut bytes);
        let _ = done.send(result.map(|_| bytes));
    });
    let answer = read.recv_timeout(GIT_LIMIT);
    let is_whole = matches!(&answer, Ok(Ok(bytes)) if bytes.len() as u64 <= MAX_FILE);
    if !is_whole {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| format!("git cannot be waited for: {error}"))?;
    match answer {
        Ok(Ok(bytes)) if is_whole && status.success() => Ok(Some(bytes)),
        Ok(_) => Ok(None),
        Err(_) => Err(format!("git did not answer within {} s", GIT_LIMIT.as_secs())),
    }
}

/// Lines around one; `None` where the file has fewer, or is no text.
fn lines_of(from: &mut dyn Read, line: u32) -> Option<Vec<SourceLine>> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_FILE || bytes.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes);
    let at = usize::try_from(line).ok()?.checked_sub(1)?;
    text.lines().nth(at)?;
    let first = at.saturating_sub(AROUND);
    let lines = text.lines().enumerate().skip(first).take(at - first + AROUND + 1);
    let shape = |(index, text): (usize, &str)| SourceLine {
        number: u32::try_from(index + 1).unwrap_or(u32::MAX),
        text: text.chars().take(MAX_LINE).collect(),
    };
    Some(lines.map(shape).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(i64::MAX);

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        std::fs::write(path, text).expect("written");
    }

    fn numbered(count: usize) -> String {
        (1..=count).map(|n| format!("line {n}\n")).collect()
    }

    fn places(directory: &Path) -> SourcePlaces {
        SourcePlaces { directories: vec![directory.to_owned()], ..SourcePlaces::default() }
    }

    #[test]
    fn a_file_is_found_by_the_end_of_its_path_and_says_what_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        write(&dir.path().join("src/pricing.rs"), &numbered(500));
        let places = places(dir.path());
        let found = places.find("/home/ci/build/shop/src/pricing.rs", 250, None, NOW).expect("found");
        assert_eq!((found.lines.len(), found.lines[0].number, found.is_git), (201, 150, false));
        assert_eq!(found.lines[100].text, "line 250");
        assert!(found.from.ends_with("src/pricing.rs"));
        assert_eq!(
            found.doubt.as_deref(),
            Some("the file as it is now: nothing says that the build was made from it")
        );
        let newer = places.find("src/pricing.rs", 1, None, Timestamp(0)).expect("found");
        assert!(newer.doubt.expect("a doubt").starts_with("the file was changed after the error"));
        assert!(places.find("src/pricing.rs", 501, None, NOW).is_err(), "a line that is not there");
        assert!(places.find("src/other.rs", 1, None, NOW).is_err());
        let mapped = SourcePlaces { prefixes: vec![("/b/".to_owned(), "src/".to_owned())], ..places };
        assert!(mapped.find("/b/pricing.rs", 1, None, NOW).is_ok());
    }

    #[test]
    fn nothing_outside_of_the_place_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("root");
        write(&root.join("src/a.rs"), "a\n");
        write(&dir.path().join("secret.rs"), "secret\n");
        std::os::unix::fs::symlink(dir.path().join("secret.rs"), root.join("link.rs")).expect("a link");
        std::os::unix::fs::symlink(dir.path(), root.join("up")).expect("a link");
        let places = places(&root);
        for path in [
            "../secret.rs",
            "src/../../secret.rs",
            "/root/../secret.rs",
            "link.rs",
            "up/secret.rs",
            "/etc/passwd",
            "src",
            "",
            "/",
            ".",
            "a\nb",
            "a\0b",
        ] {
            assert!(places.find(path, 1, None, NOW).is_err(), "{path:?}");
        }
        assert!(places.find("./src/a.rs", 1, None, NOW).is_ok());
    }

    #[test]
    fn a_repository_answers_as_of_the_builds_revision() {
        let dir = tempfile::tempdir().expect("a directory");
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
            command.env("HOME", dir.path()).current_dir(dir.path());
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
            let output = command.args(who).args(arguments).output().expect("git runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("text").trim().to_owned()
        };
        git(&["init", "--quiet"]);
        write(&dir.path().join("src/a.rs"), "old\n");
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "one"]);
        let revision = git(&["rev-parse", "HEAD"]);
        write(&dir.path().join("src/a.rs"), "new\n");
        let places = SourcePlaces { repositories: vec![dir.path().to_owned()], ..SourcePlaces::default() };
        let found = places.find("/ci/shop/src/a.rs", 1, Some(&revision), NOW).expect("found");
        assert_eq!((found.lines[0].text.as_str(), found.is_git, found.doubt), ("old", true, None));
        assert_eq!(found.from, format!("{revision}:src/a.rs"));
        for revision in [None, Some("--help"), Some("a..b"), Some("HEAD:src"), Some(""), Some("0000000")] {
            assert!(places.find("src/a.rs", 1, revision, NOW).is_err(), "{revision:?}");
        }
    }
}
