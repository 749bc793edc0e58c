//! Contents saved to a file: beside it first, in one or several ranges, and never half done.

mod check;
mod journal;
mod ledger;
mod part;
mod paths;
mod spans;
mod sys;
mod work;
mod worker;
mod zeros;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Location;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Meter;
use crate::qcow2::Policy;
use crate::thread::{Caller, gone, on_own_thread};
use part::{PartFile, failed};
use work::Fetch;

const LETTING_GO: Duration = Duration::from_secs(1);

/// What can be chosen of how contents are saved.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) connections: usize,
    pub(crate) resume: bool,
    pub(crate) durable: bool,
    pub(crate) sha256: Option<Digest>,
    /// What the image is held to; `None` if to nothing.
    pub(crate) policy: Option<Policy>,
    pub(crate) meter: Meter,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 1,
            resume: true,
            durable: true,
            sha256: None,
            policy: None,
            meter: Meter::default(),
        }
    }
}

/// What came of saving contents to a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many bytes of it came over the network now. What an inspection reads beyond its first
    /// bytes is not counted.
    pub fetched: u64,
    /// How many bytes an earlier attempt had left behind.
    pub resumed_from: u64,
    /// How many connections carried it.
    pub connections: usize,
    /// Its SHA-256, if one was expected.
    pub sha256: Option<Digest>,
    /// How long it took.
    pub elapsed: Duration,
}

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

/// A fetch that was dropped may need a moment to let go.
async fn hold(target: &Path) -> std::io::Result<Option<PartFile>> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        let part = PartFile::open(target)?;
        if part.is_some() || Instant::now() > deadline {
            return Ok(part);
        }
        tokio::time::sleep(LETTING_GO / 20).await;
    }
}

async fn run(
    location: Location,
    target: &Path,
    options: Options,
    caller: &Caller,
) -> Result<Saved> {
    let began = Instant::now();
    let part = hold(target).await;
    let Some(part) = part.map_err(|error| failed("write", target, error))? else {
        let message = format!("{} is being fetched by someone else", target.display());
        return Err(Error::plain(ErrorKind::Busy, message));
    };
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
        .and_then(|()| fetch.verify(options.sha256, caller))
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
    let connections = fetch.connections();
    drop(fetch);
    let Some(part) = Arc::into_inner(part) else {
        return Err(gone());
    };
    part.finish(options.durable, caller)
        .map_err(|error| failed("finish", target, error))?;
    options.meter.finish();
    Ok(Saved {
        path: target.to_owned(),
        bytes,
        fetched,
        resumed_from,
        connections,
        sha256,
        elapsed: began.elapsed(),
    })
}
