use std::time::Duration;

use reqwest::Method;

use super::record::Received;
use super::rule::FaultRule;
use super::wire::Close;

/// What goes wrong with a request.
///
/// A fault becomes a rule with [`on`](Self::on), [`when`](Self::when), [`times`](Self::times) or
/// [`always`](Self::always), and takes effect when it is injected into a server. On its own it
/// befalls the next request, whatever that is.
///
/// ```
/// use machine_images::testing::{Close, DjinnServer, Fault};
/// use reqwest::Method;
///
/// let server = DjinnServer::start()?;
/// server.inject(Fault::status(503));
/// server.inject(
///     Fault::CutResponse { after: 1000, close: Close::Reset }
///         .on(Method::GET, "/images/1")
///         .times(2),
/// );
/// # Ok::<(), std::io::Error>(())
/// ```
///
#[doc = include_str!("faults.md")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection ends when the request's head has arrived; nothing is done.
    DropRequest {
        /// How the connection ends.
        close: Close,
    },
    /// The connection ends when this much of the request's body has arrived; nothing is done.
    CutRequest {
        /// Bytes of the body that are read; at least so many, for they come in pieces.
        after: u64,
        /// How the connection ends.
        close: Close,
    },
    /// The request is done, and the connection ends without an answer.
    DropAnswer {
        /// How the connection ends.
        close: Close,
    },
    /// The connection ends after this much of the answer's body. An answer that is shorter
    /// arrives whole.
    CutResponse {
        /// Bytes of the body that are sent; a reset may lose some of them.
        after: u64,
        /// How the connection ends.
        close: Close,
    },
    /// The server pauses when it has read this much of the request's body, then goes on.
    StallRequest {
        /// Bytes of the body that are read before.
        after: u64,
        /// How long the pause is.
        wait: Duration,
    },
    /// The request is done, and the answer's head comes this much later.
    StallAnswer {
        /// How long the pause is.
        wait: Duration,
    },
    /// The answer pauses after its head and this much of its body, then goes on.
    StallResponse {
        /// Bytes of the body that are sent before.
        after: u64,
        /// How long the pause is.
        wait: Duration,
    },
    /// The server goes away, as when it is killed and started again: all connections are reset,
    /// new ones are refused for a while, then it serves on with the state it had.
    ///
    /// [`DjinnServer::go_away`](super::DjinnServer::go_away) does the same without a request.
    Away {
        /// `true` if the request is done before, `false` if nothing is done.
        done: bool,
        /// The time for which connections are refused.
        wait: Duration,
    },
    /// The server takes its time to copy an image that was uploaded: the image exists, and the
    /// answer is sent, this long after the whole body has arrived. Other requests and faulty
    /// uploads are answered as ever.
    SlowCopy {
        /// The time that the copy takes.
        wait: Duration,
        /// If the client closes the connection meanwhile, `true` creates the image all the same;
        /// with `false`, as on the real Djinn CI server, there is no image.
        outlives_client: bool,
    },
    /// The answer's body comes in small pieces.
    Trickle {
        /// Bytes in a piece.
        bytes: usize,
        /// The pause between two pieces.
        every: Duration,
    },
    /// A status with a JSON message instead of the answer, once the request's body is read;
    /// nothing is done.
    Status {
        /// The status.
        status: u16,
        /// The `Retry-After` header.
        retry_after: Option<RetryAfter>,
    },
    /// A page of HTML, as proxies write it, instead of the answer; nothing is done.
    Html {
        /// The status.
        status: u16,
    },
    /// A status as soon as this much of the request's body has arrived, while the rest is still
    /// being sent; nothing is done.
    EarlyAnswer {
        /// The status.
        status: u16,
        /// Bytes of the body that are read before.
        after: u64,
        /// With [`Close::Clean`] the server goes on discarding for a while, so that the answer
        /// can be read; with [`Close::Reset`] the connection is reset right after the answer.
        close: Close,
    },
    /// `200` with JSON that breaks off in the middle; nothing is done.
    GarbageJson,
    /// `200` with a JSON array that goes on until the client has had enough, or for 1 GiB;
    /// nothing is done.
    EndlessJson,
    /// A redirect instead of the answer; nothing is done.
    Redirect {
        /// The status.
        status: u16,
        /// Where to, relative or absolute.
        location: String,
    },
    /// A redirect to the very same target; nothing is done. Meant for
    /// [`always`](Self::always).
    RedirectLoop {
        /// The status.
        status: u16,
    },
    /// A `Content-Length` that is off. If it is too large, the connection ends after the body;
    /// if it is too small, the rest of the body follows all the same.
    ContentLength {
        /// What is added to the true length.
        by: i64,
    },
    /// A `206` whose `Content-Range` is shifted, with the bytes that were asked for.
    RangeStart {
        /// What is added to the first and last position.
        by: i64,
    },
    /// A `206` whose `Content-Range` names another total.
    RangeTotal {
        /// What is added to the true total.
        by: i64,
    },
    /// `200` with everything for a request of a range.
    IgnoreRange,
    /// As [`IgnoreRange`](Self::IgnoreRange), without `Accept-Ranges`.
    RefuseRanges,
    /// Another `Last-Modified`, as if the image had been replaced.
    LastModified {
        /// Seconds that are added.
        by: i64,
    },
    /// A header that is replaced or added: a broken `Link`, a wrong `Content-Type`.
    Header {
        /// The header's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A header that is left out.
    WithoutHeader {
        /// The header's name.
        name: String,
    },
}

impl Fault {
    /// [`Fault::Status`] without `Retry-After`.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
        }
    }

    /// [`Fault::Header`].
    pub fn header(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Header {
            name: name.into(),
            value: value.into(),
        }
    }

    /// Befalls requests with this method and path; see [`FaultRule::on`].
    pub fn on(self, method: Method, path: impl Into<String>) -> FaultRule {
        FaultRule::from(self).on(method, path)
    }

    /// Befalls requests that this is true of; see [`FaultRule::when`].
    pub fn when(self, is_meant: impl Fn(&Received) -> bool + Send + Sync + 'static) -> FaultRule {
        FaultRule::from(self).when(is_meant)
    }

    /// Befalls so many requests; see [`FaultRule::times`].
    pub fn times(self, count: usize) -> FaultRule {
        FaultRule::from(self).times(count)
    }

    /// Befalls every request; see [`FaultRule::always`].
    pub fn always(self) -> FaultRule {
        FaultRule::from(self).always()
    }
}

/// The forms of a `Retry-After` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds(u64),
    /// A date so many seconds after the answer.
    Date(u32),
}
