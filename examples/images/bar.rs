//! Progress bars on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use machine_images::{Phase, Progress, ProgressListener};

use super::output::Output;

/// A bar for people at a terminal; otherwise it shows nothing.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(output: &Output, what: impl Into<String>) -> Self {
        let bar = output.bars.add(ProgressBar::no_length());
        bar.set_message(what.into());
        Self(bar)
    }

    /// Shows how many bytes have come of a number that is known.
    #[cfg(feature = "disk")]
    pub(crate) fn at(&self, done: u64, total: u64) {
        if self.0.length().is_none() {
            self.0.set_length(total);
            self.0.set_style(style(COUNTED));
        }
        self.0.set_position(done);
    }
}

const COUNTED: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

impl ProgressListener for Bar {
    fn progress(&self, progress: Progress) {
        let bar = &self.0;
        if progress.phase == Phase::Wait {
            bar.set_style(style(
                "{spinner} {msg}: the server is downloading, {elapsed}",
            ));
            bar.tick();
            return;
        }
        if let (Some(total), None) = (progress.total, bar.length()) {
            bar.set_length(total);
            bar.set_style(style(COUNTED));
            // So that the speed is that of this run.
            bar.set_position(progress.resumed);
            bar.reset_eta();
        } else if progress.total.is_none() {
            bar.set_style(style("{spinner} {msg} {bytes} {bytes_per_sec}"));
        }
        bar.set_position(progress.done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
