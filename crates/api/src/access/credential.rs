//! What somebody was let in by, to be asked again while an answer goes on for hours: events, or a channel both ways.

use std::sync::Arc;
use std::time::{Duration, Instant};

use freezeframe_model::Timestamp;

use super::Door;

/// How long a stream may go on after its session has ended.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// What somebody was let in by.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    door: Arc<Door>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// The listener, or the data directory's token: good as long as the daemon runs.
    Lasting,
    Token(String),
    Session(String),
}

impl Credential {
    pub(super) fn lasting(door: &Arc<Door>) -> Self {
        Self { door: Arc::clone(door), what: What::Lasting }
    }

    pub(super) fn token(door: &Arc<Door>, token: &str) -> Self {
        Self { door: Arc::clone(door), what: What::Token(token.to_owned()) }
    }

    pub(super) fn session(door: &Arc<Door>, id: &str) -> Self {
        Self { door: Arc::clone(door), what: What::Session(id.to_owned()) }
    }

    /// Whether it would still open the door. Looking is no use of a session: a page that is only open ends like any other.
    fn holds(&self) -> bool {
        match &self.what {
            What::Lasting => true,
            What::Token(token) => self.door.takes_token(token, Timestamp::now()).is_some(),
            What::Session(id) => self.door.session_holds(id, Instant::now()),
        }
    }

    /// Returns when it holds no longer.
    pub(crate) async fn ended(self) {
        while self.holds() {
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }
}
