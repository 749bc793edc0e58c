use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fmt, io};

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::state::State;
use super::webhook::Webhooks;
use crate::testing::content::Content;

/// The media type of image content.
pub(super) const MEDIA_TYPE: &str = "application/x-qemu-disk";

/// The API of a Djinn CI server: its settings and state.
pub(super) struct Api {
    pub(super) address: SocketAddr,
    /// Empty, or a path that begins but does not end with `/`.
    pub(super) base_path: String,
    pub(super) download_delay: Duration,
    /// Checks the name again when an image is inserted.
    pub(super) unique_names: bool,
    pub(super) state: Mutex<State>,
    pub(super) published: Mutex<Vec<Arc<Content>>>,
    pub(super) webhooks: Webhooks,
    pub(super) dir: TempDir,
    /// The client of download jobs. `None` if TLS cannot be set up.
    pub(super) http: OnceCell<Option<reqwest::Client>>,
}

impl Api {
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
            webhooks: Webhooks::default(),
            dir: tempfile::tempdir()?,
            http: OnceCell::new(),
        })
    }

    /// Returns the base URL that JSON objects show, without a trailing `/`.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}{}", self.address, self.base_path)
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("url", &self.base_url())
            .finish_non_exhaustive()
    }
}
