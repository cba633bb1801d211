//! `completions` and `man`: what shells and manuals know of the commands, made from their definition. Numbers of incidents are
//! completed from the store.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::{CommandFactory, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use freezeframe_store::Store;

use crate::error::CommandError;
use crate::render::clean_to;

const NAME: &str = "freezeframe";
/// Shells ask by this variable. Not `COMPLETE`, as is usual: nobody sets this one for something else.
const VARIABLE: &str = "FREEZEFRAME_COMPLETE";
/// Incidents that are offered.
const INCIDENTS_MAX: usize = 50;
/// Characters of what stands beside one.
const WHAT_MAX: usize = 80;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(clap::Args)]
pub(crate) struct CompletionsArguments {
    /// For which shell.
    shell: Shell,
}

#[derive(clap::Args)]
pub(crate) struct ManArguments {
    /// Write a page for every command into this directory, instead of the first page to standard output.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// The script that has a shell ask this program.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<i32, CommandError> {
    let mut script = Vec::new();
    let shell: &dyn EnvCompleter = match arguments.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    super::print(&String::from_utf8_lossy(&script))
}

/// Answers where a shell asks, and then ends the process; to be called before anything else.
pub(crate) fn complete() {
    clap_complete::CompleteEnv::with_factory(super::Arguments::command).var(VARIABLE).bin(NAME).complete();
}

/// A manual page in roff, or all of them.
pub(crate) fn man(arguments: &ManArguments) -> Result<i32, CommandError> {
    let command = super::Arguments::command();
    if let Some(directory) = &arguments.output {
        std::fs::create_dir_all(directory)?;
        clap_mangen::generate_to(command, directory)?;
        return super::print(&directory.display().to_string());
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    super::print(&String::from_utf8_lossy(&page))
}

/// Offers the newest incidents of the data directory that the words before name, or that is used without any.
pub(crate) fn incidents() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let begun = begun.to_string_lossy().to_ascii_uppercase();
        let store = Store::open_read_only(&data_directory(std::env::args().collect()));
        let incidents = store.and_then(|store| store.list(INCIDENTS_MAX)).unwrap_or_default();
        let fitting = incidents.iter().filter(|incident| incident.id.to_string().starts_with(&begun));
        fitting
            .map(|incident| {
                let what = format!("{}, {}", incident.state, incident.sentence());
                CompletionCandidate::new(incident.id.to_string())
                    .help(Some(clean_to(&what, WHAT_MAX).into_owned().into()))
            })
            .collect()
    })
}

fn data_directory(words: Vec<String>) -> PathBuf {
    let after = words.iter().position(|word| word == "--data-dir").and_then(|at| words.get(at + 1));
    let beside = || words.iter().find_map(|word| word.strip_prefix("--data-dir="));
    let named = after.map(String::as_str).or_else(beside).map(PathBuf::from);
    named
        .or_else(|| std::env::var_os("FREEZEFRAME_DATA_DIR").map(PathBuf::from))
        .unwrap_or_else(|| super::DATA_DIRECTORY.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(of: &str) -> String {
        let mut command = crate::commands::Arguments::command();
        command.build();
        let found = command.find_subcommand(of).unwrap_or_else(|| panic!("no command {of}"));
        let mut page = Vec::new();
        clap_mangen::Man::new(found.clone()).render(&mut page).expect("rendered");
        String::from_utf8(page).expect("text")
    }

    #[test]
    fn the_definition_of_the_commands_is_sound() {
        crate::commands::Arguments::command().debug_assert();
    }

    #[test]
    fn manuals_name_options_and_hide_what_is_hidden() {
        let page = page("show");
        assert!(page.contains("freezeframe\\-show") && page.contains("\\-\\-expand"), "{page}");
        let directory = tempfile::tempdir().expect("a temporary directory");
        man(&ManArguments { output: Some(directory.path().join("man1")) }).expect("written");
        let names = std::fs::read_dir(directory.path().join("man1")).expect("a directory");
        let names: Vec<_> =
            names.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        for name in ["freezeframe.1", "freezeframe-show.1", "freezeframe-gate-status.1"] {
            assert!(names.iter().any(|other| other == name), "{name} is not among {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("shim")), "{names:?}");
    }

    #[test]
    fn the_data_directory_is_that_of_the_words_before() {
        let of = |line: &str| data_directory(line.split(' ').map(str::to_owned).collect());
        assert_eq!(of("freezeframe -- freezeframe show --data-dir /a INC"), PathBuf::from("/a"));
        assert_eq!(of("freezeframe -- freezeframe show --data-dir=/b INC"), PathBuf::from("/b"));
    }
}
