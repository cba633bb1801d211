//! `eval`, and `show --expand`: values of an incident, from the held process through its daemon, and from the store where there
//! is neither any more.

use freezeframe_api::dto::{ErrorShape, InspectBody, ValueAnswer};
use freezeframe_api::{Inspected, words};
use freezeframe_model::{EvaluateError, Incident, IncidentId, Obstacle, Question, Value, Variable};

use super::{DataDirectory, WhichDaemon};
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::{captured, render};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    daemon: WhichDaemon,
    /// For example INC-42.
    #[arg(add = super::completions::incidents())]
    id: IncidentId,
    /// For example `order.items[3].price * 2`.
    expression: String,
    #[command(flatten)]
    place: PlaceArguments,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// With what is redacted. Who looked, and at what, is written into the audit log before it is shown.
    #[arg(long)]
    reveal: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", requires = "reveal", default_value = "", hide_default_value = true)]
    reason: String,
}

/// Where a value is, and which part of it is wanted.
#[derive(clap::Args)]
pub(crate) struct PlaceArguments {
    /// Thread in which to look [default: the failing one].
    #[arg(long, value_name = "ID")]
    thread: Option<i32>,
    /// Number of the frame [default: that of the site; of other threads the innermost].
    #[arg(long, value_name = "NUMBER")]
    frame: Option<usize>,
    /// First element or field to show.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    offset: usize,
    /// How many of them.
    #[arg(long, default_value_t = LIMIT, value_name = "NUMBER")]
    limit: usize,
}

const LIMIT: usize = 100;

impl PlaceArguments {
    /// Whether any of them was.
    pub(super) fn is_given(&self) -> bool {
        self.thread.is_some() || self.frame.is_some() || (self.offset, self.limit) != (0, LIMIT)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32, CommandError> {
    let Arguments { daemon, id, expression, place, json, reveal, reason } = arguments;
    let asked = Asked { daemon, id: *id, expression, place, json: *json };
    asked.answer(reveal.then_some(reason))
}

/// A question from the command line.
pub(super) struct Asked<'a> {
    pub(super) daemon: &'a WhichDaemon,
    pub(super) id: IncidentId,
    pub(super) expression: &'a str,
    pub(super) place: &'a PlaceArguments,
    pub(super) json: bool,
}

impl Asked<'_> {
    /// Prints the value. `reveal` is the reason for looking behind redactions.
    pub(super) fn answer(&self, reveal: Option<&String>) -> Result<i32, CommandError> {
        let body = self.body(reveal);
        let answer = match self.daemon.remote()? {
            Some(client) => client.inspect(self.id, &body, reveal.is_some())?,
            None => value_of(&self.daemon.data, self.id, &body, reveal.is_some())?,
        };
        self.print(&answer)
    }

    fn body(&self, reveal: Option<&String>) -> InspectBody {
        InspectBody {
            thread: self.place.thread,
            frame: self.place.frame,
            expression: self.expression.to_owned(),
            offset: self.place.offset,
            limit: Some(self.place.limit),
            reason: reveal.cloned().unwrap_or_default(),
            ..InspectBody::default()
        }
    }

    fn print(&self, answer: &ValueAnswer) -> Result<i32, CommandError> {
        if self.json {
            return super::print_json(answer);
        }
        if let Some(note) = &answer.note {
            super::say(&format!("note: {note}"));
        }
        let question = Question {
            expression: answer.expression.clone(),
            offset: self.place.offset,
            ..Question::default()
        };
        let question = Some(&question).filter(|_| answer.source == "process");
        super::print(&render::variable(&variable(&answer.value), question, super::style()))
    }
}

/// The value: of the held process where its daemon answers, else what was captured of it.
pub(crate) fn value_of(
    data: &DataDirectory,
    id: IncidentId,
    body: &InspectBody,
    reveal: bool,
) -> Result<ValueAnswer, CommandError> {
    let store = data.store()?;
    let client = Client::new(&data.data_dir);
    let incident = store.incident(id)?;
    let may_be_held = incident.as_ref().is_none_or(|incident| incident.state.is_live());
    if may_be_held && (incident.is_none() || reveal || client.is_answered()) {
        let asked = client.inspect(id, body, reveal);
        return match (&asked, &incident) {
            // Nobody else knows of it either.
            (Err(_), None) if !client.is_answered() => Err(super::show::not_found(id)),
            _ => asked,
        };
    }
    let Some(incident) = incident else { return Err(super::show::not_found(id)) };
    let gone = why_not_asked(&incident);
    if reveal {
        let why = format!("{gone}; what is redacted is stored nowhere");
        return Err(CommandError::failed(why));
    }
    let capture = store.capture(id)?;
    let (thread, frame) = words::default_frame(&incident, capture.as_ref(), body.thread, body.frame);
    let question = Question {
        thread,
        frame,
        expression: body.expression.clone(),
        offset: body.offset,
        limit: body.limit.unwrap_or(LIMIT),
        ..Question::default()
    };
    let inspected: Inspected = captured::answer(capture.as_ref(), &question, &gone)
        .map_err(|error| no_value(&error, &body.expression))?;
    Ok(ValueAnswer::new(id, &question, &inspected))
}

/// Why an incident's process cannot be asked, where no daemon answers for it.
pub(super) fn why_not_asked(incident: &Incident) -> String {
    match incident.state {
        state if state.is_live() => "no daemon answers, so the held process cannot be asked".to_owned(),
        state => format!("{} is not held any more: it is {state}", incident.id),
    }
}

/// The value as the model has it, so that it is written like all others.
pub(super) fn variable(shape: &freezeframe_api::dto::VariableShape) -> Variable {
    let why = shape.unavailable.clone().unwrap_or_default();
    let value = match (&shape.value, why.strip_prefix("redacted: "), why.strip_prefix("left out: ")) {
        (Some(text), ..) => Value::Text(text.clone()),
        (None, Some(why), _) => Value::Redacted(why.to_owned()),
        (None, None, Some(why)) => Value::Cut(why.to_owned()),
        (None, None, None) if why.is_empty() => Value::Composite,
        (None, None, None) => Value::Unavailable(why),
    };
    Variable {
        name: shape.name.clone(),
        type_name: shape.type_name.clone(),
        value,
        children: shape.children.iter().map(variable).collect(),
        ..Variable::default()
    }
}

/// An expression that has no value, with marks below the place that is meant.
pub(super) fn no_value(error: &EvaluateError, expression: &str) -> CommandError {
    let kind = match error.obstacle {
        Obstacle::Syntax => Kind::Usage,
        Obstacle::NotFound | Obstacle::NotCaptured => Kind::NotFound,
        Obstacle::Redacted => Kind::Denied,
        Obstacle::Limit => Kind::TimedOut,
        Obstacle::Unavailable | Obstacle::Unfit | Obstacle::Arithmetic => Kind::Failed,
    };
    CommandError::new(kind, error.explain(expression))
}

/// What the daemon says of an expression that has no value; `None` where its error is another one.
pub(crate) fn no_value_of(shape: &ErrorShape, expression: &str) -> Option<CommandError> {
    let error = shape.expression.as_ref()?.error()?;
    let command = no_value(&error, expression);
    Some(shape.hints.iter().fold(command, CommandError::hint))
}
