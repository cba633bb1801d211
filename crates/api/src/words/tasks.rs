//! Asynchronous tasks in words, and those that do the same put together: a server has thousands, in a handful of places.

use std::collections::HashMap;

use freezeframe_model::{Frame, FrameKind, Task, TaskState};

use super::counted;

/// Tasks in the same state with the same stack.
#[derive(Debug, PartialEq)]
pub struct TaskGroup<'a> {
    /// The one that stands for all: their variables differ, their stacks do not.
    pub first: &'a Task,
    /// In the order of the capture.
    pub others: Vec<&'a Task>,
}

impl TaskGroup<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.others.len().saturating_add(1)
    }
}

/// A word for what a task was doing.
pub fn task_state(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "running",
        TaskState::Scheduled => "scheduled",
        TaskState::Idle => "waiting",
        TaskState::Cancelled => "cancelled",
        TaskState::Complete => "complete",
    }
}

/// Tasks by what they do: those that run first, then the largest groups.
pub fn task_groups(tasks: &[Task]) -> Vec<TaskGroup<'_>> {
    let place = |frame: &Frame| (frame.function.clone(), frame.file.clone(), frame.line);
    let mut groups: Vec<TaskGroup<'_>> = Vec::new();
    let mut known = HashMap::new();
    for task in tasks {
        let stack: Vec<_> = task.frames.iter().map(place).collect();
        let key = (task.state, task.name.as_str(), task.waits_for.as_deref(), task.thread, stack);
        let group = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.others.push(task),
            None => groups.push(TaskGroup { first: task, others: Vec::new() }),
        }
    }
    groups.sort_by_key(|group| (group.first.state != TaskState::Running, std::cmp::Reverse(group.count())));
    groups
}

/// `12: 1 running, 11 waiting`.
pub fn task_counts(tasks: &[Task]) -> String {
    let states = [
        TaskState::Running,
        TaskState::Scheduled,
        TaskState::Idle,
        TaskState::Cancelled,
        TaskState::Complete,
    ];
    let counts = states.into_iter().filter_map(|state| {
        let count = tasks.iter().filter(|task| task.state == state).count();
        (count > 0).then(|| format!("{count} {}", task_state(state)))
    });
    format!("{}: {}", tasks.len(), counts.collect::<Vec<_>>().join(", "))
}

/// What a task does in a few words: `waiting for tokio::time::sleep::Sleep`, `running on thread 4123`.
pub fn task_activity(task: &Task) -> String {
    let state = task_state(task.state);
    match (&task.waits_for, task.thread) {
        (_, Some(thread)) => format!("{state} on thread {thread}"),
        (Some(what), None) if task.state == TaskState::Idle => format!("{state} for {what}"),
        (Some(what), None) => format!("{state}, last for {what}"),
        (None, None) => state.to_owned(),
    }
}

/// The user's own innermost frame of a task.
pub fn task_site(task: &Task) -> Option<&Frame> {
    task.frames.iter().find(|frame| frame.kind == FrameKind::User)
}

/// `3 tasks: 14, 15, 16`, the first ones only where there are many.
pub fn task_ids(group: &TaskGroup<'_>) -> String {
    const SHOWN: usize = 8;
    let ids = group.first.id.into_iter().chain(group.others.iter().filter_map(|task| task.id));
    let ids: Vec<String> = ids.take(SHOWN).map(|id| id.to_string()).collect();
    let more = if group.count() > SHOWN { ", …" } else { "" };
    match ids.is_empty() {
        true => counted(group.count(), "task"),
        false => format!("{}: {}{more}", counted(group.count(), "task"), ids.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: u64, name: &str, line: u32, state: TaskState) -> Task {
        let frames = vec![Frame { function: name.to_owned(), line, ..Frame::default() }];
        Task { id: Some(id), name: name.to_owned(), state, frames, ..Task::default() }
    }

    #[test]
    fn tasks_with_the_same_stack_are_one_group() {
        let tasks = [
            task(1, "serve", 7, TaskState::Idle),
            task(2, "accept", 3, TaskState::Idle),
            task(3, "serve", 7, TaskState::Idle),
            task(4, "serve", 9, TaskState::Idle),
            task(5, "serve", 7, TaskState::Running),
        ];
        let groups = task_groups(&tasks);
        let ids: Vec<String> = groups.iter().map(task_ids).collect();
        assert_eq!(ids, ["1 task: 5", "2 tasks: 1, 3", "1 task: 2", "1 task: 4"]);
        assert_eq!(task_counts(&tasks), "5: 1 running, 4 waiting");
        assert!(task_groups(&[]).is_empty());
    }

    #[test]
    fn what_a_task_does() {
        let waits_for = Some("tokio::time::sleep::Sleep".to_owned());
        let mut task = Task { waits_for, ..Task::default() };
        assert_eq!(task_activity(&task), "waiting for tokio::time::sleep::Sleep");
        task.state = TaskState::Scheduled;
        assert_eq!(task_activity(&task), "scheduled, last for tokio::time::sleep::Sleep");
        task = Task { state: TaskState::Running, thread: Some(7), ..Task::default() };
        assert_eq!(task_activity(&task), "running on thread 7");
    }
}
