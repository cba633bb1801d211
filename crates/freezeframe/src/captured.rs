//! Answers from what was captured, where the process itself cannot be asked any more: for the daemon and the command line.

use freezeframe_api::Inspected;
use freezeframe_debuginfo::evaluate_captured;
use freezeframe_model::{Capture, EvaluateError, Obstacle, Question, Value, Variable};

/// What the capture knows; `gone` says why the process is not asked.
///
/// # Errors
/// [`Obstacle::NotCaptured`] where the answer, or the part of it that is wanted, is not in the capture.
pub(crate) fn answer(
    capture: Option<&Capture>,
    question: &Question,
    gone: &str,
) -> Result<Inspected, EvaluateError> {
    let Question { thread, frame, expression, .. } = question;
    let not_captured = |what: String| {
        let error = EvaluateError::new(Obstacle::NotCaptured, 0..expression.len(), what);
        EvaluateError { why: gone.to_owned(), ..error }
    };
    let capture = capture.ok_or_else(|| not_captured("nothing was captured".to_owned()))?;
    let value = evaluate_captured(capture, *thread, *frame, expression).map_err(|error| {
        let is_missing = error.obstacle == Obstacle::NotCaptured;
        EvaluateError { why: if is_missing { gone.to_owned() } else { error.why }, ..error }
    })?;
    if let Value::Cut(why) = &value.value {
        return Err(not_captured(format!("this was left out of the capture ({why})")));
    }
    let value = page(value, question).map_err(not_captured)?;
    let found = capture.threads.iter().find(|found| found.id == *thread);
    let function = found.and_then(|found| found.frames.get(*frame)).map(|frame| frame.function.clone());
    let note = Some(gone.to_owned()).filter(|gone| !gone.is_empty());
    Ok(Inspected { value, function: function.unwrap_or_default(), is_live: false, note })
}

/// The parts that are asked for; the error says that they are not there.
fn page(mut value: Variable, question: &Question) -> Result<Variable, String> {
    let is_rest = |child: &Variable| child.name == "…" && matches!(child.value, Value::Cut(_));
    let (rest, mut parts): (Vec<_>, Vec<_>) = value.children.into_iter().partition(is_rest);
    if question.offset > 0 && question.offset >= parts.len() && !rest.is_empty() {
        return Err(format!("only the first {} parts were captured", parts.len()));
    }
    parts.drain(..question.offset.min(parts.len()));
    if let Some(more) = parts.len().checked_sub(question.limit).filter(|more| *more > 0) {
        parts.truncate(question.limit);
        let value = Value::Cut(format!("{more} more"));
        parts.push(Variable { name: "…".to_owned(), value, ..Variable::default() });
    } else {
        parts.extend(rest);
    }
    value.children = parts;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezeframe_model::{Frame, Thread};

    fn capture() -> Capture {
        let text = |name: &str| Variable {
            name: name.to_owned(),
            value: Value::Text(name.to_owned()),
            ..Variable::default()
        };
        let cut = |name: &str| Variable { value: Value::Cut("2 more".to_owned()), ..text(name) };
        let children = vec![text("[0]"), text("[1]"), text("[2]"), cut("…")];
        let list = Variable { children, value: Value::Composite, ..text("list") };
        let frame =
            Frame { function: "f".to_owned(), variables: vec![list, cut("deep")], ..Frame::default() };
        Capture {
            threads: vec![Thread { id: 7, failing: true, frames: vec![frame], ..Thread::default() }],
            ..Capture::default()
        }
    }

    fn shown(expression: &str, offset: usize, limit: usize) -> Result<Vec<String>, (Obstacle, String)> {
        let expression = expression.to_owned();
        let question = Question { thread: 7, expression, offset, limit, ..Question::default() };
        let answered = answer(Some(&capture()), &question, "it was killed");
        let inspected = answered.map_err(|error| (error.obstacle, error.sentence()))?;
        assert_eq!((inspected.function.as_str(), inspected.is_live), ("f", false));
        Ok(inspected.value.children.into_iter().map(|child| child.name).collect())
    }

    #[test]
    fn parts_are_paged_and_what_is_missing_is_said() {
        assert_eq!(shown("list", 0, 100), Ok(["[0]", "[1]", "[2]", "…"].map(str::to_owned).to_vec()));
        assert_eq!(shown("list", 1, 1), Ok(["[1]", "…"].map(str::to_owned).to_vec()));
        let missing = |what: &str| Err((Obstacle::NotCaptured, format!("{what}: it was killed")));
        assert_eq!(shown("list", 3, 100), missing("only the first 3 parts were captured"));
        assert_eq!(shown("deep", 0, 100), missing("this was left out of the capture (2 more)"));
        assert!(matches!(shown("nothing", 0, 100), Err((Obstacle::NotCaptured | Obstacle::NotFound, _))));
    }
}
