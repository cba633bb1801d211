//! Asking for values: what is asked, what comes back, and where in an expression an error is.

use freezeframe_model::{EvaluateError, IncidentId, Obstacle, Question};
use serde::{Deserialize, Serialize};

use super::VariableShape;
use crate::Inspected;

/// Body of `POST …/inspect` and `POST …/reveal`. What is missing has the default that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default, deny_unknown_fields)]
pub struct InspectBody {
    /// The kernel's id of the thread; the failing one.
    pub thread: Option<i32>,
    /// Number of the frame; of the failing thread that of the site, of others 0.
    pub frame: Option<usize>,
    /// What is asked for, for example `order.items[3].price`.
    pub expression: String,
    /// The first element or field to show; 0.
    pub offset: usize,
    /// Elements and fields of one value; 100, at most 10,000.
    pub limit: Option<usize>,
    /// Pointers and structures that are followed inwards; 3, at most 16.
    pub depth: Option<usize>,
    /// Bytes of one text; 64 KiB, at most 256 KiB.
    pub text_bytes: Option<usize>,
    /// Why a redacted value is looked at, for the audit log; only for `reveal`.
    pub reason: String,
}

/// A value that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ValueAnswer {
    /// `freezeframe-value/1`.
    pub schema: String,
    /// Of which incident.
    pub incident: String,
    /// What was asked for.
    pub expression: String,
    /// The kernel's id of the thread.
    pub thread: i32,
    /// Number of the frame.
    pub frame: usize,
    /// The function that it stands in.
    pub function: String,
    /// `process`: read from the held process just now; `capture`: as it was captured.
    pub source: String,
    /// What is to be known besides.
    pub note: Option<String>,
    /// The value.
    pub value: VariableShape,
}

/// The part of an expression that an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ExpressionShape {
    /// `syntax`, `not_found`, `not_captured`, `redacted`, `unavailable`, `unfit`, `arithmetic`, `limit`.
    pub obstacle: String,
    /// Where the part begins, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What is wrong.
    pub what: String,
    /// Why, or what to do about it.
    pub why: String,
    /// What is there instead, nearest names first.
    pub instead: Vec<String>,
}

impl ValueAnswer {
    /// The shape of what a question came to.
    pub fn new(incident: IncidentId, question: &Question, inspected: &Inspected) -> Self {
        Self {
            schema: "freezeframe-value/1".to_owned(),
            incident: incident.to_string(),
            expression: question.expression.clone(),
            thread: question.thread,
            frame: question.frame,
            function: inspected.function.clone(),
            source: if inspected.is_live { "process" } else { "capture" }.to_owned(),
            note: inspected.note.clone(),
            value: VariableShape::from(&inspected.value),
        }
    }
}

impl From<&EvaluateError> for ExpressionShape {
    fn from(error: &EvaluateError) -> Self {
        Self {
            obstacle: error.obstacle.as_str().to_owned(),
            start: error.span.start,
            end: error.span.end,
            what: error.what.clone(),
            why: error.why.clone(),
            instead: error.instead.clone(),
        }
    }
}

impl ExpressionShape {
    /// The error that this is the shape of; one of a kind that this version does not know is `None`.
    pub fn error(&self) -> Option<EvaluateError> {
        let obstacle: Obstacle = serde_json::from_value(self.obstacle.clone().into()).ok()?;
        let error = EvaluateError::new(obstacle, self.start..self.end, &self.what);
        Some(EvaluateError { why: self.why.clone(), instead: self.instead.clone(), ..error })
    }
}
