use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::state::State;
use crate::testing::content::Content;

/// The type of image contents.
pub(super) const MEDIA_TYPE: &str = "application/x-qemu-disk";

/// A Djinn CI installation: what the public server and its connections share.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    /// Empty, or `/` and more without a `/` at its end.
    pub(super) base_path: String,
    pub(super) download_delay: Duration,
    /// Whether a name is looked for again when the image is inserted.
    pub(super) unique_names: bool,
    pub(super) state: Mutex<State>,
    pub(super) published: Mutex<Vec<Arc<Content>>>,
    pub(super) dir: TempDir,
    /// The client of download jobs, if there can be one.
    pub(super) http: OnceCell<Option<reqwest::Client>>,
}

impl Site {
    pub(super) fn new(
        address: SocketAddr,
        base_path: &str,
        download_delay: Duration,
        unique_names: bool,
        state: State,
    ) -> io::Result<Self> {
        Ok(Self {
            address,
            base_path: base_path.to_owned(),
            download_delay,
            unique_names,
            state: Mutex::new(state),
            published: Mutex::default(),
            dir: tempfile::tempdir()?,
            http: OnceCell::new(),
        })
    }

    /// The API's address as entities show it, without a `/` at its end.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}{}", self.address, self.base_path)
    }
}
