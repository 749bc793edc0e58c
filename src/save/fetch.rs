//! The fetches of one call, into one file.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::options::Options;
use crate::content::{Body, ByteRange, ContentResponse, Location, Version, inspect_arriving};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::file::{PartFile, Sink, State, Subject, failed};
use crate::inspect::{accept, inspect_open_file};
use crate::progress::Meter;
use crate::qcow2::FIRST_READ;
use crate::retry::Retries;
use crate::spans::Spans;
use crate::thread::Caller;
use crate::transfer::{Plan, Setup, Transfer};
use crate::transport::public_url;

/// An image to save, and its target.
pub(super) struct Order {
    /// The image, for requests that the caller's runtime runs.
    pub(super) location: Location,
    /// The same, for requests on connections of this thread.
    pub(super) apart: Location,
    pub(super) target: PathBuf,
    pub(super) options: Options,
}

/// The result of fetching one version.
pub(super) struct Fetched {
    pub(super) length: u64,
    pub(super) resumed_from: u64,
    pub(super) connections: usize,
    pub(super) sha256: Option<Digest>,
}

/// The fetches of one call.
pub(super) struct Fetch<'a> {
    order: &'a Order,
    caller: &'a Caller,
    part: Arc<PartFile>,
    /// The version that is fetched, by earlier responses.
    seen: Version,
    /// The number of responses.
    answers: usize,
    fetched: u64,
    /// The content of the file is not to be used.
    anew: bool,
    /// The server sends no ranges.
    is_single: bool,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(order: &'a Order, caller: &'a Caller, part: PartFile) -> Self {
        Self {
            order,
            caller,
            part: Arc::new(part),
            seen: Version::default(),
            answers: 0,
            fetched: 0,
            anew: !order.options.resume,
            is_single: false,
        }
    }

    /// Returns how many bytes came, of all versions.
    pub(super) fn fetched(&self) -> u64 {
        self.fetched
    }

    /// Fetches what is missing of one version.
    pub(super) async fn version(&mut self) -> Result<Fetched> {
        self.seen = Version::default();
        let mut retries = self.order.location.transport.retry().start();
        loop {
            let (before, fetched) = (self.answers, self.fetched);
            match self.once().await {
                // What cannot be continued is begun again.
                Err(error) if !self.seen.is_fixed() && may_pass(&error) => {
                    if retries.is_progress(self.fetched - fetched) {
                        // The time of a transfer does not count towards that of the retries.
                        retries.restart_clock();
                    }
                    // A request has had its own retries.
                    retries.wait(error, self.answers > before).await?;
                    self.forget()?;
                }
                result => return result,
            }
        }
    }

    /// Begins again from nothing.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.anew = true;
        let reset = self.part.reset();
        reset.map_err(|error| self.failed("empty", error))
    }

    /// Fetches what is missing, begins again from nothing if need be, and gives the file its name.
    async fn once(&mut self) -> Result<Fetched> {
        let options = &self.order.options;
        let found = self.found().map_err(|error| self.failed("read", error))?;
        let (state, done) = found.map_or((None, Spans::default()), |(state, done)| {
            (Some(state), done)
        });
        let (mut body, ranges, latency) = self.open(state.as_ref(), &done).await?;
        let mut held = BytesMut::new();
        if let Some(policy) = &options.policy {
            held.resize(done.prefix().min(FIRST_READ) as usize, 0);
            let read = self.part.read(0, &mut held);
            read.map_err(|error| self.failed("read", error))?;
            let report = inspect_arriving(&self.order.apart, &mut body, &mut held, policy);
            accept(report.await?.0)?;
        }
        let state = match state {
            Some(state) => Some(state),
            None => self.begin().map_err(|error| self.failed("write", error))?,
        };
        let resumed_from = done.total();
        let setup = Setup {
            location: self.order.apart.clone(),
            version: self.seen.clone(),
            sink: self.part.clone(),
            connections: match self.is_single {
                true => Some(1),
                false => options.connections,
            },
            is_durable: options.durable,
            hashes: options.hashes(),
            meter: options.meter.clone(),
        };
        let plan = Plan {
            ranges,
            done,
            state,
            latency,
        };
        let transfer = Transfer::new(setup, plan);
        let began = transfer.begin(&held);
        let result = match began {
            Ok(()) => transfer.run(body).await,
            Err(error) => Err(error),
        };
        let seen = transfer.seen();
        self.fetched += seen.fetched;
        self.is_single |= seen.is_single;
        let sha256 = result?;
        if let (Some(found), Some(expected)) = (sha256, options.sha256) {
            found.expect(expected)?;
        }
        self.finish()?;
        transfer.forget_state();
        Ok(Fetched {
            length: self.seen.total.unwrap_or(seen.done),
            resumed_from,
            connections: seen.connections,
            sha256,
        })
    }

    /// Returns what an earlier process left and what of it counts; everything else is thrown away.
    fn found(&self) -> io::Result<Option<(State, Spans)>> {
        if !self.anew {
            let state = self.part.open_state()?;
            let state = state.map(|file| State::resume(file, create_state(&self.part)));
            if let Some(state) = state.transpose()?.flatten() {
                let Subject {
                    url, length, disk, ..
                } = state.subject();
                let mut done = state.done().clone();
                // Only the answer to a request says that it is still the same version, so that
                // there must be something to ask for.
                done.truncate(length.saturating_sub(1));
                let is_same = self.order.url().is_ok_and(|now| now == *url);
                let is_same = is_same && *length > 0 && disk.is_none();
                if is_same && self.part.resume(done.end(), *length)? {
                    return Ok(Some((state, done)));
                }
            }
        }
        self.part.reset()?;
        Ok(None)
    }

    /// Asks for the first gap, or for the whole if there is nothing yet; returns the answer, the
    /// plan and the time of a round trip.
    async fn open(
        &mut self,
        state: Option<&State>,
        done: &Spans,
    ) -> Result<(Body, VecDeque<(u64, u64)>, Duration)> {
        if self.order.options.connections != Some(1) {
            self.order.apart.transport.prepare();
        }
        let subject = state.map(State::subject);
        let gaps = subject.map(|subject| done.gaps(subject.length));
        let first = gaps.as_ref().and_then(|gaps| gaps.first().copied());
        let rest = subject.zip(first).map(|(subject, first)| {
            let Subject {
                length, validator, ..
            } = subject;
            (validator.clone(), *length, first)
        });
        let (answer, retries, latency) = ask(self.order, self.caller, rest).await?;
        self.answers += 1;
        let answer = answer.of_version(&self.seen)?;
        self.seen = answer.version.clone();
        let whole = (0, self.seen.total.unwrap_or(u64::MAX));
        let mut plan = VecDeque::from(gaps.unwrap_or_else(|| vec![whole]));
        plan.retain(|(start, end)| start < end);
        let (apart, end) = (self.order.apart.clone(), first.map(|(_, end)| end));
        let body = Body::new(apart, answer, end, retries, Meter::default());
        Ok((body, plan, latency))
    }

    /// Prepares the file, and the state if what is fetched can be continued.
    fn begin(&self) -> io::Result<Option<State>> {
        let Version {
            validator, total, ..
        } = self.seen.clone();
        if let Some(length) = total {
            self.part.set_len(length)?;
        }
        let (Some(validator), Some(length), true) = (validator, total, self.order.options.resume)
        else {
            return Ok(None);
        };
        let url = self.order.url().map_err(io::Error::other)?;
        let subject = Subject {
            url,
            length,
            validator,
            disk: None,
        };
        Ok(Some(State::begin(subject, create_state(&self.part))))
    }

    /// Refuses a bad image by what was written, as an earlier fetch may have left some of it and a
    /// server may send other bytes than it showed; then gives the file its name.
    fn finish(&self) -> Result<()> {
        let Order {
            options, target, ..
        } = self.order;
        if let Some(policy) = &options.policy {
            let report = inspect_open_file(self.part.file(), policy);
            accept(report.map_err(|error| self.failed("read", error))?)?;
        }
        let finished = self
            .part
            .finish(options.durable, self.seen.modified, self.caller);
        finished.map_err(|error| failed("finish", target, error))
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        self.part.failed(what, error)
    }
}

impl Order {
    /// Returns the image's URL, as the state has it.
    pub(super) fn url(&self) -> Result<String> {
        Ok(public_url(&self.location.url()?))
    }
}

/// Returns the way to make the state file.
pub(super) fn create_state(part: &Arc<PartFile>) -> Box<dyn Fn() -> io::Result<File> + Send> {
    let part = part.clone();
    Box::new(move || part.create_state())
}

/// Asks for the whole, or for a range of a version by its validator and length. Returns the answer
/// and the time of a round trip.
pub(super) async fn ask(
    order: &Order,
    caller: &Caller,
    rest: Option<(String, u64, (u64, u64))>,
) -> Result<(ContentResponse, Retries, Duration)> {
    let location = order.location.clone();
    let round_trips = location.transport.round_trips();
    let mut retries = location.transport.retry().start();
    let asked = caller.run(async move {
        let answer = match rest {
            Some((validator, length, (start, end))) => {
                let range = ByteRange::new(start, Some(end).filter(|&end| end < length));
                let rest = location.get_rest(range, &validator, Some(length), &mut retries);
                rest.await?
            }
            None => location.get(&mut retries).await?,
        };
        let latency = retries.attempt_elapsed() / round_trips;
        Ok((answer, retries, latency))
    });
    asked.await
}

/// Returns `true` if another attempt may help.
fn may_pass(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::Length
}
