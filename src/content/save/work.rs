//! The transfer itself: opens ranges, writes what comes, and goes on where a connection broke.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::{Either, join_all, select};
use futures::stream::FuturesUnordered;
use sha2::Digest as _;
use tokio::sync::watch;

use super::ledger::{Ledger, SEGMENT};
use super::part::{Found, PartFile};
use super::spans::Spans;
use super::{Options, journal};
use crate::content::{Location, Part, Span};
use crate::digest::Digest;
use crate::error::{Cause, Error, ErrorKind, Result};

/// What a second connection must have to do before it is made.
const WORTH_A_CONNECTION: u64 = SEGMENT;

/// One transfer into a file.
pub(super) struct Fetch {
    pub(super) location: Location,
    pub(super) part: Arc<PartFile>,
    pub(super) options: Options,
    ledger: Arc<Mutex<Ledger>>,
    pub(super) validator: Option<String>,
    length: u64,
    resumed_from: u64,
    fetched_before: u64,
    connections: usize,
    /// What an earlier process left is not to be used.
    anew: bool,
}

impl Fetch {
    pub(super) fn new(location: Location, part: Arc<PartFile>, options: &Options) -> Self {
        Self {
            location,
            part,
            options: options.clone(),
            ledger: shared(Ledger::new(&Spans::default(), 0, 1, options.meter.clone())),
            validator: None,
            length: 0,
            resumed_from: 0,
            fetched_before: 0,
            connections: 1,
            anew: !options.resume,
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn resumed_from(&self) -> u64 {
        self.resumed_from
    }

    pub(super) fn fetched(&self) -> u64 {
        self.fetched_before + lock(&self.ledger).fetched
    }

    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Whether what is there can be continued by another process.
    pub(super) fn is_resumable(&self) -> bool {
        self.validator.is_some()
    }

    /// Fetches all that is missing.
    pub(super) async fn whole(&mut self) -> Result<()> {
        let mut retries = self.location.transport.retry().start();
        loop {
            match self.once().await {
                // Without a validator nothing can be continued, so it is begun again.
                Err(error) if self.validator.is_none() && is_transient(&error) => {
                    // Opening has had its own retries.
                    let began = lock(&self.ledger).fetched > 0;
                    retries.wait(error, began).await?;
                    self.forget()?;
                }
                result => return result,
            }
        }
    }

    /// Begins again from nothing.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.anew = true;
        self.fetched_before = self.fetched();
        self.resumed_from = 0;
        self.validator = None;
        let empty = Ledger::new(&Spans::default(), 0, 1, self.options.meter.clone());
        *lock(&self.ledger) = empty;
        let reset = self.part.reset();
        reset.map_err(|error| self.failed("empty", error))
    }

    async fn once(&mut self) -> Result<()> {
        let found = match self.anew {
            true => self.part.reset().map(|()| None),
            false => self.part.find(),
        };
        let url = crate::transport::public_url(&self.location.url()?);
        let found = found.map_err(|error| self.failed("read", error))?;
        let first = match found.filter(|found| found.subject.url == url) {
            Some(found) => {
                self.resume(found);
                self.check_remote().await?;
                None
            }
            None => {
                self.check_remote().await?;
                self.begin(url).await?
            }
        };
        self.work(first).await
    }

    fn resume(&mut self, found: Found) {
        let Found {
            subject,
            done,
            journal,
        } = found;
        self.length = subject.length;
        self.validator = Some(subject.validator);
        self.resumed_from = done.total();
        self.plan(&done, Some(journal));
    }

    /// Asks for the first bytes, and plans the rest by what the answer says.
    async fn begin(&mut self, url: String) -> Result<Option<Part>> {
        let first = self.first().await?;
        let Some(length) = first.total else {
            return self.unbounded(first).await.map(|()| None);
        };
        self.length = length;
        self.validator = first.validator.clone();
        let subject = match &self.validator {
            Some(validator) if self.options.resume => Some(journal::Subject {
                url,
                length,
                validator: validator.clone(),
            }),
            _ => None,
        };
        let journal = self.part.begin(Some(length), subject.as_ref());
        let journal = journal.map_err(|error| self.failed("write", error))?;
        self.plan(&Spans::default(), journal);
        Ok(Some(first))
    }

    /// With several connections the first of them asks for its share only.
    async fn first(&self) -> Result<Part> {
        if self.options.connections > 1 {
            let span = Span {
                start: 0,
                end: Some(SEGMENT),
            };
            match self.location.open_span(span, None).await {
                Ok(part) if part.validator.is_some() && part.total.is_some() => return Ok(part),
                // The server has no ranges, or nothing to tell versions apart by.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Range => {}
                Err(error) => return Err(error),
            }
        }
        self.location.open_whole().await
    }

    fn plan(&mut self, done: &Spans, journal: Option<journal::Journal>) {
        let missing = self.length - done.total();
        let worth = (missing / WORTH_A_CONNECTION).clamp(1, self.options.connections as u64);
        self.connections = match self.validator {
            Some(_) => worth as usize,
            None => 1,
        };
        let meter = self.options.meter.clone();
        meter.start(Some(self.length), done.total());
        let mut ledger = Ledger::new(done, self.length, self.connections, meter)
            .journal(journal, self.options.durable);
        if self.options.sha256.is_some() && self.connections == 1 {
            ledger = ledger.hash();
        }
        *lock(&self.ledger) = ledger;
    }

    /// Takes contents whose length the server does not say: they cannot be continued.
    async fn unbounded(&mut self, mut first: Part) -> Result<()> {
        let began = self.part.begin(None, None);
        began.map_err(|error| self.failed("write", error))?;
        self.options.meter.start(None, 0);
        self.length = 0;
        while let Some(chunk) = first.response.chunk().await? {
            let written = self.part.write(&chunk, self.length, true);
            written.map_err(|error| self.failed("write", error))?;
            self.length += chunk.len() as u64;
            lock(&self.ledger).fetched += chunk.len() as u64;
            self.options.meter.at(self.length);
        }
        Ok(())
    }

    /// Has the connections do what is to do; the first that fails ends it for all.
    async fn work(&self, first: Option<Part>) -> Result<()> {
        let worker = Worker {
            location: self.location.clone(),
            part: self.part.clone(),
            ledger: self.ledger.clone(),
            validator: self.validator.clone(),
        };
        // Dropped when this is given up, which ends the other threads.
        let (alive, stop) = watch::channel(());
        let mut others = FuturesUnordered::new();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.connections.min(cores);
        for thread in 1..threads {
            let on_it = (thread..self.connections).step_by(threads).count();
            others.push(spawn(worker.clone(), on_it, stop.clone()));
        }
        let own = (0..self.connections).step_by(threads).skip(1);
        let own: FuturesUnordered<_> = std::iter::once(worker.clone().run(first))
            .chain(own.map(|_| worker.clone().run(None)))
            .collect();
        let mut all = futures::stream::select(own, &mut others);
        let mut result = Ok(());
        while let (Ok(()), Some(next)) = (&result, all.next().await) {
            result = next;
        }
        drop(all);
        drop(alive);
        // They hold the file until they have ended.
        while others.next().await.is_some() {}
        result?;
        if lock(&self.ledger).is_complete() {
            return Ok(());
        }
        let message = "the transfer ended before it was complete";
        Err(Error::plain(
            self.location.operation,
            ErrorKind::Length,
            message,
        ))
    }

    /// Compares the digest of the whole file, if one is expected.
    pub(super) fn verify(&self, expected: Option<Digest>) -> Result<Option<Digest>> {
        let Some(expected) = expected else {
            return Ok(None);
        };
        let (mut hasher, hashed) = lock(&self.ledger).hashed();
        let rest = self
            .part
            .read(hashed, self.length, |bytes| hasher.update(bytes));
        rest.map_err(|error| self.failed("read", error))?;
        let found = Digest(hasher.finalize().into());
        if found != expected {
            let message = format!("the SHA-256 is {found}, not {expected}");
            return Err(Error::plain(
                self.location.operation,
                ErrorKind::Digest,
                message,
            ));
        }
        Ok(Some(found))
    }

    pub(super) fn failed(&self, what: &str, error: std::io::Error) -> Error {
        let message = format!("cannot {what} {}", self.part.path().display());
        Error::io(self.location.operation, message, error)
    }
}

/// Runs connections on another thread, until they are done or `stop` is dropped.
async fn spawn(worker: Worker, connections: usize, mut stop: watch::Receiver<()>) -> Result<()> {
    let operation = worker.location.operation;
    let thread = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::io(operation, "no runtime for the transfer".into(), error))?;
        let all = join_all((0..connections).map(|_| worker.clone().run(None)));
        let stopped = std::pin::pin!(stop.changed());
        match runtime.block_on(select(all, stopped)) {
            Either::Left((results, _)) => results.into_iter().collect(),
            Either::Right(_) => Ok(()),
        }
    });
    thread.await.unwrap_or_else(|_| Err(super::gone(operation)))
}

/// One connection, or the maker of more.
#[derive(Clone)]
struct Worker {
    location: Location,
    part: Arc<PartFile>,
    ledger: Arc<Mutex<Ledger>>,
    validator: Option<String>,
}

impl Worker {
    /// Fetches segments until there are none.
    async fn run(self, mut first: Option<Part>) -> Result<()> {
        loop {
            let Some(place) = lock(&self.ledger).take() else {
                return Ok(());
            };
            let segment = Recorded(&self, place);
            self.segment(place, first.take()).await?;
            drop(segment);
        }
    }

    async fn segment(&self, place: usize, mut open: Option<Part>) -> Result<()> {
        let mut retries = self.location.transport.retry().start();
        loop {
            let part = match open.take() {
                Some(part) => Ok(part),
                None => self.open(place).await,
            };
            let end = match part {
                Ok(part) => self.drain(place, part, &mut retries).await,
                Err(error) => Err(error),
            };
            match end {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let again = self.validator.is_some() && is_transient(&error);
                    retries.wait(error, again).await?;
                }
            }
        }
    }

    async fn open(&self, place: usize) -> Result<Part> {
        let (start, end) = self.left(place);
        let span = Span {
            start,
            end: Some(end),
        };
        let part = self
            .location
            .open_span(span, self.validator.as_deref())
            .await?;
        Ok(part)
    }

    /// Writes what comes until the segment is done.
    async fn drain(
        &self,
        place: usize,
        mut part: Part,
        retries: &mut crate::retry::Retries,
    ) -> Result<()> {
        loop {
            let (position, end) = self.left(place);
            if position >= end {
                return Ok(());
            }
            let Some(chunk) = part.response.chunk().await? else {
                let message = format!("the answer ended at byte {position} of {end}");
                return Err(part
                    .response
                    .error(Cause::Plain(ErrorKind::Length, message)));
            };
            let count = chunk.len();
            self.write(place, chunk)?;
            retries.moved(count);
        }
    }

    fn write(&self, place: usize, chunk: Bytes) -> Result<()> {
        let untouched = lock(&self.ledger)
            .get(place)
            .is_some_and(|segment| segment.untouched);
        // Read again: another connection may have taken over the end of the segment.
        let (position, end) = self.left(place);
        let room = usize::try_from(end - position).unwrap_or(usize::MAX);
        let bytes = &chunk[..chunk.len().min(room)];
        let written = self.part.write(bytes, position, untouched);
        let mut ledger = lock(&self.ledger);
        ledger.fetched += chunk.len() as u64;
        written
            .and_then(|()| ledger.wrote(place, bytes, &self.part))
            .map_err(|error| {
                let message = format!("cannot write {}", self.part.path().display());
                Error::io(self.location.operation, message, error)
            })
    }

    fn left(&self, place: usize) -> (u64, u64) {
        let ledger = lock(&self.ledger);
        ledger
            .get(place)
            .map_or((0, 0), |segment| (segment.position, segment.end))
    }
}

/// Has the journal told where a segment stands, however its connection ends.
struct Recorded<'a>(&'a Worker, usize);

impl Drop for Recorded<'_> {
    fn drop(&mut self) {
        // What cannot be told is fetched again.
        let _ = lock(&self.0.ledger).record(self.1);
    }
}

/// Whether going on may help.
fn is_transient(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::Length
}

fn shared(ledger: Ledger) -> Arc<Mutex<Ledger>> {
    Arc::new(Mutex::new(ledger))
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
