//! Answering questions about the held process, one at a time, in a thread of its own: the main thread goes on meanwhile.
//!
//! The registers are read once and stay right while the process stands still; what was learnt of its files and stacks is kept
//! for as long as the hold lasts. Answers are bounded in time and size, and waiting questions in number.
//!
//! Where no shim can be asked (it has just died, or is of an earlier version), the daemon uses the same code by [`ask_once`].

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use freezeframe_debuginfo::{Bounds, Inspection, Options};
use freezeframe_model::{Answer, Question, Value, Variable, chain};
use freezeframe_redact::Redactor;
use freezeframe_runtime::{Examined, Held};

use crate::files::{Directory, Fetcher};
use crate::link::Link;
use crate::protocol::{NoAnswer, Report};

/// Questions that wait; more are refused.
pub const QUESTIONS_MAX: usize = 8;
/// Time for one answer.
const TIME: Duration = Duration::from_secs(2);
/// Names, types and texts of one answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of one text.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// What a value costs besides its texts.
const VALUE_BYTES: usize = 100;

/// The thread that answers; it ends after its present question when this is dropped.
pub(crate) struct Inspector {
    questions: SyncSender<(u64, Question)>,
}

impl Inspector {
    /// Begins to answer questions about this process.
    pub(crate) fn begin(examined: Examined, redactor: Redactor, link: Link) -> io::Result<Self> {
        let (questions, received) = sync_channel(QUESTIONS_MAX);
        std::thread::Builder::new()
            .name("inspect".to_owned())
            .spawn(move || answer_all(&examined, &redactor, &received, &link))?;
        Ok(Self { questions })
    }

    /// Never waits; the answer goes to the daemon.
    pub(crate) fn ask(&self, number: u64, question: Question) -> Result<(), NoAnswer> {
        self.questions.try_send((number, question)).map_err(|error| match error {
            TrySendError::Full(_) => NoAnswer::Busy,
            TrySendError::Disconnected(_) => NoAnswer::Failed("nothing answers any more".to_owned()),
        })
    }
}

fn answer_all(examined: &Examined, redactor: &Redactor, questions: &Receiver<(u64, Question)>, link: &Link) {
    let options = options();
    let mut inspection = examined.inspection(&options);
    for (number, question) in questions {
        let answered =
            std::panic::catch_unwind(AssertUnwindSafe(|| answer(&inspection, redactor, &question)));
        let result = answered.unwrap_or_else(|_| {
            // What it had learnt may be half written.
            inspection = examined.inspection(&options);
            Err(NoAnswer::Failed("reading failed: a defect of Freezeframe".to_owned()))
        });
        link.send(Report::Inspected { number, result: Box::new(result) });
    }
}

/// Answers one question about the process that this instance's files call held. To be called from a thread that ends soon
/// afterwards: whatever it still traces is let go of with it.
///
/// # Errors
/// [`NoAnswer`], also where nothing is held.
pub fn ask_once(directory: &Directory, question: &Question, fetcher: &Fetcher) -> Result<Answer, NoAnswer> {
    let failed = |error: io::Error| NoAnswer::Failed(chain(error));
    let spec = directory.spec().map_err(failed)?;
    let state = directory.state().map_err(failed)?;
    let record = state.held.ok_or_else(|| NoAnswer::Failed("nothing is held".to_owned()))?;
    let redactor = Redactor::new(&spec.redaction()).map_err(|error| NoAnswer::Failed(chain(error)))?;
    let examined = Held::new(record.facts).examine(&spec.debug_files(fetcher)).map_err(failed)?;
    let options = options();
    let inspection = examined.inspection(&options);
    std::panic::catch_unwind(AssertUnwindSafe(|| answer(&inspection, &redactor, question)))
        .unwrap_or_else(|_| Err(NoAnswer::Failed("reading failed: a defect of Freezeframe".to_owned())))
}

fn options() -> Options {
    Options { time: TIME, ..Options::default() }
}

fn answer(inspection: &Inspection<'_>, redactor: &Redactor, question: &Question) -> Result<Answer, NoAnswer> {
    let bounds = Bounds {
        depth: question.depth,
        breadth: question.limit,
        offset: question.offset,
        text_bytes: question.text_bytes.min(TEXT_BYTES_MAX),
    };
    let redactor = (!question.reveal).then_some(redactor);
    let Question { thread, frame, expression, .. } = question;
    let function = inspection.function(*thread, *frame).map_err(NoAnswer::Expression)?;
    let value =
        inspection.evaluate(*thread, *frame, expression, bounds, redactor).map_err(NoAnswer::Expression)?;
    Ok(Answer { value: within(value, &mut { ANSWER_BYTES_MAX }), function })
}

/// The value without what goes beyond the limit; each such place is marked.
fn within(mut variable: Variable, left: &mut usize) -> Variable {
    const WHY: &str = "the answer would be larger than 1 MiB; ask for a part of it";
    let mut take = |bytes: usize| {
        let fits = bytes <= *left;
        *left = left.saturating_sub(bytes);
        fits
    };
    take(VALUE_BYTES + variable.name.len() + variable.type_name.len());
    if let Value::Text(text) = &variable.value
        && !take(text.len())
    {
        variable.value = Value::Cut(WHY.to_owned());
    }
    for child in std::mem::take(&mut variable.children) {
        if *left < VALUE_BYTES {
            let value = Value::Cut(WHY.to_owned());
            variable.children.push(Variable { name: "…".to_owned(), value, ..Variable::default() });
            break;
        }
        variable.children.push(within(child, left));
    }
    variable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, bytes: usize) -> Variable {
        Variable { name: name.to_owned(), value: Value::Text("x".repeat(bytes)), ..Variable::default() }
    }

    #[test]
    fn what_does_not_fit_is_marked_and_the_rest_stays() {
        let children = vec![text("a", 10), text("b", 5000), text("c", 10), text("d", 10)];
        let whole =
            Variable { name: "v".to_owned(), value: Value::Composite, children, ..Variable::default() };
        assert_eq!(within(whole.clone(), &mut { ANSWER_BYTES_MAX }), whole);
        let short = within(whole, &mut { 1000 });
        let shown: Vec<(&str, bool)> =
            short.children.iter().map(|it| (it.name.as_str(), matches!(it.value, Value::Cut(_)))).collect();
        assert_eq!(shown, [("a", false), ("b", true), ("…", true)]);
    }

    #[test]
    fn questions_beyond_the_limit_are_refused_at_once() {
        let (questions, received) = sync_channel(QUESTIONS_MAX);
        let inspector = Inspector { questions };
        for number in 0..QUESTIONS_MAX as u64 {
            assert_eq!(inspector.ask(number, Question::default()), Ok(()));
        }
        assert_eq!(inspector.ask(9, Question::default()), Err(NoAnswer::Busy));
        drop(received);
        assert!(matches!(inspector.ask(10, Question::default()), Err(NoAnswer::Failed(_))));
    }

    #[test]
    fn nothing_is_answered_where_nothing_is_held() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let directory = Directory::at(data.path());
        assert!(matches!(ask_once(&directory, &Question::default(), &|_| None), Err(NoAnswer::Failed(_))));
    }
}
