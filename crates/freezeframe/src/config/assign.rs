//! From a value as it was given to a value in the configuration: one kind of setting at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::Config;
use super::quantity::{parse_duration, parse_size, show_duration, show_size};

/// Items of a list or table at most.
const MAX_ITEMS: usize = 256;

/// A value as it was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    /// From the environment or a flag: text whose type the setting decides.
    Raw(String),
    /// A string of the file.
    Text(String),
    /// A whole number of the file.
    Integer(i64),
    /// A truth value of the file.
    Boolean(bool),
    /// An array of strings of the file.
    List(Vec<String>),
    /// A table of strings of the file.
    Table(BTreeMap<String, String>),
    /// Anything else, by its name.
    Other(&'static str),
}

/// Where a value lives in the configuration.
pub(super) type At<T> = fn(&mut Config) -> &mut T;
/// What a text must be, besides being text.
pub(super) type Check = fn(&str) -> Result<(), String>;

/// What kind of value a setting has, what it must be, and where it lives.
pub(super) enum Kind {
    Text(At<String>, Check),
    MaybeText(At<Option<String>>, Check),
    Texts(At<Vec<String>>),
    Table(At<BTreeMap<String, String>>),
    Address(At<SocketAddr>),
    Count(At<u32>, RangeInclusive<u32>),
    Number(At<u64>, RangeInclusive<u64>, &'static str),
    MaybeNumber(At<Option<u64>>, RangeInclusive<u64>, &'static str),
    Duration(At<u64>, RangeInclusive<u64>),
    Size(At<u64>, RangeInclusive<u64>),
    Flag(At<bool>),
    Path(At<PathBuf>),
    MaybePath(At<Option<PathBuf>>),
}

impl Kind {
    /// Checks the value and puts it into its place.
    pub(super) fn assign(&self, config: &mut Config, given: Given) -> Result<(), String> {
        match self {
            Self::Text(at, check) => *at(config) = checked(text(given)?, *check)?,
            Self::MaybeText(at, check) => *at(config) = Some(checked(text(given)?, *check)?),
            Self::Texts(at) => *at(config) = list(given)?,
            Self::Table(at) => *at(config) = table(given)?,
            Self::Address(at) => {
                let text = text(given)?;
                *at(config) = text.parse().map_err(|_| {
                    "expected an address and a port like \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned()
                })?;
            }
            Self::Count(at, range) => {
                let wide = u64::from(*range.start())..=u64::from(*range.end());
                // What lies in the range fits.
                *at(config) = u32::try_from(number(given, &wide, "")?).unwrap_or(*range.end());
            }
            Self::Number(at, range, unit) => *at(config) = number(given, range, unit)?,
            Self::MaybeNumber(at, range, unit) => *at(config) = Some(number(given, range, unit)?),
            Self::Duration(at, range) => {
                let ms = parse_duration(&text(given)?)?;
                *at(config) = within(ms, range, show_duration)?;
            }
            Self::Size(at, range) => {
                let bytes = parse_size(&text(given)?)?;
                *at(config) = within(bytes, range, show_size)?;
            }
            Self::Flag(at) => *at(config) = truth(given)?,
            Self::Path(at) => *at(config) = path(given)?,
            Self::MaybePath(at) => *at(config) = Some(path(given)?),
        }
        Ok(())
    }

    /// What its value is, for the reference page.
    pub(super) fn describe(&self) -> String {
        let range = |low: String, high: String| format!("{low} to {high}");
        match self {
            Self::Text(..) | Self::MaybeText(..) => "text".to_owned(),
            Self::Texts(_) => "list of texts".to_owned(),
            Self::Table(_) => "table of texts".to_owned(),
            Self::Address(_) => "address and port".to_owned(),
            Self::Count(_, r) => {
                format!("whole number, {}", range(r.start().to_string(), r.end().to_string()))
            }
            Self::Number(_, r, unit) | Self::MaybeNumber(_, r, unit) => {
                let range = range(r.start().to_string(), r.end().to_string());
                if unit.is_empty() { format!("whole number, {range}") } else { format!("{unit}, {range}") }
            }
            Self::Duration(_, r) => {
                format!("duration, {}", range(show_duration(*r.start()), show_duration(*r.end())))
            }
            Self::Size(_, r) => format!("size, {}", range(show_size(*r.start()), show_size(*r.end()))),
            Self::Flag(_) => "`true` or `false`".to_owned(),
            Self::Path(_) | Self::MaybePath(_) => "path".to_owned(),
        }
    }

    /// The present value as it would stand in the file; `None` where nothing is set.
    pub(super) fn show(&self, config: &mut Config) -> Option<String> {
        let quoted = |text: &str| format!("{text:?}");
        match self {
            Self::Text(at, _) => Some(&*at(config)).filter(|text| !text.is_empty()).map(|text| quoted(text)),
            Self::MaybeText(at, _) => at(config).as_deref().map(quoted),
            Self::Texts(at) => {
                Some(&*at(config)).filter(|list| !list.is_empty()).map(|list| format!("{list:?}"))
            }
            Self::Table(_) => None,
            Self::Address(at) => Some(quoted(&at(config).to_string())),
            Self::Count(at, _) => Some(at(config).to_string()),
            Self::Number(at, ..) => Some(at(config).to_string()),
            Self::MaybeNumber(at, ..) => at(config).map(|number| number.to_string()),
            Self::Duration(at, _) => Some(quoted(&show_duration(*at(config)))),
            Self::Size(at, _) => Some(quoted(&show_size(*at(config)))),
            Self::Flag(at) => Some(at(config).to_string()),
            Self::Path(at) => Some(quoted(&at(config).to_string_lossy())),
            Self::MaybePath(at) => at(config).as_ref().map(|path| quoted(&path.to_string_lossy())),
        }
    }
}

impl Given {
    fn name(&self) -> &'static str {
        match self {
            Self::Raw(_) | Self::Text(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "a truth value",
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
            Self::Other(name) => name,
        }
    }

    fn instead_of<T>(&self, expected: &str) -> Result<T, String> {
        Err(format!("expected {expected}, found {}", self.name()))
    }
}

fn checked(text: String, check: Check) -> Result<String, String> {
    check(&text)?;
    Ok(text)
}

fn text(given: Given) -> Result<String, String> {
    match given {
        Given::Raw(text) | Given::Text(text) => Ok(text),
        other => other.instead_of("a string"),
    }
}

fn path(given: Given) -> Result<PathBuf, String> {
    let text = text(given)?;
    if text.is_empty() || text.contains('\0') { Err("expected a path".to_owned()) } else { Ok(text.into()) }
}

/// In the environment, a list is written as in the file, or with commas where no item contains one.
fn list(given: Given) -> Result<Vec<String>, String> {
    let items = match given {
        Given::List(items) => items,
        Given::Raw(text) if text.trim_start().starts_with('[') => {
            #[derive(serde::Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Line {
                list: Vec<String>,
            }
            let line: Line = toml::from_str(&format!("list = {}", text.trim()))
                .map_err(|_| "expected a list like [\"a\", \"b\"]".to_owned())?;
            line.list
        }
        Given::Raw(text) => {
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        }
        other => return other.instead_of("an array of strings"),
    };
    if items.len() > MAX_ITEMS { Err(format!("expected at most {MAX_ITEMS} items")) } else { Ok(items) }
}

fn table(given: Given) -> Result<BTreeMap<String, String>, String> {
    match given {
        Given::Table(table) if table.len() > MAX_ITEMS => Err(format!("expected at most {MAX_ITEMS} items")),
        Given::Table(table) => match table.iter().find(|(name, value)| bad_variable(name, value)) {
            Some((name, _)) => {
                Err(format!("{name:?} cannot be the name of an environment variable with this value"))
            }
            None => Ok(table),
        },
        other => other.instead_of("a table of strings"),
    }
}

fn bad_variable(name: &str, value: &str) -> bool {
    name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
}

fn truth(given: Given) -> Result<bool, String> {
    match given {
        Given::Boolean(truth) => Ok(truth),
        Given::Raw(text) => match text.trim() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("expected `true` or `false`".to_owned()),
        },
        other => other.instead_of("`true` or `false`"),
    }
}

fn number(given: Given, range: &RangeInclusive<u64>, unit: &str) -> Result<u64, String> {
    let unit = if unit.is_empty() { String::new() } else { format!(" of {unit}") };
    let expected = || format!("expected a whole number{unit} from {} to {}", range.start(), range.end());
    let number = match given {
        Given::Integer(number) => u64::try_from(number).ok(),
        Given::Raw(text) => text.trim().parse().ok(),
        other => return other.instead_of(&format!("a whole number{unit}")),
    };
    number.filter(|number| range.contains(number)).ok_or_else(expected)
}

fn within(count: u64, range: &RangeInclusive<u64>, show: fn(u64) -> String) -> Result<u64, String> {
    if range.contains(&count) {
        Ok(count)
    } else {
        Err(format!("expected {:?} to {:?}", show(*range.start()), show(*range.end())))
    }
}
