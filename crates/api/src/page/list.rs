//! All incidents, and what runs at the moment.

use freezeframe_model::{Incident, InstanceView, Timestamp};

use super::html::Html;
use super::incident::state_badge;
use super::{Viewer, frame};
use crate::words;

/// Longest message in a row, in characters.
const MAX_MESSAGE: usize = 160;

/// The page of the service.
pub(crate) fn list(
    incidents: &[Incident],
    instances: &[InstanceView],
    now: Timestamp,
    viewer: Viewer,
) -> String {
    frame("Incidents", viewer, |h| {
        h.raw("<section class=\"card\"><h1>Incidents</h1>");
        if incidents.is_empty() {
            h.raw("<p class=\"good\">Nothing has broken.</p>");
        } else {
            incident_table(h, incidents, now);
        }
        h.raw("</section><section class=\"card\"><h2>Instances</h2>");
        if instances.is_empty() {
            h.raw("<p>Nothing runs.</p>");
        } else {
            instance_table(h, instances, now);
        }
        h.raw("</section>");
    })
}

fn incident_table(h: &mut Html, incidents: &[Incident], now: Timestamp) {
    h.raw("<div class=\"scroll\"><table><thead><tr><th>Incident<th>State<th>What broke<th>Seen<th>When</tr></thead><tbody>");
    for incident in incidents {
        h.raw("<tr><th scope=\"row\"><a href=\"/i/").text(incident.id).raw("\">").text(incident.id);
        h.raw("</a></th><td>");
        state_badge(h, incident.state);
        h.raw("</td><td><div>").text_up_to(headline(incident), MAX_MESSAGE);
        h.raw("</div><div class=\"hint\">").text_up_to(&incident.sentence(), MAX_MESSAGE);
        if let Some(lease) = words::lease(incident, now) {
            h.raw(" · lease ").text(lease);
        }
        h.raw("</div></td><td class=\"number\">").text(incident.count).raw("×</td><td class=\"nowrap\">");
        let ago = words::duration_ms(now.since_ms(incident.captured_at));
        h.text(ago).raw(" ago<div class=\"hint\">").text(words::date_and_time(incident.captured_at));
        h.raw("</div></td></tr>");
    }
    h.raw("</tbody></table></div>");
}

fn instance_table(h: &mut Html, instances: &[InstanceView], now: Timestamp) {
    h.raw("<div class=\"scroll\"><table><thead><tr><th>Instance<th>Role<th>Since<th>In flight<th>Process<th>Traps</tr></thead><tbody>");
    for instance in instances {
        h.raw("<tr><th scope=\"row\">").text(instance.id).raw("</th><td>").text(instance.role.as_str());
        if let Some(id) = instance.incident {
            h.raw(" for <a href=\"/i/").text(id).raw("\">").text(id).raw("</a>");
        }
        h.raw("</td><td class=\"nowrap\">").text(words::duration_ms(now.since_ms(instance.since)));
        h.raw("</td><td class=\"number\">").text(instance.in_flight).raw("</td><td class=\"nowrap\">pid ");
        h.text(instance.pid).raw(", port ").text(instance.port).raw("</td><td>");
        match &instance.armed {
            Ok(()) => h.raw("armed"),
            Err(why) => h.raw("not armed: ").text(why),
        };
        h.raw("</td></tr>");
    }
    h.raw("</tbody></table></div>");
}

/// The error's own words where there are any; an empty line says less than the kind.
pub(super) fn headline(incident: &Incident) -> &str {
    match incident.message.trim() {
        "" => "No message",
        message => message,
    }
}
