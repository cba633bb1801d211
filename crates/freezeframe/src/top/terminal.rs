//! Taking the terminal and giving it back: at the end, after an error, in a panic and on a signal.

use std::io::{self, Stdout, stdout};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use tokio::signal::unix::{SignalKind, signal};

/// How long after a signal the page may take to leave by itself.
const LAST_FRAME: Duration = Duration::from_secs(1);

/// The terminal while it is ours.
pub(super) struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<Stdout>>,
}

impl Terminal {
    pub(super) fn take() -> io::Result<Self> {
        let before = std::panic::take_hook();
        // The words of a panic are of use only where they can be read.
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enable_raw_mode()?;
        let taken = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| ratatui::Terminal::new(CrosstermBackend::new(stdout())));
        match taken {
            Ok(inner) => Ok(Self { inner }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.inner.draw(draw).map(|_| ())
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.inner.size().map(|size| (size.width, size.height))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// May be done twice.
fn give_back() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
}

/// The numbers of the signals that ask for the end. Without this they would end us with the terminal still taken.
pub(super) fn signals() -> io::Result<Receiver<i32>> {
    let (send, received) = sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut hangup, mut terminate, mut interrupt) = runtime.block_on(async {
        io::Result::Ok((
            signal(SignalKind::hangup())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ))
    })?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = hangup.recv() => libc::SIGHUP,
                _ = terminate.recv() => libc::SIGTERM,
                _ = interrupt.recv() => libc::SIGINT,
            }
        });
        let _ = send.send(number);
        // Where the terminal itself is gone, waiting for keys never ends: whoever is not at an end by then is ended here.
        std::thread::sleep(LAST_FRAME);
        give_back();
        std::process::exit(128 + number);
    })?;
    Ok(received)
}
