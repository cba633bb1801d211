//! Limits against abuse, with defaults that no honest client reaches.

use crate::GateError;

/// What a client may take of the gate. [`Limits::default`] gives the defaults named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of one client address at one time; further ones are closed at once. An IPv6 client is its /64 network
    /// (default 4,096: room for a proxy in front, or for many users behind one address).
    pub connections_per_address_max: u32,
    /// Requests per second of one client address; further ones are answered 429. `None` is no limit (the default).
    pub requests_per_s_per_address_max: Option<u32>,
    /// Header fields of a request (default 100).
    pub headers_max: usize,
    /// Bytes of a request's head (default 64 KiB).
    pub head_bytes_max: usize,
    /// Bytes of a request's target; a longer one is answered 414 (default 8 KiB).
    pub uri_bytes_max: usize,
    /// Bytes per second at which a client must send a request's body and take a response's, counted over the time in which the
    /// client is the one that is waited for; 0 is no limit (default 128).
    pub body_bytes_per_s_min: u32,
    /// Time over which that rate is measured, in milliseconds; a connection that takes no byte at all for so long is closed,
    /// whatever the rate (default 30,000).
    pub body_window_ms: u64,
    /// Requests that one HTTP/2 client may have open at one time (default 128).
    pub h2_streams_max: u32,
    /// Requests per second that one HTTP/2 client may reset before they are answered, over ten seconds; a client that resets more
    /// loses its connection (default 20).
    pub h2_resets_per_s_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_address_max: 4_096,
            requests_per_s_per_address_max: None,
            headers_max: 100,
            head_bytes_max: 64 * 1024,
            uri_bytes_max: 8 * 1024,
            body_bytes_per_s_min: 128,
            body_window_ms: 30_000,
            h2_streams_max: 128,
            h2_resets_per_s_max: 20,
        }
    }
}

impl Limits {
    /// Refuses what could never serve a request.
    pub(crate) fn check(&self) -> Result<(), GateError> {
        let values = [
            ("connections_per_address_max", u64::from(self.connections_per_address_max)),
            ("requests_per_s_per_address_max", u64::from(self.requests_per_s_per_address_max.unwrap_or(1))),
            ("headers_max", self.headers_max as u64),
            ("uri_bytes_max", self.uri_bytes_max as u64),
            ("body_window_ms", self.body_window_ms),
            ("h2_streams_max", u64::from(self.h2_streams_max)),
            ("h2_resets_per_s_max", u64::from(self.h2_resets_per_s_max)),
        ];
        match values.into_iter().find(|(_, value)| *value == 0) {
            Some((setting, _)) => Err(GateError::Zero { setting }),
            // The HTTP library's own least buffer.
            None if self.head_bytes_max < 8192 => Err(GateError::HeadTooSmall),
            None => Ok(()),
        }
    }
}
