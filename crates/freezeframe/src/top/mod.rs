//! The fleet page in the terminal: am I still losing users, how long do requests take, what is held and for how long.
//!
//! [`source`] asks the daemon, in a thread of its own, so that a slow answer does not make a key wait. [`screen`] is what is shown and
//! what a key does to it, without any input or output. [`view`] draws it. [`terminal`] gives the terminal back, whatever happens.
//! No single key changes anything: extending a hold is asked again, releasing and killing are commands of their own.

mod heat;
mod paint;
mod screen;
mod source;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use freezeframe_model::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event};
use ratatui::layout::Rect;

use screen::{Next, Screen};
use source::{Ask, Told};
pub(crate) use source::{Fleet, Source};
use terminal::Terminal;

use crate::error::CommandError;

/// How long a key may wait for its effect, and a signal for the end.
const TICK: Duration = Duration::from_millis(100);
/// Questions to the daemon, and its answers, that wait.
const WAITING_MAX: usize = 16;
/// Lines of one page on paper.
const ONCE_LINES_MAX: u16 = 400;

/// The page as plain text, as long as it needs to be.
pub(crate) fn once(fleet: Fleet, width: usize) -> String {
    let width = u16::try_from(width).unwrap_or(u16::MAX).clamp(40, 400);
    let rows = fleet.answer.instances.len() + fleet.incidents.len();
    let height = u16::try_from(rows + 20).unwrap_or(u16::MAX).min(ONCE_LINES_MAX);
    let mut screen = Screen::new(false);
    screen.told(Told::Fleet(Box::new(fleet)));
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view::fleet_on_paper(&screen, area, &mut buffer, Timestamp::now());
    plain(&buffer)
}

/// What a buffer shows, without colours.
fn plain(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content.chunks(width).map(|row| {
        let text: String = row.iter().map(|cell| cell.symbol()).collect();
        text.trim_end().to_owned()
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    format!("{}\n", text.trim_end())
}

/// Shows the page until it is left; the exit code.
pub(crate) fn watch(source: Source, color: bool) -> Result<i32, CommandError> {
    // What cannot be had at all is said in plain words before the terminal is taken.
    let first = source.fleet()?;
    let signals = terminal::signals()?;
    let mut screen = Screen::new(color);
    screen.told(Told::Fleet(Box::new(first)));
    let (asks, asked) = sync_channel(WAITING_MAX);
    let (tell, told) = sync_channel(WAITING_MAX);
    std::thread::Builder::new().name("top".to_owned()).spawn(move || source.answer(&asked, &tell))?;
    let mut terminal = Terminal::take()?;
    loop {
        terminal.draw(|frame| view::draw(&screen, frame.area(), frame.buffer_mut(), Timestamp::now()))?;
        if let Ok(signal) = signals.try_recv() {
            return Ok(128 + signal);
        }
        if event::poll(TICK)?
            && let Some(code) = on_event(&mut screen, &event::read()?, terminal.size()?, &asks)
        {
            return Ok(code);
        }
        take(&mut screen, &told);
    }
}

fn on_event(
    screen: &mut Screen,
    event: &Event,
    (width, height): (u16, u16),
    asks: &SyncSender<Ask>,
) -> Option<i32> {
    let Event::Key(key) = event else { return None };
    if !key.is_press() {
        return None;
    }
    let ask = match screen.key(key.code, key.modifiers, usize::from(height)) {
        Next::Quit => return Some(0),
        Next::Nothing => return None,
        Next::Show(id) => Ask::Page(id, usize::from(width)),
        Next::Extend(id) => Ask::Extend(id),
    };
    if asks.try_send(ask).is_err() {
        screen.told(Told::Trouble("the daemon is slow to answer; that key was left out".to_owned()));
    }
    None
}

fn take(screen: &mut Screen, told: &Receiver<Told>) {
    loop {
        match told.try_recv() {
            Ok(news) => screen.told(news),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                return screen.told(Told::Trouble("the thread that asks the daemon has ended".to_owned()));
            }
        }
    }
}
