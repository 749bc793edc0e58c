//! The transfer engine: bytes of an image from a server to where they belong.
//!
//! The **plan** is a list of the ranges that are needed: for a new file one, the whole image.
//! [`Pieces`](pieces::Pieces) know which bytes are done, and which connection is fetching what. A
//! **connection** is a worker, not a TCP connection: it claims a range, its run, reads it from the
//! server through [`Body`](crate::content::Body), and gives what comes to the **sink**, which writes it
//! to its place, such as in `PATH.part`.
//!
//! A fetch of 1 GiB begins with one connection and one request for all of it. [`Line`](line::Line) adds
//! others, up to 8 unless a number is set: if a round trip takes over 5 ms, all during the first one, or
//! else when the rate no longer grows by itself, and as long as they bring more. One without work takes
//! the end of the run that will be done last, for half of the time that is left, or at least 16 latencies,
//! but no more than lets both end together. Whoever loses the end of a run stops reading there, and its
//! TCP connection with it. The last bytes may be asked for twice, and are written once: they may be hashed.
//!
//! If a TCP connection breaks, `Body` asks on a new one for what is left of the run, if the image is
//! still the same version, as often as the retry policy has it. If that fails, others can claim the
//! rest, and the connection ends; the last one's error is that of the fetch.
//!
//! The **state** file says which bytes were written, and which of them are on the disk. It is brought up
//! to date after each 512 KiB times the number of connections, except for the last. For a digest, or to
//! sync each 64 MiB, one more thread follows: it reads what is done from the first byte on. The plan of
//! the next fetch is what the state lacks: of the written bytes after a kill, of those on the disk after
//! a power loss.

mod connection;
mod line;
mod pieces;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::content::{Body, Location, Version};
use crate::digest::{Digest, Hasher};
use crate::error::Result;
use crate::file::{Sink, State};
use crate::join::lost;
use crate::progress::Meter;
use crate::spans::Spans;
use crate::sync::lock;
use crate::thread::{runtime, seen_by_caller, until};
use line::{Line, TICK};
use pieces::Pieces;

/// The bytes of each connection between two records of the state: a kill costs up to twice as many.
const RECORD: u64 = 512 << 10;
/// The bytes that are written between two syncs of the sink.
const SYNC: u64 = 64 << 20;
/// The bytes that are hashed at a time.
const BUFFER: usize = 256 << 10;

/// The order for a transfer.
pub(crate) struct Setup {
    /// The image, for requests on connections of the transfer's own.
    pub(crate) location: Location,
    pub(crate) version: Version,
    pub(crate) sink: Arc<dyn Sink>,
    /// As many as pay if it is not set.
    pub(crate) connections: Option<usize>,
    pub(crate) is_durable: bool,
    pub(crate) hashes: bool,
    pub(crate) meter: Meter,
}

/// The work of a transfer: ranges that are needed, and those that are done.
pub(crate) struct Plan {
    /// The ranges that are needed, in the order in which they are wanted.
    pub(crate) ranges: VecDeque<(u64, u64)>,
    pub(crate) done: Spans,
    pub(crate) state: Option<State>,
    /// The time of one round trip.
    pub(crate) latency: Duration,
}

/// The result of a transfer, however it ended.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) fetched: u64,
    /// The end of what is done from the start on.
    pub(crate) done: u64,
    pub(crate) connections: usize,
    /// The server sends no ranges.
    pub(crate) is_single: bool,
}

/// One transfer, shared by its connections.
pub(crate) struct Transfer {
    setup: Setup,
    work: Mutex<Work>,
    /// Tells the thread that follows of what was written.
    moved: Condvar,
    /// Tells of a connection that waits to be stopped.
    ended: Notify,
    state: Mutex<Option<State>>,
}

/// The part that the connections share. Nothing that takes long is done while it is locked.
struct Work {
    pieces: Pieces,
    line: Line,
    /// The number of connections.
    alive: usize,
    /// Those that brought something.
    carriers: BTreeSet<usize>,
    fetched: u64,
    unrecorded: u64,
    unsynced: u64,
}

impl Transfer {
    pub(crate) fn new(setup: Setup, plan: Plan) -> Arc<Self> {
        let is_single = !setup.version.is_fixed();
        Arc::new(Self {
            work: Mutex::new(Work {
                pieces: Pieces::new(plan.ranges, plan.done, plan.latency),
                line: Line::new(setup.connections, is_single),
                alive: 1,
                carriers: BTreeSet::new(),
                fetched: 0,
                unrecorded: 0,
                unsynced: 0,
            }),
            moved: Condvar::new(),
            ended: Notify::new(),
            state: Mutex::new(plan.state),
            setup,
        })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        lock(&self.work)
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        lock(&self.state)
    }

    fn is_complete(&self) -> bool {
        self.work().pieces.left == 0
    }

    /// Returns what is left of a connection's run, whose answer goes on to `end`.
    fn run_of(&self, who: usize, end: Option<u64>) -> Option<(u64, u64)> {
        let pieces = &mut self.work().pieces;
        pieces.run(who).or_else(|| pieces.overtake(who, end?))
    }

    pub(crate) fn seen(&self) -> Seen {
        let work = self.work();
        Seen {
            fetched: work.fetched,
            done: work.pieces.done.prefix(),
            connections: work.carriers.len().max(1),
            is_single: work.line.most == 1,
        }
    }

    /// Leaves nothing that could be continued.
    pub(crate) fn forget_state(&self) {
        *self.state() = None;
    }

    /// Begins the first run with what has arrived of it: the bytes before the end of `held`.
    pub(crate) fn begin(&self, held: &[u8]) -> Result<()> {
        let mut work = self.work();
        let (resumed, left) = (work.pieces.done.total(), work.pieces.left);
        let first = work.pieces.claim_first(0);
        drop(work);
        // Less is not worth a file.
        if resumed == 0 && left > 2 * RECORD {
            self.record(&mut self.state())?;
        }
        self.setup.meter.start(self.setup.version.total, resumed);
        let Some((start, _)) = first else {
            return Ok(());
        };
        let arrived = held.get(usize::try_from(start).unwrap_or(usize::MAX)..);
        self.write(0, start, arrived.unwrap_or_default())
    }

    /// Writes those of the bytes that nobody has written, and counts all of them.
    fn write(&self, who: usize, position: u64, bytes: &[u8]) -> Result<()> {
        let count = bytes.len() as u64;
        let new = self.work().pieces.take(position, position + count);
        for &(start, end) in &new {
            let bytes = &bytes[(start - position) as usize..(end - position) as usize];
            let written = self.setup.sink.write(start, bytes);
            written.map_err(|error| self.setup.sink.failed("write", error))?;
        }
        let mut work = self.work();
        work.pieces.brought(who, position + count, &new);
        work.carriers.insert(who);
        work.fetched += count;
        work.unsynced += count;
        work.unrecorded += count;
        let done = work.pieces.done.total();
        let is_due = work.unrecorded >= RECORD * work.alive as u64 && work.pieces.left > RECORD;
        drop(work);
        self.moved.notify_one();
        if is_due {
            // Whoever has the state is recording, and the next chunk is soon.
            if let Ok(mut state) = self.state.try_lock() {
                self.record(&mut state)?;
            }
        }
        self.setup.meter.at(done);
        Ok(())
    }

    fn record(&self, state: &mut Option<State>) -> Result<()> {
        let Some(state) = state else { return Ok(()) };
        let recorded = state.written(self.settled());
        recorded.map_err(|error| self.setup.sink.failed("record the state of", error))
    }

    fn settled(&self) -> Spans {
        let mut work = self.work();
        work.unrecorded = 0;
        let mut done = work.pieces.done.clone();
        drop(work);
        self.setup.sink.settle(&mut done);
        done
    }

    /// Runs the connections, beginning with the answer that is there, until all is done or one of
    /// them fails; returns the digest if one is wanted.
    pub(crate) async fn run(self: &Arc<Self>, first: Body) -> Result<Option<Digest>> {
        // Dropped when this is given up or done, which ends the connections.
        let (alive, stop) = watch::channel(());
        // Dropped when the digest is of no use, which ends the thread that follows.
        let (wanted, is_wanted) = watch::channel(());
        let syncs = self.setup.is_durable && self.state().is_some();
        let is_followed = self.setup.hashes || (syncs && self.setup.version.total > Some(SYNC));
        let follower = is_followed.then(|| {
            let transfer = self.clone();
            spawn_blocking(seen_by_caller(move || transfer.follow(&is_wanted)))
        });
        let mut connections = FuturesUnordered::new();
        let own = self.connection(0, Some(first));
        connections.push(until(stop.clone(), own).boxed_local());
        let mut result = Ok(());
        // Before all is done it ends only if it fails.
        let has_failed = || follower.as_ref().is_some_and(JoinHandle::is_finished);
        while result.is_ok() && !self.is_complete() && !has_failed() {
            let (more, tick) = self.work().more();
            for who in more {
                let thread = self.clone().on_own_thread(who, stop.clone());
                connections.push(thread.boxed_local());
            }
            let ended = tokio::time::timeout(tick, self.ended.notified());
            if let Either::Left((Some(end), _)) = select(connections.next(), pin!(ended)).await {
                result = end;
            }
        }
        drop(alive);
        if result.is_err() {
            drop(wanted);
        }
        // They hold the sink until they have ended.
        while connections.next().await.is_some() {}
        let digest = match follower {
            Some(follower) => follower.await.map_err(lost)?,
            None => Ok(None),
        };
        result.and(digest)
    }

    /// Runs a connection on a thread with a runtime of its own.
    async fn on_own_thread(self: Arc<Self>, who: usize, stop: watch::Receiver<()>) -> Result<()> {
        let work = move || match runtime() {
            Ok(runtime) => runtime.block_on(until(stop, self.connection(who, None))),
            Err(error) => self.leave(who, error),
        };
        spawn_blocking(seen_by_caller(work)).await.map_err(lost)?
    }

    /// Follows the connections: syncs what they wrote, and hashes it from the start on.
    fn follow(&self, is_wanted: &watch::Receiver<()>) -> Result<Option<Digest>> {
        let sink = &self.setup.sink;
        let failed = |what| move |error| sink.failed(what, error);
        let (mut hasher, mut hashed) = (Hasher::default(), 0);
        let mut complete_since = None;
        let mut buffer = vec![0; BUFFER];
        let mut work = self.work();
        while is_wanted.has_changed().is_ok() {
            let prefix = work.pieces.done.prefix();
            let is_complete = work.pieces.left == 0;
            if self.setup.is_durable && work.unsynced >= SYNC && !is_complete {
                work.unsynced = 0;
                drop(work);
                let done = self.settled();
                sink.sync().map_err(failed("sync"))?;
                if let Some(state) = self.state().as_mut() {
                    state.synced(done).map_err(failed("record the state of"))?;
                }
                work = self.work();
            } else if self.setup.hashes && hashed < prefix {
                drop(work);
                let bytes = &mut buffer[..(prefix - hashed).min(BUFFER as u64) as usize];
                sink.read(hashed, bytes).map_err(failed("read"))?;
                hasher.update(&bytes);
                hashed += bytes.len() as u64;
                let mut since = || *complete_since.get_or_insert_with(Instant::now);
                if is_complete && since().elapsed() > 2 * TICK.0 {
                    self.setup.meter.hashed(hashed, None);
                }
                work = self.work();
            } else if is_complete {
                return Ok(self.setup.hashes.then(|| hasher.finish()));
            } else {
                // It also looks by itself, as the end is not told of by each way that leads to it.
                let waited = self.moved.wait_timeout(work, TICK.0);
                work = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        Ok(None)
    }
}

impl Work {
    /// Claims a run for a connection, and says if its request is to be repeated as often as the
    /// policy has it: one of several connections gives way to a server that is too busy.
    fn claim(&mut self, who: usize) -> Option<((u64, u64), bool)> {
        let run = self.pieces.claim(who)?;
        Some((run, self.alive == 1))
    }

    /// Decides on more connections; returns their numbers, and when to decide again.
    fn more(&mut self) -> (Range<usize>, Duration) {
        let (left, latency) = (self.pieces.left, self.pieces.latency);
        let more = self.line.more(self.alive, self.fetched, left, latency);
        self.alive += more.len();
        (more, self.line.tick(latency))
    }
}

impl Drop for Transfer {
    /// Records the state, so that the transfer can be continued, however it ended.
    fn drop(&mut self) {
        let mut state = self.state().take();
        if self.work().fetched > 0 {
            // What cannot be recorded is fetched again.
            let _ = self.record(&mut state);
        }
    }
}
