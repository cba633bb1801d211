//! The routes, and what holds for all of them.

mod accounts;
mod assets;
mod dap;
mod download;
mod events;
mod fleet;
mod gate;
mod guard;
mod inspect;
mod json;
mod login;
mod openapi;
mod problem;
mod read;
mod record;
mod reload;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{self, MethodRouter};
use freezeframe_model::IncidentId;
use tokio::sync::Semaphore;

use crate::Access;
use crate::access::Need;
use crate::control::{Act, ActOutcome, Control, ControlError, Known};
pub(crate) use events::Ended;
pub(crate) use problem::Problem;

pub use assets::{Page, PageFile};

/// Largest request body in bytes; the real ones have some dozens.
const MAX_BODY: usize = 16 * 1024;

/// What the handlers share.
struct Shared {
    control: Arc<dyn Control>,
    access: Access,
    page: Page,
    /// Places for those who listen for events.
    streams: Arc<Semaphore>,
}

/// A path, and what it asks of its callers.
struct Route {
    #[cfg_attr(not(test), allow(dead_code, reason = "read by tests"))]
    method: Method,
    path: &'static str,
    need: Need,
    handler: MethodRouter<Arc<Shared>>,
}

fn get<H, T>(need: Need, path: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Shared>>,
    T: 'static,
{
    Route { method: Method::GET, path, need, handler: routing::get(handler) }
}

fn post<H, T>(need: Need, path: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Shared>>,
    T: 'static,
{
    Route { method: Method::POST, path, need, handler: routing::post(handler) }
}

fn delete<H, T>(need: Need, path: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Shared>>,
    T: 'static,
{
    Route { method: Method::DELETE, path, need, handler: routing::delete(handler) }
}

/// Every route there is. To add one: a row here, with the role that it needs.
fn routes() -> Vec<Route> {
    const OPEN: Need = Need::Open;
    const KNOWN: Need = Need::Known;
    const VIEW: Need = Need::VIEW;
    const REVEAL: Need = Need::REVEAL;
    const ACT: Need = Need::ACT;
    const SOCKET: Need = Need::Socket;
    vec![
        get(OPEN, guard::HEALTH, async || "ok\n"),
        get(OPEN, "/", assets::shell),
        get(OPEN, "/i/{id}", assets::shell),
        get(OPEN, "/incidents", assets::shell),
        get(OPEN, "/fleet", assets::shell),
        get(OPEN, "/login", assets::shell),
        get(OPEN, "/assets/{name}", assets::asset),
        get(VIEW, "/api/v1/openapi.json", openapi::description),
        get(KNOWN, "/api/v1/session", login::session),
        post(OPEN, "/api/v1/login", login::log_in),
        post(KNOWN, "/api/v1/logout", login::log_out),
        get(VIEW, "/api/v1/incidents", json::incidents),
        get(VIEW, "/api/v1/incidents/{id}", json::incident),
        get(VIEW, "/api/v1/incidents/{id}/overview", read::overview),
        get(VIEW, "/api/v1/incidents/{id}/sections/{name}", read::section),
        get(VIEW, "/api/v1/incidents/{id}/threads/{tid}", read::thread),
        get(VIEW, "/api/v1/incidents/{id}/source", read::source),
        get(VIEW, "/api/v1/incidents/{id}/markdown", record::markdown),
        get(VIEW, "/api/v1/incidents/{id}/notes", record::notes),
        get(VIEW, "/api/v1/incidents/{id}/audit", record::audit),
        post(ACT, "/api/v1/incidents/{id}/notes", record::note),
        post(ACT, "/api/v1/incidents/{id}/acknowledge", record::acknowledge),
        get(VIEW, "/api/v1/incidents/{id}/dap", dap::dap),
        post(VIEW, "/api/v1/incidents/{id}/inspect", inspect::value),
        post(REVEAL, "/api/v1/incidents/{id}/reveal", inspect::reveal),
        get(VIEW, "/api/v1/incidents/{id}/capsule", download::capsule),
        get(REVEAL, "/api/v1/incidents/{id}/core", download::core),
        post(ACT, "/api/v1/incidents/{id}/core", json::core),
        post(ACT, "/api/v1/incidents/{id}/{act}", json::act),
        get(VIEW, "/api/v1/instances", json::instances),
        get(SOCKET, "/api/v1/users", accounts::users),
        post(SOCKET, "/api/v1/users", accounts::add),
        delete(SOCKET, "/api/v1/users/{name}", accounts::remove),
        post(SOCKET, "/api/v1/users/{name}/password", accounts::password),
        post(SOCKET, "/api/v1/users/{name}/roles", accounts::roles),
        get(SOCKET, "/api/v1/tokens", accounts::tokens),
        post(SOCKET, "/api/v1/tokens", accounts::add_token),
        delete(SOCKET, "/api/v1/tokens/{name}", accounts::remove_token),
        get(VIEW, "/api/v1/fleet", fleet::fleet),
        get(VIEW, "/api/v1/fleet/history", fleet::history),
        get(VIEW, "/api/v1/events", events::events),
        get(VIEW, "/metrics", gate::metrics),
        post(ACT, "/api/v1/gate/reload", reload::reload),
        get(VIEW, "/api/v1/gate/histograms", gate::histograms),
        get(VIEW, "/api/v1/gate/histograms.hgrm", gate::percentiles),
    ]
}

/// All routes over one daemon, for one listener. A listener with other [`Access`] needs a router of its own.
pub fn router(state: Arc<dyn Control>, access: Access, page: Page) -> Router {
    let streams = Arc::new(Semaphore::new(events::STREAMS_MAX));
    let shared = Arc::new(Shared { control: state, access, page, streams });
    let router = routes().into_iter().fold(Router::new(), |router, route| {
        let asked = from_fn_with_state(route.need, guard::require);
        router.route(route.path, route.handler.route_layer(asked))
    });
    let router = router.fallback(guard::nothing_here).layer(DefaultBodyLimit::max(MAX_BODY));
    router.layer(from_fn_with_state(Arc::clone(&shared), guard::guard)).with_state(shared)
}

impl Shared {
    /// Reads from a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Control) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, Problem> {
        let control = Arc::clone(&self.control);
        match tokio::task::spawn_blocking(move || read(&*control)).await {
            Ok(result) => result.map_err(Problem::Control),
            Err(error) => {
                tracing::error!(%error, "reading failed");
                Err(Problem::Control(ControlError::Failed("reading failed; see the daemon's log".to_owned())))
            }
        }
    }

    /// Reads the incident that a path names.
    async fn incident(&self, id: &str) -> Result<Known, Problem> {
        let id = incident_id(id)?;
        self.read(move |control| control.incident(id)).await?.ok_or(Problem::Control(ControlError::NotFound))
    }

    /// Acts in a task of its own: a browser that is closed in the middle must not leave a release half done.
    async fn act(&self, who: String, id: &str, act: Act) -> Result<ActOutcome, Problem> {
        let id = incident_id(id)?;
        let control = Arc::clone(&self.control);
        match tokio::spawn(async move { control.act(&who, id, act).await }).await {
            Ok(result) => result.map_err(Problem::Control),
            Err(error) => {
                tracing::error!(%error, %id, act = act.name(), "an action failed");
                Err(Problem::Control(ControlError::Failed(
                    "the action failed; see the daemon's log".to_owned(),
                )))
            }
        }
    }
}

fn incident_id(text: &str) -> Result<IncidentId, Problem> {
    text.parse().map_err(|error: freezeframe_model::ParseIdError| Problem::BadRequest(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    /// No route is without a row here: the router is made of these rows alone.
    #[test]
    fn every_route_asks_for_what_it_should() {
        let rows: String = routes()
            .iter()
            .map(|route| format!("{:6} {:4} {}\n", route.need.to_string(), route.method.as_str(), route.path))
            .collect();
        expect![[r#"
            open   GET  /healthz
            open   GET  /
            open   GET  /i/{id}
            open   GET  /incidents
            open   GET  /fleet
            open   GET  /login
            open   GET  /assets/{name}
            view   GET  /api/v1/openapi.json
            any    GET  /api/v1/session
            open   POST /api/v1/login
            any    POST /api/v1/logout
            view   GET  /api/v1/incidents
            view   GET  /api/v1/incidents/{id}
            view   GET  /api/v1/incidents/{id}/overview
            view   GET  /api/v1/incidents/{id}/sections/{name}
            view   GET  /api/v1/incidents/{id}/threads/{tid}
            view   GET  /api/v1/incidents/{id}/source
            view   GET  /api/v1/incidents/{id}/markdown
            view   GET  /api/v1/incidents/{id}/notes
            view   GET  /api/v1/incidents/{id}/audit
            act    POST /api/v1/incidents/{id}/notes
            act    POST /api/v1/incidents/{id}/acknowledge
            view   GET  /api/v1/incidents/{id}/dap
            view   POST /api/v1/incidents/{id}/inspect
            reveal POST /api/v1/incidents/{id}/reveal
            view   GET  /api/v1/incidents/{id}/capsule
            reveal GET  /api/v1/incidents/{id}/core
            act    POST /api/v1/incidents/{id}/core
            act    POST /api/v1/incidents/{id}/{act}
            view   GET  /api/v1/instances
            socket GET  /api/v1/users
            socket POST /api/v1/users
            socket DELETE /api/v1/users/{name}
            socket POST /api/v1/users/{name}/password
            socket POST /api/v1/users/{name}/roles
            socket GET  /api/v1/tokens
            socket POST /api/v1/tokens
            socket DELETE /api/v1/tokens/{name}
            view   GET  /api/v1/fleet
            view   GET  /api/v1/fleet/history
            view   GET  /api/v1/events
            view   GET  /metrics
            act    POST /api/v1/gate/reload
            view   GET  /api/v1/gate/histograms
            view   GET  /api/v1/gate/histograms.hgrm
        "#]]
        .assert_eq(&rows);
    }
}
