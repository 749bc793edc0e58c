//! Threads of their own for fetches to files: writing each chunk where the socket is read costs half
//! of handing it to another thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures::future::{Either, select};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tracing::{Span, dispatcher};

use crate::error::{Error, ErrorKind, Result};
use crate::transport::Transport;

/// The caller of a transfer, who may have left.
#[derive(Clone, Default)]
pub(crate) struct Caller(Arc<Mutex<bool>>);

impl Caller {
    /// Fails when nobody waits any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.if_waiting(|| Ok(()))
    }

    /// Does what must not be done when nobody waits any more. Who leaves meanwhile waits for it.
    pub(crate) fn if_waiting<T>(&self, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let has_left = self.lock();
        match *has_left {
            true => Err(io::Error::other("the transfer was stopped")),
            false => step(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says so when it is dropped.
struct Leaves(Caller);

impl Drop for Leaves {
    fn drop(&mut self) {
        *self.0.lock() = true;
    }
}

/// Runs a transfer on a thread with a runtime and connections of its own. Dropping the future stops
/// the transfer at its next step; steps that take long ask the caller in between.
pub(crate) async fn on_own_thread<T, F>(
    transport: Transport,
    transfer: impl FnOnce(Transport, Caller) -> F + Send + 'static,
) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    // Dropped with this future, which ends the transfer.
    let (_alive, dropped) = oneshot::channel::<()>();
    let caller = Caller::default();
    let _leaves = Leaves(caller.clone());
    let work = seen_by_caller(move || {
        // A machine with much to do may begin late.
        caller.check().map_err(|_| gone())?;
        let apart = transport.apart()?;
        let result = {
            let runtime = runtime()?;
            let transfer = std::pin::pin!(transfer(apart.clone(), caller));
            match runtime.block_on(select(transfer, dropped)) {
                Either::Left((result, _)) => result?,
                Either::Right(_) => return Err(gone()),
            }
        };
        apart.keep_for_next();
        Ok(result)
    });
    // None of the caller's runtime's: they are few, and looking a name up takes one, too.
    let (tell, told) = oneshot::channel();
    let thread = thread::Builder::new().name("machine-images".to_owned());
    let thread = thread.spawn(move || {
        // Whoever does not listen any more has ended the transfer.
        let _ = tell.send(catch_unwind(AssertUnwindSafe(work)));
    });
    thread.map_err(|error| Error::io("no thread for the transfer", error))?;
    match told.await {
        Ok(Ok(result)) => result,
        // Only the caller's own code panics, which is told of progress.
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => Err(gone()),
    }
}

/// A thread that ended otherwise than it should. Only the caller's own code panics, which is told
/// of progress.
pub(crate) fn lost(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => gone(),
    }
}

/// The runtime of a transfer's thread.
pub(crate) fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::io("no runtime for the transfer", error))
}

/// The same work, in the caller's span and seen by the caller's subscriber.
pub(crate) fn seen_by_caller<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let (span, dispatch) = (Span::current(), dispatcher::get_default(Clone::clone));
    move || dispatcher::with_default(&dispatch, || span.in_scope(work))
}

/// Nobody is there to see it, unless the runtime is shutting down.
pub(crate) fn gone() -> Error {
    Error::plain(ErrorKind::Io, "the transfer was stopped")
}
