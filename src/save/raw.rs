//! The guest's disk of an image, saved as a raw disk: the tables first, then what they name, in the
//! order of the file.

mod assembly;
#[cfg(unix)]
mod device;
mod sink;
mod workers;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;

use super::fetch::{Order, ask, create_state};
use super::options::{Options, Saved};
use super::{on_thread, wait_for_part};
use crate::content::{Body, Location, Version};
use crate::digest::Digest;
use crate::disk::{Guest, ImageFile, OpenDisk, Places};
use crate::error::{Error, ErrorKind, Result};
use crate::file::{PartFile, Sink, State, Subject, failed};
use crate::progress::Meter;
use crate::qcow2::Report;
use crate::spans::Spans;
use crate::thread::Caller;
use crate::transfer::{Plan, Seen, Setup, Transfer};
#[cfg(unix)]
use device::Device;
use sink::RawSink;

/// The bytes of a device that become zeros between two looks at the caller.
#[cfg(unix)]
const ZEROED: usize = 64 << 20;

/// Saves the guest's disk on a thread of its own. When it stops, what can be resumed stays.
pub(crate) async fn save_raw(location: Location, path: PathBuf, options: Options) -> Result<Saved> {
    on_thread(location, path, options, async |order, caller| {
        run(&order, &caller).await
    })
    .await
}

/// The target of a raw disk.
enum Target {
    File(Arc<PartFile>),
    #[cfg(unix)]
    Device,
}

async fn run(order: &Order, caller: &Caller) -> Result<Saved> {
    let began = Instant::now();
    let target = match Target::of(order) {
        Some(device) => device,
        None => Target::File(Arc::new(wait_for_part(order).await?.0)),
    };
    let raw = Raw {
        order,
        caller,
        target,
    };
    let saved = match raw.version(!order.options.resume).await {
        // Only one version after the other can be had; a third one is an error.
        Err(error) if error.kind() == ErrorKind::Changed => raw.version(true).await,
        saved => saved,
    };
    match saved {
        Ok(saved) => {
            order.options.meter.finish();
            Ok(Saved {
                elapsed: began.elapsed(),
                ..saved
            })
        }
        Err(error) => {
            // Wrong contents leave nothing.
            let is_wrong = matches!(
                error.kind(),
                ErrorKind::DigestMismatch | ErrorKind::ImageRejected
            );
            if let (true, Target::File(part)) = (is_wrong, &raw.target) {
                // The verdict matters more than a failed cleanup.
                let _ = part.reset();
            }
            Err(error)
        }
    }
}

impl Target {
    /// Returns the device at the target, if it is one.
    fn of(order: &Order) -> Option<Self> {
        #[cfg(unix)]
        if Device::is_at(&order.target) {
            return Some(Self::Device);
        }
        let _ = order;
        None
    }
}

/// The image, once its tables are read.
struct Opened {
    report: Report,
    version: Version,
    places: Arc<Places>,
}

/// The saving of one version.
struct Raw<'a> {
    order: &'a Order,
    caller: &'a Caller,
    target: Target,
}

impl Raw<'_> {
    async fn version(&self, anew: bool) -> Result<Saved> {
        let opened = self.open().await?;
        match &self.target {
            Target::File(part) => self.to_file(part, &opened, anew).await,
            #[cfg(unix)]
            Target::Device => self.to_device(&opened).await,
        }
    }

    /// Reads the header and the tables, on a connection that the client has open.
    async fn open(&self) -> Result<Opened> {
        let mut disk = OpenDisk::remote(self.order.location.clone());
        if let Some(policy) = &self.order.options.policy {
            disk = disk.policy(policy.clone());
        }
        let opened = async {
            let guest = disk.opened().await?;
            let places = places(&guest).await?;
            let version = match guest.file() {
                ImageFile::Remote { version, .. } => version.clone(),
                ImageFile::Local { .. } => Version::default(),
            };
            Ok(Opened {
                report: guest.report().clone(),
                version,
                places: Arc::new(places),
            })
        };
        self.caller.run(opened).await
    }

    async fn to_file(&self, part: &Arc<PartFile>, opened: &Opened, anew: bool) -> Result<Saved> {
        let (options, size) = (&self.order.options, opened.places.geometry().size());
        let subject = self.subject(opened)?;
        let found = self.found(part, subject.as_ref(), size, anew);
        let found = found.map_err(|error| part.failed("read", error))?;
        let (state, done) = match found {
            Some((state, done)) => (Some(state), done),
            None => {
                let length = part.set_len(size);
                length.map_err(|error| part.failed("write", error))?;
                let begin = |subject| State::begin(subject, create_state(part));
                (subject.map(begin), Spans::default())
            }
        };
        let (seen, sha256) = self.transfer(opened, part.clone(), state, &done).await?;
        let modified = opened.version.modified;
        let finished = part.finish(options.durable, modified, self.caller);
        finished.map_err(|error| failed("finish", &self.order.target, error))?;
        let resumed_from = opened.places.resumed(&done);
        Ok(self.saved(size, resumed_from, &seen, sha256))
    }

    #[cfg(unix)]
    async fn to_device(&self, opened: &Opened) -> Result<Saved> {
        let (path, size) = (&self.order.target, opened.places.geometry().size());
        let failed = |what: &'static str| move |error| failed(what, path, error);
        let device = Device::open(path, size).map_err(failed("write"))?;
        for (start, end) in opened.places.empty() {
            for at in (start..end).step_by(ZEROED) {
                self.caller.check().map_err(failed("write"))?;
                let zeroed = device.zero(at, end.min(at + ZEROED as u64));
                zeroed.map_err(failed("write"))?;
            }
        }
        let device = Arc::new(device);
        let none = Spans::default();
        let (seen, sha256) = self.transfer(opened, device.clone(), None, &none).await?;
        if self.order.options.durable {
            device.sync_all().map_err(failed("sync"))?;
        }
        Ok(self.saved(size, 0, &seen, sha256))
    }

    fn saved(&self, size: u64, resumed_from: u64, seen: &Seen, sha256: Option<Digest>) -> Saved {
        Saved {
            path: self.order.target.clone(),
            bytes: size,
            fetched: seen.fetched,
            resumed_from,
            unchanged: false,
            connections: seen.connections,
            sha256,
            elapsed: Duration::ZERO,
        }
    }

    /// The subject of the state, if what is fetched can be continued. A hash begins at the start.
    fn subject(&self, opened: &Opened) -> Result<Option<Subject>> {
        let options = &self.order.options;
        let Version {
            validator, total, ..
        } = opened.version.clone();
        Ok(match (validator, total) {
            (Some(validator), Some(length)) if options.resume && !options.hashes() => {
                Some(Subject {
                    url: self.order.url()?,
                    length,
                    validator,
                    disk: Some(opened.places.geometry().size()),
                })
            }
            _ => None,
        })
    }

    /// Returns what an earlier process left of the same disk; everything else is thrown away.
    fn found(
        &self,
        part: &Arc<PartFile>,
        subject: Option<&Subject>,
        size: u64,
        anew: bool,
    ) -> io::Result<Option<(State, Spans)>> {
        if let (Some(subject), false) = (subject, anew) {
            let state = part.open_state()?;
            let state = state.map(|file| State::resume(file, create_state(part)));
            if let Some(state) = state.transpose()?.flatten() {
                if state.subject() == subject && part.resume_scattered(size)? {
                    let done = state.done().clone();
                    return Ok(Some((state, done)));
                }
            }
        }
        part.reset()?;
        Ok(None)
    }

    /// Fetches what is missing, and has the sink put it where it belongs.
    async fn transfer(
        &self,
        opened: &Opened,
        target: Arc<dyn Sink>,
        state: Option<State>,
        done: &Spans,
    ) -> Result<(Seen, Option<Digest>)> {
        let Opened {
            report,
            version,
            places,
        } = opened;
        let options = &self.order.options;
        let length = version.total.unwrap_or_default();
        let needed = match options.hashes() {
            true => vec![(0, length)],
            false => places.needed(done),
        };
        let sink = RawSink::new(places, report.clone(), target, done, options.hashes());
        let sink = sink.map_err(|error| Error::io("no threads to decompress", error))?;
        let sink = Arc::new(sink);
        let Some(&first) = needed.first() else {
            options.meter.start(Some(length), length);
            return Ok((Seen::default(), None));
        };
        let Some(validator) = version.validator.clone() else {
            let message = "the server does not say which version of the image it sends";
            return Err(Error::plain(ErrorKind::Range, message));
        };
        let rest = Some((validator, length, first));
        let (answer, retries, latency) = ask(self.order, self.caller, rest).await?;
        let body = Body::new(
            self.order.apart.clone(),
            answer,
            Some(first.1),
            retries,
            Meter::default(),
        );
        // What is not needed counts as done, so that what is done has few gaps.
        let mut unneeded = Spans::default();
        unneeded.add(0, length);
        for &(start, end) in &needed {
            unneeded.remove(start, end);
        }
        let transfer = Transfer::new(
            Setup {
                location: self.order.apart.clone(),
                version: version.clone(),
                sink: sink.clone(),
                connections: match options.hashes() {
                    true => Some(1),
                    false => options.connections,
                },
                is_durable: options.durable,
                hashes: false,
                meter: options.meter.clone(),
            },
            Plan {
                ranges: VecDeque::from(needed),
                done: unneeded,
                state,
                latency,
            },
        );
        transfer.begin(&[])?;
        transfer.run(body).await?;
        let finished = sink.finish();
        let sha256 = finished.map_err(|error| sink.failed("write", error))?;
        if let (Some(found), Some(expected)) = (sha256, options.sha256) {
            found.expect(expected)?;
        }
        Ok((transfer.seen(), sha256))
    }
}

/// Finds the places of the guest's bytes.
async fn places(guest: &Guest) -> Result<Places> {
    let mut places = Places::new(guest.map().geometry().clone());
    let mut extents = std::pin::pin!(guest.clone().extents());
    while let Some(extent) = extents.try_next().await? {
        let added = places.add(&extent);
        added.map_err(|finding| guest.rejected(finding))?;
    }
    places.sort().map_err(|finding| guest.rejected(finding))?;
    Ok(places)
}
