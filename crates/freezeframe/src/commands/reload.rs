//! `reload`: the configuration read again, checked first, with a word about everything that changes.

use freezeframe_api::dto::ReloadAnswer;

use super::DataDirectory;
use crate::client::Client;
use crate::error::CommandError;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataDirectory,
    #[command(flatten)]
    how: How,
}

/// What is the same for a daemon and for a gate alone.
#[derive(clap::Args, Clone, Copy)]
pub(super) struct How {
    /// Check and compare, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl How {
    /// Path and query of the request.
    pub(super) fn path(self) -> String {
        format!("/api/v1/gate/reload?dry_run={}", self.dry_run)
    }

    pub(super) fn show(self, answer: &ReloadAnswer) -> Result<i32, CommandError> {
        if self.json { super::print_json(answer) } else { super::print(&text(answer)) }
    }
}

/// `freezeframe reload`
pub(crate) fn run(arguments: &Arguments) -> Result<i32, CommandError> {
    let answer = Client::new(&arguments.data.data_dir).reload(&arguments.how.path())?;
    arguments.how.show(&answer)
}

fn text(answer: &ReloadAnswer) -> String {
    let mut text = String::new();
    for change in &answer.changes {
        let when = if change.at_next_start { " (at the next start)" } else { "" };
        text += &format!("{}{when}\n", change.what);
    }
    text + match (answer.dry_run, answer.changes.is_empty()) {
        (_, true) => "the configuration is the same\n",
        (true, false) => "nothing was changed: this is what a reload would do\n",
        (false, false) => "the configuration is read again\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use freezeframe_api::Change;

    #[test]
    fn what_changes_is_told_and_when() {
        let change = |what: &str, at_next_start| Change { what: what.to_owned(), at_next_start };
        let changes = vec![change("route \"pay\" is new", false), change("gate.workers 2 -> 3", true)];
        expect![[r#"
            route "pay" is new
            gate.workers 2 -> 3 (at the next start)
            nothing was changed: this is what a reload would do
        "#]]
        .assert_eq(&text(&ReloadAnswer::new(true, changes.clone())));
        assert!(text(&ReloadAnswer::new(false, changes)).ends_with("\nthe configuration is read again\n"));
        assert_eq!(text(&ReloadAnswer::new(false, Vec::new())), "the configuration is the same\n");
    }
}
