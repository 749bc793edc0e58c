//! The name, the subject and the span of an operation.

use std::fmt;
use std::sync::Arc;

use tracing::{Span, debug_span};

/// The name of an operation, such as `get image`, and its subject, such as `42`.
#[derive(Clone)]
pub(crate) struct Operation {
    name: &'static str,
    subject: Option<Arc<str>>,
}

impl Operation {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            subject: None,
        }
    }

    /// Sets the subject.
    pub(crate) fn on(mut self, subject: impl fmt::Display) -> Self {
        self.subject = Some(subject.to_string().into());
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the span of the operation, or the current one inside of another operation.
    pub(crate) fn span(&self) -> Span {
        let current = Span::current();
        match current.metadata() {
            Some(outer) if outer.name() == "operation" && outer.target() == module_path!() => {
                current
            }
            _ => debug_span!("operation", name = self.name),
        }
    }
}

/// `get image 42`
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match &self.subject {
            Some(subject) => write!(f, " {subject}"),
            None => Ok(()),
        }
    }
}
