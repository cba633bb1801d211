//! What `dap` shows: an incident of a data directory, or a file.

use std::path::Path;
use std::sync::Mutex;

use freezeframe_api::dto::{IncidentList, InspectBody};
use freezeframe_api::{ControlError, Inspected};
use freezeframe_debuginfo::{Bounds, Options};
use freezeframe_model::{Capture, Incident, IncidentId, Question};
use freezeframe_redact::Redactor;
use freezeframe_store::Store;

use super::dap::Blocking;
use super::{DataDirectory, ask, post_mortem, show, transfer};
use crate::captured;
use crate::client::Client;
use crate::error::{CommandError, Kind};

/// The store of a data directory, and its daemon while there is one.
pub(super) struct FromStore {
    pub(super) data: DataDirectory,
    /// The only incident that is shown, where it was named beforehand.
    pub(super) only: Option<IncidentId>,
}

impl Blocking for FromStore {
    fn open(&self, incident: Option<IncidentId>) -> Result<(Incident, Option<Capture>), CommandError> {
        let store = self.data.store()?;
        let found = match meant(self.only, incident)? {
            Some(id) => store.incident(id)?.ok_or_else(|| show::not_found(id))?,
            None => newest(&store)?,
        };
        let capture = store.capture(found.id)?;
        Ok((found, capture))
    }

    fn value(
        &self,
        id: IncidentId,
        question: &Question,
        reveal: Option<&str>,
    ) -> Result<Inspected, ControlError> {
        let failed = |error: CommandError| ControlError::Failed(error.parts().1.to_owned());
        let store = self.data.store().map_err(failed)?;
        let incident =
            store.incident(id).map_err(|error| failed(error.into()))?.ok_or(ControlError::NotFound)?;
        let client = Client::new(&self.data.data_dir);
        if incident.state.is_live() && client.is_answered() {
            return from_daemon(&client, id, question, reveal);
        }
        let gone = ask::why_not_asked(&incident);
        if reveal.is_some() {
            return Err(ControlError::Conflict(format!("{gone}; what is redacted is stored nowhere")));
        }
        let capture = store.capture(id).map_err(|error| failed(error.into()))?;
        captured::answer(capture.as_ref(), question, &gone).map_err(ControlError::Expression)
    }
}

/// The incident that the command or the editor names.
fn meant(only: Option<IncidentId>, asked: Option<IncidentId>) -> Result<Option<IncidentId>, CommandError> {
    match (only, asked) {
        (Some(only), Some(other)) if only != other => {
            let why = format!("this command was started for {only}, but the editor asks for {other}");
            Err(CommandError::new(Kind::Usage, why))
        }
        _ => Ok(only.or(asked)),
    }
}

/// A daemon on another machine.
pub(super) struct FromUrl {
    pub(super) client: Client,
    /// As of [`FromStore`].
    pub(super) only: Option<IncidentId>,
}

impl Blocking for FromUrl {
    fn open(&self, incident: Option<IncidentId>) -> Result<(Incident, Option<Capture>), CommandError> {
        let id = match meant(self.only, incident)? {
            Some(id) => id,
            None => {
                let list: IncidentList = self.client.get("/api/v1/incidents?limit=1000")?;
                let held = list.incidents.iter().find(|incident| incident.state == "held");
                let newest = held.or(list.incidents.first());
                let newest =
                    newest.ok_or_else(|| CommandError::new(Kind::NotFound, "there is no incident"))?;
                newest
                    .id
                    .parse()
                    .map_err(|_| CommandError::failed("the daemon's answer is not as expected"))?
            }
        };
        transfer::fetch(&self.client, id)
    }

    fn value(
        &self,
        id: IncidentId,
        question: &Question,
        reveal: Option<&str>,
    ) -> Result<Inspected, ControlError> {
        from_daemon(&self.client, id, question, reveal)
    }
}

/// The newest one that is held, else the newest.
fn newest(store: &Store) -> Result<Incident, CommandError> {
    let held = store.live()?.into_iter().max_by_key(|incident| incident.id);
    let any = || store.list(1).map(|list| list.into_iter().next());
    held.map_or_else(any, |held| Ok(Some(held)))?
        .ok_or_else(|| CommandError::new(Kind::NotFound, "there is no incident in this data directory"))
}

fn from_daemon(
    client: &Client,
    id: IncidentId,
    question: &Question,
    reveal: Option<&str>,
) -> Result<Inspected, ControlError> {
    let body = InspectBody {
        thread: Some(question.thread),
        frame: Some(question.frame),
        expression: question.expression.clone(),
        offset: question.offset,
        limit: Some(question.limit),
        depth: Some(question.depth),
        text_bytes: Some(question.text_bytes),
        reason: reveal.unwrap_or_default().to_owned(),
    };
    let answered = client.try_inspect(id, &body, reveal.is_some());
    let answer = match answered.map_err(|error| ControlError::Failed(error.parts().1.to_owned()))? {
        Ok(answer) => answer,
        Err(refused) => {
            let expression = refused.expression.and_then(|shape| shape.error());
            return Err(expression.map_or(ControlError::Failed(refused.message), ControlError::Expression));
        }
    };
    Ok(Inspected {
        value: ask::variable(&answer.value),
        function: answer.function,
        is_live: answer.source == "process",
        note: answer.note,
    })
}

/// An exported incident, or a core, of which all memory can be asked for.
pub(super) struct FromFile {
    incident: Incident,
    capture: Option<Capture>,
    core: Option<Mutex<post_mortem::PostMortem>>,
    options: Options,
}

impl FromFile {
    pub(super) fn open(path: &Path) -> Result<Self, CommandError> {
        let options = transfer::post_mortem_options();
        Ok(match post_mortem::open(path, &options)? {
            Some(core) => Self {
                incident: core.incident.clone(),
                capture: Some(core.capture.clone()),
                core: Some(Mutex::new(core)),
                options,
            },
            None => {
                let (incident, capture) = freezeframe_store::read_capsule(&mut transfer::open_file(path)?)?;
                Self { incident, capture, core: None, options }
            }
        })
    }
}

impl Blocking for FromFile {
    fn open(&self, incident: Option<IncidentId>) -> Result<(Incident, Option<Capture>), CommandError> {
        if incident.is_some_and(|incident| incident != self.incident.id) {
            let why = format!("the file is {}", crate::render::label(&self.incident));
            return Err(CommandError::new(Kind::Usage, why));
        }
        Ok((self.incident.clone(), self.capture.clone()))
    }

    fn value(
        &self,
        _: IncidentId,
        question: &Question,
        reveal: Option<&str>,
    ) -> Result<Inspected, ControlError> {
        if reveal.is_some() {
            let why = "a file is not looked into behind redactions: there is no audit log that could say so";
            return Err(ControlError::Denied(why.to_owned()));
        }
        let Some(core) = &self.core else {
            let gone = "this is an exported file";
            return captured::answer(self.capture.as_ref(), question, gone).map_err(ControlError::Expression);
        };
        let core = core.lock().map_err(|_| ControlError::Failed("reading failed".to_owned()))?;
        let Question { thread, frame, expression, offset, limit, depth, text_bytes, .. } = question;
        let bounds = Bounds { depth: *depth, breadth: *limit, offset: *offset, text_bytes: *text_bytes };
        let inspection = core.core.inspection(&self.options);
        let value = inspection
            .evaluate(*thread, *frame, expression, bounds, Some(&Redactor::default()))
            .map_err(ControlError::Expression)?;
        let function = inspection.function(*thread, *frame).map_err(ControlError::Expression)?;
        Ok(Inspected { value, function, is_live: false, note: None })
    }
}
