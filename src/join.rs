//! Tasks and threads that end without a result.

use std::panic::resume_unwind;

use tokio::task::JoinError;

use crate::error::{Error, ErrorKind};

/// Resumes the panic of a task, or returns the error of a runtime that shut down. Only the caller's
/// own code panics: a listener.
pub(crate) fn lost(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Error::plain(ErrorKind::Io, "the runtime is shutting down"),
    }
}
