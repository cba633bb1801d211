//! One piece of evidence, a page at a time.

use freezeframe_model::{InFlight, Module, RequestMatch, Thread};
use serde::{Deserialize, Serialize};

use super::request::matched_by;
use super::thread::thread_state;
use super::{BlockedOnShape, ExchangeShape, LogShape, LossShape, TaskShape};
use crate::words::{self, rfc3339};

/// A page of a section: `freezeframe-section/1`. Which kind of items it has is told by `name`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SectionPage {
    /// `freezeframe-section/1`.
    pub schema: String,
    /// Of which incident.
    pub incident: String,
    /// For people: `Logs`.
    pub title: String,
    /// Items that the filter lets through.
    pub total: usize,
    /// The first of them on this page, counted from 0.
    pub offset: usize,
    /// At most so many are on it.
    pub limit: usize,
    /// Name and items.
    #[serde(flatten)]
    pub items: SectionItems,
}

/// The items of a section, by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "name", content = "items", rename_all = "snake_case")]
pub enum SectionItems {
    /// Everything that is known to have happened, in the order of time.
    Timeline(Vec<MomentShape>),
    /// The last lines that the instance wrote, oldest first.
    Logs(Vec<LogShape>),
    /// The failing request, what else was in flight, and what the same user did before.
    Request(Vec<RequestLine>),
    /// Threads, without their frames.
    Threads(Vec<ThreadLine>),
    /// Asynchronous tasks; without variables, which `inspect` reads.
    Tasks(Vec<TaskShape>),
    /// Milestones after the trap.
    Timings(Vec<MilestoneShape>),
    /// Executable and shared objects of the stacks.
    Modules(Vec<ModuleShape>),
    /// What is missing and why.
    NotCaptured(Vec<LossShape>),
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct MomentShape {
    /// When: RFC 3339 with milliseconds.
    pub at: String,
    /// `journey`, `request`, `log`, `trap`, `stopped`, `unrouted`, `replaced`, `resumed`, `captured`, `held`, `stored`, `alert`, `action`, `note`, `state`.
    pub kind: String,
    /// What happened, in a few words.
    pub text: String,
    /// Who did it, where a person did.
    pub who: Option<String>,
    /// Whether it is something that went wrong.
    pub is_bad: bool,
}

/// A request around the error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct RequestLine {
    /// `failing`, `in_flight`, `journey`.
    pub role: String,
    /// How the failing one was recognised: `span`, `only_one`, `memory`, `last_after_drain`, `unknown`; null for the others.
    pub matched_by: Option<String>,
    /// The request. Of one that was under way, status, duration and outcome are empty.
    pub exchange: ExchangeShape,
}

/// A thread in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ThreadLine {
    /// The kernel's thread id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Whether the error happened on it.
    pub failing: bool,
    /// `running`, `sleeping`, `blocked`, `dead`.
    pub state: String,
    /// The system call it was in.
    pub syscall: Option<String>,
    /// The lock it waits for.
    pub blocked_on: Option<BlockedOnShape>,
    /// What it was doing, in words.
    pub activity: String,
    /// Frames that it has.
    pub frames: usize,
    /// The innermost frame of the user's own code, else the innermost: function.
    pub function: String,
    /// And its place: `src/pricing.rs:118`; empty where unknown.
    pub place: String,
}

/// A milestone after the trap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct MilestoneShape {
    /// `stopped`, `fingerprinted`, `unrouted`, `replaced`, `resumed`, `captured`, `held`, `stored`.
    pub name: String,
    /// For people.
    pub title: String,
    /// Milliseconds after the trap.
    pub after_ms: f64,
}

/// A mapped file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ModuleShape {
    /// Path as the process sees it.
    pub path: String,
    /// Its build id, hexadecimal; empty where the file has none.
    pub build_id: String,
    /// `full`, `line tables only`, `symbols only`, `none`.
    pub debug_info: String,
}

impl RequestLine {
    /// One that is over.
    pub(crate) fn of_journey(exchange: &freezeframe_model::Exchange) -> Self {
        Self { role: "journey".to_owned(), matched_by: None, exchange: exchange.into() }
    }

    /// One that was under way; the failing one where it is said how that was recognised.
    pub(crate) fn under_way(request: &InFlight, matched: Option<RequestMatch>) -> Self {
        let role = if matched.is_some() { "failing" } else { "in_flight" };
        Self {
            role: role.to_owned(),
            matched_by: matched.map(|matched| matched_by(matched).to_owned()),
            exchange: ExchangeShape {
                at: rfc3339(request.started_at),
                method: request.method.clone(),
                path: request.path.clone(),
                traceparent: request.traceparent.clone(),
                ..ExchangeShape::default()
            },
        }
    }
}

impl From<&Thread> for ThreadLine {
    fn from(thread: &Thread) -> Self {
        let own = thread.frames.iter().find(|frame| frame.kind == freezeframe_model::FrameKind::User);
        let shown = own.or(thread.frames.first());
        Self {
            id: thread.id,
            name: thread.name.clone(),
            failing: thread.failing,
            state: thread_state(thread.state).to_owned(),
            syscall: thread.syscall.clone(),
            blocked_on: thread.blocked_on.as_ref().map(BlockedOnShape::from),
            activity: words::thread_activity(thread),
            frames: thread.frames.len(),
            function: shown.map(|frame| frame.function.clone()).unwrap_or_default(),
            place: shown.map(|frame| words::place(&frame.file, frame.line)).unwrap_or_default(),
        }
    }
}

impl From<&Module> for ModuleShape {
    fn from(module: &Module) -> Self {
        Self {
            path: module.path.clone(),
            build_id: module.build_id.to_string(),
            debug_info: module.debug_info.clone(),
        }
    }
}
