//! What each request does. To add one: a line in [`Session::dispatch`], and one in `Capabilities` where the protocol asks for it.

use freezeframe_model::{IncidentId, Obstacle};
use serde_json::{Value, json};

use super::console::{self, Line};
use super::protocol::{
    AttachArguments, BreakpointsArguments, Capabilities, EvaluateArguments, Evaluated,
    ExceptionInfoArguments, InitializeArguments, ModulesArguments, Request, Scope, ScopesArguments,
    SourceArguments, StackTraceArguments, VariablesArguments,
};
use super::session::{Outcome, Refusal, Session, Waiting, Want};
use super::sources::{self, Sources};
use super::stacks::{FrameAt, Opened};
use super::text::{line, lines, short};
use super::values::{self, Node, Parts};
use crate::control::{ControlError, Inspected, Known};
use crate::words::{self, StackPart};
use freezeframe_model::VariableRole::{Argument, Local};

/// Longest expression, in bytes; the language's own limit is lower.
const EXPRESSION_MAX: usize = 8 << 10;
/// Frames in the text of an exception.
const TRACE_MAX: usize = 50;
/// Lines of a value on the clipboard, and of a revealed one.
const TREE_MAX: usize = 2000;
const MESSAGE_MAX: usize = 2000;

type Answer = Result<Value, Refusal>;

impl Session {
    pub(super) fn dispatch(&mut self, mut request: Request) -> Result<Outcome, Refusal> {
        let command = request.command.clone();
        let body = match command.as_str() {
            "initialize" => self.initialize(&read(&mut request)?)?,
            "attach" | "launch" => return self.attach(read(&mut request)?),
            "disconnect" => {
                self.over = true;
                json!({})
            }
            _ if self.opened.is_none() => {
                return Err(Refusal::new(format!("`{}` comes after `attach`", short(&command, 40))));
            }
            "configurationDone" | "setExceptionBreakpoints" => json!({}),
            "threads" => json!({ "threads": self.looked_at()?.threads() }),
            "stackTrace" => self.stack_trace(&read(&mut request)?)?,
            "scopes" => self.scopes(&read(&mut request)?)?,
            "variables" => return self.variables(&read(&mut request)?),
            "evaluate" => return self.evaluate(read(&mut request)?),
            "exceptionInfo" => self.exception_info(&read(&mut request)?)?,
            "source" => self.source(&read(&mut request)?)?,
            "loadedSources" => {
                let opened = self.opened.as_ref().ok_or_else(not_attached)?;
                json!({ "sources": self.sources.all(&opened.capture) })
            }
            "modules" => {
                let wanted: ModulesArguments = read(&mut request)?;
                let opened = self.looked_at()?;
                let modules = opened.modules(wanted.start_module, wanted.module_count);
                json!({ "modules": modules, "totalModules": opened.capture.modules.len() })
            }
            "setBreakpoints"
            | "setFunctionBreakpoints"
            | "setInstructionBreakpoints"
            | "setDataBreakpoints" => self.breakpoints(&read(&mut request)?)?,
            "continue" | "next" | "stepIn" | "stepOut" | "stepBack" | "reverseContinue" | "goto"
            | "pause" | "restart" | "restartFrame" | "terminate" | "terminateThreads" | "setVariable"
            | "setExpression" | "writeMemory" => {
                return Err(Refusal::shown(self.looked_at()?.refusal()));
            }
            other => return Err(Refusal::new(format!("`{}` is not supported", short(other, 40)))),
        };
        Ok(Outcome::Body(body))
    }

    fn looked_at(&self) -> Result<&Opened, Refusal> {
        self.opened.as_ref().ok_or_else(not_attached)
    }

    fn initialize(&mut self, client: &InitializeArguments) -> Answer {
        if self.initialized {
            return Err(Refusal::new("`initialize` comes once"));
        }
        if client.path_format != "path" {
            return Err(Refusal::shown("only paths are supported, no URIs: `pathFormat` must be `path`"));
        }
        self.initialized = true;
        // A client that counts lines and columns differently does not exist.
        self.first_line = i64::from(client.lines_start_at1 && client.columns_start_at1);
        self.nodes.paging = client.supports_variable_paging;
        body(&Capabilities {
            supports_configuration_done_request: true,
            supports_evaluate_for_hovers: true,
            supports_exception_info_request: true,
            supports_delayed_stack_trace_loading: true,
            supports_loaded_sources_request: true,
            supports_modules_request: true,
            supports_clipboard_context: true,
        })
    }

    fn attach(&mut self, asked: AttachArguments) -> Result<Outcome, Refusal> {
        if !self.initialized {
            return Err(Refusal::new("`initialize` comes first"));
        }
        if self.opened.is_some() {
            return Err(Refusal::new("this session looks at an incident already"));
        }
        if self.terms.secret.as_ref().is_some_and(|secret| !is_same(secret, &asked.secret)) {
            self.over = true;
            return Err(Refusal::shown("`secret` must be what `freezeframe dap --listen` printed"));
        }
        let named = asked.incident.as_deref().map(str::parse::<IncidentId>).transpose();
        let named = named.map_err(|error| Refusal::shown(error.to_string()))?;
        Ok(Outcome::Later(Want::Open(named), Waiting::Open(asked)))
    }

    pub(super) fn open(&mut self, asked: AttachArguments, opened: Result<Known, ControlError>) -> Answer {
        let (incident, capture) = opened.map_err(|error| Refusal::shown(error.to_string()))?;
        let Some(capture) = capture else {
            let why = match incident.state.is_live() {
                true => "its capture is not finished; try again in a moment".to_owned(),
                false => {
                    let losses = words::losses(&incident, None);
                    let losses: Vec<_> = losses.map(|loss| format!("{}: {}", loss.what, loss.why)).collect();
                    short(&losses.join("; "), MESSAGE_MAX)
                }
            };
            return Err(Refusal::shown(format!("nothing was captured of {}: {why}", incident.id)));
        };
        let roots = asked.source_roots.into_iter().chain(self.terms.roots.iter().cloned()).collect();
        self.sources = Sources::new(self.terms.files, roots, asked.source_map);
        self.opened = Some(Opened::new(incident, capture));
        Ok(json!({}))
    }

    fn stack_trace(&mut self, wanted: &StackTraceArguments) -> Answer {
        let Self { opened, sources, .. } = self;
        let opened = opened.as_ref().ok_or_else(not_attached)?;
        let (number, thread) = opened.thread(wanted.thread_id).ok_or_else(|| no_thread(wanted.thread_id))?;
        let source = |frame: &freezeframe_model::Frame| sources.of(&opened.capture, &frame.file, frame.kind);
        let frames = opened.stack(number, thread, wanted.start_frame, wanted.levels, source, self.first_line);
        Ok(json!({ "stackFrames": frames, "totalFrames": thread.frames.len() }))
    }

    fn scopes(&mut self, wanted: &ScopesArguments) -> Answer {
        let Self { opened, nodes, .. } = self;
        let opened = opened.as_ref().ok_or_else(not_attached)?;
        let at = opened.frame_at(wanted.frame_id).ok_or_else(|| no_frame(wanted.frame_id))?;
        let frame = opened.frame(at).ok_or_else(|| no_frame(wanted.frame_id))?;
        let count = |of: fn(bool) -> bool| {
            frame.variables.iter().filter(|variable| of(variable.role == Argument)).count()
        };
        let (arguments, locals) = (count(|is_argument| is_argument), count(|is_argument| !is_argument));
        let mut scope = |name, presentation_hint, role, named_variables| Scope {
            name,
            presentation_hint,
            variables_reference: nodes.open(Node::Scope(at, role)),
            named_variables,
            expensive: false,
        };
        let mut scopes = Vec::new();
        if arguments > 0 {
            scopes.push(scope("Arguments", "arguments", Argument, arguments));
        }
        scopes.push(scope("Locals", "locals", Local, locals));
        Ok(json!({ "scopes": scopes }))
    }

    fn variables(&mut self, wanted: &VariablesArguments) -> Result<Outcome, Refusal> {
        let Self { opened, nodes, .. } = self;
        let opened = opened.as_ref().ok_or_else(not_attached)?;
        let unknown = || Refusal::new("this value was opened too long ago, or never: open its parent again");
        let node = nodes.get(wanted.variables_reference).ok_or_else(unknown)?;
        let at = match &node {
            Node::Scope(at, _) | Node::Captured { at, .. } | Node::Asked { at, .. } => *at,
        };
        let frame = opened.frame(at).ok_or_else(unknown)?;
        match nodes.parts(&node, frame, wanted).ok_or_else(unknown)? {
            Parts::Here(variables) => Ok(Outcome::Body(json!({ "variables": variables }))),
            Parts::Ask { at, path, offset, limit } => {
                let question = values::question(opened.kernel_thread(at), at.frame, &path, offset, limit);
                let want = Want::Value(opened.incident.id, question);
                Ok(Outcome::Later(want, Waiting::Parts { at, path, offset, wanted: wanted.clone() }))
            }
        }
    }

    pub(super) fn parts(
        &mut self,
        at: FrameAt,
        path: &str,
        offset: usize,
        wanted: &VariablesArguments,
        inspected: Result<Inspected, ControlError>,
    ) -> Answer {
        let Inspected { value, note, .. } = inspected.map_err(|error| Refusal::new(error.to_string()))?;
        self.remark(note.as_deref());
        Ok(json!({ "variables": self.nodes.answered(at, path, offset, wanted, &value) }))
    }

    fn evaluate(&mut self, asked: EvaluateArguments) -> Result<Outcome, Refusal> {
        let opened = self.looked_at()?;
        if asked.expression.len() > EXPRESSION_MAX {
            return Err(Refusal::new(format!("the expression is longer than {EXPRESSION_MAX} bytes")));
        }
        let at = match asked.frame_id {
            Some(id) => opened.frame_at(id).ok_or_else(|| no_frame(id))?,
            None => opened.site(),
        };
        let thread = opened.kernel_thread(at);
        let ask = |expression: &str| values::question(thread, at.frame, expression, 0, 100);
        let typed = match asked.context.as_str() {
            "repl" => Line::parse(&asked.expression),
            _ => Line::Expression(&asked.expression),
        };
        let text = |text: &str| Ok(Outcome::Body(json!({ "result": text, "variablesReference": 0 })));
        match typed {
            Line::Help => text(console::HELP),
            Line::RevealWithout => Err(Refusal::new(console::REVEAL_USAGE)),
            Line::Reveal { path, reason } => {
                let question = freezeframe_model::Question { reveal: true, depth: 3, ..ask(path) };
                let want = Want::Reveal(opened.incident.id, question, reason.to_owned());
                Ok(Outcome::Later(want, Waiting::Reveal { path: path.to_owned() }))
            }
            Line::Expression(expression) => {
                let want = Want::Value(opened.incident.id, ask(expression));
                let expression = expression.to_owned();
                let asked = EvaluateArguments { expression, ..asked };
                Ok(Outcome::Later(want, Waiting::Evaluate { at, asked }))
            }
        }
    }

    pub(super) fn evaluated(
        &mut self,
        at: FrameAt,
        asked: &EvaluateArguments,
        inspected: Result<Inspected, ControlError>,
    ) -> Answer {
        let Inspected { value, note, .. } = inspected.map_err(|error| no_value(&error, asked))?;
        self.remark(note.as_deref());
        let result = match asked.context.as_str() {
            "clipboard" => all_of(&value),
            "repl" => lines(&values::whole(&value)).into_owned(),
            _ => values::value_line(&value),
        };
        let (variables_reference, named_variables, indexed_variables) =
            self.nodes.opened(at, &asked.expression, &value);
        let type_name = line(&value.type_name).into_owned();
        body(&Evaluated { result, type_name, variables_reference, named_variables, indexed_variables })
    }

    pub(super) fn revealed(&mut self, path: &str, inspected: Result<Inspected, ControlError>) -> Answer {
        let asked = EvaluateArguments { expression: path.to_owned(), ..EvaluateArguments::default() };
        let asked = EvaluateArguments { context: "repl".to_owned(), ..asked };
        let Inspected { value, note, .. } = inspected.map_err(|error| no_value(&error, &asked))?;
        self.remark(note.as_deref());
        // As text alone: nothing that could be opened again stays behind.
        Ok(json!({ "result": all_of(&value), "type": line(&value.type_name), "variablesReference": 0 }))
    }

    fn exception_info(&self, wanted: &ExceptionInfoArguments) -> Answer {
        let opened = self.looked_at()?;
        let (_, thread) = opened.thread(wanted.thread_id).ok_or_else(|| no_thread(wanted.thread_id))?;
        if !thread.failing {
            return Err(Refusal::new("the error happened on another thread"));
        }
        let incident = &opened.incident;
        let message =
            if incident.message.is_empty() { incident.sentence() } else { incident.message.clone() };
        let own = words::stack_parts(&thread.frames).into_iter().filter_map(|part| match part {
            StackPart::Own(_, frame) => Some(format!(
                "{} ({})",
                short(&frame.function, MESSAGE_MAX),
                line(&words::place(&frame.file, frame.line))
            )),
            StackPart::Library(..) => None,
        });
        let trace: Vec<String> = own.take(TRACE_MAX).collect();
        let (kind, message) = (incident.kind.to_string(), short(&message, MESSAGE_MAX));
        let details = json!({ "message": message, "typeName": kind, "stackTrace": trace.join("\n") });
        Ok(json!({ "exceptionId": kind, "description": message, "breakMode": "always", "details": details }))
    }

    fn source(&self, wanted: &SourceArguments) -> Answer {
        let reference =
            wanted.source.as_ref().map_or(wanted.source_reference, |source| source.source_reference);
        let content = sources::kept(&self.looked_at()?.capture, reference);
        let content = content.ok_or_else(|| Refusal::new("the incident keeps no lines of this file"))?;
        Ok(json!({ "content": content }))
    }

    /// Editors send them unasked: they are answered one by one, as not set.
    fn breakpoints(&self, wanted: &BreakpointsArguments) -> Answer {
        let one = json!({ "verified": false, "message": self.looked_at()?.refusal() });
        Ok(json!({ "breakpoints": vec![one; wanted.breakpoints.len()] }))
    }
}

impl Opened {
    /// Why nothing moves, and what to do instead.
    fn refusal(&self) -> String {
        let id = self.incident.id;
        match self.incident.state.is_live() {
            true => format!(
                "{id} is held and only looked at here: nothing of it runs. `freezeframe attach {id}` opens gdb or lldb on it, \
                 `freezeframe release {id}` lets it go on, `freezeframe kill {id}` ends it"
            ),
            false => format!("{id} is what was captured of a process: there is nothing that could run"),
        }
    }
}

fn read<T: serde::de::DeserializeOwned + Default>(request: &mut Request) -> Result<T, Refusal> {
    request.arguments().map_err(|error| Refusal::new(format!("the arguments are not as specified: {error}")))
}

fn body(shape: &impl serde::Serialize) -> Answer {
    serde_json::to_value(shape).map_err(|error| Refusal::new(error.to_string()))
}

fn not_attached() -> Refusal {
    Refusal::new("nothing is attached to")
}

fn no_thread(id: i64) -> Refusal {
    Refusal::new(format!("there is no thread {id}"))
}

fn no_frame(id: i64) -> Refusal {
    Refusal::new(format!("there is no frame {id}"))
}

/// In a console with marks below the place that is meant; elsewhere on one line.
fn no_value(error: &ControlError, asked: &EvaluateArguments) -> Refusal {
    let ControlError::Expression(expression) = error else { return Refusal::new(error.to_string()) };
    let mut message = match asked.context.as_str() {
        "repl" => expression.explain(&asked.expression),
        _ => expression.sentence(),
    };
    if expression.obstacle == Obstacle::Redacted && asked.context == "repl" {
        message += &format!("\n{}", console::REVEAL_USAGE);
    }
    Refusal::new(message)
}

fn all_of(value: &freezeframe_model::Variable) -> String {
    let mut text = String::new();
    if value.children.is_empty() {
        text = values::whole(value);
    } else {
        values::tree(value, 0, &mut { TREE_MAX }, &mut text);
    }
    lines(&text).into_owned()
}

/// In a time that says nothing about how much of it is right.
fn is_same(secret: &str, given: &str) -> bool {
    let difference = secret.bytes().zip(given.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0 && secret.len() == given.len()
}
