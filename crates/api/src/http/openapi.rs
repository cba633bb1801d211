//! The API's description (OpenAPI 3.1), for people who write programs and for programs that write programs.
//!
//! What a route is for stands here; its role comes from the route's own row, and the shapes from the structs of [`crate::dto`]. The
//! description is made and compared by a test: a route without a row here, and a row without a route, are drift.

use axum::http::header;
use axum::response::IntoResponse;

const DESCRIPTION: &str = include_str!("../../openapi.json");

/// `GET /api/v1/openapi.json`
pub(super) async fn description() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect_file;
    use serde_json::{Map, Value, json};
    use utoipa::ToSchema;

    use super::super::{Route, routes};
    use crate::access::Need;
    use crate::dto::*;

    type Schemas = BTreeMap<String, Value>;

    /// What a route is for.
    struct Described {
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        query: &'static [(&'static str, &'static str)],
        body: Option<Value>,
        answer: Value,
    }

    fn route(method: &'static str, path: &'static str, summary: &'static str) -> Described {
        Described { method, path, summary, query: &[], body: None, answer: json!({ "description": "Done." }) }
    }

    impl Described {
        fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
            self.query = query;
            self
        }

        fn takes<T: ToSchema>(mut self, schemas: &mut Schemas) -> Self {
            self.body = Some(
                json!({ "required": true, "content": { "application/json": { "schema": shape::<T>(schemas) } } }),
            );
            self
        }

        fn gives<T: ToSchema>(mut self, schemas: &mut Schemas) -> Self {
            let content = json!({ "application/json": { "schema": shape::<T>(schemas) } });
            self.answer = json!({ "description": "Done.", "content": content });
            self
        }

        fn gives_text(mut self, kind: &str) -> Self {
            self.answer =
                json!({ "description": "Done.", "content": { kind: { "schema": { "type": "string" } } } });
            self
        }

        fn json(self, need: Need) -> Value {
            let parameter = |name: &str, place: &str, about: &str| json!({ "name": name, "in": place, "required": place == "path", "description": about, "schema": { "type": "string" } });
            let in_path = self.path.split(['{', '}']).skip(1).step_by(2).map(|name| {
                let about = if name == "id" { "For example INC-42." } else { "" };
                parameter(name, "path", about)
            });
            let in_query = self.query.iter().map(|(name, about)| parameter(name, "query", about));
            let parameters: Vec<Value> = in_path.chain(in_query).collect();
            let mut operation = json!({
                "summary": self.summary,
                "parameters": parameters,
                "responses": { "200": self.answer, "default": { "$ref": "#/components/responses/Refused" } },
            });
            let about = match need {
                Need::Open => {
                    operation["security"] = json!([]);
                    "Open to everybody.".to_owned()
                }
                Need::Known => "For everybody who is known, with whatever roles.".to_owned(),
                Need::Role(role) => format!("Needs the role `{role}`."),
                Need::Socket => {
                    operation["security"] = json!([]);
                    "Only over the data directory's socket.".to_owned()
                }
            };
            operation["description"] = json!(about);
            operation["x-needs"] = json!(need.to_string());
            if let Some(body) = self.body {
                operation["requestBody"] = body;
            }
            operation
        }
    }

    /// A reference to a shape, which is described with all that is in it.
    fn shape<T: ToSchema>(schemas: &mut Schemas) -> Value {
        let mut within = Vec::new();
        T::schemas(&mut within);
        within.push((T::name().into_owned(), T::schema()));
        for (name, schema) in within {
            schemas.insert(name, serde_json::to_value(schema).expect("a schema"));
        }
        json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
    }

    fn described(s: &mut Schemas) -> Vec<Described> {
        let incident = "/api/v1/incidents/{id}";
        let act = |name: &'static str| (incident.to_owned() + name).leak() as &'static str;
        vec![
            route("GET", "/healthz", "Whether the daemon lives.").gives_text("text/plain"),
            route("GET", "/metrics", "What the gate measured, for Prometheus.").gives_text("text/plain"),
            route("GET", "/api/v1/openapi.json", "This description.").gives_text("application/json"),
            route("GET", "/api/v1/session", "Who you are, and what you may do.").gives::<SessionAnswer>(s),
            route("POST", "/api/v1/login", "Sign a browser in: a user and a password, or the data directory's token, or the secret of a link that works once.")
                .takes::<LoginBody>(s)
                .gives::<SessionAnswer>(s),
            route("POST", "/api/v1/logout", "End the session."),
            route("GET", "/api/v1/incidents", "Incidents, newest first.")
                .query(&[("limit", "How many at most: 100, and up to 1000.")])
                .gives::<IncidentList>(s),
            route("GET", incident, "Everything known of one incident.").gives::<IncidentView>(s),
            route("GET", act("/overview"), "What the first screen shows of it.").gives::<Overview>(s),
            route("GET", act("/sections/{name}"), "One piece of evidence, a page at a time. The overview names those that there are.")
                .query(&[
                    ("offset", "The first item, counted from 0."),
                    ("limit", "How many at most."),
                    ("filter", "Only items with this text."),
                ])
                .gives::<SectionPage>(s),
            route("GET", act("/threads/{tid}"), "One thread with its frames and variables.").gives::<ThreadAnswer>(s),
            route("GET", act("/capsule"), "One incident as a file, redacted, as `freezeframe export` writes it.")
                .gives_text("application/octet-stream"),
            route("GET", act("/core"), "Its ELF core, compressed with zstd; nothing in it is redacted.")
                .gives_text("application/zstd"),
            route("POST", act("/core"), "Have an ELF core written; the process stays held.")
                .takes::<CoreBody>(s)
                .gives::<ActionAnswer>(s),
            route("GET", act("/dap"), "A WebSocket on which an editor sees it: the Debug Adapter Protocol, one message in each text message.")
                .gives_text("application/json"),
            route("POST", act("/inspect"), "The value of an expression: from the held process, or from what was captured.")
                .takes::<InspectBody>(s)
                .gives::<ValueAnswer>(s),
            route("POST", act("/reveal"), "The same with what is redacted; who looked, and why, is in the audit log first.")
                .takes::<InspectBody>(s)
                .gives::<ValueAnswer>(s),
            route("POST", act("/{act}"), "`release`, `kill`, `extend` (with `by_ms`), `hand-over` (with `client_pid`), `reclaim`.")
                .takes::<ExtendBody>(s)
                .gives::<ActionAnswer>(s),
            route("GET", "/api/v1/instances", "What runs.").gives::<InstanceList>(s),
            route("GET", "/api/v1/gate/histograms", "How long requests took: histograms by route, outcome and part.")
                .gives_text("application/json"),
            route("GET", "/api/v1/gate/histograms.hgrm", "The same for HdrHistogram's plotter.")
                .query(&[("route", "One route."), ("outcome", "One outcome."), ("part", "queue, processing or total.")])
                .gives_text("text/plain"),
            route("GET", "/api/v1/incidents/{id}/source", "Source around a frame's line, where it is from, and why it may not match.")
                .query(&[("thread", "The kernel's id of the thread; the failing one."), ("frame", "Number of the frame; that of the site.")])
                .gives::<SourceAnswer>(s),
            route("GET", "/api/v1/incidents/{id}/markdown", "The incident for a ticket.").gives_text("text/markdown"),
            route("GET", "/api/v1/incidents/{id}/notes", "What people wrote, oldest first.").gives::<NoteList>(s),
            route("GET", "/api/v1/incidents/{id}/audit", "What people did, oldest first.").gives::<AuditList>(s),
            route("POST", "/api/v1/incidents/{id}/notes", "Write a note.").takes::<NoteBody>(s).gives::<NoteShape>(s),
            route("POST", "/api/v1/incidents/{id}/acknowledge", "Take care of it from now on.").gives::<OwnerAnswer>(s),
            route("GET", "/api/v1/fleet", "What runs, and what it does.").gives::<FleetAnswer>(s),
            route("GET", "/api/v1/fleet/history", "How the last hour went.")
                .query(&[("from", "RFC 3339."), ("to", "RFC 3339.")])
                .gives::<HistoryAnswer>(s),
            route("GET", "/api/v1/events", "What happens, as server-sent events.")
                .query(&[("incident", "Leave out what is about others.")])
                .gives_text("text/event-stream"),
            route("POST", "/api/v1/gate/reload", "Have the configuration read again, or only told what would change.")
                .query(&[("dry_run", "true: change nothing.")])
                .gives::<ReloadAnswer>(s),
            route("GET", "/api/v1/users", "Who may sign in.").gives::<UserList>(s),
            route("POST", "/api/v1/users", "Let somebody sign in.").takes::<UserBody>(s).gives::<ChangeAnswer>(s),
            route("DELETE", "/api/v1/users/{name}", "Let somebody in no longer.").gives::<ChangeAnswer>(s),
            route("POST", "/api/v1/users/{name}/password", "Give somebody another password.")
                .takes::<PasswordBody>(s)
                .gives::<ChangeAnswer>(s),
            route("POST", "/api/v1/users/{name}/roles", "Give somebody other roles.")
                .takes::<RolesBody>(s)
                .gives::<ChangeAnswer>(s),
            route("GET", "/api/v1/tokens", "The tokens of scripts.").gives::<TokenList>(s),
            route("POST", "/api/v1/tokens", "Make a token; it is shown this once.").takes::<TokenBody>(s).gives::<TokenAnswer>(s),
            route("DELETE", "/api/v1/tokens/{name}", "Refuse a token from now on.").gives::<ChangeAnswer>(s),
        ]
    }

    /// Pages are for people.
    fn is_for_programs(route: &Route) -> bool {
        route.path.starts_with("/api/") || ["/healthz", "/metrics"].contains(&route.path)
    }

    #[test]
    fn the_description_is_that_of_the_routes() {
        let mut schemas = Schemas::new();
        let error = shape::<ErrorAnswer>(&mut schemas);
        let mut described: BTreeMap<String, Described> = BTreeMap::new();
        for row in self::described(&mut schemas) {
            described.insert(format!("{} {}", row.method, row.path), row);
        }
        let mut paths: Map<String, Value> = Map::new();
        for route in routes().iter().filter(|route| is_for_programs(route)) {
            let row = described.remove(&format!("{} {}", route.method, route.path));
            let row = row.unwrap_or_else(|| panic!("{} {} is not described", route.method, route.path));
            let method = route.method.as_str().to_lowercase();
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[method] = row.json(route.need);
        }
        let unknown: Vec<_> = described.keys().collect();
        assert!(unknown.is_empty(), "described, but no routes: {unknown:?}");
        let description = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Freezeframe",
                "version": "1",
                "description": "What the page, the command line and scripts use. Fields are added, never changed or taken away.",
            },
            "security": [{ "token": [] }, { "session": [] }],
            "paths": paths,
            "components": {
                "securitySchemes": {
                    "token": { "type": "http", "scheme": "bearer", "description": "`freezeframe token add NAME --roles …`" },
                    "session": {
                        "type": "apiKey", "in": "cookie", "name": "freezeframe_session",
                        "description": "Where the address has a port, `_` and the port follow the name.",
                    },
                },
                "responses": {
                    "Refused": {
                        "description": "Why it was not done, and what to do next.",
                        "content": { "application/json": { "schema": error } },
                    },
                },
                "schemas": schemas,
            },
        });
        let text = serde_json::to_string_pretty(&description).expect("JSON");
        expect_file!["../../openapi.json"].assert_eq(&format!("{text}\n"));
    }
}
