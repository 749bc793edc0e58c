//! What the program prints: tables for people, a JSON object a line for programs.

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use machine_images::{Error, RetryPolicy};
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) struct Output {
    pub(crate) json: bool,
    /// They make room for lines that are printed meanwhile.
    pub(crate) bars: MultiProgress,
}

pub(crate) enum Failure {
    Client(Error),
    Io(String, io::Error),
    /// There is no image of the name that was asked for.
    NotFound(String),
    /// An image that was inspected, and why it must not be used.
    Rejected(String),
    /// Whoever read standard output has had enough.
    ClosedOutput,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// What was set to something.
pub(crate) fn given(argument: &Option<String>) -> Option<&str> {
    argument.as_deref().filter(|text| !text.is_empty())
}

/// A failed write to standard output.
pub(crate) fn closed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ClosedOutput,
        _ => Failure::Io("cannot write to standard output".into(), error),
    }
}

/// A text on one line, whatever a server says.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text that came from a server or an image, on one line and without what a terminal obeys.
fn plain(text: &str) -> String {
    let is_obeyed = |c: char| {
        let is_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
            || ('\u{2028}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c);
        c.is_control() || is_direction
    };
    text.replace(is_obeyed, "\u{fffd}")
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let target = match json {
            true => ProgressDrawTarget::hidden(),
            // Hidden as well, unless it is a terminal.
            false => ProgressDrawTarget::stderr(),
        };
        let bars = MultiProgress::with_draw_target(target);
        Self { json, bars }
    }

    /// One object, as it is or as the rows of a table.
    pub(crate) fn object(&self, object: &impl Serialize, rows: &[(&str, String)]) -> Result {
        if self.json {
            return self.line(object);
        }
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut out = io::stdout().lock();
        rows.iter()
            .filter(|(_, value)| !value.is_empty())
            .try_for_each(|(name, value)| writeln!(out, "{name:width$}  {}", plain(value)))
            .map_err(closed)
    }

    pub(crate) fn line(&self, object: &impl Serialize) -> Result {
        let line = serde_json::to_string(object)
            .map_err(|error| Failure::Io("cannot write JSON".into(), error.into()))?;
        writeln!(io::stdout(), "{line}").map_err(closed)
    }

    /// A table with a head, its columns as wide as what is in them.
    pub(crate) fn table(&self, rows: &[Vec<String>]) -> Result {
        let plain = |row: &Vec<String>| row.iter().map(|cell| plain(cell)).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(plain).collect();
        let columns = rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut out = io::BufWriter::new(io::stdout().lock());
        for row in &rows {
            let mut line = String::new();
            for (cell, &width) in row.iter().zip(&widths) {
                line += &format!("{cell:width$}  ");
            }
            writeln!(out, "{}", line.trim_end()).map_err(closed)?;
        }
        out.flush().map_err(closed)
    }

    /// The crate's own policy, which tells whoever watches why it waits.
    pub(crate) fn retry(&self) -> RetryPolicy {
        let policy = RetryPolicy::default();
        if self.bars.is_hidden() {
            return policy;
        }
        let bars = self.bars.clone();
        policy.on_retry(move |error, delay| {
            let text = plain(&one_line(&format!("{error:#}")));
            let wait = delay.as_secs_f64();
            // Nothing can be done if it cannot be shown.
            let tell = || writeln!(io::stderr(), "{text}; trying again in {wait:.1} s");
            let _ = bars.suspend(tell);
        })
    }

    /// What was deleted.
    pub(crate) fn deleted(&self, id: &(impl Serialize + std::fmt::Display)) -> Result {
        match self.json {
            true => self.line(&json!({ "deleted": id })),
            false => writeln!(io::stdout(), "deleted image {id}").map_err(closed),
        }
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        let (text, kind, error) = match failure {
            Failure::Client(error) => (format!("{error:#}"), error.kind().as_str(), Some(error)),
            Failure::Io(what, error) => (format!("{what}: {error}"), "io", None),
            Failure::NotFound(text) => (text.clone(), "not_found", None),
            Failure::Rejected(why) => (
                format!("the image is rejected: {why}"),
                "image_rejected",
                None,
            ),
            Failure::ClosedOutput => return,
        };
        let text = one_line(&text);
        let line = match self.json {
            false => format!("error: {}", plain(&text)),
            true => json!({
                "error": kind,
                "message": text,
                "status": error.and_then(Error::status),
                "retryable": error.is_some_and(Error::is_retryable),
                "fields": error.and_then(Error::fields).map_or(Value::Null, |fields| json!(fields)),
            })
            .to_string(),
        };
        let _ = writeln!(io::stderr(), "{line}");
    }
}
