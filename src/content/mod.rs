//! Image bytes, once they are negotiated: as a stream, a reader, or a file.

mod inspect;
mod pinned;
mod reader;
mod remote;
#[cfg(feature = "fs")]
mod save;
mod stream;

use futures::future::BoxFuture;
use reqwest::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE,
    LAST_MODIFIED, RANGE,
};
use reqwest::{Method, StatusCode};
#[cfg(feature = "fs")]
use url::Url;

#[cfg(feature = "fs")]
pub(crate) use inspect::Head;
pub(crate) use pinned::Version;
pub use reader::ContentReader;
pub use remote::RemoteReader;
#[cfg(feature = "fs")]
pub use save::Saved;
#[cfg(feature = "fs")]
pub(crate) use save::{Options, save};
pub use stream::Content;

use crate::error::{Cause, Error, ErrorKind, Result};
use crate::operation::Operation;
use crate::retry::Retries;
use crate::transport::{ContentRange, Request, Response, Transport};

/// Where contents are asked for, and as what.
#[derive(Clone)]
pub(crate) struct Location {
    pub(crate) transport: Transport,
    pub(crate) operation: Operation,
    pub(crate) path: Vec<String>,
    /// Both the `Accept` that is sent and the type that must come back.
    pub(crate) media_type: &'static str,
    /// Says what a 404 for contents means.
    pub(crate) explain: fn(Location, Error) -> BoxFuture<'static, Error>,
}

/// The bytes from `start` on, up to `end` if that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

/// An answer with contents, its head checked.
pub(crate) struct Part {
    pub(crate) response: Response,
    pub(crate) start: u64,
    /// The byte after the last that this answer has, if it says so.
    pub(crate) end: Option<u64>,
    /// The length of the whole image, if the answer says so.
    pub(crate) total: Option<u64>,
    /// What tells this version of the image from another.
    pub(crate) validator: Option<String>,
}

impl Part {
    /// Returns `true` if this is no part of the image, but all of it.
    pub(crate) fn is_whole(&self) -> bool {
        self.response.status() != StatusCode::PARTIAL_CONTENT
    }

    fn not_asked_for(&self) -> Error {
        let message = "the whole came where a part was asked for";
        wrong_range(&self.response, message)
    }
}

impl Location {
    /// Where the contents are.
    #[cfg(feature = "fs")]
    pub(crate) fn url(&self) -> Result<Url> {
        Ok(self.request()?.url(self.transport.base()))
    }

    /// Asks for the whole contents.
    pub(crate) async fn open_whole(&self, retries: &mut Retries) -> Result<Part> {
        let response = self.open(self.request()?, retries).await?;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            return Err(wrong_range(
                &response,
                "a part came where the whole was asked for",
            ));
        }
        self.check(response, 0, None)
    }

    /// Asks for a part, and with a validator only if the image is still that version.
    pub(crate) async fn open_span(
        &self,
        span: Span,
        validator: Option<&str>,
        retries: &mut Retries,
    ) -> Result<Part> {
        let part = self.open_span_or_whole(span, validator, retries).await?;
        match part.is_whole() {
            true => Err(part.not_asked_for()),
            false => Ok(part),
        }
    }

    /// Asks for a part, and without a validator takes the whole as well, which a server without
    /// ranges sends.
    pub(crate) async fn open_span_or_whole(
        &self,
        span: Span,
        validator: Option<&str>,
        retries: &mut Retries,
    ) -> Result<Part> {
        let last = span.end.map(|end| (end - 1).to_string());
        let range = format!("bytes={}-{}", span.start, last.unwrap_or_default());
        let mut request = self.request()?;
        request = request.header(RANGE, value(&range)?);
        if let Some(validator) = validator {
            request = request.header(IF_RANGE, value(validator)?);
        }
        let response = match self.open(request, retries).await {
            Err(error) if error.status() == Some(416) && validator.is_some() => {
                let message = "the image became shorter while it was fetched";
                return Err(Error::plain(ErrorKind::Changed, message));
            }
            answer => answer?,
        };
        if response.status() != StatusCode::PARTIAL_CONTENT {
            // Rather JSON for what it is than a range that was ignored.
            let whole = self.check(response, 0, None)?;
            let is_part = whole.response.header(&CONTENT_RANGE).is_some();
            return match validator {
                None if is_part => Err(wrong_range(&whole.response, "a part came as the whole")),
                Some(_) => Err(whole.response.error(Cause::Plain(
                    ErrorKind::Changed,
                    "the image is another than when the fetch began".into(),
                ))),
                None => Ok(whole),
            };
        }
        self.check_type(&response)?;
        let Some(ContentRange {
            range: Some((start, end)),
            total,
        }) = response
            .header(&CONTENT_RANGE)
            .and_then(ContentRange::parse)
        else {
            return Err(wrong_range(
                &response,
                "the answer does not say which part it is",
            ));
        };
        if total.is_none() && span.end != Some(end) {
            let message = "a part came, and no word of how long the whole is";
            return Err(wrong_range(&response, message));
        }
        if start != span.start || span.end.is_some_and(|asked| end > asked) {
            let message = format!("bytes {start} to {end} came, asked for was {range}");
            return Err(wrong_range(&response, &message));
        }
        let part = self.check(response, start, total)?;
        if part.end.is_some_and(|announced| announced != end) {
            return Err(wrong_range(
                &part.response,
                "Content-Length and Content-Range differ",
            ));
        }
        if validator.is_some_and(|asked| part.validator.as_deref() != Some(asked)) {
            return Err(part.response.error(Cause::Plain(
                ErrorKind::Changed,
                "the image is another than when the fetch began".into(),
            )));
        }
        Ok(Part {
            end: Some(end),
            ..part
        })
    }

    async fn open(&self, request: Request, retries: &mut Retries) -> Result<Response> {
        match self.transport.open(request, retries).await {
            Err(error) if error.status() == Some(404) => {
                Err((self.explain)(self.clone(), error).await)
            }
            answer => answer,
        }
    }

    /// Asks for more of what an earlier answer began, and takes no other version.
    pub(crate) async fn open_rest(
        &self,
        span: Span,
        validator: &str,
        total: Option<u64>,
        retries: &mut Retries,
    ) -> Result<Part> {
        let part = self.open_span(span, Some(validator), retries).await?;
        part.held_to(&Version {
            validator: None,
            total,
        })
    }

    fn request(&self) -> Result<Request> {
        let request = Request::new(Method::GET).path(&self.path)?;
        Ok(request.header(ACCEPT, HeaderValue::from_static(self.media_type)))
    }

    fn check(&self, response: Response, start: u64, total: Option<u64>) -> Result<Part> {
        self.check_type(&response)?;
        // Others, such as 204, have no image.
        if !matches!(
            response.status(),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT
        ) {
            let message = format!("{} is no answer with an image", response.status());
            return Err(response.error(Cause::Plain(ErrorKind::UnexpectedStatus, message)));
        }
        let length: Option<u64> = response
            .header(&CONTENT_LENGTH)
            .and_then(|text| text.parse().ok());
        let end = length.map(|length| start.saturating_add(length));
        Ok(Part {
            start,
            end,
            total: match response.status() {
                StatusCode::PARTIAL_CONTENT => total,
                _ => end,
            },
            validator: validator(&response),
            response,
        })
    }

    /// Looked at before a byte is given out: a server that does not know the `Accept` sends JSON
    /// with status 200.
    fn check_type(&self, response: &Response) -> Result<()> {
        let found = response.media_type();
        let encoding = response.header(&CONTENT_ENCODING).unwrap_or("identity");
        let message = if found != self.media_type {
            format!("the answer is {found:?}, not {:?}", self.media_type)
        } else if !encoding.eq_ignore_ascii_case("identity") {
            format!("the contents come encoded as {encoding:?}")
        } else {
            return Ok(());
        };
        Err(response.error(Cause::Plain(ErrorKind::UnexpectedContent, message)))
    }
}

/// What `If-Range` may carry: a strong entity tag, or else the date. The Djinn CI server has only
/// the date, and keeps its promise with it.
fn validator(response: &Response) -> Option<String> {
    let tag = response.header(&ETAG).filter(|tag| tag.starts_with('"'));
    tag.or(response.header(&LAST_MODIFIED)).map(str::to_owned)
}

fn wrong_range(response: &Response, message: &str) -> Error {
    response.error(Cause::Plain(ErrorKind::Range, message.into()))
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|_| Error::invalid("the validator cannot be sent in a header"))
}
