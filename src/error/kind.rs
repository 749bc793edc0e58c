//! What a program can act on.

use std::fmt;

/// The kinds of failure. Its `Display` and [`as_str`](ErrorKind::as_str) give the name in
/// snake_case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument was refused before a byte was sent.
    InvalidInput,
    /// No connection could be made; the request was certainly not sent.
    Connect,
    /// The server's certificate is not trusted, or one side speaks TLS and the other does not.
    Tls,
    /// A proxy refused the login (407).
    Proxy,
    /// The server did not answer in time, or a wait ran out of time.
    Timeout,
    /// A transfer stopped moving.
    Stalled,
    /// The connection broke.
    Transport,
    /// A creation was sent whole, and its answer did not come: the image may exist.
    OutcomeUnknown,
    /// A creation was not sent to its end, so the server made nothing of it.
    ///
    /// Retryable if its source can be read again.
    NotSent,
    /// The server sent the request elsewhere, and following would be wrong.
    Redirect,
    /// The credentials were refused (401).
    Unauthorized,
    /// The credentials do not allow it (403; 401 with a message on a DevOps Service).
    Forbidden,
    /// There is no such image (404).
    NotFound,
    /// 404 of a Djinn CI server, which answers so to a bad token and a missing permission, too.
    NotFoundOrUnauthorized,
    /// A 404 in a form that is not the API's: the base URL leads elsewhere.
    UnknownRoute,
    /// The server has an image of that name, or id, already.
    NameTaken,
    /// The server refused the request's parameters or contents (400, 409, 422).
    Rejected,
    /// The image is larger than the server, or a proxy before it, takes (413).
    TooLarge,
    /// Too many requests (429).
    RateLimited,
    /// The server failed (5xx).
    Server,
    /// A status that the API does not know, or that no request of this client gives cause for.
    UnexpectedStatus,
    /// The answer is of another type than what was asked for, such as JSON where it should be an
    /// image, or HTML where it should be JSON.
    UnexpectedContent,
    /// The answer's body is not what it should be.
    Decode,
    /// More or fewer bytes came than were announced.
    Length,
    /// The server answered with another range than the one asked for, or with none.
    Range,
    /// The image changed on the server while it was fetched.
    Changed,
    /// An answer, or a walk over pages, exceeds a bound of this client.
    Limit,
    /// The source of an upload failed, shrank or grew while it was sent.
    Source,
    /// A local file could not be read or written.
    Io,
    /// Another process or task is writing the same target, or removed what was written.
    Busy,
    /// The contents do not have the expected digest.
    Digest,
    /// The inspection of the image found what the policy rejects; nothing was sent, or kept.
    ImageRejected,
    /// The image exists, but the server has yet to download its contents.
    NotReady,
    /// The server gave up downloading the image; the message has the server's text.
    DownloadFailed,
    /// The image was deleted while it was waited for.
    Gone,
}

impl ErrorKind {
    /// The kind's name in snake_case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::Transport => "transport",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::NotSent => "not_sent",
            Self::Redirect => "redirect",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NotFoundOrUnauthorized => "not_found_or_unauthorized",
            Self::UnknownRoute => "unknown_route",
            Self::NameTaken => "name_taken",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::UnexpectedStatus => "unexpected_status",
            Self::UnexpectedContent => "unexpected_content",
            Self::Decode => "decode",
            Self::Length => "length",
            Self::Range => "range",
            Self::Changed => "changed",
            Self::Limit => "limit",
            Self::Source => "source",
            Self::Io => "io",
            Self::Busy => "busy",
            Self::Digest => "digest",
            Self::ImageRejected => "image_rejected",
            Self::NotReady => "not_ready",
            Self::DownloadFailed => "download_failed",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
