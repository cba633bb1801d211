//! An incident, whole and as a line of a list.

use freezeframe_model::{
    Capture, HoldFacts, HoldStrength, Incident, Loss, Site, SourceLine, Timestamp, Timings,
};
use serde::{Deserialize, Serialize};

use super::{ExchangeShape, LogShape, RequestShape, TaskShape, ThreadShape};
use crate::words::{losses, rfc3339};

/// Everything known of one incident: `freezeframe-incident/1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct IncidentView {
    /// `freezeframe-incident/1`.
    pub schema: String,
    /// `INC-42`.
    pub id: String,
    /// `panic`, `SIGSEGV`, `hold`, `assertion`, `error_event`, `stall`, `http_500`, `connection_closed`, `exit`.
    pub kind: String,
    /// `draining`, `held`, `released`, `killed`, `expired`, `lost`, `recorded`.
    pub state: String,
    /// What broke in one sentence, without values from the process.
    pub sentence: String,
    /// The error's own words.
    pub message: String,
    /// The same error across instances and restarts: 32 hexadecimal digits.
    pub fingerprint: String,
    /// Where.
    pub site: SiteShape,
    /// Name of the service.
    pub service: String,
    /// `shop/2`.
    pub instance: String,
    /// Build of the executable, hexadecimal.
    pub build_id: String,
    /// When the trap was hit: RFC 3339, UTC, milliseconds.
    pub captured_at: String,
    /// When the state last changed.
    pub updated_at: String,
    /// Occurrences that this incident stands for, itself included.
    pub count: u64,
    /// Requests lost besides the failing one.
    pub requests_lost: u32,
    /// Milestones after the trap, in milliseconds; what did not happen is absent.
    pub timings_ms: TimingsMs,
    /// How it is held.
    pub hold: HoldShape,
    /// The failing thread first.
    pub threads: Vec<ThreadShape>,
    /// Asynchronous tasks: those that are running first, then by id.
    pub tasks: Vec<TaskShape>,
    /// Source around the site.
    pub source: Vec<SourceLineShape>,
    /// The request that failed.
    pub request: RequestShape,
    /// Last exchanges of the same user session, oldest first.
    pub journey: Vec<ExchangeShape>,
    /// Last lines that the instance wrote.
    pub logs: Vec<LogShape>,
    /// What is missing and why.
    pub not_captured: Vec<LossShape>,
}

/// The program location of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct SiteShape {
    /// Demangled function name.
    pub function: String,
    /// Source file; empty where unknown.
    pub file: String,
    /// Counted from 1; 0 where unknown.
    pub line: u32,
}

/// Milestones after the trap in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct TimingsMs {
    /// All threads stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub stopped: Option<f64>,
    /// Fingerprint known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub fingerprinted: Option<f64>,
    /// Out of routing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub unrouted: Option<f64>,
    /// Another instance serves in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub replaced: Option<f64>,
    /// Memory copied, the other threads run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub resumed: Option<f64>,
    /// Frames and values decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub captured: Option<f64>,
    /// Drained, frozen, cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub held: Option<f64>,
    /// Capsule durable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub stored: Option<f64>,
}

/// How a process is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct HoldShape {
    /// `none`, `frozen`, `stopped`.
    pub strength: String,
    /// `network cut`, `network not cut`, `network not cut: missing …`.
    pub network: String,
    /// Both in words.
    pub description: String,
    /// The held process; null where nothing is held.
    pub pid: Option<i32>,
    /// When the lease ends (RFC 3339); null where nothing is held.
    pub lease_until: Option<String>,
}

/// One thing that is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct LossShape {
    /// What is missing.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A line of source text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct SourceLineShape {
    /// Counted from 1.
    pub line: u32,
    /// Without the line end.
    pub text: String,
}

/// The newest incidents: `freezeframe-incidents/1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct IncidentList {
    /// `freezeframe-incidents/1`.
    pub schema: String,
    /// Newest first.
    pub incidents: Vec<IncidentSummary>,
}

/// An incident as a line of a list; the fields mean the same as in [`IncidentView`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct IncidentSummary {
    /// `INC-42`.
    pub id: String,
    /// How it was noticed.
    pub kind: String,
    /// What became of the process.
    pub state: String,
    /// What broke in one sentence.
    pub sentence: String,
    /// The error's own words.
    pub message: String,
    /// 32 hexadecimal digits.
    pub fingerprint: String,
    /// Where.
    pub site: SiteShape,
    /// Name of the service.
    pub service: String,
    /// `shop/2`.
    pub instance: String,
    /// Hexadecimal.
    pub build_id: String,
    /// RFC 3339.
    pub captured_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// Occurrences.
    pub count: u64,
    /// Requests lost besides the failing one.
    pub requests_lost: u32,
    /// How it is held.
    pub hold: HoldShape,
}

impl From<(&Incident, Option<&Capture>)> for IncidentView {
    fn from((incident, capture): (&Incident, Option<&Capture>)) -> Self {
        let threads = capture.map(|capture| capture.threads.as_slice()).unwrap_or_default();
        let tasks = capture.map(|capture| capture.tasks.as_slice()).unwrap_or_default();
        let source = capture.map(|capture| capture.source.as_slice()).unwrap_or_default();
        Self {
            schema: "freezeframe-incident/1".to_owned(),
            id: incident.id.to_string(),
            kind: incident.kind.to_string(),
            state: incident.state.to_string(),
            sentence: incident.sentence(),
            message: incident.message.clone(),
            fingerprint: incident.fingerprint.to_string(),
            site: (&incident.site).into(),
            service: incident.service.clone(),
            instance: instance_name(incident),
            build_id: incident.build_id.to_string(),
            captured_at: rfc3339(incident.captured_at),
            updated_at: rfc3339(incident.updated_at),
            count: incident.count,
            requests_lost: incident.requests_lost,
            timings_ms: (&incident.timings).into(),
            hold: hold_of(incident),
            threads: threads.iter().map(ThreadShape::from).collect(),
            tasks: tasks.iter().map(TaskShape::from).collect(),
            source: source.iter().map(SourceLineShape::from).collect(),
            request: (&incident.request).into(),
            journey: incident.request.journey.iter().map(ExchangeShape::from).collect(),
            logs: incident.logs.iter().map(LogShape::from).collect(),
            not_captured: losses(incident, capture).map(LossShape::from).collect(),
        }
    }
}

impl From<&[Incident]> for IncidentList {
    fn from(incidents: &[Incident]) -> Self {
        Self {
            schema: "freezeframe-incidents/1".to_owned(),
            incidents: incidents.iter().map(IncidentSummary::from).collect(),
        }
    }
}

impl From<&Incident> for IncidentSummary {
    fn from(incident: &Incident) -> Self {
        Self {
            id: incident.id.to_string(),
            kind: incident.kind.to_string(),
            state: incident.state.to_string(),
            sentence: incident.sentence(),
            message: incident.message.clone(),
            fingerprint: incident.fingerprint.to_string(),
            site: (&incident.site).into(),
            service: incident.service.clone(),
            instance: instance_name(incident),
            build_id: incident.build_id.to_string(),
            captured_at: rfc3339(incident.captured_at),
            updated_at: rfc3339(incident.updated_at),
            count: incident.count,
            requests_lost: incident.requests_lost,
            hold: hold_of(incident),
        }
    }
}

impl From<&Site> for SiteShape {
    fn from(site: &Site) -> Self {
        Self { function: site.function.clone(), file: site.file.clone(), line: site.line }
    }
}

impl From<&Timings> for TimingsMs {
    fn from(timings: &Timings) -> Self {
        // Below 2^53 µs (285 years) the conversion is exact.
        let ms = |us: Option<u64>| us.map(|us| us as f64 / 1000.0);
        Self {
            stopped: ms(timings.stopped_us),
            fingerprinted: ms(timings.fingerprinted_us),
            unrouted: ms(timings.unrouted_us),
            replaced: ms(timings.replaced_us),
            resumed: ms(timings.resumed_us),
            captured: ms(timings.captured_us),
            held: ms(timings.held_us),
            stored: ms(timings.stored_us),
        }
    }
}

impl From<&Loss> for LossShape {
    fn from(loss: &Loss) -> Self {
        Self { what: loss.what.clone(), why: loss.why.clone() }
    }
}

impl From<&SourceLine> for SourceLineShape {
    fn from(line: &SourceLine) -> Self {
        Self { line: line.number, text: line.text.clone() }
    }
}

/// `shop/2`.
fn instance_name(incident: &Incident) -> String {
    format!("{}/{}", incident.service, incident.instance)
}

/// Once nothing is held any more, the process id and the lease mean nothing and are left out.
fn hold_of(incident: &Incident) -> HoldShape {
    let HoldFacts { strength, network, pid, lease_until, .. } = &incident.hold;
    let live = incident.state.is_live();
    HoldShape {
        strength: match strength {
            HoldStrength::None => "none",
            HoldStrength::Frozen => "frozen",
            HoldStrength::Stopped => "stopped",
        }
        .to_owned(),
        network: network.to_string(),
        description: incident.hold.describe(),
        pid: Some(*pid).filter(|pid| live && *pid > 0),
        lease_until: Some(*lease_until).filter(|at| live && *at != Timestamp::default()).map(rfc3339),
    }
}
