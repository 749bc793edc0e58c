//! Contents saved to a file: beside it first, and never half done.

mod fetch;
mod options;
#[cfg(feature = "disk")]
mod raw;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::content::{Expected, Location, unchanged};
use crate::error::{Error, ErrorKind, Result};
use crate::file::{PartFile, failed};
use crate::thread::{Caller, on_own_thread};
use fetch::{Fetch, Order};
pub(crate) use options::Options;
pub use options::{Saved, WhenBusy};
#[cfg(feature = "disk")]
pub(crate) use raw::save_raw;

/// The time that a fetch that was dropped may need to release its file.
const RELEASE: Duration = Duration::from_secs(1);

/// Saves on a thread of its own. When it stops, what can be resumed stays.
pub(crate) async fn save(location: Location, path: PathBuf, options: Options) -> Result<Saved> {
    on_thread(location, path, options, async |order, caller| {
        run(&order, &caller).await
    })
    .await
}

/// Carries out an order on a thread of its own.
async fn on_thread<F>(
    location: Location,
    path: PathBuf,
    options: Options,
    carry_out: impl FnOnce(Order, Caller) -> F + Send + 'static,
) -> Result<Saved>
where
    F: Future<Output = Result<Saved>>,
{
    let (operation, transport) = (location.operation.clone(), location.transport.clone());
    // The working directory may be another one by the time that the thread begins.
    let target = std::path::absolute(&path);
    let target = target.map_err(|error| failed("write", &path, error).during(&operation))?;
    let saving = on_own_thread(transport, async move |transport, caller| {
        let apart = Location {
            transport,
            ..location.clone()
        };
        let order = Order {
            location,
            apart,
            target,
            options,
        };
        carry_out(order, caller).await
    });
    let mut saved = operation.run(saving).await?;
    saved.path = path;
    Ok(saved)
}

async fn run(order: &Order, caller: &Caller) -> Result<Saved> {
    let began = Instant::now();
    let (target, options) = (&order.target, &order.options);
    if options.refresh {
        if let Some(saved) = find(order, caller, began).await? {
            return Ok(saved);
        }
    }
    let (part, was_busy) = wait_for_part(order).await?;
    if was_busy && options.when_busy == WhenBusy::Wait {
        if let Some(saved) = find(order, caller, began).await? {
            return Ok(saved);
        }
    }
    let mut fetch = Fetch::new(order, caller, part);
    let fetched = match fetch.version().await {
        // Only one version after the other can be had; a third one is an error.
        Err(error) if error.kind() == ErrorKind::Changed => {
            fetch.forget()?;
            fetch.version().await
        }
        fetched => fetched,
    };
    let fetched = match fetched {
        // Wrong contents leave nothing.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DigestMismatch | ErrorKind::ImageRejected
            ) =>
        {
            // The verdict matters more than a failed cleanup.
            let _ = fetch.forget();
            return Err(error);
        }
        fetched => fetched?,
    };
    options.meter.finish();
    Ok(Saved {
        path: target.clone(),
        bytes: fetched.length,
        fetched: fetch.fetched(),
        resumed_from: fetched.resumed_from,
        unchanged: false,
        connections: fetched.connections,
        sha256: fetched.sha256,
        elapsed: began.elapsed(),
    })
}

/// Returns the file that is there, if it is what the server has.
async fn find(order: &Order, caller: &Caller, began: Instant) -> Result<Option<Saved>> {
    let options = &order.options;
    let expected = Expected {
        hashes: options.hashes(),
        sha256: options.sha256,
        policy: options.policy.as_ref(),
        meter: &options.meter,
    };
    let found = unchanged(&order.location, &order.target, expected, caller).await?;
    Ok(found.map(|(length, sha256)| {
        options.meter.start(Some(length), length);
        options.meter.finish();
        Saved {
            path: order.target.clone(),
            bytes: length,
            fetched: 0,
            resumed_from: 0,
            unchanged: true,
            connections: 0,
            sha256,
            elapsed: began.elapsed(),
        }
    }))
}

/// Takes hold of the part file; returns `true` with it if another fetch had it.
async fn wait_for_part(order: &Order) -> Result<(PartFile, bool)> {
    let (locked, target) = (lock(order).await, &order.target);
    match locked.map_err(|error| failed("write", target, error))? {
        Some(locked) => Ok(locked),
        None => {
            let message = format!(
                "{} is being written by another call or process",
                target.display()
            );
            Err(Error::plain(ErrorKind::Busy, message))
        }
    }
}

/// Locks the part file, unless another fetch has it; returns `true` with it if another one had.
async fn lock(order: &Order) -> io::Result<Option<(PartFile, bool)>> {
    let began = Instant::now();
    let mut was_busy = false;
    loop {
        if let Some(part) = PartFile::open(&order.target)? {
            return Ok(Some((part, was_busy)));
        }
        if order.options.when_busy == WhenBusy::Fail && began.elapsed() > RELEASE {
            return Ok(None);
        }
        was_busy = true;
        tokio::time::sleep(RELEASE / 20).await;
    }
}
