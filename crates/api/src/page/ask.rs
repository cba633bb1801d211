//! Asking for more than a page shows: the rest of what was cut off, what is redacted, any expression; and the page with the answer.
//!
//! Every question is a form that posts to our own server: what looks behind a redaction must not hang on a link.

use freezeframe_model::{Incident, IncidentId, Question, Value};

use super::html::Html;
use super::variables::variables;
use super::{Viewer, frame};
use crate::Inspected;

/// A frame that can be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    incident: IncidentId,
    /// Its process is held: there is more than what was captured.
    is_live: bool,
    thread: i32,
    frame: usize,
}

impl Place {
    pub(super) fn new(incident: &Incident, thread: i32, frame: usize) -> Self {
        Self { incident: incident.id, is_live: incident.state.is_live(), thread, frame }
    }

    /// Behind a value that is not all there: the button that gets the rest. `shown` of its parts are on the page.
    pub(super) fn more(self, h: &mut Html, path: &str, value: &Value, shown: usize) {
        if !self.is_live {
            return;
        }
        match value {
            Value::Cut(_) => {
                self.begin(h, "inspect", path);
                h.raw("<input type=\"hidden\" name=\"offset\" value=\"").text(shown).raw("\">");
                h.raw("<button class=\"small\">Expand</button></form>");
            }
            Value::Redacted(_) => {
                self.begin(h, "reveal", path);
                h.raw("<button class=\"small\" title=\"Who looked, and at what, is written into the audit log first\">");
                h.raw("Reveal (audited)</button></form>");
            }
            _ => {}
        }
    }

    /// A box for any expression in this frame.
    pub(super) fn anything(self, h: &mut Html) {
        h.raw("<form class=\"ask\" method=\"post\" action=\"/i/").text(self.incident).raw("/inspect\">");
        self.fields(h);
        h.raw("<input name=\"expression\" required maxlength=\"4096\" autocomplete=\"off\" spellcheck=\"false\" ");
        h.raw("aria-label=\"Expression in frame ").text(self.frame);
        h.raw("\" placeholder=\"order.items[3].price\"><button>Evaluate</button></form>");
    }

    fn begin(self, h: &mut Html, what: &'static str, path: &str) {
        h.raw(" <form class=\"inline\" method=\"post\" action=\"/i/").text(self.incident).raw("/").raw(what);
        h.raw("\"><input type=\"hidden\" name=\"expression\" value=\"").text(path).raw("\">");
        self.fields(h);
    }

    fn fields(self, h: &mut Html) {
        h.raw("<input type=\"hidden\" name=\"thread\" value=\"").text(self.thread);
        h.raw("\"><input type=\"hidden\" name=\"frame\" value=\"").text(self.frame).raw("\">");
    }
}

/// The page with a value that was asked for.
pub(crate) fn answer(
    incident: &Incident,
    question: &Question,
    inspected: &Inspected,
    viewer: Viewer,
) -> String {
    let place = Place::new(incident, question.thread, question.frame);
    frame(&format!("{} {}", incident.id, question.expression), viewer, |h| {
        h.raw("<section class=\"card\"><h2>")
            .text_up_to(&question.expression, 400)
            .raw("</h2><p class=\"hint\">");
        h.raw(if inspected.is_live { "Read from the held process just now" } else { "As it was captured" });
        h.raw(", frame ").text(question.frame).raw(" <code>").text_up_to(&inspected.function, 300);
        h.raw("</code>, thread ").text(question.thread);
        if question.offset > 0 {
            h.raw(", from element ").text(question.offset).raw(" on");
        }
        h.raw("</p>");
        if let Some(note) = &inspected.note {
            h.raw("<p class=\"warning\">").text_up_to(note, 1000).raw("</p>");
        }
        variables(h, "The value", std::slice::from_ref(&inspected.value), Some((place, question)));
        place.anything(h);
        back(h, &incident.id.to_string());
        h.raw("</section>");
    })
}

/// The page for an expression that has no value; `explained` is text with marks below the expression.
pub(crate) fn no_value(incident: &str, explained: &str, hints: &[String], viewer: Viewer) -> String {
    frame("No value", viewer, |h| {
        h.raw("<section class=\"card\"><h2>No value</h2><pre class=\"source\"><code>");
        h.text_up_to(explained, 8000).raw("</code></pre>");
        for hint in hints {
            h.raw("<p class=\"hint\">").text(hint).raw("</p>");
        }
        back(h, incident);
        h.raw("</section>");
    })
}

fn back(h: &mut Html, incident: &str) {
    h.raw("<p><a href=\"/i/")
        .text_up_to(incident, 40)
        .raw("\">Back to ")
        .text_up_to(incident, 40)
        .raw("</a></p>");
}
