//! Any HTTP endpoint: JSON, signed so that the receiver knows who sent it and when.
//!
//! ```json
//! {"schema":"freezeframe-alert/1","delivery":"…","event":"opened","incident":"INC-42","service":"shop",
//!  "sentence":"shop/3 panicked in …","state":"held","fingerprint":"…","count":1,"link":"https://…","at":"2026-…Z"}
//! ```
//!
//! # Verifying the signature
//! The header `X-Freezeframe-Signature: t=1700000000,v1=5257a8…` (the scheme of Stripe's webhooks) is checked like this:
//! 1. take `t` and `v1` from the header;
//! 2. compute HMAC-SHA256 with the shared secret over `t`, a full stop, and the raw body, in lowercase hexadecimal;
//! 3. compare with `v1` in constant time; refuse if `t` is more than five minutes away from now (a replay).
//!
//! `X-Freezeframe-Delivery` is the same for every attempt at one alert: receivers use it to drop repetitions.

use freezeframe_model::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::{SendError, judge};
use crate::Alert;
use freezeframe_http::Endpoint;

/// Name of the header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-freezeframe-signature";

#[derive(Clone)]
pub(crate) struct Webhook {
    endpoint: Endpoint,
    secret: String,
}

impl Webhook {
    pub(crate) fn new(endpoint: Endpoint, secret: String) -> Self {
        Self { endpoint, secret }
    }

    pub(crate) async fn send(&self, alert: &Alert) -> Result<(), SendError> {
        let body = body(alert);
        let seconds = Timestamp::now().0.div_euclid(1_000_000);
        let signature = sign(self.secret.as_bytes(), seconds, body.as_bytes());
        let headers = [(SIGNATURE_HEADER, signature.as_str()), ("x-freezeframe-delivery", &alert.delivery)];
        judge(self.endpoint.post(&headers, body.into_bytes()).await)
    }
}

fn body(alert: &Alert) -> String {
    let notice = &alert.notice;
    json!({
        "schema": "freezeframe-alert/1",
        "delivery": alert.delivery,
        "event": notice.event,
        "incident": notice.incident,
        "service": notice.service,
        "sentence": notice.sentence,
        "state": notice.state,
        "fingerprint": notice.fingerprint,
        "count": notice.count,
        "link": notice.link,
        "at": alert.time(),
    })
    .to_string()
}

/// The value of the signature header for a body sent at `seconds` after 1970.
///
/// Receivers written in Rust may use it to verify: compute it again and compare in constant time.
pub fn sign(secret: &[u8], seconds: i64, body: &[u8]) -> String {
    // HMAC takes keys of any length (RFC 2104, section 2), so the error cannot occur.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    /// Computed with `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_test`.
    #[test]
    fn the_signature_is_what_openssl_computes() {
        let expected = "t=1700000000,v1=38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789";
        assert_eq!(super::sign(b"whsec_test", 1_700_000_000, br#"{"a":1}"#), expected);
    }
}
