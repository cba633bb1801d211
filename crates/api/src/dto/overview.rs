//! The first screen of an incident: small and bounded, however much was captured. The rest is in sections, threads and questions.

use serde::{Deserialize, Serialize};

use super::{IncidentSummary, RequestShape, SourceLineShape, ThreadShape, TimingsMs};

/// What a person needs first of an incident: `freezeframe-overview/1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Overview {
    /// `freezeframe-overview/1`.
    pub schema: String,
    /// What changes while somebody looks at it.
    #[serde(flatten)]
    pub status: StatusShape,
    /// The first occurrence of this fingerprint here: RFC 3339.
    pub first_seen: String,
    /// Occurrences before this incident; 0 is a new error.
    pub seen_before: u64,
    /// The build's file as the instance ran it; null where it is not known.
    pub executable: Option<String>,
    /// How much debug information the build has: `full`, `line tables only`, `symbols only`, `none`; null where it is not known.
    pub debug_info: Option<String>,
    /// When an instance of this build served first: RFC 3339; null where it is not known.
    pub build_since: Option<String>,
    /// Age of the build at the time of the error, in milliseconds; null where it is not known.
    pub build_age_ms: Option<u64>,
    /// Revision of the sources that the build was made from; null where none was configured.
    pub revision: Option<String>,
    /// The request that failed.
    pub request: RequestShape,
    /// Source around the site.
    pub source: Vec<SourceLineShape>,
    /// The failing thread with a bounded part of its variables; null where nothing was captured.
    pub failing: Option<ThreadShape>,
    /// Number of the site's frame in the failing thread's stack; null where there is none.
    pub site_frame: Option<usize>,
    /// What there is besides, in the order of the page.
    pub sections: Vec<SectionHead>,
    /// Notes that people wrote.
    pub notes: usize,
}

/// The part of an incident that changes: that of a list, and what the first screen says of it in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct StatusShape {
    /// As in a list.
    #[serde(flatten)]
    pub summary: IncidentSummary,
    /// Who acknowledged it; null while nobody did.
    pub owner: Option<String>,
    /// When: RFC 3339.
    pub acknowledged_at: Option<String>,
    /// Milestones after the trap, in milliseconds.
    pub timings_ms: TimingsMs,
    /// Whether users still feel it: `replaced in 412 ms`.
    pub replaced: ImpactShape,
    /// `none besides the failing one`.
    pub lost: ImpactShape,
    /// `out of routing, frozen, network cut`.
    pub quarantine: ImpactShape,
    /// Resident memory when it was held, in bytes; null where nothing is held.
    pub held_bytes: Option<u64>,
}

/// One fact about the impact, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ImpactShape {
    /// Whether it is as it should be; null where it is neither.
    pub well: Option<bool>,
    /// For people.
    pub text: String,
}

/// A section that exists for an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct SectionHead {
    /// Name in its path: `logs`.
    pub name: String,
    /// For people: `Logs`.
    pub title: String,
    /// Items in it, without a filter.
    pub count: usize,
}
