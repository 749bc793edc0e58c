//! Contents saved to a file: beside it first, in one or several ranges, and never half done.

mod check;
mod journal;
mod ledger;
mod options;
mod part;
mod paths;
mod refresh;
mod spans;
mod sys;
mod work;
mod worker;
mod zeros;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Location;
use crate::error::{Error, ErrorKind, Result};
use crate::thread::{Caller, gone, on_own_thread};
pub(crate) use options::Options;
pub use options::{Saved, WhenBusy};
use part::{PartFile, failed};
use refresh::unchanged;
use work::Fetch;

const RELEASE: Duration = Duration::from_secs(1);

/// Saves on a thread of its own. When it stops, what can be resumed stays.
pub(crate) async fn save(location: Location, path: PathBuf, options: Options) -> Result<Saved> {
    // The working directory may be another one by the time that the thread begins.
    let target = std::path::absolute(&path).unwrap_or_default();
    let (operation, transport) = (location.operation.clone(), location.transport.clone());
    let transfer = on_own_thread(transport, async move |transport, caller| {
        let location = Location {
            transport,
            ..location
        };
        run(location, &target, options, &caller).await
    });
    let mut saved = operation.run(transfer).await?;
    saved.path = path;
    Ok(saved)
}

/// Locks the part file, unless another fetch has it; returns `true` with it if another one had. One
/// that was dropped may need a moment to release it.
async fn lock(target: &Path, when_busy: WhenBusy) -> std::io::Result<Option<(PartFile, bool)>> {
    let began = Instant::now();
    let mut was_busy = false;
    loop {
        if let Some(part) = PartFile::open(target)? {
            return Ok(Some((part, was_busy)));
        }
        if when_busy == WhenBusy::Fail && began.elapsed() > RELEASE {
            return Ok(None);
        }
        was_busy = true;
        tokio::time::sleep(RELEASE / 20).await;
    }
}

async fn run(
    location: Location,
    target: &Path,
    options: Options,
    caller: &Caller,
) -> Result<Saved> {
    let began = Instant::now();
    if options.refresh {
        if let Some(saved) = unchanged(&location, target, &options, caller).await? {
            return Ok(saved);
        }
    }
    let locked = lock(target, options.when_busy).await;
    let Some((part, was_busy)) = locked.map_err(|error| failed("write", target, error))? else {
        let message = format!("{} is being fetched by someone else", target.display());
        return Err(Error::plain(ErrorKind::Busy, message));
    };
    if was_busy && options.when_busy == WhenBusy::Wait {
        if let Some(saved) = unchanged(&location, target, &options, caller).await? {
            return Ok(saved);
        }
    }
    let part = Arc::new(part);
    let mut fetch = Fetch::new(location, part.clone(), &options);
    let fetched = match fetch.whole().await {
        // Only one version after the other can be had; a third one is an error.
        Err(error) if error.kind() == ErrorKind::Changed => {
            fetch.forget()?;
            fetch.whole().await
        }
        fetched => fetched,
    };
    let fetched = fetched
        .and_then(|()| fetch.verify(caller))
        .and_then(|sha256| fetch.check_file().map(|()| sha256));
    let sha256 = match fetched {
        // Wrong contents leave nothing.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DigestMismatch | ErrorKind::ImageRejected
            ) =>
        {
            fetch.forget()?;
            return Err(error);
        }
        fetched => fetched?,
    };
    let (bytes, resumed_from, fetched) = (fetch.length(), fetch.resumed_from(), fetch.fetched());
    let (connections, modified) = (fetch.connections(), fetch.modified());
    drop(fetch);
    let Some(part) = Arc::into_inner(part) else {
        return Err(gone());
    };
    part.finish(options.durable, modified, caller)
        .map_err(|error| failed("finish", target, error))?;
    options.meter.finish();
    Ok(Saved {
        path: target.to_owned(),
        bytes,
        fetched,
        resumed_from,
        unchanged: false,
        connections,
        sha256,
        elapsed: began.elapsed(),
    })
}
