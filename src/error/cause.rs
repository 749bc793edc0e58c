//! The cause of an error: its text, its kind, and the details of a server's answer.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;

use super::{ErrorKind, FieldErrors};
use crate::qcow2;

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// The cause of an error. Each variant has one [`ErrorKind`] or a family of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{0}")]
    Invalid(String),
    #[error("cannot set up the HTTP client")]
    Setup(#[source] Source),
    #[error("{1}")]
    Plain(ErrorKind, String),
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// A connection that could not be made, or broke.
    #[error("{1}")]
    Network(ErrorKind, String, #[source] Option<Source>),
    #[error("no answer came, so the server may or may not have created the image")]
    OutcomeUnknown(#[source] Source),
    #[error("the request was not sent completely, so the server created nothing")]
    NotSent {
        /// The source can be read again.
        is_replayable: bool,
        source: Source,
    },
    #[error("the answer is not in the API's form")]
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

    /// Returns `true` if the same call may succeed later.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_retryable(),
            Self::NotSent { is_replayable, .. } => *is_replayable,
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
            // Not a redirect, and no request has the condition that it answers.
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

    /// Returns the server's message, unless it only repeats the status.
    fn distinct_message(&self, reason: Option<&str>) -> Option<&str> {
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
        if let Some(message) = self.distinct_message(reason) {
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
