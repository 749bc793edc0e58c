//! The summary of the runs.

use std::collections::BTreeMap;
use std::fmt;

/// Counts, and the rules that were broken.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) runs: u64,
    pub(crate) calls: u64,
    pub(crate) succeeded: u64,
    pub(crate) requests: u64,
    /// Requests with a fault.
    pub(crate) faults: u64,
    /// Requests that went on where a broken transfer had stopped.
    pub(crate) resumes: u64,
    /// Uploads with `reconcile` that succeeded, and those among them that were sent again.
    pub(crate) reconciled: u64,
    pub(crate) resent: u64,
    /// Copies, and those that succeeded.
    pub(crate) copies: u64,
    pub(crate) copied: u64,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// The longest call.
    pub(crate) longest: std::time::Duration,
    /// Seeds, and the rules that were broken.
    pub(crate) violations: Vec<(u64, String)>,
}

impl Summary {
    pub(crate) fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.calls += other.calls;
        self.succeeded += other.succeeded;
        self.requests += other.requests;
        self.faults += other.faults;
        self.resumes += other.resumes;
        self.reconciled += other.reconciled;
        self.resent += other.resent;
        self.copies += other.copies;
        self.copied += other.copied;
        self.longest = self.longest.max(other.longest);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.violations.extend(other.violations);
    }
}

impl fmt::Display for Summary {
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
            "{} creations reconciled, {} of them sent again",
            self.reconciled, self.resent
        )?;
        writeln!(
            f,
            "{} copies, {} of them succeeded",
            self.copies, self.copied
        )?;
        for (kind, count) in &self.errors {
            writeln!(f, "{count:8} {kind}")?;
        }
        for (seed, what) in &self.violations {
            writeln!(f, "BROKEN with seed {seed}: {what}")?;
        }
        writeln!(f, "{} rules broken", self.violations.len())
    }
}
