//! The bytes of an image in order, over as many answers as it takes: the one place that resumes.

use bytes::Bytes;
use tracing::{Instrument, Span};

use super::response::ContentResponse;
use super::{ByteRange, Location};
use crate::digest::{Digest, Hasher};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::progress::Meter;
use crate::retry::Retries;

/// The body of one answer after another, as far as the range that was asked for.
pub(crate) struct Body {
    location: Location,
    pub(super) answer: ContentResponse,
    /// The first byte, the next and the one after the last, counted from the start of the image.
    pub(super) start: u64,
    position: u64,
    pub(super) end: Option<u64>,
    /// The byte from which on nothing is wanted any more.
    stop: u64,
    retries: Retries,
    has_failed: bool,
    meter: Meter,
    verification: Option<(Hasher, Digest)>,
    /// The span of the operation, for the requests that resume it.
    span: Span,
}

impl Body {
    /// The bytes of the image up to `end`, or up to its own end, of which `answer` has the first.
    pub(crate) fn new(
        location: Location,
        answer: ContentResponse,
        end: Option<u64>,
        retries: Retries,
        meter: Meter,
    ) -> Self {
        // The answer may have less than was asked for.
        let total = answer.version.total;
        let total = total.map(|total| end.map_or(total, |end| end.min(total)));
        let body = Self {
            location,
            start: answer.start,
            position: answer.start,
            end: total.or(answer.end),
            stop: u64::MAX,
            retries,
            has_failed: false,
            meter,
            verification: None,
            span: Span::current(),
            answer,
        };
        body.meter.start(body.length(), 0);
        body
    }

    pub(super) fn verify(mut self, expected: Digest) -> Self {
        self.verification = Some((Hasher::default(), expected));
        self
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.end.map(|end| end - self.start)
    }

    /// Returns the place of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the end of the answer, if it is known.
    #[cfg(feature = "fs")]
    pub(crate) fn end(&self) -> Option<u64> {
        self.end
    }

    /// Returns `true` if all of the answer came.
    #[cfg(feature = "fs")]
    pub(crate) fn is_at_end(&self) -> bool {
        self.end == Some(self.position)
    }

    /// Ends the body at byte `stop`, if that is before its end. What comes in one chunk with the
    /// last bytes is still given out.
    #[cfg(feature = "fs")]
    pub(crate) fn stop_at(&mut self, stop: u64) {
        self.stop = stop;
    }

    /// Receives the next bytes. After an error there are none.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.has_failed {
            return Ok(None);
        }
        let next = self.receive().await;
        let next = next.and_then(|chunk| self.check(chunk));
        self.has_failed = next.is_err();
        next.map_err(|error| error.during(&self.location.operation))
    }

    async fn receive(&mut self) -> Result<Option<Bytes>> {
        while self.end != Some(self.position) && self.position < self.stop {
            let broken = match self.chunk().await {
                Ok(Some(chunk)) => return self.count(chunk).map(Some),
                Ok(None) if self.end.is_none() => {
                    self.end = Some(self.position);
                    continue;
                }
                // Also if the answer has all that it announced: less than was asked for.
                Ok(None) => self.ended_early(),
                Err(error) => error,
            };
            let span = self.span.clone();
            // Boxed, as it is rarely needed and would make the future several times as large.
            Box::pin(self.resume(broken)).instrument(span).await?;
        }
        // An answer that does not say where it ends may have more than an earlier one said.
        let ends = self.end == Some(self.position) && self.answer.end.is_none();
        if ends && self.chunk().await?.is_some() {
            return Err(self.longer());
        }
        Ok(None)
    }

    /// Attempts are counted from the bytes that came last, not from the request for them.
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.answer.response.chunk().await;
        chunk.map_err(Error::uncounted)
    }

    fn count(&mut self, chunk: Bytes) -> Result<Bytes> {
        self.position += chunk.len() as u64;
        if self.end.is_some_and(|end| self.position > end) {
            return Err(self.longer());
        }
        self.retries.moved(chunk.len());
        self.meter.at(self.position - self.start);
        Ok(chunk)
    }

    /// Adds a chunk to the digest, and compares the digest before the last one is given out.
    fn check(&mut self, chunk: Option<Bytes>) -> Result<Option<Bytes>> {
        if let (Some((hasher, _)), Some(chunk)) = (&mut self.verification, &chunk) {
            hasher.update(chunk);
        }
        if self.end == Some(self.position) {
            if let Some((hasher, expected)) = self.verification.take() {
                hasher.finish().expect(expected)?;
            }
        }
        if chunk.is_none() {
            self.meter.finish();
        }
        Ok(chunk)
    }

    fn ended_early(&self) -> Error {
        let (came, announced) = (self.position - self.start, self.length());
        let announced = announced.unwrap_or_default();
        self.length_error(format!("{came} of {announced} bytes came"))
    }

    fn longer(&self) -> Error {
        self.length_error("more bytes came than were announced".into())
    }

    fn length_error(&self, message: String) -> Error {
        let cause = Cause::Plain(ErrorKind::Length, message);
        self.answer.response.error(cause).uncounted()
    }

    /// Asks for the missing bytes of the same version. If it is dropped, the next call finds the
    /// broken answer again, and resumes it.
    async fn resume(&mut self, broken: Error) -> Result<()> {
        let validator = self.answer.version.validator.clone();
        let validator = validator.filter(|_| self.end.is_some());
        // Some servers answer with parts of what is asked for. Tiny ones are no progress.
        let is_part = self.answer.end == Some(self.position);
        let came = self.position - self.answer.start;
        if validator.is_none() || !is_part || !self.retries.is_progress(came) {
            self.retries.wait(broken, validator.is_some()).await?;
        }
        let Some(validator) = validator else {
            return Err(self.ended_early());
        };
        self.end = self.end.map(|end| end.min(self.stop));
        let range = ByteRange::new(self.position, self.end);
        let (total, retries) = (self.answer.version.total, &mut self.retries);
        let rest = self.location.get_rest(range, &validator, total, retries);
        let rest = rest.await?;
        let before = std::mem::replace(&mut self.answer, rest);
        self.answer.response.go_on_from(before.response);
        Ok(())
    }
}
