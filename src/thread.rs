//! Threads for transfers to files: writing each chunk where it is received costs half of handing it
//! to another thread, and a disk that is slow holds up nobody else.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::thread;

use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt, StreamExt, stream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Span, dispatcher};

use crate::error::{Error, ErrorKind, Result};
use crate::sync::lock;
use crate::transport::Transport;

/// The caller of a transfer, who may have left.
#[derive(Clone)]
pub(crate) struct Caller {
    has_left: Arc<Mutex<bool>>,
    /// Jobs for the caller's runtime.
    jobs: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

impl Caller {
    /// Fails when nobody waits any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.if_waiting(|| Ok(()))
    }

    /// Runs a step that must not be done when nobody waits any more. A caller who leaves meanwhile
    /// waits for it.
    pub(crate) fn if_waiting<T>(&self, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let has_left = lock(&self.has_left);
        match *has_left {
            true => Err(io::Error::other("the transfer was stopped")),
            false => step(),
        }
    }

    /// Runs a request on the caller's runtime, where it can use a connection that the client has
    /// open: a connection ends with the runtime that made it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let job = async {
            // The transfer may have ended meanwhile.
            let _ = tell.send(request.await);
        };
        self.jobs.send(job.boxed()).map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

#[cfg(all(test, unix))]
impl Caller {
    pub(crate) fn who_waits() -> Self {
        let (jobs, _) = mpsc::unbounded_channel();
        let has_left = Arc::default();
        Self { has_left, jobs }
    }

    pub(crate) fn who_has_left() -> Self {
        let caller = Self::who_waits();
        *lock(&caller.has_left) = true;
        caller
    }
}

/// Tells the transfer, when it is dropped, that the caller has left.
struct Leaves(Arc<Mutex<bool>>);

impl Drop for Leaves {
    fn drop(&mut self) {
        *lock(&self.0) = true;
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
    let (jobs, mut wanted) = mpsc::unbounded_channel();
    let has_left = Arc::default();
    let _leaves = Leaves(Arc::clone(&has_left));
    let caller = Caller { has_left, jobs };
    let work = seen_by_caller(move || {
        // A machine with much to do may begin late.
        caller.check().map_err(|_| gone())?;
        let apart = transport.apart();
        let result = {
            let runtime = runtime()?;
            let transfer = pin!(transfer(apart.clone(), caller));
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
    let jobs = stream::poll_fn(|cx| wanted.poll_recv(cx));
    let jobs = pin!(jobs.for_each_concurrent(None, |job| job));
    let told = match select(told, jobs).await {
        Either::Left((told, _)) => told,
        Either::Right(((), told)) => told.await,
    };
    match told {
        Ok(Ok(result)) => result,
        // Only the caller's own code panics: the listener of the progress.
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => Err(gone()),
    }
}

/// Runs work until it ends or is to stop, which is looked at first: what others have stopped may
/// fail.
pub(crate) async fn until(
    mut stop: watch::Receiver<()>,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    match select(pin!(stop.changed()), pin!(work)).await {
        Either::Left(_) => Ok(()),
        Either::Right((end, _)) => end,
    }
}

/// Makes the runtime of a transfer's thread.
pub(crate) fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::io("no runtime for the transfer", error))
}

/// Returns the same work, in the caller's span and seen by the caller's subscriber.
pub(crate) fn seen_by_caller<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let (span, dispatch) = (Span::current(), dispatcher::get_default(Clone::clone));
    move || dispatcher::with_default(&dispatch, || span.in_scope(work))
}

/// The error of a transfer that was stopped. Nobody sees it, unless the runtime is shutting down.
pub(crate) fn gone() -> Error {
    Error::plain(ErrorKind::Io, "the transfer was stopped")
}
