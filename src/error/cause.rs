//! What is behind an error: the text for people, and the kind for programs.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;

use super::{ErrorKind, FieldErrors};
use crate::qcow2;

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, one variant a [`ErrorKind`] or a family of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{0}")]
    Invalid(String),
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] Source),
    #[error("{1}")]
    Plain(ErrorKind, String),
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No connection, or a broken one.
    #[error("{1}")]
    Network(ErrorKind, String, #[source] Option<Source>),
    #[error("no answer came, so the server may have created it or not")]
    OutcomeUnknown(#[source] Source),
    #[error("the request was not sent to its end, so the server created nothing")]
    NotSent {
        /// Whether the same call can send it again.
        again: bool,
        source: Source,
    },
    #[error("the answer is not what the API promises")]
    Decode(#[source] Source),
    #[error("the source of the upload failed")]
    Source(#[source] io::Error),
    #[cfg(feature = "fs")]
    #[error("{0}")]
    Io(String, #[source] io::Error),
    #[error("the image is rejected: {}", rejections(.0))]
    Image(Box<qcow2::Report>),
}

fn rejections(report: &qcow2::Report) -> String {
    let findings = report.rejections().map(ToString::to_string);
    findings.collect::<Vec<_>>().join("; ")
}

impl Cause {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Setup(_) => ErrorKind::InvalidInput,
            Self::Plain(kind, _) | Self::Network(kind, ..) => *kind,
            Self::Refused(refusal) => refusal.kind(),
            Self::OutcomeUnknown(_) => ErrorKind::OutcomeUnknown,
            Self::NotSent { .. } => ErrorKind::NotSent,
            Self::Decode(_) => ErrorKind::Decode,
            Self::Source(_) => ErrorKind::Source,
            #[cfg(feature = "fs")]
            Self::Io(..) => ErrorKind::Io,
            Self::Image(_) => ErrorKind::ImageRejected,
        }
    }

    /// Whether the same call may succeed later without anything being changed.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_retryable(),
            Self::NotSent { again, .. } => *again,
            _ => matches!(
                self.kind(),
                ErrorKind::Connect
                    | ErrorKind::Timeout
                    | ErrorKind::Stalled
                    | ErrorKind::Transport
                    | ErrorKind::NotReady
            ),
        }
    }
}

/// What a server said with a status that is no success.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    /// The kind, if it is another than the status stands for.
    pub(crate) kind: Option<ErrorKind>,
    /// What it means and what to try, in place of the bare status.
    pub(crate) meaning: Option<Cow<'static, str>>,
    pub(crate) status: u16,
    pub(crate) message: Option<String>,
    pub(crate) fields: Option<FieldErrors>,
    pub(crate) retry_after: Option<Duration>,
    /// The body is not of the API's form, so it comes from something before the server.
    pub(crate) from_gateway: bool,
}

impl Refusal {
    fn kind(&self) -> ErrorKind {
        self.kind.unwrap_or(match self.status {
            400 | 409 | 422 => ErrorKind::Rejected,
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Forbidden,
            404 => ErrorKind::NotFound,
            407 => ErrorKind::Proxy,
            413 => ErrorKind::TooLarge,
            416 => ErrorKind::Range,
            429 => ErrorKind::RateLimited,
            // It leads nowhere: a 304 is an answer to a condition that was never set.
            304 => ErrorKind::UnexpectedStatus,
            300..=399 => ErrorKind::Redirect,
            500..=599 => ErrorKind::Server,
            _ => ErrorKind::UnexpectedStatus,
        })
    }

    fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::RateLimited => true,
            ErrorKind::Server => {
                matches!(self.status, 502..=504) || (self.status == 500 && self.from_gateway)
            }
            _ => self.status == 408,
        }
    }

    /// The server's words, unless they are those of the status.
    fn words(&self, reason: Option<&str>) -> Option<&str> {
        let message = self.message.as_deref()?;
        let same = reason.is_some_and(|reason| reason.eq_ignore_ascii_case(message.trim()));
        (!same).then_some(message)
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
        if let Some(message) = self.words(reason) {
            write!(f, ": {message}")?;
        }
        let mut separator = ": ";
        for (field, messages) in self.fields.iter().flatten() {
            write!(f, "{separator}{field}: {}", messages.join(", "))?;
            separator = "; ";
        }
        Ok(())
    }
}
