//! Asking for a password: on the terminal, where nobody sees it, or from standard input.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::{CommandError, Kind};

/// A line of standard input is cut here.
const BYTES_MAX: u64 = 4096;

/// A new password for somebody: twice on a terminal, once from a pipe.
pub(super) fn read_new(name: &str) -> Result<String, CommandError> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    let first = ask(&format!("Password for {name}: "))?;
    let second = ask("The same again: ")?;
    if first == second {
        return Ok(first);
    }
    Err(CommandError::new(Kind::Usage, "the two passwords are not the same"))
}

fn ask(question: &str) -> Result<String, CommandError> {
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question}")?;
    terminal.flush()?;
    let unseen = Unseen::begin()?;
    let line = read_line();
    drop(unseen);
    writeln!(terminal)?;
    line
}

fn read_line() -> Result<String, CommandError> {
    let mut line = String::new();
    io::stdin().lock().take(BYTES_MAX).read_line(&mut line)?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(CommandError::new(Kind::Usage, "no password was given")
            .hint("type it, or give it as the first line of standard input"));
    }
    Ok(password.to_owned())
}

/// While it lives, the terminal does not show what is typed.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &unseen)?;
        Ok(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Nothing more can be done about a terminal that has gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}
