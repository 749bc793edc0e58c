//! One connection of a transfer: opens ranges, writes what comes, and goes on where it broke.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::select;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use super::ledger::{Ledger, lock};
use super::part::{PartFile, failed};
use crate::content::response::ContentResponse;
use crate::content::{ByteRange, Location, Version};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::retry::Retries;
use crate::thread::runtime;

/// The time that a connection without work waits for another to turn out slow.
const IDLE: Duration = Duration::from_millis(100);

/// The part of the first segment that is there before the connections begin.
#[derive(Default)]
pub(super) struct First {
    pub(super) version: Version,
    /// The bytes that the inspection read.
    pub(super) head: Bytes,
    /// An answer that is still to be read.
    pub(super) answer: Option<ContentResponse>,
}

impl From<ContentResponse> for First {
    fn from(part: ContentResponse) -> Self {
        Self {
            version: part.version.clone(),
            head: Bytes::new(),
            answer: Some(part),
        }
    }
}

/// One connection, or the maker of more.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) location: Location,
    pub(super) part: Arc<PartFile>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    pub(super) validator: Option<String>,
    pub(super) length: u64,
}

impl Worker {
    /// Runs connections on this thread and tells of each that ends, until `stop` is dropped: other
    /// threads may still use connections that this one made.
    pub(super) fn drive(
        self,
        connections: usize,
        tell: &mpsc::UnboundedSender<Result<()>>,
        mut stop: watch::Receiver<()>,
    ) {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                // Whoever does not listen any more has ended the transfer.
                let _ = tell.send(Err(error));
                return;
            }
        };
        let work = pin!(async {
            let mut all: FuturesUnordered<_> =
                (0..connections).map(|_| self.clone().run(None)).collect();
            while let Some(end) = all.next().await {
                let _ = tell.send(end);
            }
            pending::<()>().await;
        });
        runtime.block_on(select(work, pin!(stop.changed())));
    }

    /// Takes the first segment, and writes what there is of it.
    pub(super) fn begin(&self, first: First) -> Result<Option<(usize, Option<ContentResponse>)>> {
        let Some(place) = lock(&self.ledger).take() else {
            return Ok(None);
        };
        self.write(place, first.head, None)?;
        Ok(Some((place, first.answer)))
    }

    /// Fetches segments until all are done, beginning with one that is taken already.
    pub(super) async fn run(self, first: Option<(usize, Option<ContentResponse>)>) -> Result<()> {
        if let Some((place, part)) = first {
            self.segment(place, part).await?;
        }
        while !lock(&self.ledger).is_complete() {
            let place = lock(&self.ledger).take();
            match place {
                Some(place) => self.segment(place, None).await?,
                None => tokio::time::sleep(IDLE).await,
            }
        }
        Ok(())
    }

    async fn segment(&self, place: usize, mut open: Option<ContentResponse>) -> Result<()> {
        let _recorded = Recorded(self, place);
        let mut retries = self.location.transport.retry().start();
        let mut before: Option<ContentResponse> = None;
        while let Some(span) = self.left(place) {
            let mut part = match open.take() {
                Some(part) => part,
                None => self.open(span, &mut retries).await?,
            };
            lock(&self.ledger).modified = part.version.modified;
            if let Some(before) = before.take() {
                part.response.go_on_from(before.response);
            }
            if let Err(error) = self.drain(place, &mut part, &mut retries).await {
                let again = self.validator.is_some() && is_transient(&error);
                retries.wait(error, again).await?;
            }
            before = Some(part);
        }
        Ok(())
    }

    async fn open(
        &self,
        (start, end): (u64, u64),
        retries: &mut Retries,
    ) -> Result<ContentResponse> {
        // The end of the image is the server's to say once more: it may have lied about it.
        let end = (end < self.length).then_some(end);
        let range = ByteRange::new(start, end);
        match &self.validator {
            Some(validator) => {
                let length = Some(self.length);
                self.location
                    .get_rest(range, validator, length, retries)
                    .await
            }
            None => self.location.get_range(range, None, retries).await,
        }
    }

    /// Writes what comes until the answer, or what is left of the segment, is done.
    async fn drain(
        &self,
        place: usize,
        part: &mut ContentResponse,
        retries: &mut Retries,
    ) -> Result<()> {
        while let Some((position, end)) = self.left(place) {
            let is_read = part.end.is_some_and(|answered| position >= answered);
            // Some servers answer with parts of what is asked for. Tiny ones are no progress.
            if is_read && retries.is_progress(position.saturating_sub(part.start)) {
                break;
            }
            let chunk = match is_read {
                true => None,
                false => part.response.chunk().await?,
            };
            let Some(chunk) = chunk else {
                let message = format!("the answer ended at byte {position} of {end}");
                let cause = Cause::Plain(ErrorKind::Length, message);
                return Err(part.response.error(cause));
            };
            let count = chunk.len();
            // The length is an earlier answer's word.
            if part.end.is_none() && position + count as u64 > self.length {
                return Err(grown(part));
            }
            self.write(place, chunk, part.end)?;
            retries.moved(count);
        }
        if part.end.is_none() && part.response.chunk().await?.is_some() {
            return Err(grown(part));
        }
        Ok(())
    }

    fn write(&self, place: usize, chunk: Bytes, answered: Option<u64>) -> Result<()> {
        // Asked again: another connection may have taken over the end of the segment.
        let Some(segment) = lock(&self.ledger).get(place).cloned() else {
            return Ok(());
        };
        let end = answered.map_or(segment.end, |answered| answered.min(segment.end));
        let room = usize::try_from(end - segment.position).unwrap_or(usize::MAX);
        let bytes = &chunk[..chunk.len().min(room)];
        let written = self.part.write(bytes, segment.position, segment.untouched);
        let mut ledger = lock(&self.ledger);
        ledger.fetched += chunk.len() as u64;
        written
            .and_then(|()| ledger.wrote(place, bytes, &self.part))
            .map_err(|error| failed("write", self.part.path(), error))
    }

    /// Returns the rest of a segment, if any.
    fn left(&self, place: usize) -> Option<(u64, u64)> {
        let ledger = lock(&self.ledger);
        let segment = ledger.get(place)?;
        (segment.position < segment.end).then_some((segment.position, segment.end))
    }
}

fn grown(part: &ContentResponse) -> Error {
    part.changed("the image is longer than when the fetch began")
}

/// Has the journal told where a segment stands, however its connection ends.
struct Recorded<'a>(&'a Worker, usize);

impl Drop for Recorded<'_> {
    fn drop(&mut self) {
        // What cannot be told is fetched again.
        let _ = lock(&self.0.ledger).record(self.1);
    }
}

/// Returns `true` if resuming may help.
pub(super) fn is_transient(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::Length
}
