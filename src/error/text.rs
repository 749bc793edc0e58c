//! Errors as people read them.

use std::fmt;
use std::time::Duration;

use super::Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = &self.0.operation {
            write!(f, "{operation}: ")?;
        }
        if let Some(side) = self.0.side {
            write!(f, "{side}: ")?;
        }
        write!(f, "{}", self.0.cause)?;
        if self.0.attempts > 1 {
            let (attempts, time) = (self.0.attempts, rounded(self.0.elapsed));
            write!(f, " after {attempts} attempts in {time}")?;
        }
        if let Some(wait) = self.retry_after() {
            write!(f, "; the server asks to wait {}", rounded(wait))?;
        }
        if f.alternate() {
            let mut source = std::error::Error::source(self);
            while let Some(error) = source {
                write!(f, ": {error}")?;
                source = error.source();
            }
        }
        Ok(())
    }
}

/// `get image 42: cannot connect to h:80: Connection refused (connect, http://h/images/42)`
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#} ({}", self.kind())?;
        match &self.0.url {
            Some(url) => write!(f, ", {url})"),
            None => f.write_str(")"),
        }
    }
}

/// Formats a time for people: `3 ms`, `1.5 s`, `12 s`, `2 min`.
fn rounded(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..=9 if time.subsec_millis() > 0 => format!("{seconds:.1} s"),
        1..=119 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use super::super::{Cause, ErrorKind, Refusal};
    use super::*;
    use crate::operation::Operation;

    #[test]
    fn display_shows_one_level_and_source_the_next() {
        let cause = io::Error::other("disk on fire");
        let error = Error::new(Cause::Source(cause)).during(&Operation::new("upload"));
        assert_eq!(error.to_string(), "upload: the source of the upload failed");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
        let line = "upload: the source of the upload failed: disk on fire";
        assert_eq!(format!("{error:#}"), line);
    }

    #[test]
    fn field_errors_are_all_shown() {
        let fields = [("name", "taken"), ("file", "empty")];
        let error = Error::new(Cause::Refused(Box::new(Refusal {
            status: 400,
            fields: Some(
                fields
                    .map(|(k, v)| (k.to_owned(), vec![v.to_owned()]))
                    .into_iter()
                    .collect(),
            ),
            ..Refusal::default()
        })));
        assert_eq!(
            error.to_string(),
            "400 Bad Request: file: empty; name: taken"
        );
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
}
