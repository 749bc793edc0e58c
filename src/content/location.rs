//! The place of an image on its server, and the requests for its content.

use futures::future::BoxFuture;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_RANGE, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, StatusCode};
#[cfg(feature = "fs")]
use url::Url;

use super::response::{ContentResponse, range_error};
use super::{ByteRange, Version};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::operation::Operation;
use crate::retry::Retries;
use crate::transport::{ContentRange, Request, Response, Transport};

/// The place of an image, and the media type of its content.
#[derive(Clone)]
pub(crate) struct Location {
    pub(crate) transport: Transport,
    pub(crate) operation: Operation,
    pub(crate) path: Vec<String>,
    /// Both the `Accept` that is sent and the type that must come back.
    pub(crate) media_type: &'static str,
    /// Finds the reason for a 404.
    pub(crate) explain: fn(Location, Error) -> BoxFuture<'static, Error>,
}

impl Location {
    #[cfg(feature = "fs")]
    pub(crate) fn url(&self) -> Result<Url> {
        Ok(self.request()?.url(self.transport.base()))
    }

    /// Asks for the whole content.
    pub(crate) async fn get(&self, retries: &mut Retries) -> Result<ContentResponse> {
        let response = self.send(self.request()?, retries).await?;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let message = "a part came where the whole was asked for";
            return Err(range_error(&response, message));
        }
        self.check(response, 0, None)
    }

    /// Asks for a range, and with a validator only if the image is still that version.
    pub(crate) async fn get_range(
        &self,
        range: ByteRange,
        validator: Option<&str>,
        retries: &mut Retries,
    ) -> Result<ContentResponse> {
        let answer = self.get_range_or_all(range, validator, retries).await?;
        match answer.is_whole() {
            true if validator.is_some() => Err(answer.changed(NO_RANGES)),
            true => Err(answer.range_ignored()),
            false => Ok(answer),
        }
    }

    /// Asks for a range, and also takes the whole image, which a server without ranges sends. With
    /// a validator it must be of that version.
    pub(crate) async fn get_range_or_all(
        &self,
        range: ByteRange,
        validator: Option<&str>,
        retries: &mut Retries,
    ) -> Result<ContentResponse> {
        let response = match self.send_range(range, validator, retries).await {
            Err(error) if error.status() == Some(416) && validator.is_some() => {
                let message = "the image became shorter while it was fetched";
                return Err(Error::plain(ErrorKind::Changed, message));
            }
            answer => answer?,
        };
        if response.status() != StatusCode::PARTIAL_CONTENT {
            // An answer in JSON is reported as such, not as a range that was ignored.
            let whole = self.check(response, 0, None)?;
            return match validator {
                None if whole.response.header(&CONTENT_RANGE).is_some() => {
                    Err(whole.range_error("a part came as the whole"))
                }
                Some(asked) if !whole.version.is(asked) => Err(whole.changed(CHANGED)),
                _ => Ok(whole),
            };
        }
        let answer = self.check_range(response, range)?;
        match validator {
            Some(asked) if !answer.version.is(asked) => Err(answer.changed(CHANGED)),
            _ => Ok(answer),
        }
    }

    /// Asks for more of the version that an earlier answer was of.
    pub(crate) async fn get_rest(
        &self,
        range: ByteRange,
        validator: &str,
        total: Option<u64>,
        retries: &mut Retries,
    ) -> Result<ContentResponse> {
        let answer = self.get_range(range, Some(validator), retries).await?;
        answer.of_version(&Version {
            total,
            ..Version::default()
        })
    }

    /// Asks for the first bytes, and takes the whole image of a server without ranges.
    pub(crate) async fn get_first(
        &self,
        length: u64,
        retries: &mut Retries,
    ) -> Result<ContentResponse> {
        let first = ByteRange::new(0, Some(length));
        match self.get_range_or_all(first, None, retries).await {
            // An empty image has no first byte.
            Err(error) if error.kind() == ErrorKind::Range => self.get(retries).await,
            answer => answer,
        }
    }

    /// Checks an answer that is of a range, or of the whole image.
    #[cfg(feature = "fs")]
    pub(crate) fn check_range_or_all(
        &self,
        response: Response,
        asked: ByteRange,
    ) -> Result<ContentResponse> {
        match response.status() {
            StatusCode::PARTIAL_CONTENT => self.check_range(response, asked),
            _ => self.check(response, 0, None),
        }
    }

    /// Sends the request for a range, and leaves the answer unchecked.
    pub(crate) async fn send_range(
        &self,
        range: ByteRange,
        validator: Option<&str>,
        retries: &mut Retries,
    ) -> Result<Response> {
        let mut request = self.request()?.header(RANGE, value(&range.header())?);
        if let Some(validator) = validator {
            request = request.header(IF_RANGE, value(validator)?);
        }
        self.send(request, retries).await
    }

    async fn send(&self, request: Request, retries: &mut Retries) -> Result<Response> {
        match self.transport.open(request, retries).await {
            Err(error) if error.status() == Some(404) => {
                Err((self.explain)(self.clone(), error).await)
            }
            answer => answer,
        }
    }

    fn request(&self) -> Result<Request> {
        let request = Request::new(Method::GET).path(&self.path)?;
        Ok(request.header(ACCEPT, HeaderValue::from_static(self.media_type)))
    }

    /// Makes sure that the range which came is the one that was asked for.
    fn check_range(&self, response: Response, asked: ByteRange) -> Result<ContentResponse> {
        self.check_type(&response)?;
        let header = response.header(&CONTENT_RANGE);
        let Some(ContentRange {
            range: Some((start, end)),
            total,
        }) = header.and_then(ContentRange::parse)
        else {
            let message = "the answer does not say which part it is";
            return Err(range_error(&response, message));
        };
        if total.is_none() && asked.end() != Some(end) {
            let message = "a part came, and no word of how long the whole is";
            return Err(range_error(&response, message));
        }
        if !asked.is_answered_by(start, end, total) {
            let asked = asked.header();
            let message = format!("bytes {start} to {end} came, asked for was {asked}");
            return Err(range_error(&response, &message));
        }
        let answer = self.check(response, start, total)?;
        if answer.end.is_some_and(|announced| announced != end) {
            return Err(answer.range_error("Content-Length and Content-Range differ"));
        }
        Ok(ContentResponse {
            end: Some(end),
            ..answer
        })
    }

    /// Makes sure that an answer is an image that begins at byte `start`.
    pub(crate) fn check(
        &self,
        response: Response,
        start: u64,
        total: Option<u64>,
    ) -> Result<ContentResponse> {
        self.check_type(&response)?;
        // Others, such as 204, have no image.
        if !matches!(
            response.status(),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT
        ) {
            let message = format!("{} is no answer with an image", response.status());
            return Err(response.error(Cause::Plain(ErrorKind::UnexpectedStatus, message)));
        }
        Ok(ContentResponse::new(response, start, total))
    }

    /// Compares the media type, before a byte is given out: a server that does not know the
    /// `Accept` sends JSON with status 200.
    fn check_type(&self, response: &Response) -> Result<()> {
        let found = response.media_type();
        let encoding = response.header(&CONTENT_ENCODING).unwrap_or("identity");
        let message = if found != self.media_type {
            format!("the answer is {found:?}, not {:?}", self.media_type)
        } else if !encoding.eq_ignore_ascii_case("identity") {
            format!("the content is encoded as {encoding:?}")
        } else {
            return Ok(());
        };
        Err(response.error(Cause::Plain(ErrorKind::UnexpectedContent, message)))
    }
}

const NO_RANGES: &str = "the server sends no ranges, so that what came cannot be continued";
const CHANGED: &str = "the image is another than when the fetch began";

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|_| Error::invalid("the validator cannot be sent in a header"))
}
