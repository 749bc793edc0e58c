//! Single ranges of one version of an image.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{Content, Location, Part, Span};
use crate::error::{Cause, ErrorKind, Result};
use crate::progress::Meter;

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
}

impl Location {
    /// Reads a range, which is cut at the end of the image, and says of which version it is. If
    /// one is given it has to be that. A range is held in memory whole.
    pub(crate) async fn read(
        self,
        version: Option<Version>,
        range: Range<u64>,
    ) -> Result<(Version, Bytes)> {
        let known = version.clone().unwrap_or_default();
        let end = known.total.map_or(range.end, |total| range.end.min(total));
        if range.start >= end {
            return Ok((known, Bytes::new()));
        }
        let span = Span {
            start: range.start,
            end: Some(end),
        };
        let mut retries = self.transport.retry().start();
        let validator = known.validator.as_deref();
        let part = match self.open_span(span, validator, &mut retries).await {
            Err(error) if error.kind() == ErrorKind::Range && version.is_none() => {
                // An image that ends before the range, an empty one for instance, has none either.
                let seen = Version::of(&self.open_whole(&mut retries).await?);
                return match seen.total {
                    Some(total) if total <= range.start => Ok((seen, Bytes::new())),
                    _ => Err(error),
                };
            }
            part => part?,
        };
        let seen = Version::of(&part);
        if known.total.is_some() && known.total != seen.total {
            let message = "the image has another length than before".into();
            let cause = Cause::Plain(ErrorKind::Changed, message);
            return Err(part.response.error(cause));
        }
        let mut bytes = BytesMut::new();
        let mut content = Content::new(self, part, Some(range.end), retries, Meter::default());
        while let Some(chunk) = content.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok((seen, bytes.freeze()))
    }
}
