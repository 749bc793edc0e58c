//! Single ranges of one version of an image.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{Content, Location, Part, Span};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::progress::Meter;
use crate::retry::Retries;

/// What tells one version of an image from another, as far as the server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) validator: Option<String>,
    pub(crate) total: Option<u64>,
}

impl Version {
    pub(crate) fn of(part: &Part) -> Self {
        Self {
            validator: part.validator.clone(),
            total: part.total,
        }
    }

    /// Holds a later version to this one, and adds what it leaves out. Says what differs if it is
    /// another.
    pub(crate) fn hold(&self, later: Self) -> Result<Self, &'static str> {
        let differs = |then| later.total.is_some_and(|now| now != then);
        if self.total.is_some_and(differs) {
            return Err("the image has another length than before");
        }
        if self.validator.is_some() && self.validator != later.validator {
            return Err("the image is another than when the fetch began");
        }
        let total = later.total.or(self.total);
        Ok(Self { total, ..later })
    }
}

impl Part {
    /// Holds the answer to what an earlier one said.
    pub(crate) fn held_to(mut self, earlier: &Version) -> Result<Self> {
        match earlier.hold(Version::of(&self)) {
            Ok(Version { total, .. }) => self.total = total,
            Err(message) => {
                let cause = Cause::Plain(ErrorKind::Changed, message.into());
                return Err(self.response.error(cause));
            }
        }
        Ok(self)
    }
}

/// What came of asking for a range.
pub(crate) enum Read {
    Bytes(Version, Bytes),
    /// A server without ranges answers with the whole, or not at all.
    Whole(Box<(Part, Retries)>, Error),
}

impl Location {
    /// Reads a range, which is cut at the end of the image, and says of which version it is. If
    /// one is given it has to be that. A range is held in memory whole.
    pub(crate) async fn read(self, version: Option<Version>, range: Range<u64>) -> Result<Read> {
        let is_first = version.is_none();
        let known = version.unwrap_or_default();
        let end = known.total.map_or(range.end, |total| range.end.min(total));
        if range.start >= end {
            return Ok(Read::Bytes(known, Bytes::new()));
        }
        let span = Span {
            start: range.start,
            end: Some(end),
        };
        let mut retries = self.transport.retry().start();
        let validator = known.validator.as_deref();
        let asked = self.open_span_or_whole(span, validator, &mut retries);
        let (part, error) = match asked.await {
            Ok(part) if part.is_whole() => {
                let error = part.not_asked_for();
                (part, Some(error))
            }
            Ok(part) => (part, None),
            // An image that ends before the range, an empty one for instance, has none either.
            Err(error) if error.kind() == ErrorKind::Range && is_first => {
                (self.open_whole(&mut retries).await?, Some(error))
            }
            Err(error) => return Err(error),
        };
        if let Some(error) = error {
            return match part.total {
                _ if !is_first => Err(error),
                Some(total) if total <= range.start => {
                    Ok(Read::Bytes(Version::of(&part), Bytes::new()))
                }
                _ => Ok(Read::Whole(Box::new((part, retries)), error)),
            };
        }
        let part = part.held_to(&known)?;
        let seen = Version::of(&part);
        let mut bytes = BytesMut::new();
        let mut content = Content::new(self, part, Some(range.end), retries, Meter::default());
        while let Some(chunk) = content.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Read::Bytes(seen, bytes.freeze()))
    }
}
