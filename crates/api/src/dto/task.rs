//! Asynchronous tasks.

use freezeframe_model::{Task, TaskState};
use serde::{Deserialize, Serialize};

use super::{FrameShape, SiteShape};

/// One asynchronous task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct TaskShape {
    /// The runtime's id of it; null where it keeps none.
    pub id: Option<u64>,
    /// The outermost `async` function or block, else the type of its future.
    pub name: String,
    /// `running`, `scheduled`, `idle`, `cancelled`, `complete`.
    pub state: String,
    /// Where it was spawned; null where the runtime does not keep that.
    pub spawned_at: Option<SiteShape>,
    /// The innermost future, or alternatives; null where nothing is waited for.
    pub waits_for: Option<String>,
    /// The thread that is polling it.
    pub thread: Option<i32>,
    /// Innermost first; of a waiting task each at the line where it waits.
    pub frames: Vec<FrameShape>,
}

impl From<&Task> for TaskShape {
    fn from(task: &Task) -> Self {
        Self { frames: task.frames.iter().map(FrameShape::from).collect(), ..Self::bare(task) }
    }
}

impl TaskShape {
    /// Without its stack.
    pub(crate) fn bare(task: &Task) -> Self {
        Self {
            id: task.id,
            name: task.name.clone(),
            state: match task.state {
                TaskState::Running => "running",
                TaskState::Scheduled => "scheduled",
                TaskState::Idle => "idle",
                TaskState::Cancelled => "cancelled",
                TaskState::Complete => "complete",
            }
            .to_owned(),
            spawned_at: task.spawned_at.as_ref().map(SiteShape::from),
            waits_for: task.waits_for.clone(),
            thread: task.thread,
            frames: Vec::new(),
        }
    }
}
