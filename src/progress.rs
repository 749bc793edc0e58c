//! Progress of long operations, reported to a listener.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Minimum time between two calls of a listener, except for the first and last of an operation.
const INTERVAL: Duration = Duration::from_millis(50);

/// The kind of work that a [`Progress`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Sending bytes to the server.
    Upload,
    /// Receiving bytes from the server.
    Content,
    /// Hashing what was received out of order, if that takes longer than receiving it, or a file that
    /// may be up to date: `done` counts the bytes that were hashed.
    Verify,
    /// Waiting for the server to download an image. The byte counts stay at zero.
    Wait,
}

/// The progress of an upload, a download or a wait.
///
/// ```
/// # use machine_images::djinn::Images;
/// use machine_images::Progress;
///
/// # async fn example(images: Images) -> machine_images::Result<()> {
/// let content = images
///     .content(42)
///     .progress(|p: Progress| println!("{} of {:?} bytes", p.done, p.total))
///     .send()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The kind of work in progress.
    pub phase: Phase,
    /// Bytes done so far, including those of an earlier, interrupted transfer. Never decreases
    /// within a phase, except if the image is replaced by one of another length meanwhile, or a
    /// local file turns out to be out of date.
    pub done: u64,
    /// Total number of bytes, if known.
    pub total: Option<u64>,
    /// The part of `done` that an earlier, interrupted transfer had already done; all of a file that
    /// is up to date.
    #[doc(alias = "resume")]
    pub resumed: u64,
}

/// A listener for the progress of an operation.
///
/// Implemented for closures that take a [`Progress`], whose type must be written, as in
/// `|progress: Progress|`. It is called at most every 50 ms, except for the first and last call.
/// After the last call of a successful transfer, `done` equals `total`. A
/// [wait](crate::djinn::WaitDownloaded::progress) has no `total`.
///
/// ```
/// use machine_images::{Progress, ProgressListener};
///
/// struct Log {
///     image: String,
/// }
///
/// impl ProgressListener for Log {
///     fn progress(&self, progress: Progress) {
///         println!("{}: {} bytes", self.image, progress.done);
///     }
/// }
/// ```
#[doc(alias = "callback")]
pub trait ProgressListener: Send + Sync + 'static {
    /// Handles one update. The transfer waits for it, so it must return quickly. A panic in
    /// the listener propagates to the caller.
    fn progress(&self, progress: Progress);
}

impl<F: Fn(Progress) + Send + Sync + 'static> ProgressListener for F {
    fn progress(&self, progress: Progress) {
        self(progress);
    }
}

/// The listener of one operation, shared by its connections and attempts.
#[derive(Clone, Default)]
pub(crate) struct Meter(Option<Arc<Shared>>);

struct Shared {
    listener: Box<dyn ProgressListener>,
    phase: Phase,
    /// Held during a call of the listener, so that updates come in order.
    calling: Mutex<()>,
    state: Mutex<State>,
}

struct State {
    current: Progress,
    reported: Option<(Instant, Progress)>,
}

impl State {
    /// Returns what is to be reported, if it is time.
    fn due(&mut self, now: bool) -> Option<Progress> {
        let current = self.current;
        let is_due = match self.reported {
            Some((at, last)) => last != current && (now || at.elapsed() >= INTERVAL),
            None => true,
        };
        is_due.then(|| {
            self.reported = Some((Instant::now(), current));
            current
        })
    }
}

/// A listener is the caller's, and may not be `Debug`.
impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(_) => f.write_str("Meter(listener)"),
            None => f.write_str("Meter(none)"),
        }
    }
}

impl Meter {
    pub(crate) fn new(phase: Phase, listener: impl ProgressListener) -> Self {
        Self(Some(Arc::new(Shared {
            listener: Box::new(listener),
            phase,
            calling: Mutex::default(),
            state: Mutex::new(State {
                current: Progress {
                    phase,
                    done: 0,
                    total: None,
                    resumed: 0,
                },
                reported: None,
            }),
        })))
    }

    /// Sets the total, and the number of bytes that an earlier transfer had done.
    pub(crate) fn start(&self, total: Option<u64>, resumed: u64) {
        let phase = self.0.as_ref().map(|shared| shared.phase);
        self.update(true, |progress| {
            if let Some(phase) = phase.filter(|&phase| phase != progress.phase) {
                (progress.phase, progress.done) = (phase, 0);
            }
            if progress.total.is_some() && total.is_some() && progress.total != total {
                // Another version of the image.
                progress.done = 0;
            }
            progress.total = total;
            progress.resumed = resumed;
            progress.done = progress.done.max(resumed);
        });
    }

    /// Sets the number of bytes done, unless it is lower than before. The last ones are reported at
    /// once.
    pub(crate) fn at(&self, done: u64) {
        self.update(false, |progress| progress.done = progress.done.max(done));
    }

    /// Reports once more what has not changed.
    pub(crate) fn repeat(&self) {
        let Some(shared) = &self.0 else { return };
        let _calling = lock(&shared.calling);
        let current = lock(&shared.state).current;
        shared.listener.progress(current);
    }

    /// Sets the number of bytes that were hashed of what is there.
    #[cfg(feature = "fs")]
    pub(crate) fn hashed(&self, done: u64, total: Option<u64>) {
        self.update(false, |progress| {
            progress.phase = Phase::Verify;
            progress.done = done;
            progress.total = total.or(progress.total);
        });
    }

    /// Reports the end of a successful operation.
    pub(crate) fn finish(&self) {
        self.update(true, |progress| progress.total = Some(progress.done));
    }

    fn update(&self, now: bool, change: impl FnOnce(&mut Progress)) {
        let Some(shared) = &self.0 else { return };
        let state = || lock(&shared.state);
        let now = {
            let current = &mut state().current;
            change(current);
            now || current.total == Some(current.done)
        };
        // A listener that is slow holds up the connection that calls it, and no other.
        let calling = match now {
            true => Some(lock(&shared.calling)),
            false => shared.calling.try_lock().ok(),
        };
        if calling.is_none() {
            return;
        }
        let due = state().due(now);
        if let Some(current) = due {
            shared.listener.progress(current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> (Meter, Arc<Mutex<Vec<Progress>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let meter = Meter::new(Phase::Content, move |progress: Progress| {
            sink.lock().unwrap().push(progress);
        });
        (meter, seen)
    }

    #[test]
    fn updates_are_rare_monotonic_and_end_at_the_total() {
        let (meter, seen) = recorded();
        meter.start(Some(1000), 10);
        for done in [300, 200, 900, 1000, 100] {
            meter.at(done);
        }
        meter.finish();
        meter.finish();
        let seen = seen.lock().unwrap();
        let done: Vec<_> = seen.iter().map(|progress| progress.done).collect();
        assert_eq!(done, [10, 1000]);
        assert_eq!(seen[1].total, Some(1000));
    }

    #[test]
    fn another_version_begins_at_what_is_there_of_it() {
        let (meter, seen) = recorded();
        meter.start(Some(1000), 0);
        meter.at(900);
        meter.start(Some(500), 10);
        meter.at(500);
        meter.finish();
        let seen = seen.lock().unwrap();
        let seen = seen.iter().map(|progress| (progress.done, progress.total));
        let expected = [(0, 1000), (10, 500), (500, 500)];
        assert!(seen.eq(expected.map(|(done, total)| (done, Some(total)))));
    }

    #[test]
    fn another_update_follows_after_the_interval() {
        let (meter, seen) = recorded();
        meter.start(None, 0);
        std::thread::sleep(INTERVAL);
        meter.at(7);
        assert_eq!(seen.lock().unwrap().last().unwrap().done, 7);
    }
}
