//! The one error type of the crate.

mod cause;
mod kind;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub(crate) use cause::{Cause, Refusal};
pub use kind::ErrorKind;

use crate::operation::Operation;
use crate::qcow2;

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Field errors of a refused creation: the field's name as the server spells it, and what it says.
pub type FieldErrors = BTreeMap<String, Vec<String>>;

/// Why a call failed.
///
/// [`kind`](Error::kind) tells what a program can act on; the other accessors give what else is
/// known. `Display` says what was done, to what, and what came of it, in one line;
/// [`source`](std::error::Error::source) gives the reason behind it, at most one line more. `Debug`,
/// which a `main` that returns an error prints, has both. None of them ever shows a token, a
/// password or the secrets of a URL.
///
/// ```
/// use machine_images::{ErrorKind, djinn};
///
/// let error = djinn::Client::builder("ftp://example.org").build().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.to_string(), "build client: the base URL is not one of http or https");
/// assert_eq!(error.status(), None);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    operation: Option<Operation>,
    url: Option<String>,
    attempts: u32,
    /// How long the attempts took.
    elapsed: Duration,
    /// Bytes of the last request's body that were given to the connection.
    sent: u64,
    cause: Cause,
}

impl Error {
    pub(crate) fn new(cause: Cause) -> Self {
        Self(Box::new(Inner {
            operation: None,
            url: None,
            attempts: 0,
            elapsed: Duration::ZERO,
            sent: 0,
            cause,
        }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Cause::Invalid(message.into()))
    }

    pub(crate) fn plain(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(Cause::Plain(kind, message.into()))
    }

    #[cfg(feature = "fs")]
    pub(crate) fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        Self::new(Cause::Io(what.into(), error))
    }

    /// Names the operation. The outermost is the one that the caller knows.
    pub(crate) fn during(mut self, operation: &Operation) -> Self {
        self.0.operation = Some(operation.clone());
        self
    }

    /// Names the URL, in which nothing may be secret any more.
    pub(crate) fn at(mut self, public_url: String) -> Self {
        self.0.url = Some(public_url);
        self
    }

    /// Says how many requests were sent, and how long that took.
    pub(crate) fn after(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.0.attempts = self.0.attempts.max(attempts);
        self.0.elapsed = self.0.elapsed.max(elapsed);
        self
    }

    pub(crate) fn with_sent(mut self, bytes: u64) -> Self {
        self.0.sent = bytes;
        self
    }

    /// How long the body was that the last request carried.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent
    }

    /// The same attempts as those of another error.
    pub(crate) fn attempts_of(self, other: &Self) -> Self {
        self.after(other.0.attempts, other.0.elapsed)
    }

    /// Says what a refusal means to its operation.
    pub(crate) fn meaning(mut self, kind: ErrorKind, meaning: impl Into<String>) -> Self {
        if let Cause::Refused(refusal) = &mut self.0.cause {
            refusal.kind = Some(kind);
            refusal.meaning = Some(meaning.into().into());
        }
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

    /// The call that failed, such as `"create image"`.
    pub fn operation(&self) -> &'static str {
        self.0.operation.as_ref().map_or("", Operation::name)
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
        self.0.cause.is_retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = &self.0.operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{}", self.0.cause)?;
        if self.0.attempts > 1 {
            let (attempts, time) = (self.0.attempts, rounded(self.0.elapsed));
            write!(f, " after {attempts} attempts in {time}")?;
        }
        match self.retry_after() {
            Some(wait) => write!(f, "; the server asks to wait {}", rounded(wait)),
            None => Ok(()),
        }
    }
}

/// `get image 42: cannot connect to h:80: Connection refused (connect, http://h/images/42)`
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        write!(f, " ({}", self.kind())?;
        match &self.0.url {
            Some(url) => write!(f, ", {url})"),
            None => f.write_str(")"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.source()
    }
}

/// A time as people say it: `3 ms`, `1.5 s`, `12 s`, `2 min`.
fn rounded(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..=9 if time.subsec_millis() > 0 => format!("{seconds:.1} s"),
        1..=119 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;
    use std::io;

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn display_speaks_of_one_level_and_source_of_the_next() {
        let cause = io::Error::other("disk on fire");
        let error = Error::new(Cause::Source(cause)).during(&Operation::new("upload"));
        assert_eq!(error.to_string(), "upload: the source of the upload failed");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
    }

    #[test]
    fn field_errors_are_all_shown() {
        let fields = [("name", "taken"), ("file", "empty")];
        let error = Error::new(Cause::Refused(Box::new(Refusal {
            status: 400,
            fields: Some(
                fields
                    .map(|(k, v)| (k.to_owned(), vec![v.to_owned()]))
                    .into_iter()
                    .collect(),
            ),
            ..Refusal::default()
        })));
        assert_eq!(
            error.to_string(),
            "400 Bad Request: file: empty; name: taken"
        );
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
}
