//! Variables as a table whose rows are indented by depth.

use freezeframe_model::{Value, Variable};

use super::html::Html;

/// Rows per table.
const MAX_ROWS: usize = 200;
/// Levels below a variable.
const MAX_DEPTH: u8 = 6;
/// Longest value, in characters.
const MAX_VALUE: usize = 400;
/// Longest type name, in characters.
const MAX_TYPE: usize = 120;

/// A table of variables with a caption for screen readers.
pub(super) fn variables(h: &mut Html, caption: &str, variables: &[Variable]) {
    h.raw("<div class=\"scroll\"><table class=\"vars\"><caption>").text(caption).raw("</caption>");
    h.raw("<thead><tr><th>Name<th>Value<th>Type</tr></thead><tbody>");
    let mut left = MAX_ROWS;
    let mut skipped = 0_usize;
    for variable in variables {
        row(h, variable, 0, &mut left, &mut skipped);
    }
    h.raw("</tbody></table></div>");
    if skipped > 0 {
        h.raw("<p class=\"hint\">").text(skipped).raw(" more values are in the JSON of this incident.</p>");
    }
}

fn row(h: &mut Html, variable: &Variable, depth: u8, left: &mut usize, skipped: &mut usize) {
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
    if depth == MAX_DEPTH && !variable.children.is_empty() {
        h.raw(" <span class=\"absent\">…</span>");
        *skipped = skipped.saturating_add(variable.children.len());
    }
    h.raw("</td><td class=\"type\">").text_up_to(&variable.type_name, MAX_TYPE).raw("</td></tr>");
    if depth < MAX_DEPTH {
        for child in &variable.children {
            row(h, child, depth + 1, left, skipped);
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
