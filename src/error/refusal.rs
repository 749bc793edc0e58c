//! Answers with an error status.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use super::kind::ErrorKind;

/// The server's messages about single fields of a request, by the field's name.
pub type FieldErrors = BTreeMap<String, Vec<String>>;

/// An answer whose status is not a success.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    /// The kind, if it differs from that of the status.
    pub(crate) kind: Option<ErrorKind>,
    /// A text for people: the meaning, and what to try.
    pub(crate) meaning: Option<Cow<'static, str>>,
    pub(crate) status: u16,
    pub(crate) message: Option<String>,
    pub(crate) fields: Option<FieldErrors>,
    pub(crate) retry_after: Option<Duration>,
    /// The length of the image, which a 416 has.
    pub(crate) total: Option<u64>,
    /// The body does not have the API's form, so a proxy or gateway sent it.
    pub(crate) from_gateway: bool,
}

impl Refusal {
    pub(super) fn kind(&self) -> ErrorKind {
        self.kind.unwrap_or(match self.status {
            400 | 409 | 422 => ErrorKind::Rejected,
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Forbidden,
            404 => ErrorKind::NotFound,
            407 => ErrorKind::Proxy,
            413 => ErrorKind::TooLarge,
            416 => ErrorKind::Range,
            429 => ErrorKind::RateLimited,
            // Not a redirect, and no request has the condition that it answers.
            304 => ErrorKind::UnexpectedStatus,
            300..=399 => ErrorKind::Redirect,
            500..=599 => ErrorKind::Server,
            _ => ErrorKind::UnexpectedStatus,
        })
    }

    pub(super) fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::RateLimited => true,
            ErrorKind::Server => {
                matches!(self.status, 502..=504) || (self.status == 500 && self.from_gateway)
            }
            _ => self.status == 408,
        }
    }

    /// Returns the server's message, unless it only repeats the status.
    fn distinct_message(&self, reason: Option<&str>) -> Option<&str> {
        let message = self.message.as_deref()?.trim();
        let same = reason.is_some_and(|reason| reason.eq_ignore_ascii_case(message));
        (!same && !message.is_empty()).then_some(message)
    }
}

/// `not found, or ... (404 Not Found)`, `503 Service Unavailable`, `400 Bad Request: name: taken`
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = StatusCode::from_u16(self.status).ok();
        let reason = reason.and_then(|status| status.canonical_reason());
        let status = match reason {
            Some(reason) => format!("{} {reason}", self.status),
            None => self.status.to_string(),
        };
        match &self.meaning {
            Some(meaning) => write!(f, "{meaning} ({status})")?,
            None => f.write_str(&status)?,
        }
        if let Some(message) = self.distinct_message(reason) {
            write!(f, ": {message}")?;
        }
        // The meaning says it with the name.
        if self.kind == Some(ErrorKind::NameTaken) {
            return Ok(());
        }
        let mut separator = ": ";
        for (field, messages) in self.fields.iter().flatten() {
            write!(f, "{separator}{field}: {}", messages.join(", "))?;
            separator = "; ";
        }
        Ok(())
    }
}
