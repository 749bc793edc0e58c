//! Contents as they come, over as many answers as it takes.

use std::fmt;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::stream;
use jiff::Timestamp;
use reqwest::header::LAST_MODIFIED;
use tracing::Instrument;

use super::{ContentReader, Location, Part, Span};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::progress::Meter;
use crate::retry::Retries;
use crate::transport::http_date;

/// What [`Content::bytes`] holds at most.
const MAX_COLLECTED: u64 = 64 * 1024 * 1024;

/// The contents of an image, or one range of them, ready to be read.
///
/// A connection that breaks is made again, and goes on where it was, if the server says which
/// version of the image it sends and it is still the same; the reader sees nothing of it. Contents
/// that end early or go on too long are an error.
#[must_use = "the contents are still to be read"]
pub struct Content {
    location: Location,
    part: Part,
    /// The first byte, the next and the one after the last, counted in the whole image.
    start: u64,
    position: u64,
    end: Option<u64>,
    last_modified: Option<Timestamp>,
    retries: Retries,
    failed: bool,
    meter: Meter,
    /// The operation's, for what is asked for later.
    span: tracing::Span,
}

impl Content {
    /// Contents up to `end`, or the end of the image, that begin with this part of them.
    pub(crate) fn new(
        location: Location,
        part: Part,
        end: Option<u64>,
        retries: Retries,
        meter: Meter,
    ) -> Self {
        // The first answer may have less than was asked for.
        let total = part
            .total
            .map(|total| end.map_or(total, |end| end.min(total)));
        let content = Self {
            location,
            start: part.start,
            position: part.start,
            end: total.or(part.end),
            last_modified: part.response.header(&LAST_MODIFIED).and_then(http_date),
            retries,
            failed: false,
            meter,
            span: tracing::Span::current(),
            part,
        };
        content.meter.start(content.length(), 0);
        content
    }

    /// How many bytes these contents have: those of the range, if one was asked for. `None` if
    /// the server does not say.
    pub fn length(&self) -> Option<u64> {
        self.end.map(|end| end - self.start)
    }

    /// How many bytes the whole image has.
    pub fn total(&self) -> Option<u64> {
        self.part.total
    }

    /// When the image was last changed, in whole seconds; a Djinn CI server gives its creation.
    pub fn last_modified(&self) -> Option<Timestamp> {
        self.last_modified
    }

    /// The next bytes, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Transport`](ErrorKind::Transport), [`Stalled`](ErrorKind::Stalled) and the like if the
    /// transfer broke and could not be continued; [`Changed`](ErrorKind::Changed) if the image is
    /// another by then; [`Length`](ErrorKind::Length) if more came than was announced.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let next = self.next().await;
        next.map_err(|error| error.during(&self.location.operation))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.failed && self.end != Some(self.position) {
            let broken = match self.part.response.chunk().await {
                Ok(Some(chunk)) => return self.took(chunk).map(Some),
                Ok(None) if self.end.is_none() => {
                    self.end = Some(self.position);
                    continue;
                }
                // Also if the answer has all that it announced: less than was asked for.
                Ok(None) => self.ended_early(),
                Err(error) => error,
            };
            let span = self.span.clone();
            // Boxed, as it is rarely wanted and would make the future several times as large.
            let resumed = Box::pin(self.resume(broken)).instrument(span).await;
            if let Err(error) = resumed {
                self.failed = true;
                return Err(error);
            }
        }
        if !self.failed {
            self.meter.finish();
        }
        Ok(None)
    }

    fn took(&mut self, chunk: Bytes) -> Result<Bytes> {
        self.position += chunk.len() as u64;
        if self.end.is_some_and(|end| self.position > end) {
            self.failed = true;
            let message = "more bytes came than were announced".into();
            return Err(self
                .part
                .response
                .error(Cause::Plain(ErrorKind::Length, message)));
        }
        self.retries.moved(chunk.len());
        self.meter.at(self.position - self.start);
        Ok(chunk)
    }

    fn ended_early(&self) -> Error {
        let message = format!(
            "{} of {} bytes came",
            self.position - self.start,
            self.length().unwrap_or_default()
        );
        self.part
            .response
            .error(Cause::Plain(ErrorKind::Length, message))
    }

    /// Asks for what is missing, of the same version. A caller that gives up waiting for it finds
    /// the broken answer again, and with it the way back here.
    async fn resume(&mut self, broken: Error) -> Result<()> {
        let validator = self.part.validator.clone().filter(|_| self.end.is_some());
        // Some servers answer with parts of what is asked for. Tiny ones are no progress.
        let is_part = self.part.end == Some(self.position);
        let came = self.position - self.part.start;
        if validator.is_none() || !is_part || !self.retries.is_progress(came) {
            self.retries.wait(broken, validator.is_some()).await?;
        }
        let span = Span {
            start: self.position,
            end: self.end,
        };
        let Some(validator) = validator else {
            return Err(self.ended_early());
        };
        let (total, retries) = (self.part.total, &mut self.retries);
        let rest = self.location.open_rest(span, &validator, total, retries);
        let rest = rest.await?;
        let before = std::mem::replace(&mut self.part, rest);
        self.part.response.go_on_from(before.response);
        Ok(())
    }

    /// The contents as a stream of chunks. It ends after an error.
    ///
    /// # Errors
    ///
    /// Those of [`chunk`](Self::chunk).
    pub fn stream(self) -> impl Stream<Item = Result<Bytes>> + Send + Unpin + 'static {
        Box::pin(stream::try_unfold(self, |mut content| async {
            Ok(content.chunk().await?.map(|chunk| (chunk, content)))
        }))
    }

    /// The contents as a reader. Its errors carry this crate's [`Error`] inside.
    ///
    /// # Errors
    ///
    /// Those of [`chunk`](Self::chunk).
    pub fn reader(self) -> ContentReader {
        ContentReader::new(self)
    }

    /// The contents in memory, if they have at most 64 MiB.
    ///
    /// # Errors
    ///
    /// As [`bytes_up_to`](Self::bytes_up_to).
    pub async fn bytes(self) -> Result<Bytes> {
        self.bytes_up_to(MAX_COLLECTED).await
    }

    /// The contents in memory, if they have at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`Limit`](ErrorKind::Limit) if there are more, at once if the server says how many; and
    /// those of [`chunk`](Self::chunk).
    pub async fn bytes_up_to(mut self, limit: u64) -> Result<Bytes> {
        let too_many = || {
            let message = format!("the contents are larger than {limit} bytes");
            Error::plain(ErrorKind::Limit, message).during(&self.location.operation)
        };
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_many());
        }
        let too_many = too_many();
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if (all.len() + chunk.len()) as u64 > limit {
                return Err(too_many);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field(
                "url",
                &crate::transport::public_url(self.part.response.url()),
            )
            .field("position", &self.position)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
