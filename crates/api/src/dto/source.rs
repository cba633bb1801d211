//! Source text of a frame, and where it comes from.

use serde::{Deserialize, Serialize};

use super::SourceLineShape;

/// Source around a frame's line: `freezeframe-source/1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct SourceAnswer {
    /// `freezeframe-source/1`.
    pub schema: String,
    /// File as the compiler recorded it; empty where unknown.
    pub file: String,
    /// The frame's line, counted from 1; 0 where unknown.
    pub line: u32,
    /// Lines around it; empty where there are none.
    pub lines: Vec<SourceLineShape>,
    /// `capsule`: stored with the incident; `directory`: read from a configured directory just now; `git`: from a repository at the build's
    /// revision; `none`.
    pub origin: String,
    /// What was read: a path, or `REVISION:PATH`; null for `capsule` and `none`.
    pub from: Option<String>,
    /// Why there are no lines, or why they may not be those that the build was made from.
    pub why: Option<String>,
}
