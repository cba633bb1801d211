//! The shapes of the Debug Adapter Protocol that are used here, by their names in the specification
//! (<https://microsoft.github.io/debug-adapter-protocol/specification>). Fields that never have a value here are left out.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `ProtocolMessage` and `Request`.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) seq: i64,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) command: String,
    #[serde(default)]
    pub(super) arguments: Value,
}

impl Request {
    /// The arguments; what a client leaves out has its default.
    pub(super) fn arguments<T: DeserializeOwned + Default>(&mut self) -> Result<T, serde_json::Error> {
        match std::mem::take(&mut self.arguments) {
            Value::Null => Ok(T::default()),
            value => serde_json::from_value(value),
        }
    }
}

/// `InitializeRequestArguments`
#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct InitializeArguments {
    pub(super) lines_start_at1: bool,
    pub(super) columns_start_at1: bool,
    pub(super) path_format: String,
    pub(super) supports_variable_paging: bool,
}

impl Default for InitializeArguments {
    fn default() -> Self {
        let path_format = "path".to_owned();
        Self { lines_start_at1: true, columns_start_at1: true, path_format, supports_variable_paging: false }
    }
}

/// `AttachRequestArguments`: those are ours, and in `docs/editors.md`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AttachArguments {
    /// `INC-42`.
    pub(super) incident: Option<String>,
    /// Directories in which relative paths of source files are looked for.
    pub(super) source_roots: Vec<String>,
    /// Beginnings of paths as the compiler recorded them, and what stands there on the editor's machine.
    pub(super) source_map: BTreeMap<String, String>,
    /// What `freezeframe dap --listen` printed.
    pub(super) secret: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StackTraceArguments {
    pub(super) thread_id: i64,
    pub(super) start_frame: usize,
    pub(super) levels: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ScopesArguments {
    pub(super) frame_id: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VariablesArguments {
    pub(super) variables_reference: i64,
    pub(super) filter: String,
    pub(super) start: usize,
    pub(super) count: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EvaluateArguments {
    pub(super) expression: String,
    pub(super) frame_id: Option<i64>,
    pub(super) context: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ExceptionInfoArguments {
    pub(super) thread_id: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SourceArguments {
    pub(super) source: Option<SourceNamed>,
    pub(super) source_reference: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SourceNamed {
    pub(super) source_reference: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ModulesArguments {
    pub(super) start_module: usize,
    pub(super) module_count: usize,
}

/// `setBreakpoints` and its relatives: only how many there are matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BreakpointsArguments {
    pub(super) breakpoints: Vec<serde::de::IgnoredAny>,
}

/// `Capabilities`: what is missing is not there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Capabilities {
    pub(super) supports_configuration_done_request: bool,
    pub(super) supports_evaluate_for_hovers: bool,
    pub(super) supports_exception_info_request: bool,
    pub(super) supports_delayed_stack_trace_loading: bool,
    pub(super) supports_loaded_sources_request: bool,
    pub(super) supports_modules_request: bool,
    pub(super) supports_clipboard_context: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Thread {
    pub(super) id: i64,
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) path: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) source_reference: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) presentation_hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StackFrame {
    pub(super) id: i64,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Source>,
    pub(super) line: i64,
    pub(super) column: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instruction_pointer_reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) module_id: Option<u32>,
    pub(super) presentation_hint: &'static str,
    pub(super) can_restart: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope {
    pub(super) name: &'static str,
    pub(super) presentation_hint: &'static str,
    pub(super) variables_reference: i64,
    pub(super) named_variables: usize,
    pub(super) expensive: bool,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub(super) type_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evaluate_name: Option<String>,
    pub(super) variables_reference: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) named_variables: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) indexed_variables: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) presentation_hint: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Evaluated {
    pub(super) result: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub(super) type_name: String,
    pub(super) variables_reference: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) named_variables: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) indexed_variables: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Module {
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) version: String,
    pub(super) symbol_status: String,
}

fn is_zero(reference: &i64) -> bool {
    *reference == 0
}
