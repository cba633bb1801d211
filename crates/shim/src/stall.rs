//! What a stall is about: threads that wait for each other in a circle.

use std::collections::HashMap;

use freezeframe_model::{Capture, FrameKind, Site, Thread};

/// The circle in words, and the place where one of its threads waits; `None` where no circle is known.
pub(crate) fn explain(capture: &Capture) -> Option<(String, Site)> {
    let threads: HashMap<i32, &Thread> = capture.threads.iter().map(|thread| (thread.id, thread)).collect();
    let owner = |thread: &Thread| threads.get(&thread.blocked_on.as_ref()?.owner?).copied();
    let circle = capture.threads.iter().find_map(|first| {
        let mut circle = vec![first];
        let mut next = owner(first)?;
        // Every thread at most once: a circle that does not lead back to `first` is found from another one.
        while next.id != first.id {
            if circle.len() > capture.threads.len() || circle.iter().any(|thread| thread.id == next.id) {
                return None;
            }
            circle.push(next);
            next = owner(next)?;
        }
        (circle.len() > 1).then_some(circle)
    })?;
    let guessed =
        circle.iter().any(|thread| thread.blocked_on.as_ref().is_some_and(|blocked| blocked.guessed));
    let names: Vec<String> = circle.iter().map(|thread| format!("{} ({})", thread.name, thread.id)).collect();
    let how = if guessed { "deadlock, probably" } else { "deadlock" };
    let site = circle.iter().find_map(|thread| site(thread)).unwrap_or_default();
    Some((format!("{how}: {} wait for each other's locks", names.join(" and ")), site))
}

/// Where a thread waits, in the user's words.
fn site(thread: &Thread) -> Option<Site> {
    let frame = thread.frames.iter().find(|frame| frame.kind == FrameKind::User)?;
    Some(Site { function: frame.function.clone(), file: frame.file.clone(), line: frame.line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezeframe_model::{BlockedOn, Frame};

    fn thread(id: i32, owner: Option<i32>) -> Thread {
        let blocked_on = owner.map(|owner| BlockedOn {
            kind: "futex".to_owned(),
            address: 1,
            owner: Some(owner),
            guessed: true,
        });
        let frame = Frame { function: format!("shop::f{id}"), ..Frame::default() };
        Thread { id, name: "worker".to_owned(), blocked_on, frames: vec![frame], ..Thread::default() }
    }

    #[test]
    fn a_circle_is_named_and_mere_queues_are_not() {
        let threads = vec![thread(1, Some(2)), thread(2, Some(3)), thread(3, Some(2)), thread(4, None)];
        let (words, site) =
            explain(&Capture { threads, ..Capture::default() }).expect("2 and 3 wait for each other");
        assert_eq!(words, "deadlock, probably: worker (2) and worker (3) wait for each other's locks");
        assert_eq!(site.function, "shop::f2");
        let threads = vec![thread(1, Some(2)), thread(2, None), thread(5, Some(5)), thread(6, Some(99))];
        assert_eq!(explain(&Capture { threads, ..Capture::default() }), None);
    }
}
