//! Variables as a table whose rows are indented by depth.

use freezeframe_model::{Question, Value, Variable, path_of, step};

use super::ask::Place;
use super::html::Html;

/// Rows per table.
const MAX_ROWS: usize = 200;
/// Levels below a variable.
const MAX_DEPTH: u8 = 6;
/// Longest value, in characters.
const MAX_VALUE: usize = 400;
/// Longest type name, in characters.
const MAX_TYPE: usize = 120;

/// The variables of a frame, and a box for any expression where it can be asked.
pub(super) fn frame_variables(h: &mut Html, caption: &str, shown: &[Variable], place: Option<Place>) {
    let nothing = Question::default();
    variables(h, caption, shown, place.map(|place| (place, &nothing)));
    if let Some(place) = place {
        place.anything(h);
    }
}

/// A table of variables with a caption for screen readers. They are those of a place, or the answer to a question there,
/// whose expression is not empty.
pub(super) fn variables(
    h: &mut Html,
    caption: &str,
    variables: &[Variable],
    asked: Option<(Place, &Question)>,
) {
    h.raw("<div class=\"scroll\"><table class=\"vars\"><caption>").text(caption).raw("</caption>");
    h.raw("<thead><tr><th>Name<th>Value<th>Type</tr></thead><tbody>");
    let mut left = MAX_ROWS;
    let mut skipped = 0_usize;
    for variable in variables {
        let ask = asked.map(|(place, question)| Ask {
            place,
            path: match question.expression.as_str() {
                "" => path_of(&[&variable.name]),
                expression => expression.to_owned(),
            },
            offset: question.offset,
        });
        row(h, variable, 0, ask.as_ref(), &mut left, &mut skipped);
    }
    h.raw("</tbody></table></div>");
    if skipped > 0 {
        h.raw("<p class=\"hint\">").text(skipped).raw(" more values are in the JSON of this incident.</p>");
    }
}

/// How a variable is asked for again.
struct Ask {
    place: Place,
    path: String,
    /// The first of its parts that is shown.
    offset: usize,
}

impl Ask {
    /// For one of its parts; what stands for those that were cut off is asked for by the whole.
    fn child(&self, name: &str) -> Self {
        let mut path = self.path.clone();
        step(&mut path, name);
        Self { place: self.place, path, offset: 0 }
    }
}

fn is_rest(variable: &Variable) -> bool {
    variable.name == "…" && matches!(variable.value, Value::Cut(_))
}

fn row(
    h: &mut Html,
    variable: &Variable,
    depth: u8,
    ask: Option<&Ask>,
    left: &mut usize,
    skipped: &mut usize,
) {
    if *left == 0 {
        *skipped = skipped.saturating_add(1);
        return;
    }
    *left -= 1;
    h.raw("<tr><th scope=\"row\" class=\"")
        .raw(indent(depth))
        .raw("\">")
        .text_up_to(&variable.name, MAX_TYPE);
    h.raw("</th>");
    match &variable.value {
        Value::Text(text) => h.raw("<td class=\"value\">").text_up_to(text, MAX_VALUE),
        Value::Redacted(why) => h.raw("<td class=\"absent\">redacted: ").text_up_to(why, MAX_VALUE),
        Value::Cut(why) => h.raw("<td class=\"absent\">left out: ").text_up_to(why, MAX_VALUE),
        Value::Unavailable(why) => h.raw("<td class=\"absent\">").text_up_to(why, MAX_VALUE),
        Value::Composite => h.raw("<td>"),
    };
    if let Some(ask) = ask {
        ask.place.more(h, &ask.path, &variable.value, ask.offset);
    }
    if depth == MAX_DEPTH && !variable.children.is_empty() {
        h.raw(" <span class=\"absent\">…</span>");
        *skipped = skipped.saturating_add(variable.children.len());
    }
    h.raw("</td><td class=\"type\">").text_up_to(&variable.type_name, MAX_TYPE).raw("</td></tr>");
    if depth < MAX_DEPTH {
        for (at, child) in variable.children.iter().enumerate() {
            let ask = ask.map(|ask| match is_rest(child) {
                true => {
                    Ask { place: ask.place, path: ask.path.clone(), offset: ask.offset.saturating_add(at) }
                }
                false => ask.child(&child.name),
            });
            row(h, child, depth + 1, ask.as_ref(), left, skipped);
        }
    }
}

/// A class instead of a style attribute, which the content security policy forbids.
fn indent(depth: u8) -> &'static str {
    match depth {
        0 => "d0",
        1 => "d1",
        2 => "d2",
        3 => "d3",
        4 => "d4",
        5 => "d5",
        _ => "d6",
    }
}
