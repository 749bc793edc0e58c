//! The transfer as a whole: what is to be fetched, by how many, and whether to begin again.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::journal;
use super::ledger::{Ledger, SEGMENT, lock};
use super::options::Options;
use super::part::{Found, PartFile, failed};
use super::spans::Spans;
use super::worker::{First, Worker, is_transient};
use crate::content::inspect::Prefix;
use crate::content::response::ContentResponse;
use crate::content::{ByteRange, Location, Version};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::thread::{Caller, gone, lost, seen_by_caller};

/// The bytes that make a second connection worthwhile.
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
    /// The content of the part file must not be used.
    anew: bool,
    /// The version, as far as earlier answers told it.
    seen: Version,
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
            seen: Version::default(),
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

    /// The time of the last change, as the latest answer has it.
    pub(super) fn modified(&self) -> Option<Timestamp> {
        lock(&self.ledger).modified.or(self.seen.modified)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Fetches all that is missing.
    pub(super) async fn whole(&mut self) -> Result<()> {
        self.seen = Version::default();
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
                let prefix = self.check_remote().await?;
                self.seen.modified = prefix.version.and_then(|version| version.modified);
                First::default()
            }
            None => {
                let head = self.check_remote().await?;
                self.begin(url, head).await?
            }
        };
        self.work(first).await
    }

    /// The version of which there is some already.
    pub(super) fn resumed(&self) -> Option<Version> {
        let validator = self.validator.clone()?;
        Some(Version {
            validator: Some(validator),
            total: Some(self.length),
            modified: None,
        })
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

    /// Gets the first bytes, and plans the rest by what came with them.
    async fn begin(&mut self, url: String, head: Prefix) -> Result<First> {
        if let Some(version) = &head.version {
            let seen = self.seen.agree(version.clone());
            self.seen = seen.map_err(|message| Error::plain(ErrorKind::Changed, message))?;
        }
        let mut first = self.first(head).await?;
        self.seen = first.version.clone();
        let Some(length) = first.version.total else {
            if let Some(part) = first.answer.take() {
                self.unbounded(part).await?;
            }
            return Ok(first);
        };
        self.length = length;
        self.validator = first.version.validator.clone();
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
        Ok(first)
    }

    /// Returns what the inspection read, if there is no more or the rest is to come in ranges anyway; or
    /// else an answer, with several connections the share of the first of them only.
    async fn first(&self, head: Prefix) -> Result<First> {
        let mut seen = self.seen.clone();
        let mut retries = self.location.transport.retry().start();
        let several = self.options.connections > 1;
        let is_whole = seen.total == Some(head.bytes.len() as u64);
        if is_whole || (several && seen.is_fixed() && !head.bytes.is_empty()) {
            return Ok(First {
                version: seen,
                head: head.bytes,
                answer: None,
            });
        }
        if several {
            let range = ByteRange::new(0, Some(SEGMENT));
            let asked = self.location.get_range_or_all(range, None, &mut retries);
            match asked.await {
                Ok(part) => {
                    let part = part.of_version(&seen)?;
                    if part.is_whole() || part.version.is_fixed() {
                        return Ok(part.into());
                    }
                    // There is nothing to tell versions apart by.
                    seen = part.version.clone();
                }
                // The server sends no range that can be used.
                Err(error) if error.kind() == ErrorKind::Range => {}
                Err(error) => return Err(error),
            }
        }
        let whole = self.location.get(&mut retries).await?;
        Ok(whole.of_version(&seen)?.into())
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
        if self.options.hashes() && self.connections == 1 {
            ledger = ledger.hash();
        }
        *lock(&self.ledger) = ledger;
    }

    /// Takes contents whose length the server does not say: they cannot be continued.
    async fn unbounded(&mut self, mut first: ContentResponse) -> Result<()> {
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
        // Zeros at the end were left out.
        let sized = self.part.set_len(self.length);
        sized.map_err(|error| self.failed("write", error))
    }

    /// Has the connections do what is to do; the first that fails ends it for all.
    async fn work(&self, first: First) -> Result<()> {
        let worker = Worker {
            location: self.location.clone(),
            part: self.part.clone(),
            ledger: self.ledger.clone(),
            validator: self.validator.clone(),
            length: self.length,
        };
        // Dropped when this is given up or done, which ends the other threads.
        let (alive, stop) = watch::channel(());
        let (tell, mut told) = mpsc::unbounded_channel();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.connections.min(cores);
        let share = |thread: usize| (thread..self.connections).step_by(threads).count();
        let first = worker.begin(first)?;
        let own: FuturesUnordered<_> = std::iter::once(first)
            .chain((1..share(0)).map(|_| None))
            .map(|first| worker.clone().run(first))
            .collect();
        let others: Vec<_> = (1..threads)
            .map(|thread| {
                let (worker, tell, stop) = (worker.clone(), tell.clone(), stop.clone());
                let connections = share(thread);
                let work = move || {
                    let _told = TellsOfPanic(tell.clone());
                    worker.drive(connections, &tell, stop);
                };
                tokio::task::spawn_blocking(seen_by_caller(work))
            })
            .collect();
        drop(tell);
        let told = futures::stream::poll_fn(|cx| told.poll_recv(cx));
        let mut ended = futures::stream::select(own, told);
        let mut result = Ok(());
        while result.is_ok() && !lock(&self.ledger).is_complete() {
            let Some(end) = ended.next().await else { break };
            result = end;
        }
        drop(ended);
        drop(alive);
        // They hold the file until they have ended.
        for other in others {
            if let Err(error) = other.await {
                result = Err(lost(error));
            }
        }
        result?;
        if lock(&self.ledger).is_complete() {
            return Ok(());
        }
        let message = "the transfer ended before it was complete";
        Err(Error::plain(ErrorKind::Length, message))
    }

    /// Compares the digest of the whole file, if one is expected.
    pub(super) fn verify(&self, caller: &Caller) -> Result<Option<Digest>> {
        if !self.options.hashes() {
            return Ok(None);
        }
        let (mut hasher, hashed) = lock(&self.ledger).hashed();
        let rest = self.part.read(hashed, self.length, |bytes| {
            hasher.update(bytes);
            caller.check()
        });
        rest.map_err(|error| self.failed("read", error))?;
        let found = hasher.finish();
        if let Some(expected) = self.options.sha256 {
            found.expect(expected)?;
        }
        Ok(Some(found))
    }

    pub(super) fn failed(&self, what: &str, error: std::io::Error) -> Error {
        failed(what, self.part.path(), error)
    }
}

/// Tells of a thread that ends by a panic, whom nobody would hear of otherwise.
struct TellsOfPanic(mpsc::UnboundedSender<Result<()>>);

impl Drop for TellsOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Err(gone()));
        }
    }
}

fn shared(ledger: Ledger) -> Arc<Mutex<Ledger>> {
    Arc::new(Mutex::new(ledger))
}
