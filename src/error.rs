//! The one error type of the crate.

mod kind;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

pub use kind::ErrorKind;

use crate::qcow2;

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Field errors of a refused creation: the field's name as the server spells it, and what it says.
pub type FieldErrors = BTreeMap<String, Vec<String>>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call failed.
///
/// [`kind`](Error::kind) tells what a program can act on; the other accessors give what else is
/// known. `Display` speaks of its own level only, [`source`](std::error::Error::source) of the rest.
/// Neither they nor `Debug` ever show a token, a password or the secrets of a URL.
///
/// ```
/// use machine_images::{ErrorKind, djinn};
///
/// let error = djinn::Client::builder("ftp://example.org").build().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.status(), None);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    operation: &'static str,
    url: Option<String>,
    attempts: u32,
    cause: Cause,
}

/// What a server said with a status that is no success.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) kind: Option<ErrorKind>,
    pub(crate) status: u16,
    pub(crate) message: Option<String>,
    pub(crate) fields: Option<FieldErrors>,
    pub(crate) retry_after: Option<Duration>,
    /// The body is not of the API's form, so it comes from something before the server.
    pub(crate) from_gateway: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        if let Some(message) = &self.message {
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
    Refused(Refusal),
    #[error("cannot connect")]
    Connect(#[source] Source),
    #[error("the connection broke")]
    Broken(#[source] Source),
    #[error("no answer came, so it is unknown whether the server did it")]
    OutcomeUnknown(#[source] Source),
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
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Setup(_) => ErrorKind::InvalidInput,
            Self::Plain(kind, _) => *kind,
            Self::Refused(refusal) => refusal.kind.unwrap_or(match refusal.status {
                400 | 409 | 422 => ErrorKind::Rejected,
                401 => ErrorKind::Unauthorized,
                403 => ErrorKind::Forbidden,
                404 => ErrorKind::NotFound,
                413 => ErrorKind::TooLarge,
                416 => ErrorKind::Range,
                429 => ErrorKind::RateLimited,
                // It leads nowhere: a 304 is an answer to a condition that was never set.
                304 => ErrorKind::UnexpectedStatus,
                300..=399 => ErrorKind::Redirect,
                500..=599 => ErrorKind::Server,
                _ => ErrorKind::UnexpectedStatus,
            }),
            Self::Connect(_) => ErrorKind::Connect,
            Self::Broken(_) => ErrorKind::Transport,
            Self::OutcomeUnknown(_) => ErrorKind::OutcomeUnknown,
            Self::Decode(_) => ErrorKind::Decode,
            Self::Source(_) => ErrorKind::Source,
            #[cfg(feature = "fs")]
            Self::Io(..) => ErrorKind::Io,
            Self::Image(_) => ErrorKind::ImageRejected,
        }
    }
}

impl Error {
    pub(crate) fn new(operation: &'static str, cause: Cause) -> Self {
        Self(Box::new(Inner {
            operation,
            url: None,
            attempts: 0,
            cause,
        }))
    }

    pub(crate) fn invalid(operation: &'static str, message: impl Into<String>) -> Self {
        Self::new(operation, Cause::Invalid(message.into()))
    }

    pub(crate) fn plain(
        operation: &'static str,
        kind: ErrorKind,
        message: impl Into<String>,
    ) -> Self {
        Self::new(operation, Cause::Plain(kind, message.into()))
    }

    #[cfg(feature = "fs")]
    pub(crate) fn io(operation: &'static str, what: String, error: io::Error) -> Self {
        Self::new(operation, Cause::Io(what, error))
    }

    /// Names the URL, in which nothing may be secret any more.
    pub(crate) fn at(mut self, public_url: String) -> Self {
        self.0.url = Some(public_url);
        self
    }

    pub(crate) fn after(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// The same of a call that must not be repeated, and may have been done.
    pub(crate) fn outcome_unknown(mut self) -> Self {
        self.0.cause = Cause::OutcomeUnknown(Box::new(self.0.cause));
        self
    }

    /// What a program can act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.cause.kind()
    }

    /// The HTTP status, if the server answered with one that is no success.
    pub fn status(&self) -> Option<u16> {
        match &self.0.cause {
            Cause::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// The call that failed, such as `"create image by upload"`.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Where the request went, without userinfo and query.
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// Whether a server refused it in the API's own form, not something before the server.
    pub(crate) fn is_from_api(&self) -> bool {
        matches!(&self.0.cause, Cause::Refused(refusal) if !refusal.from_gateway)
    }

    /// How many requests were sent before giving up; 0 if none was.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The server's own words, if it gave any: at most 64 KiB of them.
    pub fn message(&self) -> Option<&str> {
        match &self.0.cause {
            Cause::Refused(refusal) => refusal.message.as_deref(),
            Cause::Plain(ErrorKind::DownloadFailed, text) => Some(text),
            _ => None,
        }
    }

    /// What the server says of single fields in a refused creation.
    pub fn fields(&self) -> Option<&FieldErrors> {
        match &self.0.cause {
            Cause::Refused(refusal) => refusal.fields.as_ref(),
            _ => None,
        }
    }

    /// What the inspection of a rejected image found.
    pub fn inspection(&self) -> Option<&qcow2::Report> {
        match &self.0.cause {
            Cause::Image(report) => Some(report),
            _ => None,
        }
    }

    /// How long the server asks to wait before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.0.cause {
            Cause::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anything being changed.
    ///
    /// It says nothing of whether repeating it is safe: a creation whose outcome is unknown is
    /// never retryable.
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::Stalled
            | ErrorKind::Transport
            | ErrorKind::RateLimited
            | ErrorKind::NotReady => true,
            ErrorKind::Server => match &self.0.cause {
                Cause::Refused(refusal) => {
                    matches!(refusal.status, 502..=504)
                        || (refusal.status == 500 && refusal.from_gateway)
                }
                _ => false,
            },
            _ => self.status() == Some(408),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.cause)?;
        match &self.0.url {
            Some(url) => write!(f, " ({url})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("operation", &self.0.operation)
            .field("url", &self.0.url)
            .field("attempts", &self.0.attempts)
            .field("cause", &self.0.cause)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn display_speaks_of_one_level_and_source_of_the_next() {
        let cause = io::Error::other("disk on fire");
        let error = Error::new("upload", Cause::Source(cause));
        assert_eq!(error.to_string(), "upload: the source of the upload failed");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
    }

    #[test]
    fn field_errors_are_all_shown() {
        let fields = [("name", "taken"), ("file", "empty")];
        let error = Error::new(
            "create",
            Cause::Refused(Refusal {
                status: 400,
                fields: Some(
                    fields
                        .map(|(k, v)| (k.to_owned(), vec![v.to_owned()]))
                        .into_iter()
                        .collect(),
                ),
                ..Refusal::default()
            }),
        );
        assert_eq!(
            error.to_string(),
            "create: the server answered 400: file: empty; name: taken"
        );
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
}
