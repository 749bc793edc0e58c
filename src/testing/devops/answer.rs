use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE,
};
use serde::Serialize;
use serde_json::json;

use crate::testing::message::{Answer, empty, set};

const X_CASCADE: HeaderName = HeaderName::from_static("x-cascade");

/// The reason to refuse a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request target cannot be parsed.
    BadTarget,
    /// The path is outside of the API.
    NotMounted(String),
    NoLogin,
    UnknownScheme,
    NoRoute,
    NotAcceptable,
    UnsupportedMediaType,
    AccessDenied(String),
    UnknownProvider(String),
    NotFound(String),
    Invalid(String),
    InvalidUtf8,
    /// A page of another site made the request.
    CrossSite,
}

impl Refusal {
    pub(super) fn invalid(problem: impl Into<String>) -> Self {
        Self::Invalid(problem.into())
    }

    pub(super) fn into_answer(self, is_v2: bool) -> Answer {
        let message = |status, text: &str| json_answer(status, &json!({"message": text}), is_v2);
        match self {
            Self::BadTarget => {
                let mut answer = plain(StatusCode::BAD_REQUEST, "Bad Request");
                set(answer.headers_mut(), CONNECTION, "close");
                answer
            }
            Self::NotMounted(_) | Self::NoRoute if !is_v2 => body(
                StatusCode::NOT_FOUND,
                "text/plain; charset=utf-8",
                "Not found",
            ),
            Self::NotMounted(path) => {
                let mut answer = plain(StatusCode::NOT_FOUND, format!("Not Found: {path}"));
                set(answer.headers_mut(), X_CASCADE, "pass");
                answer
            }
            Self::NoRoute => {
                let mut answer = html(StatusCode::NOT_FOUND, "<h1>Not Found</h1>");
                set(answer.headers_mut(), X_CASCADE, "pass");
                answer
            }
            Self::NoLogin => {
                let mut answer = plain(StatusCode::UNAUTHORIZED, "");
                set(answer.headers_mut(), WWW_AUTHENTICATE, "Basic realm=\"\"");
                answer
            }
            Self::UnknownScheme => plain(StatusCode::BAD_REQUEST, ""),
            Self::NotAcceptable => {
                let text = "Accept header should contains 'application/json' type";
                let mut answer = message(StatusCode::NOT_ACCEPTABLE, text);
                set(answer.headers_mut(), ACCEPT, "application/json");
                answer
            }
            Self::UnsupportedMediaType => {
                let text = "Content-Type should be 'application/json'";
                message(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
            }
            Self::AccessDenied(name) => message(
                StatusCode::UNAUTHORIZED,
                &format!("Access denied for '{name}'"),
            ),
            // The handler of unknown routes replaces the body, but not the media type.
            Self::UnknownProvider(_) if is_v2 => {
                body(StatusCode::NOT_FOUND, json_type(is_v2), "Not found")
            }
            Self::UnknownProvider(name) => {
                message(StatusCode::NOT_FOUND, &format!("Invalid provider '{name}'"))
            }
            Self::NotFound(text) => message(StatusCode::NOT_FOUND, &text),
            Self::Invalid(text) => message(StatusCode::BAD_REQUEST, &text),
            Self::InvalidUtf8 => {
                let text = "invalid byte sequence in UTF-8";
                message(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
            Self::CrossSite => plain(StatusCode::FORBIDDEN, "Forbidden"),
        }
    }
}

/// Returns an answer with JSON on one line.
pub(super) fn json_answer(status: StatusCode, value: &impl Serialize, is_v2: bool) -> Answer {
    let text = serde_json::to_string(value).unwrap_or_default();
    body(status, json_type(is_v2), text)
}

/// Returns an answer with indented JSON.
pub(super) fn pretty_answer(value: &impl Serialize, is_v2: bool) -> Answer {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    body(StatusCode::OK, json_type(is_v2), text)
}

pub(super) fn html(status: StatusCode, text: impl Into<String>) -> Answer {
    body(status, "text/html;charset=utf-8", text)
}

fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    body(status, "text/plain", text)
}

fn body(status: StatusCode, media_type: &str, text: impl Into<String>) -> Answer {
    let text = text.into();
    let length = text.len().to_string();
    let headers = [(CONTENT_TYPE, media_type), (CONTENT_LENGTH, &length)];
    let mut answer = empty(status, &headers);
    *answer.body_mut() = Bytes::from(text).into();
    answer
}

fn json_type(is_v2: bool) -> &'static str {
    if is_v2 {
        "application/json;charset=utf-8"
    } else {
        "application/json"
    }
}
