//! Contents saved to a file: beside it first, and never half done.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::pieces::Pieces;
use super::spans::Spans;
use super::state::{State, Subject};
use super::{LIMIT, MOST, RECORD, Transfer, Work};
use crate::content::{Body, ByteRange, Expected, Location, Version, inspect_arriving, unchanged};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::file::{PartFile, failed};
use crate::inspect::accept;
use crate::progress::Meter;
use crate::qcow2::{FIRST_READ, Policy, inspect_open_file};
use crate::thread::{Caller, on_own_thread};
use crate::transport::public_url;

/// How long a fetch that was dropped may need to release its file.
const RELEASE: Duration = Duration::from_secs(1);

/// The options of saving an image.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// As many as pay if it is not set.
    pub(crate) connections: Option<usize>,
    pub(crate) resume: bool,
    pub(crate) durable: bool,
    pub(crate) sha256: Option<Digest>,
    pub(crate) digest: bool,
    pub(crate) refresh: bool,
    pub(crate) when_busy: WhenBusy,
    /// The policy that the image must meet, if any.
    pub(crate) policy: Option<Policy>,
    pub(crate) meter: Meter,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: None,
            resume: true,
            durable: true,
            sha256: None,
            digest: false,
            refresh: false,
            when_busy: WhenBusy::Fail,
            policy: Some(Policy::default()),
            meter: Meter::default(),
        }
    }
}

/// The behaviour when the same file is being fetched already, by this process or another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenBusy {
    /// Fails with [`Busy`](crate::ErrorKind::Busy).
    #[default]
    Fail,
    /// Waits for the other fetch to end, and keeps its file if that is what the server has.
    Wait,
}

/// The result of saving an image to a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// The number of bytes of it that came over the network. Tables that the inspection read from
    /// elsewhere in the image are not counted.
    pub fetched: u64,
    /// The number of bytes left by an earlier fetch that was resumed.
    pub resumed_from: u64,
    /// `true` if the file was already what the server has: see
    /// [`Save::refresh`](crate::djinn::Save::refresh).
    pub unchanged: bool,
    /// The number of connections that carried it.
    pub connections: usize,
    /// Its SHA-256, if one was expected or asked for.
    pub sha256: Option<Digest>,
    /// The time it took.
    pub elapsed: Duration,
}

/// Saves on a thread of its own. When it stops, what can be resumed stays.
pub(crate) async fn save(location: Location, path: PathBuf, options: Options) -> Result<Saved> {
    // The working directory may be another one by the time that the thread begins.
    let target = std::path::absolute(&path).unwrap_or_default();
    let (operation, transport) = (location.operation.clone(), location.transport.clone());
    let saving = on_own_thread(transport, async move |transport, caller| {
        let apart = Location {
            transport,
            ..location.clone()
        };
        let save = Save {
            location,
            apart,
            target,
            options,
            caller,
            began: Instant::now(),
        };
        save.run().await
    });
    let mut saved = operation.run(saving).await?;
    saved.path = path;
    Ok(saved)
}

/// One call.
struct Save {
    /// The image, for requests that the caller's runtime runs.
    location: Location,
    /// The same, for requests on connections of this thread.
    apart: Location,
    target: PathBuf,
    options: Options,
    caller: Caller,
    began: Instant,
}

/// What was fetched of one version.
struct Fetched {
    length: u64,
    resumed_from: u64,
    sha256: Option<Digest>,
    connections: usize,
}

impl Save {
    async fn run(self) -> Result<Saved> {
        if self.options.refresh {
            if let Some(saved) = self.unchanged().await? {
                return Ok(saved);
            }
        }
        let locked = self.lock().await;
        let locked = locked.map_err(|error| failed("write", &self.target, error))?;
        let Some((part, was_busy)) = locked else {
            let message = format!("{} is being fetched by someone else", self.target.display());
            return Err(Error::plain(ErrorKind::Busy, message));
        };
        if was_busy && self.options.when_busy == WhenBusy::Wait {
            if let Some(saved) = self.unchanged().await? {
                return Ok(saved);
            }
        }
        let mut fetch = Fetch {
            save: &self,
            part: Arc::new(part),
            seen: Version::default(),
            answers: 0,
            fetched: 0,
            anew: !self.options.resume,
            is_single: false,
        };
        let result = match fetch.version().await {
            // Only one version after the other can be had; a third one is an error.
            Err(error) if error.kind() == ErrorKind::Changed => {
                fetch.forget()?;
                fetch.version().await
            }
            result => result,
        };
        let fetched = match result {
            // Wrong contents leave nothing.
            Err(error) if is_wrong(&error) => {
                fetch.forget()?;
                return Err(error);
            }
            result => result?,
        };
        self.options.meter.finish();
        Ok(Saved {
            path: self.target.clone(),
            bytes: fetched.length,
            fetched: fetch.fetched,
            resumed_from: fetched.resumed_from,
            unchanged: false,
            connections: fetched.connections,
            sha256: fetched.sha256,
            elapsed: self.began.elapsed(),
        })
    }

    async fn unchanged(&self) -> Result<Option<Saved>> {
        let expected = Expected {
            hashes: self.options.hashes(),
            sha256: self.options.sha256,
            policy: self.options.policy.as_ref(),
        };
        let found = unchanged(&self.location, &self.target, expected, &self.caller).await?;
        Ok(found.map(|(length, sha256)| {
            self.options.meter.start(Some(length), length);
            self.options.meter.finish();
            Saved {
                path: self.target.clone(),
                bytes: length,
                fetched: 0,
                resumed_from: 0,
                unchanged: true,
                connections: 0,
                sha256,
                elapsed: self.began.elapsed(),
            }
        }))
    }

    /// Locks the part file, unless another fetch has it; returns `true` with it if another one had.
    async fn lock(&self) -> io::Result<Option<(PartFile, bool)>> {
        let began = Instant::now();
        let mut was_busy = false;
        loop {
            if let Some(part) = PartFile::open(&self.target)? {
                return Ok(Some((part, was_busy)));
            }
            if self.options.when_busy == WhenBusy::Fail && began.elapsed() > RELEASE {
                return Ok(None);
            }
            was_busy = true;
            tokio::time::sleep(RELEASE / 20).await;
        }
    }
}

fn is_wrong(error: &Error) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::DigestMismatch | ErrorKind::ImageRejected)
}

impl Options {
    fn hashes(&self) -> bool {
        self.digest || self.sha256.is_some()
    }
}

/// The fetches of one call, into one file.
struct Fetch<'a> {
    save: &'a Save,
    part: Arc<PartFile>,
    /// What earlier answers said of the version that is fetched.
    seen: Version,
    /// How many requests were answered.
    answers: usize,
    fetched: u64,
    /// What is in the file is not to be used.
    anew: bool,
    /// The server sends no ranges.
    is_single: bool,
}

impl Fetch<'_> {
    /// Fetches what is missing of one version.
    async fn version(&mut self) -> Result<Fetched> {
        self.seen = Version::default();
        let mut retries = self.save.location.transport.retry().start();
        loop {
            let before = self.answers;
            match self.once().await {
                // What cannot be continued is begun again.
                Err(error) if !self.seen.is_fixed() && may_pass(&error) => {
                    // A request has had its own retries.
                    retries.wait(error, self.answers > before).await?;
                    self.forget()?;
                }
                result => return result,
            }
        }
    }

    /// Begins again from nothing.
    fn forget(&mut self) -> Result<()> {
        self.anew = true;
        let reset = self.part.reset();
        reset.map_err(|error| self.failed("empty", error))
    }

    /// Fetches what is missing, begins again from nothing if need be, and gives the file its name.
    async fn once(&mut self) -> Result<Fetched> {
        let options = &self.save.options;
        let found = self.found().map_err(|error| self.failed("read", error))?;
        let (state, done) = found.map_or((None, Spans::default()), |(state, done)| {
            (Some(state), done)
        });
        let began = Instant::now();
        let (mut body, plan) = self.open(state.as_ref(), &done).await?;
        let latency = began.elapsed();
        let mut held = BytesMut::new();
        if let Some(policy) = &options.policy {
            held.resize(done.prefix().min(FIRST_READ) as usize, 0);
            let read = self.part.read(0, &mut held);
            read.map_err(|error| self.failed("read", error))?;
            let report = inspect_arriving(&self.save.apart, &mut body, &mut held, policy);
            accept(report.await?)?;
        }
        let state = match state {
            Some(state) => Some(state),
            None => self.begin().map_err(|error| self.failed("write", error))?,
        };
        let resumed_from = done.total();
        let transfer = Arc::new(self.transfer(state, Pieces::new(plan, done), latency));
        let first = transfer.claim(0, 2);
        let records = self.seen.total.is_some_and(|total| total > RECORD);
        if records && resumed_from == 0 {
            let recorded = transfer.record(&mut transfer.state());
            recorded.map_err(|error| self.failed("write", error))?;
        }
        options.meter.start(self.seen.total, resumed_from);
        let mut result = Ok(None);
        if let Some(((start, _), _)) = first {
            // What the inspection has read of this run.
            let arrived = held.get(start as usize..).unwrap_or_default();
            transfer.write(0, start, arrived)?;
            result = transfer.run(body, options.connections).await;
        }
        let work = transfer.work();
        self.fetched += work.fetched;
        self.is_single = work.most == 1;
        let length = self.seen.total.unwrap_or(work.pieces.done.prefix());
        let connections = work.carriers.len().max(1);
        drop(work);
        let sha256 = result?;
        if let (Some(found), Some(expected)) = (sha256, options.sha256) {
            found.expect(expected)?;
        }
        self.finish()?;
        // There is nothing to continue any more.
        *transfer.state() = None;
        Ok(Fetched {
            length,
            resumed_from,
            sha256,
            connections,
        })
    }

    /// Returns what an earlier process left and what of it counts; everything else is thrown away.
    fn found(&self) -> io::Result<Option<(State, Spans)>> {
        if !self.anew {
            let state = self.part.open_state()?;
            let state = state.map(|file| State::resume(file, self.create()));
            if let Some(state) = state.transpose()?.flatten() {
                let Subject { url, length, .. } = state.subject();
                let mut done = state.done().clone();
                // Only the answer to a request says that it is still the same version, so that
                // there must be something to ask for.
                done.truncate(length.saturating_sub(1));
                let is_same = self.url().is_ok_and(|now| now == *url) && *length > 0;
                if is_same && self.part.resume(done.end(), *length)? {
                    return Ok(Some((state, done)));
                }
            }
        }
        self.part.reset()?;
        Ok(None)
    }

    fn url(&self) -> Result<String> {
        Ok(public_url(&self.save.location.url()?))
    }

    fn create(&self) -> Box<dyn Fn() -> io::Result<File> + Send> {
        let part = self.part.clone();
        Box::new(move || part.create_state())
    }

    /// Asks for the first gap, or for the whole if there is nothing yet; returns the answer and the
    /// plan.
    async fn open(
        &mut self,
        state: Option<&State>,
        done: &Spans,
    ) -> Result<(Body, Vec<(u64, u64)>)> {
        let location = self.save.location.clone();
        let mut retries = location.transport.retry().start();
        let subject = state.map(|state| state.subject().clone());
        let gaps = subject.as_ref().map(|subject| done.gaps(subject.length));
        let first = gaps.as_ref().and_then(|gaps| gaps.first().copied());
        let asked = self.save.caller.run(async move {
            let answer = match (&subject, first) {
                (Some(subject), Some((start, end))) => {
                    let length = subject.length;
                    let range = ByteRange::new(start, Some(end).filter(|&end| end < length));
                    let (validator, total) = (&subject.validator, Some(length));
                    location
                        .get_rest(range, validator, total, &mut retries)
                        .await?
                }
                _ => location.get(&mut retries).await?,
            };
            Ok((answer, retries))
        });
        let (answer, retries) = asked.await?;
        self.answers += 1;
        let answer = answer.of_version(&self.seen)?;
        self.seen = answer.version.clone();
        let plan = gaps.unwrap_or_else(|| match self.seen.total {
            Some(0) => Vec::new(),
            total => vec![(0, total.unwrap_or(u64::MAX))],
        });
        let (apart, end) = (self.save.apart.clone(), first.map(|(_, end)| end));
        let body = Body::new(apart, answer, end, retries, Meter::default());
        Ok((body, plan))
    }

    /// Prepares the file, and the state if what is fetched can be continued.
    fn begin(&self) -> io::Result<Option<State>> {
        let Version {
            validator, total, ..
        } = self.seen.clone();
        if let Some(length) = total {
            self.part.set_len(length)?;
        }
        let (Some(validator), Some(length), true) = (validator, total, self.save.options.resume)
        else {
            return Ok(None);
        };
        let url = self.url().map_err(io::Error::other)?;
        let subject = Subject {
            url,
            length,
            validator,
        };
        Ok(Some(State::begin(subject, self.create())))
    }

    fn transfer(&self, state: Option<State>, pieces: Pieces, latency: Duration) -> Transfer {
        let options = &self.save.options;
        let most = match self.seen.is_fixed() && !self.is_single {
            true => options.connections.unwrap_or(MOST).min(LIMIT),
            false => 1,
        };
        Transfer {
            location: self.save.apart.clone(),
            version: self.seen.clone(),
            sink: self.part.clone(),
            work: Mutex::new(Work {
                pieces,
                alive: 1,
                most,
                started: 1,
                carriers: BTreeSet::new(),
                not_before: Instant::now(),
                latency,
                fetched: 0,
                unrecorded: 0,
                unsynced: 0,
            }),
            moved: Condvar::new(),
            is_stopped: false.into(),
            state: Mutex::new(state),
            is_durable: options.durable,
            hashes: options.hashes(),
            meter: options.meter.clone(),
        }
    }

    /// Refuses a bad image by what was written, as an earlier fetch may have left some of it and a
    /// server may send other bytes than it showed; then gives the file its name.
    fn finish(&self) -> Result<()> {
        let Save {
            options,
            target,
            caller,
            ..
        } = self.save;
        if let Some(policy) = &options.policy {
            let report = inspect_open_file(self.part.file(), policy);
            accept(report.map_err(|error| self.failed("read", error))?)?;
        }
        let finished = self
            .part
            .finish(options.durable, self.seen.modified, caller);
        finished.map_err(|error| failed("finish", target, error))
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        failed(what, self.part.path(), error)
    }
}

/// Returns `true` if another attempt may help.
fn may_pass(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::Length
}
