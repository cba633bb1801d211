//! What is wrong with the configuration, shown as compilers show it: message, place, line, caret.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Longest line that is shown, in characters.
const MAX_LINE: usize = 200;

/// What is wrong with the configuration.
#[derive(Debug)]
pub(crate) struct ConfigError {
    /// In a sentence, for people.
    pub(crate) message: String,
    /// Where in the file, where it is in the file.
    pub(crate) place: Option<Box<Place>>,
    source: Option<io::Error>,
}

/// A place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) path: PathBuf,
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 1.
    pub(crate) column: usize,
    /// How many characters are meant; at least 1.
    pub(crate) width: usize,
    /// The whole line.
    pub(crate) text: String,
}

impl ConfigError {
    /// Something wrong that is not in the file.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, source: None }
    }

    /// Something wrong at these bytes of the file.
    pub(super) fn at(message: impl Into<String>, path: &Path, text: &str, span: Range<usize>) -> Self {
        Self { place: Some(Box::new(Place::of(path, text, span))), ..Self::new(message) }
    }

    /// Without what stands behind the equals sign: the values of alert channels are secrets, and messages end up in logs.
    pub(super) fn without_value(mut self) -> Self {
        if let Some(place) = &mut self.place
            && let Some((key, _)) = place.text.split_once('=')
        {
            place.text = format!("{key}= …");
        }
        self
    }

    /// The file cannot be read.
    pub(super) fn unreadable(path: &Path, error: io::Error) -> Self {
        Self { source: Some(error), ..Self::new(format!("{} cannot be read", path.display())) }
    }
}

impl Place {
    fn of(path: &Path, text: &str, span: Range<usize>) -> Self {
        let before = text.get(..span.start.min(text.len())).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let meant = text.get(span).unwrap_or_default().lines().next().unwrap_or_default();
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
            width: meant.chars().count().max(1),
            text: line.to_owned(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let Some(place) = &self.place else { return Ok(()) };
        let margin = " ".repeat(place.line.to_string().len());
        // A tab or an escape sequence would move the caret away from what it points to.
        let text: String =
            place.text.chars().take(MAX_LINE).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let indent = " ".repeat(place.column.saturating_sub(1).min(MAX_LINE));
        let carets = "^".repeat(place.width.min(MAX_LINE.saturating_sub(indent.len()).max(1)));
        write!(f, "\n{margin}--> {}:{}:{}", place.path.display(), place.line, place.column)?;
        write!(f, "\n{margin} |\n{} | {text}\n{margin} | {indent}{carets}", place.line)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}
