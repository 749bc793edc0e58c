//! What came of the runs.

use std::collections::BTreeMap;
use std::fmt;

/// Counts, and what was broken.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) calls: u64,
    pub(crate) succeeded: u64,
    pub(crate) requests: u64,
    /// Requests that a fault befell.
    pub(crate) faults: u64,
    /// Requests that went on where contents had broken off.
    pub(crate) resumes: u64,
    /// Uploads with `reconcile` that succeeded, and those among them that were sent again.
    pub(crate) reconciled: u64,
    pub(crate) again: u64,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// The longest call.
    pub(crate) longest: std::time::Duration,
    /// Seeds, and what did not hold.
    pub(crate) broken: Vec<(u64, String)>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.calls += other.calls;
        self.succeeded += other.succeeded;
        self.requests += other.requests;
        self.faults += other.faults;
        self.resumes += other.resumes;
        self.reconciled += other.reconciled;
        self.again += other.again;
        self.longest = self.longest.max(other.longest);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.broken.extend(other.broken);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} runs, {} calls, {} succeeded",
            self.runs, self.calls, self.succeeded
        )?;
        writeln!(
            f,
            "{} requests, {} faults injected, {} resumes, longest call {:.1} s",
            self.requests,
            self.faults,
            self.resumes,
            self.longest.as_secs_f64()
        )?;
        writeln!(
            f,
            "{} uploads reconciled, {} of them sent again",
            self.reconciled, self.again
        )?;
        for (kind, count) in &self.errors {
            writeln!(f, "{count:8} {kind}")?;
        }
        for (seed, what) in &self.broken {
            writeln!(f, "BROKEN with seed {seed}: {what}")?;
        }
        writeln!(f, "{} invariants broken", self.broken.len())
    }
}
