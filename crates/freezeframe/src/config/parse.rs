//! Reading `freezeframe.toml`: from text to settings that were each checked, or to an error that points at the place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use freezeframe_alert::ChannelConfig;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::assign::Given;
use super::error::ConfigError;
use super::gate::{CertificateEntry, RouteEntry, ServiceEntry};
use super::keys::{KEYS, Key, SECTIONS};
use super::{Config, MAX_FILE};

/// Lists of tables, each a section of its own kind.
const ENTRIES: [&str; 3] = ["gate.service", "gate.route", "gate.certificate"];
/// Alert channels at most.
const MAX_CHANNELS: usize = 32;

/// What a file says: only what it says, without defaults.
#[derive(Default)]
pub(crate) struct FileConfig {
    settings: Vec<(&'static Key, Given)>,
    alert: BTreeMap<String, ChannelConfig>,
    services: Vec<ServiceEntry>,
    routes: Vec<RouteEntry>,
    certificates: Vec<CertificateEntry>,
}

impl FileConfig {
    /// Puts what the file says over what is there.
    pub(super) fn apply(self, config: &mut Config) -> Result<(), ConfigError> {
        for (key, given) in self.settings {
            key.kind.assign(config, given).map_err(ConfigError::new)?;
        }
        config.alert.extend(self.alert);
        config.gate.services = self.services;
        config.gate.routes = self.routes;
        config.gate.certificates = self.certificates;
        Ok(())
    }
}

/// Reads a file's text. `path` is only for messages.
///
/// # Errors
/// Text that is not TOML, a key that does not exist, a value that cannot be: with its place.
pub(crate) fn parse(text: &str, path: &Path) -> Result<FileConfig, ConfigError> {
    if text.len() as u64 > MAX_FILE {
        return Err(ConfigError::new(format!("{} is larger than 1 MiB", path.display())));
    }
    let reader = Reader { text, path };
    let root = DeTable::parse(text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        reader.at(message, error.span().unwrap_or_default())
    })?;
    let mut file = FileConfig::default();
    reader.section("", root.get_ref(), &mut file)?;
    Ok(file)
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Reader<'_> {
    fn at(&self, message: impl Into<String>, span: Range<usize>) -> ConfigError {
        ConfigError::at(message, self.path, self.text, span)
    }

    /// Reads the keys of one section and goes down into the sections below it.
    fn section(&self, section: &str, table: &DeTable<'_>, file: &mut FileConfig) -> Result<(), ConfigError> {
        for (name, value) in table {
            let path = if section.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{section}.{}", name.get_ref())
            };
            if let Some(key) = Key::find(&path) {
                let given = given(value.get_ref());
                key.kind.assign(&mut Config::default(), given.clone()).map_err(|why| {
                    self.at(format!("`{}` in [{section}]: {why}", key.name()), value.span())
                })?;
                file.settings.push((key, given));
            } else if path == "alert" {
                self.channels(value, file)?;
            } else if path == "gate.service" {
                file.services = self.entries("service", value)?;
            } else if path == "gate.route" {
                file.routes = self.entries("route", value)?;
            } else if path == "gate.certificate" {
                file.certificates = self.entries("certificate", value)?;
            } else if SECTIONS.iter().any(|section| section.name == path) {
                let below = value.get_ref().as_table().ok_or_else(|| {
                    self.at(
                        format!("[{path}] is a section: expected a table, found {}", kind(value.get_ref())),
                        value.span(),
                    )
                })?;
                self.section(&path, below, file)?;
            } else {
                return Err(self.unknown(section, name, value.get_ref().is_table()));
            }
        }
        Ok(())
    }

    /// An error for a name that is neither a key nor a section here.
    fn unknown(
        &self,
        section: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        is_table: bool,
    ) -> ConfigError {
        let given: &str = name.get_ref();
        // A quoted key can contain anything, also what a terminal obeys.
        let shown = given.escape_debug();
        let mut message = match (is_table, section) {
            (true, "") => format!("unknown section [{shown}]"),
            (true, section) => format!("unknown section [{section}.{shown}]"),
            (false, "") => format!("unknown key `{shown}` outside of any section"),
            (false, section) => format!("unknown key `{shown}` in [{section}]"),
        };
        let here = KEYS.iter().filter(|key| key.section() == section).map(Key::name);
        let below =
            SECTIONS.iter().map(|known| known.name).chain(["alert"]).chain(ENTRIES).filter_map(|known| {
                let (above, last) = known.rsplit_once('.').unwrap_or(("", known));
                (above == section).then_some(last)
            });
        let elsewhere = KEYS.iter().find(|key| key.name() == given);
        if let Some(near) = nearest(given, here.chain(below)) {
            message += &format!(", did you mean `{near}`?");
        } else if let Some(key) = elsewhere {
            message += &format!(", did you mean `{given}` in [{}]?", key.section());
        }
        self.at(message, name.span())
    }

    /// `[alert.NAME]`: whatever channels there are, the alert crate knows their keys.
    fn channels(&self, alert: &Spanned<DeValue<'_>>, file: &mut FileConfig) -> Result<(), ConfigError> {
        let misplaced = "alert channels are written as [alert.NAME], each with a `type`";
        let Some(channels) = alert.get_ref().as_table() else { return Err(self.at(misplaced, alert.span())) };
        if channels.len() > MAX_CHANNELS {
            return Err(self.at(format!("more than {MAX_CHANNELS} alert channels"), alert.span()));
        }
        // The same text once more as plain values, which serde reads; it has been found to be TOML.
        let values: toml::Table =
            toml::from_str(self.text).map_err(|error| self.at(error.message(), alert.span()))?;
        for (name, channel) in channels {
            let Some(keys) = channel.get_ref().as_table() else {
                return Err(self.at(misplaced, name.span()));
            };
            let value = values.get("alert").and_then(|alert| alert.get(name.get_ref().as_ref())).cloned();
            let value = value.ok_or_else(|| self.at(misplaced, name.span()))?;
            let config = ChannelConfig::deserialize(value)
                .map_err(|error| self.channel_error(error.message(), name, keys))?;
            file.alert.insert(name.get_ref().to_string(), config);
        }
        Ok(())
    }

    /// `[[gate.NAME]]`: a list of tables that serde reads.
    fn entries<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        given: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<T>, ConfigError> {
        let misplaced = || self.at(format!("each {name} is written as [[gate.{name}]]"), given.span());
        let items = given.get_ref().as_array().ok_or_else(misplaced)?;
        // The same text once more as plain values, which serde reads; it has been found to be TOML.
        let values: toml::Table =
            toml::from_str(self.text).map_err(|error| self.at(error.message(), given.span()))?;
        let values = values.get("gate").and_then(|gate| gate.get(name)).and_then(|list| list.as_array());
        let values = values.ok_or_else(misplaced)?;
        items
            .iter()
            .zip(values)
            .map(|(item, value)| {
                let keys = item.get_ref().as_table().ok_or_else(misplaced)?;
                T::deserialize(value.clone()).map_err(|error| {
                    let message = error.message().lines().next().unwrap_or_default().to_owned();
                    let mut quoted = message.split('`').skip(1).step_by(2);
                    let named = quoted.next().unwrap_or_default();
                    let key = keys.iter().find(|(key, _)| key.get_ref() == named);
                    match (message.starts_with("unknown field"), key) {
                        (true, Some((key, _))) => {
                            let near = nearest(named, quoted).map(|near| format!(", did you mean `{near}`?"));
                            let near = near.unwrap_or_default();
                            let named = named.escape_debug();
                            self.at(format!("unknown key `{named}` in [[gate.{name}]]{near}"), key.span())
                        }
                        _ => self.at(format!("[[gate.{name}]]: {}", message.escape_debug()), item.span()),
                    }
                })
            })
            .collect()
    }

    /// Serde names the unknown key or value between backticks, and then what it expected; that leads to the place and to the nearest.
    fn channel_error(
        &self,
        message: &str,
        channel: &Spanned<std::borrow::Cow<'_, str>>,
        keys: &DeTable<'_>,
    ) -> ConfigError {
        let section = format!("[alert.{}]", channel.get_ref());
        let mut quoted = message.split('`').skip(1).step_by(2);
        let named = quoted.next().unwrap_or_default();
        let near = nearest(named, quoted).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        let message = message.lines().next().unwrap_or_default();
        if message.starts_with("unknown field") {
            let span = keys.iter().find(|(key, _)| key.get_ref() == named).map(|(key, _)| key.span());
            let message = format!("unknown key `{}` in {section}{near}", named.escape_debug());
            return self.at(message, span.unwrap_or(channel.span())).without_value();
        }
        let of_type = keys.iter().find(|(key, _)| key.get_ref() == "type").map(|(_, value)| value.span());
        match (message.starts_with("unknown variant"), of_type) {
            (true, Some(span)) => {
                self.at(format!("{section}: there is no channel of type `{named}`{near}"), span)
            }
            _ => self.at(format!("{section}: {message}"), channel.span()),
        }
    }
}

/// The known name that a person most likely meant.
fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong. Names longer than any of ours are not worth comparing.
    if given.len() > 64 {
        return None;
    }
    known
        .map(|name| (strsim::damerau_levenshtein(&given.to_ascii_lowercase(), name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Boolean(truth) => Given::Boolean(*truth),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Given::Other("a number that is too large"), Given::Integer),
        DeValue::Array(items) => {
            let texts: Option<Vec<_>> =
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            texts.map_or(Given::Other("an array with something else"), Given::List)
        }
        DeValue::Table(table) => {
            let texts: Option<BTreeMap<_, _>> = table
                .iter()
                .map(|(name, value)| Some((name.get_ref().to_string(), value.get_ref().as_str()?.to_owned())))
                .collect();
            texts.map_or(Given::Other("a table with something else"), Given::Table)
        }
        other => Given::Other(kind(other)),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
