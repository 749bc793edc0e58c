//! What long work reports while it goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Reports come no more often than this, but for the first and the last of a phase.
const INTERVAL: Duration = Duration::from_millis(50);

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Bytes go to the server.
    Upload,
    /// Bytes come from the server.
    Content,
    /// The server downloads an image; nothing is known of how far it is.
    Wait,
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What is going on.
    pub phase: Phase,
    /// Bytes done in all, those of an earlier attempt included. It never falls.
    pub done: u64,
    /// Bytes to be done in all, if that is known.
    pub total: Option<u64>,
    /// How many of `done` an earlier attempt had left behind.
    pub resumed: u64,
}

/// Is told how far an upload, a fetch or a wait is.
///
/// It is called at most every 50 ms, with numbers that never fall; the last call of work that
/// ended well has `done` equal to the total. Closures are accepted as they are.
///
/// ```
/// use machine_images::{Progress, Report};
///
/// fn watch(progress: impl Progress) { /* ... */ }
/// watch(|report: Report| println!("{} bytes", report.done));
/// ```
pub trait Progress: Send + Sync + 'static {
    /// Takes one report; it should return at once, as the transfer waits for it.
    fn report(&self, report: Report);
}

impl<F: Fn(Report) + Send + Sync + 'static> Progress for F {
    fn report(&self, report: Report) {
        self(report);
    }
}

/// The listener of one operation, shared by its connections and attempts.
#[derive(Clone, Default)]
pub(crate) struct Meter(Option<Arc<Shared>>);

struct Shared {
    listener: Box<dyn Progress>,
    state: Mutex<State>,
}

struct State {
    report: Report,
    told: Option<Instant>,
    last: Option<Report>,
}

impl Meter {
    pub(crate) fn new(phase: Phase, listener: impl Progress) -> Self {
        Self(Some(Arc::new(Shared {
            listener: Box::new(listener),
            state: Mutex::new(State {
                report: Report {
                    phase,
                    done: 0,
                    total: None,
                    resumed: 0,
                },
                told: None,
                last: None,
            }),
        })))
    }

    /// Sets the total and what an earlier attempt had done.
    pub(crate) fn start(&self, total: Option<u64>, resumed: u64) {
        self.update(true, |report| {
            report.total = total;
            report.resumed = resumed;
            report.done = report.done.max(resumed);
        });
    }

    /// Says that `done` bytes are done in all; fewer than before are kept to oneself.
    pub(crate) fn at(&self, done: u64) {
        self.update(false, |report| report.done = report.done.max(done));
    }

    /// The last call of work that ended well: all that was done is all there is.
    pub(crate) fn finish(&self) {
        self.update(true, |report| report.total = Some(report.done));
    }

    fn update(&self, at_once: bool, change: impl FnOnce(&mut Report)) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state.report);
        let due = state.told.is_none_or(|told| told.elapsed() >= INTERVAL);
        if (at_once || due) && state.last != Some(state.report) {
            state.told = Some(Instant::now());
            state.last = Some(state.report);
            // Told under the lock: two connections must not report out of order.
            shared.listener.report(state.report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> (Meter, Arc<Mutex<Vec<Report>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let meter = Meter::new(Phase::Content, move |r: Report| {
            sink.lock().unwrap().push(r);
        });
        (meter, seen)
    }

    #[test]
    fn reports_are_rare_monotonic_and_end_at_the_total() {
        let (meter, seen) = recorded();
        meter.start(Some(1000), 10);
        for done in [300, 200, 900, 1000, 100] {
            meter.at(done);
        }
        meter.finish();
        meter.finish();
        let seen = seen.lock().unwrap();
        let done: Vec<_> = seen.iter().map(|r| r.done).collect();
        assert_eq!(done, [10, 1000]);
        assert_eq!(seen[1].total, Some(1000));
    }

    #[test]
    fn a_report_comes_again_after_the_interval() {
        let (meter, seen) = recorded();
        meter.start(None, 0);
        std::thread::sleep(INTERVAL);
        meter.at(7);
        assert_eq!(seen.lock().unwrap().last().unwrap().done, 7);
    }
}
