//! The error type of the crate.

mod cause;
mod kind;
mod refusal;
mod side;
mod text;

use std::time::Duration;

pub(crate) use cause::Cause;
use cause::looked;
pub use kind::ErrorKind;
pub use refusal::FieldErrors;
pub(crate) use refusal::Refusal;
pub use side::Side;

use crate::operation::Operation;
use crate::qcow2;

/// A `Result` with [`Error`] as its default error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of every call of this crate.
///
/// [`kind`](Self::kind) is for programs to act on; the other methods give the details. To show an
/// error to a person, print `{error:#}`: one line with the operation, its subject, the cause and the
/// reason behind it, as `anyhow` prints its errors. `{error}` leaves the reason to
/// [`source`](std::error::Error::source). `Debug`, which a `main` that returns an error prints, adds
/// the kind and the URL. Tokens, passwords and the secrets of a URL never appear in any of them.
///
/// ```
/// use machine_images::{ErrorKind, djinn};
///
/// let error = djinn::Client::builder("ftp://example.org").build().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.to_string(), "build client: the base URL must use http or https");
/// assert_eq!(error.status(), None);
/// ```
///
/// ```
/// use machine_images::{ErrorKind, djinn::Images};
///
/// # async fn example(images: Images) -> machine_images::Result<()> {
/// match images.get(42).await {
///     Ok(image) => println!("{}", image.name),
///     Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => println!("no image 42"),
///     Err(error) if error.is_retryable() => println!("try again in {:?}", error.retry_after()),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    operation: Option<Operation>,
    url: Option<String>,
    attempts: u32,
    /// The time that the attempts took.
    elapsed: Duration,
    /// Bytes of the last request's body that were given to the connection.
    sent: u64,
    /// The server of a copy that it is from.
    side: Option<Side>,
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
            side: None,
            cause,
        }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Cause::Invalid(message.into()))
    }

    pub(crate) fn plain(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(Cause::Plain(kind, message.into()))
    }

    #[cfg(any(feature = "fs", feature = "blocking"))]
    pub(crate) fn io(message: impl Into<String>, error: std::io::Error) -> Self {
        Self::new(Cause::Io(message.into(), error))
    }

    /// Sets the operation. The outermost operation, which the caller knows, is set last.
    pub(crate) fn during(mut self, operation: &Operation) -> Self {
        self.0.operation = Some(operation.clone());
        self
    }

    /// Sets the URL, which must be free of secrets.
    pub(crate) fn at(mut self, public_url: String) -> Self {
        self.0.url = Some(public_url);
        self
    }

    /// Raises the number of attempts, and the time that they took.
    pub(crate) fn after(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.0.attempts = self.0.attempts.max(attempts);
        self.0.elapsed = self.0.elapsed.max(elapsed);
        self
    }

    /// Sets the server of a copy that the error is from.
    pub(crate) fn on_side(mut self, side: Side) -> Self {
        self.0.side = Some(side);
        self
    }

    /// Says of an upload that was not sent completely that its source can be read again.
    pub(crate) fn replayable(mut self) -> Self {
        if let Cause::NotSent { is_replayable, .. } = &mut self.0.cause {
            *is_replayable = true;
        }
        self
    }

    /// Returns the error of this crate that ended the source of an upload.
    pub(crate) fn into_source_error(self) -> Result<Self, Self> {
        let inner = *self.0;
        let cause = match inner.cause {
            Cause::Source(error) => match error.downcast::<Self>() {
                Ok(error) => return Ok(error),
                Err(error) => Cause::Source(error),
            },
            cause => cause,
        };
        Err(Self(Box::new(Inner { cause, ..inner })))
    }

    pub(crate) fn with_sent(mut self, bytes: u64) -> Self {
        self.0.sent = bytes;
        self
    }

    /// Returns how many bytes of the last request's body were given to the connection.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent
    }

    /// Forgets the number of attempts, for those that are counted anew.
    pub(crate) fn uncounted(mut self) -> Self {
        (self.0.attempts, self.0.elapsed) = (0, Duration::ZERO);
        self
    }

    /// Raises the number of attempts to that of another error.
    pub(crate) fn attempts_of(self, other: &Self) -> Self {
        self.after(other.0.attempts, other.0.elapsed)
    }

    /// Sets the kind and text of a server's refusal, as its operation understands it.
    pub(crate) fn meaning(mut self, kind: ErrorKind, meaning: impl Into<String>) -> Self {
        if let Cause::Refused(refusal) = &mut self.0.cause {
            refusal.kind = Some(kind);
            refusal.meaning = Some(meaning.into().into());
        }
        self
    }

    /// Turns the error of a request that must not be repeated into
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown).
    pub(crate) fn outcome_unknown(mut self) -> Self {
        self.0.cause = Cause::OutcomeUnknown {
            is_missing: false,
            source: Box::new(self.0.cause),
        };
        self
    }

    /// Says of a creation whose outcome is unknown that its image was looked for, and not found.
    pub(crate) fn looked_for(mut self) -> Self {
        match &mut self.0.cause {
            Cause::OutcomeUnknown { is_missing, .. } => *is_missing = true,
            Cause::Refused(refusal) => {
                if let Some(meaning) = &mut refusal.meaning {
                    *meaning = format!("{meaning}{}", looked(true)).into();
                }
            }
            _ => {}
        }
        self
    }

    /// Returns the kind, for programs to act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.cause.kind()
    }

    /// Returns the HTTP status, if the server sent an error status.
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status)
    }

    /// Returns the name of the operation that failed, such as `"create image"`.
    pub fn operation(&self) -> &'static str {
        self.0.operation.as_ref().map_or("", Operation::name)
    }

    /// Returns the server that the error is from, if a [copy](crate::djinn::Images::copy) failed.
    ///
    /// `None` if the copy was refused before any request, as for a bad name, and for other calls.
    pub fn side(&self) -> Option<Side> {
        self.0.side
    }

    /// Returns the URL of the request, without userinfo and query.
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// Returns the number of attempts of the failed request, counted from a transfer's last progress;
    /// 0 if the error is not from a request, such as a digest mismatch.
    #[doc(alias = "retries")]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns the time that the attempts took, with the delays between them.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// Returns the server's own message, if it sent one. At most 64 KiB.
    ///
    /// A Djinn CI server that sends [`fields`](Self::fields) sends no message.
    pub fn message(&self) -> Option<&str> {
        match &self.0.cause {
            Cause::Plain(ErrorKind::DownloadFailed, text) => Some(text),
            _ => self.refusal()?.message.as_deref(),
        }
    }

    /// Returns the server's messages about single fields of a rejected request.
    ///
    /// Only a Djinn CI server sends them. A DevOps Service names the parameters in its
    /// [`message`](Self::message).
    ///
    /// ```
    /// # fn show(error: machine_images::Error) {
    /// for (field, messages) in error.fields().into_iter().flatten() {
    ///     println!("{field}: {}", messages.join(", "));
    /// }
    /// # }
    /// ```
    pub fn fields(&self) -> Option<&FieldErrors> {
        self.refusal()?.fields.as_ref()
    }

    /// Returns the report of the inspection that rejected the image.
    pub fn inspection(&self) -> Option<&qcow2::Report> {
        match &self.0.cause {
            Cause::Image(report) => Some(report),
            _ => None,
        }
    }

    /// Returns the length of the image, if a requested range starts past its end (416).
    #[doc(alias = "length")]
    #[doc(alias = "content-range")]
    pub fn total(&self) -> Option<u64> {
        self.refusal()?.total
    }

    /// Returns the time that the server asks to wait before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }

    /// Returns `true` if the same call may succeed later.
    ///
    /// These errors are retryable:
    ///
    /// - [`Connect`](ErrorKind::Connect), [`Timeout`](ErrorKind::Timeout),
    ///   [`Stalled`](ErrorKind::Stalled) and [`Transport`](ErrorKind::Transport);
    /// - [`NotReady`](ErrorKind::NotReady) and [`RateLimited`](ErrorKind::RateLimited);
    /// - [`Server`](ErrorKind::Server) with the status 502, 503 or 504, or with a 500 that is not in
    ///   the API's form;
    /// - [`UnexpectedStatus`](ErrorKind::UnexpectedStatus) with the status 408;
    /// - [`NotSent`](ErrorKind::NotSent) if the source of the upload can be read again, as that of a
    ///   copy always can.
    ///
    /// A creation whose outcome is unknown is never retryable: see
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown).
    #[doc(alias = "temporary")]
    pub fn is_retryable(&self) -> bool {
        self.0.cause.is_retryable()
    }

    /// Returns `true` if the server has too many requests to take this one.
    #[cfg(feature = "fs")]
    pub(crate) fn is_too_many(&self) -> bool {
        matches!(self.status(), Some(429 | 503))
    }

    /// Returns `true` if the server refused in the API's own form, unlike a proxy in front of it.
    pub(crate) fn is_from_api(&self) -> bool {
        self.refusal().is_some_and(|refusal| !refusal.from_gateway)
    }

    fn refusal(&self) -> Option<&Refusal> {
        match &self.0.cause {
            Cause::Refused(refusal) => Some(refusal),
            _ => None,
        }
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

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
