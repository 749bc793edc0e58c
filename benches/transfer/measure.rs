//! What a process costs, and how two compare.

use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4;

/// Seconds of wall clock, seconds of user and system time, MiB of resident memory at the peak.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) peak: f64,
}

/// Runs a command to its end. This process must be smaller than what it measures: the peak of a
/// child counts from before it became its own program.
pub(crate) fn cost(command: &mut Command) -> Cost {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let used = child.wait4().unwrap();
    let wall = began.elapsed().as_secs_f64();
    assert!(
        used.status.success(),
        "{command:?} ended with {}",
        used.status
    );
    Cost {
        wall,
        cpu: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak: used.rusage.maxrss as f64 / f64::from(1 << 20),
    }
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// Ours and theirs, run in turn.
#[derive(Default)]
pub(crate) struct Pairs(Vec<(Cost, Cost)>);

impl Pairs {
    pub(crate) fn add(&mut self, ours: Cost, theirs: Cost) {
        self.0.push((ours, theirs));
    }

    /// The median of the ratios.
    pub(crate) fn ratio(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        median(self.0.iter().map(|(ours, theirs)| of(ours) / of(theirs)))
    }

    pub(crate) fn ours(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        median(self.0.iter().map(|(ours, _)| of(ours)))
    }

    pub(crate) fn theirs(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        median(self.0.iter().map(|(_, theirs)| of(theirs)))
    }
}
