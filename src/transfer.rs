//! The transfer engine: bytes of an image from a server to where they belong.
//!
//! A **plan** is a list of ranges of the image, and [`Pieces`](pieces::Pieces) say which of them are
//! done, claimed and left. Each **connection** claims a run, reads it through
//! [`Body`](crate::content::Body), which asks for the rest by itself when the line is cut, and hands
//! what comes to the **sink**; when nothing is unclaimed it takes a share of the largest run that is
//! left. The first connection has the answer to the one request for all of the image; the engine
//! **watches the line** and adds connections, each with a thread of its own, as long as they bring
//! more. Every MiB a connection the **state** file is brought up to date, and one thread beside the
//! connections follows them: it has the system put what was written on the disk, says so in the
//! state, and hashes what is there from the start on. A fetch that is killed begins with a plan of
//! what the state file does not have.

mod connection;
mod pieces;
mod save;
mod spans;
mod state;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, stream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::content::{Body, Location, Version};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::file::{PartFile, failed};
use crate::progress::Meter;
use crate::thread::{gone, lost, runtime, seen_by_caller};
use pieces::Pieces;
pub(crate) use save::{Options, save};
pub use save::{Saved, WhenBusy};
use state::State;

/// The most connections that are made where their number is not set, and at all.
const MOST: usize = 8;
const LIMIT: usize = 256;
/// With less left there is one connection, and each must have so much to do.
const SMALL: u64 = 8 << 20;
const SHARE: u64 = 2 << 20;
/// From this latency on the first connections are made without waiting for a rate.
const FAR: Duration = Duration::from_millis(5);
/// The share by which more connections must be faster for more to be made.
const GAIN: f64 = 1.1;
/// How often the rate is looked at, at least and at most.
const TICK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How much a connection writes between two records of the state: what a kill can cost.
const RECORD: u64 = 512 << 10;
/// How much is written between two syncs of the sink.
const SYNC: u64 = 64 << 20;

/// Where the bytes of a plan go.
trait Sink: Send + Sync {
    /// Takes bytes of the image that begin at `offset`.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Gives back bytes of the image that it took.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Waits until what it took is on the disk.
    fn sync(&self) -> io::Result<()>;
    /// The name for errors.
    fn path(&self) -> &Path;
}

/// The same bytes at the same place.
impl Sink for PartFile {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        Self::write(self, offset, bytes)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        Self::read(self, offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Self::sync(self)
    }

    fn path(&self) -> &Path {
        Self::path(self)
    }
}

/// One transfer, shared by its connections.
struct Transfer {
    /// The image, for requests on connections of the transfer's own.
    location: Location,
    version: Version,
    sink: Arc<dyn Sink>,
    work: Mutex<Work>,
    /// Tells the thread that follows of what was written.
    moved: Condvar,
    is_stopped: AtomicBool,
    state: Mutex<Option<State>>,
    is_durable: bool,
    hashes: bool,
    meter: Meter,
}

/// What the connections share. Nothing that takes long is done while it is locked.
struct Work {
    pieces: Pieces,
    /// How many connections there are and may be, and have begun.
    alive: usize,
    most: usize,
    started: usize,
    /// Those that brought something.
    carriers: BTreeSet<usize>,
    not_before: Instant,
    /// The least time from a request to its answer.
    latency: Duration,
    fetched: u64,
    unrecorded: u64,
    unsynced: u64,
}

impl Drop for Transfer {
    /// What was written can be continued, however the transfer ended, unless it has no state.
    fn drop(&mut self) {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if self.work().pieces.done.total() > 0 {
            // What cannot be recorded is fetched again.
            let _ = self.record(&mut state);
        }
    }
}

/// What happens while a transfer runs.
enum Event {
    Ended(Result<()>),
    Tick,
}

impl Transfer {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_complete(&self) -> bool {
        self.work().pieces.left() == 0
    }

    fn run_of(&self, who: usize) -> Option<(u64, u64)> {
        self.work().pieces.run(who)
    }

    /// Claims a run, and says if its request is to be repeated as often as the policy has it: one
    /// of several connections gives way to a server that is too busy.
    fn claim(&self, who: usize, shares: u64) -> Option<((u64, u64), bool)> {
        let mut work = self.work();
        let latency = work.latency;
        let run = work.pieces.claim(who, shares, latency)?;
        Some((run, work.alive == 1))
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        failed(what, self.sink.path(), error)
    }

    /// Has the sink take what came, and counts it.
    fn write(&self, who: usize, position: u64, bytes: &[u8]) -> Result<()> {
        let written = self.sink.write(position, bytes);
        written.map_err(|error| self.failed("write", error))?;
        let count = bytes.len() as u64;
        let mut work = self.work();
        work.pieces.wrote(who, count);
        work.carriers.insert(who);
        work.fetched += count;
        work.unsynced += count;
        work.unrecorded += count;
        let done = work.pieces.done.total();
        let is_complete = work.pieces.left() == 0;
        let is_due = work.unrecorded >= RECORD * work.alive as u64;
        drop(work);
        self.moved.notify_one();
        if is_due {
            // Whoever has the state is recording, and the next chunk is soon.
            if let Ok(mut state) = self.state.try_lock() {
                let recorded = self.record(&mut state);
                recorded.map_err(|error| self.failed("record the state of", error))?;
            }
        }
        match is_complete {
            true => self.meter.reached(done),
            false => self.meter.at(done),
        }
        Ok(())
    }

    fn record(&self, state: &mut Option<State>) -> io::Result<()> {
        let Some(state) = state else { return Ok(()) };
        let mut work = self.work();
        work.unrecorded = 0;
        let done = work.pieces.done.clone();
        drop(work);
        state.written(done)
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the connections, beginning with the answer that is there, until all is done or one of
    /// them fails; returns the digest if one is wanted.
    async fn run(self: &Arc<Self>, first: Body, set: Option<usize>) -> Result<Option<Digest>> {
        // Dropped when this is given up or done, which ends the other threads.
        let (alive, stop) = watch::channel(());
        let stopped = Stopped(self);
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut threads = Vec::new();
        let spawn = |who, shares| {
            let (transfer, tell, stop) = (self.clone(), tell.clone(), stop.clone());
            tokio::task::spawn_blocking(seen_by_caller(move || {
                let _told = TellsOfPanic(tell.clone());
                transfer.on_own_runtime(who, shares, &tell, stop);
            }))
        };
        let follower: Option<JoinHandle<_>> = self.needs_follower().then(|| {
            let transfer = self.clone();
            tokio::task::spawn_blocking(seen_by_caller(move || transfer.follow()))
        });
        let own = self.connection(0, Some(first), 2);
        let told = stream::poll_fn(|cx| told.poll_recv(cx)).map(Event::Ended);
        let tick = self.work().latency.clamp(TICK.0, TICK.1);
        let ticks = stream::unfold((), |()| {
            tokio::time::sleep(tick).map(|()| Some((Event::Tick, ())))
        });
        let own = own.into_stream().map(Event::Ended);
        let mut events = std::pin::pin!(stream::select(stream::select(own, told), ticks));
        let mut line = Line::new(set);
        let mut result = Ok(());
        while result.is_ok() && !self.is_complete() {
            for who in line.more(&mut self.work()) {
                threads.push(spawn(who.0, who.1));
            }
            match events.next().await {
                Some(Event::Ended(end)) => result = end,
                Some(Event::Tick) => {}
                None => break,
            }
        }
        drop(alive);
        if result.is_err() {
            drop(stopped);
        }
        // They hold the sink until they have ended.
        for thread in threads {
            if let Err(error) = thread.await {
                result = Err(lost(error));
            }
        }
        let digest = match follower {
            Some(follower) => follower.await.map_err(lost)?,
            None => Ok(None),
        };
        result?;
        if !self.is_complete() {
            let message = "the transfer ended before it was complete";
            return Err(Error::plain(ErrorKind::Length, message));
        }
        digest.map_err(|error| self.failed("read", error))
    }

    /// Runs a connection on this thread, and tells when it ends. The runtime stays until `stop` is
    /// dropped: other threads may use connections that it made.
    fn on_own_runtime(
        &self,
        who: usize,
        shares: u64,
        tell: &mpsc::UnboundedSender<Result<()>>,
        mut stop: watch::Receiver<()>,
    ) {
        let work = runtime().map(|runtime| {
            let connection = std::pin::pin!(async {
                // Whoever does not listen any more has ended the transfer.
                let _ = tell.send(self.connection(who, None, shares).await);
                std::future::pending::<()>().await;
            });
            runtime.block_on(futures::future::select(
                connection,
                std::pin::pin!(stop.changed()),
            ));
        });
        if let Err(error) = work {
            let _ = tell.send(Err(error));
        }
    }

    fn needs_follower(&self) -> bool {
        let has_state = self.is_durable && self.state().is_some();
        self.hashes || (has_state && self.version.total.is_some_and(|total| total > SYNC))
    }

    /// Follows the connections: syncs what they wrote, and hashes it from the start on.
    fn follow(&self) -> io::Result<Option<Digest>> {
        let (mut hasher, mut hashed) = (Hasher::default(), 0);
        let mut complete_since = None;
        let mut buffer = vec![0; 256 << 10];
        let mut work = self.work();
        while !self.is_stopped.load(Ordering::Relaxed) {
            let prefix = work.pieces.done.prefix();
            let is_complete = work.pieces.left() == 0;
            if self.is_durable && work.unsynced >= SYNC && !is_complete {
                work.unsynced = 0;
                let done = work.pieces.done.clone();
                drop(work);
                self.sink.sync()?;
                if let Some(state) = self.state().as_mut() {
                    state.synced(done)?;
                }
                work = self.work();
            } else if self.hashes && hashed < prefix {
                drop(work);
                let count = usize::try_from(prefix - hashed).unwrap_or(usize::MAX);
                let bytes = &mut buffer[..count.min(256 << 10)];
                self.sink.read(hashed, bytes)?;
                hasher.update(&bytes);
                hashed += bytes.len() as u64;
                let mut since = || *complete_since.get_or_insert_with(Instant::now);
                if is_complete && since().elapsed() > 2 * TICK.0 {
                    self.meter.hashed(hashed);
                }
                work = self.work();
            } else if is_complete {
                return Ok(self.hashes.then(|| hasher.finish()));
            } else {
                // It also looks by itself, as the end is not told of by each way that leads to it.
                let waited = self.moved.wait_timeout(work, TICK.0);
                work = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        Ok(None)
    }
}

/// Ends the thread that follows.
struct Stopped<'a>(&'a Transfer);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
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

/// The line, as far as its rate has been seen, and how many connections it is worth.
struct Line {
    set: Option<usize>,
    seen: (Instant, u64),
    /// The rate before connections were last added.
    rate: Option<f64>,
}

impl Line {
    fn new(set: Option<usize>) -> Self {
        Self {
            set,
            seen: (Instant::now(), 0),
            rate: None,
        }
    }

    /// Decides on more connections: their numbers, and into how many shares each of them divides
    /// the run that it takes from.
    fn more(&mut self, work: &mut Work) -> Vec<(usize, u64)> {
        let left = work.pieces.left();
        let most = work.most.min((left / SHARE) as usize);
        let now = Instant::now();
        if most <= work.alive || left < SMALL || now < work.not_before {
            return Vec::new();
        }
        let wanted = match (self.set, self.rate) {
            (Some(set), _) => set,
            (None, None) if work.latency > FAR => {
                self.rate = Some(0.0);
                MOST / 2
            }
            (None, before) => {
                let (then, fetched) = self.seen;
                let elapsed = now - then;
                if elapsed < TICK.0 {
                    return Vec::new();
                }
                let rate = (work.fetched - fetched) as f64 / elapsed.as_secs_f64();
                self.seen = (now, work.fetched);
                if before.is_some_and(|before| rate < before * GAIN) {
                    return Vec::new();
                }
                self.rate = Some(rate);
                2 * work.alive
            }
        };
        let more = wanted.min(most).saturating_sub(work.alive);
        let first = work.started;
        work.alive += more;
        work.started += more;
        // The connection that they take from is ahead of them, and keeps two shares.
        (0..more)
            .map(|n| (first + n, (more - n) as u64 + 2))
            .collect()
    }
}
