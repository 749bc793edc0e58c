//! The options and the result of saving an image to a file.

use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Digest;
use crate::progress::Meter;
use crate::qcow2::Policy;

/// The options of saving an image.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// As many as pay if it is not set.
    pub(crate) connections: Option<usize>,
    pub(crate) resume: bool,
    pub(crate) durable: bool,
    pub(crate) sha256: Option<Digest>,
    pub(crate) digest: bool,
    pub(crate) refresh: bool,
    pub(crate) when_busy: WhenBusy,
    /// The policy that the image must meet, if any.
    pub(crate) policy: Option<Policy>,
    pub(crate) meter: Meter,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: None,
            resume: true,
            durable: true,
            sha256: None,
            digest: false,
            refresh: false,
            when_busy: WhenBusy::Fail,
            policy: Some(Policy::default()),
            meter: Meter::default(),
        }
    }
}

impl Options {
    /// Returns `true` if the digest of the content is wanted.
    pub(super) fn hashes(&self) -> bool {
        self.digest || self.sha256.is_some()
    }
}

/// The behavior when the same file is being fetched already, by this process or another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenBusy {
    /// Fails with [`Busy`](crate::ErrorKind::Busy) if the other call goes on for another second: one
    /// that was dropped needs a moment to release the file. If it ends within that second, this
    /// call fetches the image again.
    #[default]
    Fail,
    /// Waits for the other call to end. Transfers nothing if the file is then up to date.
    Wait,
}

/// The result of saving an image to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// The number of bytes that came over the network, including those that came twice, as the last
    /// ones of several connections may. Tables that the inspection read from elsewhere in the image
    /// are not counted.
    pub fetched: u64,
    /// The number of bytes left by an earlier fetch that was resumed.
    pub resumed_from: u64,
    /// `true` if the file was already what the server has: see
    /// [`Save::refresh`](crate::djinn::Save::refresh).
    pub unchanged: bool,
    /// The number of connections used.
    pub connections: usize,
    /// Its SHA-256, if one was expected or asked for.
    pub sha256: Option<Digest>,
    /// The time it took.
    pub elapsed: Duration,
}
