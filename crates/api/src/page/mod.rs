//! The pages: rendered here, readable without JavaScript, on a phone and on a desktop, by day and by night.
//!
//! Pages know the model and nothing of HTTP. All text passes through [`html::Html::text`].

mod ask;
mod evidence;
mod html;
mod incident;
mod list;
mod login;
mod stack;
mod tasks;
mod variables;

use html::Html;

pub(crate) use ask::{answer, no_value};
pub(crate) use incident::{Notice, incident};
pub(crate) use list::list;
pub(crate) use login::login;

use crate::dto::ErrorShape;

/// The style sheet, served by its own path so that no inline style needs to be allowed.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The icon in the browser's tab.
pub(crate) const ICON: &str = include_str!("icon.svg");

/// Who looks at a page, as far as the page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Viewer {
    /// Whether there is a session that can be ended.
    pub(crate) can_sign_out: bool,
}

/// A page for what went wrong.
pub(crate) fn problem(error: &ErrorShape, viewer: Viewer) -> String {
    frame("Not possible", viewer, |h| {
        h.raw("<section class=\"card narrow\"><h1>Not possible</h1><p class=\"sentence\">")
            .text(&error.message);
        h.raw("</p>");
        for hint in &error.hints {
            h.raw("<p>").text(hint).raw("</p>");
        }
        h.raw("<p><a href=\"/\">All incidents</a></p></section>");
    })
}

/// Head, bar and foot around `content`.
fn frame(title: &str, viewer: Viewer, content: impl FnOnce(&mut Html)) -> String {
    let mut h = Html::default();
    h.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">")
        // Forms must tell our own server where they come from; other servers still learn nothing.
        .raw("<meta name=\"referrer\" content=\"same-origin\"><title>")
        .text(title)
        .raw(" · Freezeframe</title><link rel=\"stylesheet\" href=\"/style.css\">")
        .raw("<link rel=\"icon\" type=\"image/svg+xml\" href=\"/icon.svg\"></head><body>\n")
        .raw("<header class=\"bar\"><a class=\"brand\" href=\"/\"><img src=\"/icon.svg\" alt=\"\" width=\"22\" height=\"22\">")
        .raw("Freezeframe</a>");
    if viewer.can_sign_out {
        h.raw("<form method=\"post\" action=\"/logout\"><button class=\"quiet\">Sign out</button></form>");
    }
    h.raw("</header>\n<main>\n");
    content(&mut h);
    h.raw("\n</main></body></html>\n");
    h.finish()
}
