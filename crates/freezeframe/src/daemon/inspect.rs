//! Questions about held processes: to their shims, or where no shim can be asked answered by ourselves, with the same code.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_api::{ControlError, Inspected};
use freezeframe_model::{Answer, Incident, IncidentId, InstanceId, Question, chain};
use freezeframe_shim::files::Directory;
use freezeframe_shim::inspect::QUESTIONS_MAX;
use freezeframe_shim::protocol::{Command, NoAnswer, VERSION_OF_INSPECT};
use tokio::sync::{Semaphore, oneshot};

use super::actor::{Daemon, Message};
use super::control::Desk;
use crate::captured;

/// All questions that can wait at a shim, each with its time, and some for a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why a process gave no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nothing is held, in words.
    NotHeld(String),
    /// It was asked.
    Asked(NoAnswer),
}

type Reply = oneshot::Sender<Result<Answer, Unanswered>>;

/// A question that a shim has.
struct Waiting {
    instance: InstanceId,
    question: Question,
    reply: Reply,
}

/// Questions under way.
pub(crate) struct Questions {
    waiting: HashMap<u64, Waiting>,
    last: u64,
    /// Those that we answer by ourselves: one at a time.
    own: Arc<Semaphore>,
}

impl Default for Questions {
    fn default() -> Self {
        Self { waiting: HashMap::new(), last: 0, own: Arc::new(Semaphore::new(1)) }
    }
}

impl Daemon {
    pub(super) fn on_inspect(&mut self, id: IncidentId, question: Question, reply: Reply) {
        let instance = match self.held_instance(id) {
            Ok(instance) => instance,
            Err(error) => return drop(reply.send(Err(Unanswered::NotHeld(error.to_string())))),
        };
        let Some(known) = self.instances.get(&instance) else {
            return drop(reply.send(Err(Unanswered::NotHeld("its instance is gone".to_owned()))));
        };
        // Whoever asked some may have gone away.
        self.questions.waiting.retain(|_, waiting| !waiting.reply.is_closed());
        let waiting = self.questions.waiting.values().filter(|waiting| waiting.instance == instance).count();
        if waiting > QUESTIONS_MAX {
            return drop(reply.send(Err(Unanswered::Asked(NoAnswer::Busy))));
        }
        if known.shim_version < VERSION_OF_INSPECT {
            return self.answer_ourselves(known.directory.clone(), question, reply);
        }
        self.questions.last += 1;
        let number = self.questions.last;
        known.shim.send(Command::Inspect { incident: id, number, question: question.clone() });
        self.questions.waiting.insert(number, Waiting { instance, question, reply });
    }

    pub(super) fn on_inspected(&mut self, number: u64, result: Result<Answer, NoAnswer>) {
        if let Some(waiting) = self.questions.waiting.remove(&number) {
            let _ = waiting.reply.send(result.map_err(Unanswered::Asked));
        }
    }

    /// The shim that had these questions is gone, or does not know of them any more; what it held may still be.
    pub(super) fn take_over_questions(&mut self, instance: InstanceId, directory: &Directory) {
        let taken = self.questions.waiting.extract_if(|_, waiting| waiting.instance == instance);
        let taken: Vec<Waiting> = taken.map(|(_, waiting)| waiting).collect();
        for Waiting { question, reply, .. } in taken {
            self.answer_ourselves(directory.clone(), question, reply);
        }
    }

    /// There is nothing left to ask.
    pub(super) fn drop_questions(&mut self, instance: InstanceId, why: &str) {
        for (_, waiting) in self.questions.waiting.extract_if(|_, waiting| waiting.instance == instance) {
            let _ = waiting.reply.send(Err(Unanswered::NotHeld(why.to_owned())));
        }
    }

    fn answer_ourselves(&self, directory: Directory, question: Question, reply: Reply) {
        let own = self.questions.own.clone();
        tokio::spawn(async move {
            let Ok(_turn) = own.acquire_owned().await else { return };
            if reply.is_closed() {
                return;
            }
            let (answer, answered) = oneshot::channel();
            // A thread of its own: what it still traces at its end is let go of with it.
            let asked = std::thread::Builder::new().name("inspect".to_owned()).spawn(move || {
                let _ = answer.send(freezeframe_shim::inspect::ask_once(
                    &directory,
                    &question,
                    &crate::debuginfod::fetcher,
                ));
            });
            let result = match asked {
                Ok(_) => answered.await.unwrap_or(Err(NoAnswer::Failed("reading failed".to_owned()))),
                Err(error) => Err(NoAnswer::Failed(error.to_string())),
            };
            let _ = reply.send(result.map_err(Unanswered::Asked));
        });
    }
}

impl Desk {
    pub(super) async fn ask(
        &self,
        who: String,
        id: IncidentId,
        question: Question,
        reason: String,
    ) -> Result<Inspected, ControlError> {
        if question.reveal {
            self.record_look(who, id, &question, &reason).await?;
        }
        let (reply, replied) = oneshot::channel();
        self.mailbox.send(Message::Inspect { incident: id, question: question.clone(), reply }).await;
        let answered = tokio::time::timeout(ANSWER_LIMIT, replied).await;
        let why = match answered {
            Err(_) => {
                return Err(ControlError::TimedOut("the held process's shim does not answer".to_owned()));
            }
            Ok(Err(_)) => return Err(ControlError::Failed("the daemon is stopping".to_owned())),
            Ok(Ok(Ok(answer))) => return self.live(id, &question, answer).await,
            Ok(Ok(Err(Unanswered::Asked(NoAnswer::Expression(error))))) => {
                return Err(ControlError::Expression(error));
            }
            Ok(Ok(Err(Unanswered::Asked(NoAnswer::Busy)))) => {
                let why = "too many questions wait for this process; ask again in a moment";
                return Err(ControlError::Conflict(why.to_owned()));
            }
            Ok(Ok(Err(Unanswered::Asked(NoAnswer::Failed(why)) | Unanswered::NotHeld(why)))) => why,
        };
        if question.reveal {
            return Err(ControlError::Conflict(format!("{why}; what is redacted is stored nowhere")));
        }
        let (store, captures) = (self.store.clone(), Arc::clone(&self.captures));
        let answered = tokio::task::spawn_blocking(move || {
            let capture = captures.get(&store, id).map_err(|error| ControlError::Failed(chain(error)))?;
            captured::answer(capture.as_deref(), &question, &why).map_err(ControlError::Expression)
        });
        answered.await.map_err(|error| ControlError::Failed(error.to_string()))?
    }

    /// Durable before the value leaves, or even is read: a look that cannot be recorded does not take place.
    async fn record_look(
        &self,
        who: String,
        id: IncidentId,
        question: &Question,
        reason: &str,
    ) -> Result<(), ControlError> {
        let Question { thread, frame, expression, .. } = question;
        let reason = if reason.is_empty() { String::new() } else { format!("; reason: {reason}") };
        let detail = format!("{expression} in frame {frame} of thread {thread}{reason}");
        let store = self.store.clone();
        let recorded = tokio::task::spawn_blocking(move || store.audit(&who, "reveal", Some(id), &detail));
        let recorded = recorded.await.map_err(|error| ControlError::Failed(error.to_string()))?;
        recorded.map(|entry| self.events.audit(&entry)).map_err(|error| {
            ControlError::Failed(format!("nothing is revealed that cannot be recorded: {}", chain(error)))
        })
    }

    /// Only the failing thread stood still from the capture on.
    async fn live(
        &self,
        id: IncidentId,
        question: &Question,
        answer: Answer,
    ) -> Result<Inspected, ControlError> {
        let (store, captures) = (self.store.clone(), Arc::clone(&self.captures));
        let (thread, frame) = (question.thread, question.frame);
        let then = tokio::task::spawn_blocking(move || {
            let incident: Incident = store.incident(id).ok()??;
            if incident.hold.failing_tid == thread {
                return None;
            }
            let capture = captures.get(&store, id).ok()??;
            let found = capture.threads.iter().find(|found| found.id == thread)?;
            Some(found.frames.get(frame)?.function.clone())
        });
        let then = then.await.ok().flatten().filter(|then| *then != answer.function);
        let note = then.map(|then| {
            format!(
                "thread {thread} ran on after it was captured: its frame {frame} stood in {then}, and stands in {} now",
                answer.function
            )
        });
        Ok(Inspected { value: answer.value, function: answer.function, is_live: true, note })
    }
}
