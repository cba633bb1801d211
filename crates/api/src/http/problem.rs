//! Every way in which a request can fail, and its answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use freezeframe_model::{EvaluateError, Obstacle, Role};

use crate::access::Refusal;
use crate::control::ControlError;
use crate::dto::{ErrorAnswer, ErrorShape, ExpressionShape, ProblemDetails};

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The daemon says no.
    Control(ControlError),
    /// The request makes no sense.
    BadRequest(String),
    /// There is no such path.
    NoSuchPath,
    /// No token, no session.
    Unauthorized,
    /// A login that proves nothing.
    LoginRefused,
    /// Too many wrong tokens or passwords, or too many at once.
    TooManyAttempts,
    /// There is no such user or token.
    NoSuch(&'static str),
    /// Only for those who come from the data directory's socket.
    OnlyHere,
    /// Called by a name that is not ours.
    ForeignHost,
    /// Sent by a page that is not ours.
    CrossSite,
    /// A browser sent something that forms can send as well.
    NotJson,
    /// There are as many of these as there may be.
    Busy(&'static str),
    /// Whoever asks may not do that.
    MissingRole(Role),
}

impl Problem {
    /// Status and body.
    pub(super) fn shape(&self) -> (StatusCode, ErrorShape) {
        let (status, kind, message, hints): (_, _, String, &[&str]) = match self {
            Self::Control(error @ ControlError::NotFound) => {
                let hints = &["`freezeframe incidents` lists those that are there"];
                (StatusCode::NOT_FOUND, "not_found", error.to_string(), hints)
            }
            Self::Control(error @ ControlError::Denied(_)) => {
                let hints = &["`freezeframe doctor` says which permission is missing and how to get it"];
                (StatusCode::FORBIDDEN, "denied", error.to_string(), hints)
            }
            Self::Control(error @ ControlError::Conflict(_)) => (
                StatusCode::CONFLICT,
                "conflict",
                error.to_string(),
                &["read the incident again: its state has changed"],
            ),
            Self::Control(error @ ControlError::TimedOut(_)) => {
                let hints = &["it may still come to its end: read the incident again before repeating it"];
                (StatusCode::GATEWAY_TIMEOUT, "timed_out", error.to_string(), hints)
            }
            Self::Control(error @ ControlError::Invalid(_)) => {
                let hints = &["nothing was changed"];
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid", error.to_string(), hints)
            }
            Self::Control(error @ ControlError::Failed(_)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "failed", error.to_string(), &[])
            }
            Self::Control(error @ ControlError::Expression(expression)) => {
                let (status, kind, hints) = of_obstacle(expression);
                (status, kind, error.to_string(), hints)
            }
            Self::Busy(message) => {
                let hints = &["close a page, or try again in a moment"];
                (StatusCode::SERVICE_UNAVAILABLE, "busy", (*message).to_owned(), hints)
            }
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, "bad_request", message.clone(), &[]),
            Self::NoSuchPath => {
                (StatusCode::NOT_FOUND, "not_found", "there is nothing at this path".to_owned(), &[])
            }
            Self::Unauthorized => {
                let hints = &["send `Authorization: Bearer TOKEN`; `freezeframe token` prints the token"];
                (
                    StatusCode::UNAUTHORIZED,
                    "unauthorized",
                    "a valid token or session is needed".to_owned(),
                    hints,
                )
            }
            Self::LoginRefused => {
                let message = "that does not prove who you are".to_owned();
                let hints = &[
                    "a link works once, and for a quarter of an hour",
                    "on the host of the service, `freezeframe token` prints the data directory's token",
                ];
                (StatusCode::UNAUTHORIZED, "unauthorized", message, hints)
            }
            Self::TooManyAttempts => {
                let message = "too many attempts in the last minutes".to_owned();
                let hints = &["wait a minute, then try again; the data directory's token always works"];
                (StatusCode::TOO_MANY_REQUESTS, "rate_limited", message, hints)
            }
            Self::NoSuch(what) => {
                (StatusCode::NOT_FOUND, "not_found", format!("there is no {what} of that name"), &[])
            }
            Self::OnlyHere => {
                let message = "this is only for those who use the data directory's socket".to_owned();
                let hints = &["use `freezeframe user` and `freezeframe token` on the host of the service"];
                (StatusCode::FORBIDDEN, "denied", message, hints)
            }
            Self::ForeignHost => {
                let message = "this server does not answer to that host name".to_owned();
                let hints = &["use localhost or 127.0.0.1, or set `public_url` in [service]"];
                (StatusCode::MISDIRECTED_REQUEST, "misdirected", message, hints)
            }
            Self::CrossSite => {
                let message = "only a page of this server may do this in a browser".to_owned();
                (
                    StatusCode::FORBIDDEN,
                    "denied",
                    message,
                    &["open the incident's own page and repeat it there"],
                )
            }
            Self::NotJson => {
                let message = "the body must be JSON, with `Content-Type: application/json`".to_owned();
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", message, &[])
            }
            Self::MissingRole(role) => {
                let message = format!("the role `{role}` is needed for this");
                let hints = &["on the host of the service, `freezeframe user roles` gives roles to people"];
                (StatusCode::FORBIDDEN, "denied", message, hints)
            }
        };
        let hints = hints.iter().map(|hint| (*hint).to_owned()).collect();
        let expression = match self {
            Self::Control(ControlError::Expression(error)) => Some(ExpressionShape::from(error)),
            _ => None,
        };
        (status, ErrorShape { kind: kind.to_owned(), message, hints, expression })
    }
}

/// Kinds are those of the other errors, so that a client that knows nothing of expressions understands them.
fn of_obstacle(error: &EvaluateError) -> (StatusCode, &'static str, &'static [&'static str]) {
    match error.obstacle {
        Obstacle::Syntax => (StatusCode::BAD_REQUEST, "bad_request", &[]),
        Obstacle::NotFound | Obstacle::NotCaptured => (StatusCode::NOT_FOUND, "not_found", &[]),
        Obstacle::Redacted => {
            (StatusCode::FORBIDDEN, "denied", &["`freezeframe eval --reveal` shows it, and is recorded"])
        }
        Obstacle::Limit => (
            StatusCode::GATEWAY_TIMEOUT,
            "timed_out",
            &["ask for a part of it, or once more: what was learnt is kept"],
        ),
        Obstacle::Unavailable | Obstacle::Unfit | Obstacle::Arithmetic => {
            (StatusCode::UNPROCESSABLE_ENTITY, "failed", &[])
        }
    }
}

impl Problem {
    /// What programs get.
    pub(super) fn answer(&self) -> Response {
        let (status, error) = self.shape();
        if error.expression.is_none() {
            return self.mark((status, Json(ErrorAnswer { error, details: None })).into_response());
        }
        let details = Some(ProblemDetails {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: error.message.clone(),
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, Json(ErrorAnswer { error, details })).into_response()
    }

    /// With what the status asks for besides (RFC 9110 section 11.6.1, RFC 6585 section 4).
    fn mark(&self, mut answer: Response) -> Response {
        let (name, value) = match self {
            Self::Unauthorized | Self::LoginRefused => {
                (header::WWW_AUTHENTICATE, "Bearer realm=\"freezeframe\"")
            }
            Self::TooManyAttempts => (header::RETRY_AFTER, "60"),
            _ => return answer,
        };
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
        answer
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::Unauthorized,
            Refusal::TooMany | Refusal::Busy => Self::TooManyAttempts,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.answer()
    }
}
