//! What is on the screen, and what a key does to it. Nothing here reads or writes anything.

use freezeframe_api::dto::IncidentSummary;
use freezeframe_model::IncidentId;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use super::source::{Fleet, Told, is_open};
use crate::render::Line;

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Quit,
    Show(IncidentId),
    Extend(IncidentId),
}

/// What the screen shows.
pub(super) enum Mode {
    Fleet,
    /// The page of an incident, from the line `top` on.
    Incident {
        id: IncidentId,
        lines: Vec<Line>,
        top: usize,
    },
    Help,
}

/// The whole of it.
pub(super) struct Screen {
    pub(super) color: bool,
    pub(super) fleet: Option<Box<Fleet>>,
    pub(super) mode: Mode,
    /// The chosen incident: its place would become another's when a new one comes in above it.
    chosen: Option<String>,
    /// The hold that is to be extended, if that is confirmed.
    pub(super) confirm: Option<IncidentId>,
    /// What was done last.
    pub(super) message: Option<String>,
    /// Why what is shown may be old.
    pub(super) trouble: Option<String>,
}

impl Screen {
    pub(super) fn new(color: bool) -> Self {
        Self {
            color,
            fleet: None,
            mode: Mode::Fleet,
            chosen: None,
            confirm: None,
            message: None,
            trouble: None,
        }
    }

    pub(super) fn told(&mut self, told: Told) {
        match told {
            Told::Fleet(fleet) => {
                self.fleet = Some(fleet);
                self.trouble = None;
            }
            Told::Page(id, lines) => {
                let top = match self.mode {
                    Mode::Incident { id: shown, top, .. } if shown == id => top,
                    _ => 0,
                };
                self.mode = Mode::Incident { id, lines, top };
            }
            Told::Done(message) => self.message = Some(message),
            Told::Trouble(why) => self.trouble = Some(why),
        }
    }

    pub(super) fn incidents(&self) -> &[IncidentSummary] {
        self.fleet.as_ref().map(|fleet| fleet.incidents.as_slice()).unwrap_or_default()
    }

    /// The row of the chosen incident, the first where none is chosen or it is not there any more.
    pub(super) fn row(&self) -> usize {
        let is_chosen = |incident: &IncidentSummary| Some(&incident.id) == self.chosen.as_ref();
        self.incidents().iter().position(is_chosen).unwrap_or(0)
    }

    /// `height` is that of the screen.
    pub(super) fn key(&mut self, code: KeyCode, modifiers: KeyModifiers, height: usize) -> Next {
        if modifiers.contains(KeyModifiers::CONTROL) {
            return if code == KeyCode::Char('c') { Next::Quit } else { Next::Nothing };
        }
        self.message = None;
        if let Some(id) = self.confirm.take() {
            return if code == KeyCode::Char('y') { Next::Extend(id) } else { Next::Nothing };
        }
        match (&mut self.mode, code) {
            (Mode::Help, _) => self.mode = Mode::Fleet,
            (_, KeyCode::Char('?')) => self.mode = Mode::Help,
            (Mode::Incident { .. }, KeyCode::Char('q') | KeyCode::Esc | KeyCode::Backspace) => {
                self.mode = Mode::Fleet
            }
            (_, KeyCode::Char('q')) => return Next::Quit,
            (_, KeyCode::Char('e')) => self.ask_to_extend(),
            (Mode::Incident { lines, top, .. }, code) => scroll(lines.len(), top, code, height),
            (Mode::Fleet, KeyCode::Enter) => {
                return self.current().map_or(Next::Nothing, |(id, _)| Next::Show(id));
            }
            (Mode::Fleet, code) => self.choose(code),
        }
        Next::Nothing
    }

    fn choose(&mut self, code: KeyCode) {
        let last = self.incidents().len().saturating_sub(1);
        let row = match code {
            KeyCode::Char('j') | KeyCode::Down => (self.row() + 1).min(last),
            KeyCode::Char('k') | KeyCode::Up => self.row().saturating_sub(1),
            KeyCode::Char('g') | KeyCode::Home => 0,
            KeyCode::Char('G') | KeyCode::End => last,
            _ => return,
        };
        self.chosen = self.incidents().get(row).map(|incident| incident.id.clone());
    }

    fn ask_to_extend(&mut self) {
        match self.current() {
            Some((id, true)) => self.confirm = Some(id),
            Some((id, false)) => self.message = Some(format!("{id} is not held")),
            None => self.message = Some("nothing is held".to_owned()),
        }
    }

    /// The incident that keys are about, and whether its process is there.
    fn current(&self) -> Option<(IncidentId, bool)> {
        let shown = match &self.mode {
            Mode::Incident { id, .. } => {
                self.incidents().iter().find(|incident| incident.id == id.to_string())
            }
            _ => self.incidents().get(self.row()),
        };
        shown.and_then(|incident| Some((incident.id.parse().ok()?, is_open(incident))))
    }
}

/// A page keeps two lines of the one before it.
fn scroll(lines: usize, top: &mut usize, code: KeyCode, height: usize) {
    let room = height.saturating_sub(1).max(1);
    let last = lines.saturating_sub(room);
    let page = room.saturating_sub(2).max(1);
    *top = match code {
        KeyCode::Char('j') | KeyCode::Down => top.saturating_add(1),
        KeyCode::Char('k') | KeyCode::Up => top.saturating_sub(1),
        KeyCode::Char(' ') | KeyCode::PageDown => top.saturating_add(page),
        KeyCode::PageUp => top.saturating_sub(page),
        KeyCode::Char('g') | KeyCode::Home => 0,
        KeyCode::Char('G') | KeyCode::End => last,
        _ => *top,
    }
    .min(last);
}
