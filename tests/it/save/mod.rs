//! Contents fetched, whatever happens on the way.

mod broken;
mod child;
#[cfg(all(feature = "disk", unix))]
mod disk;
mod files;
mod interrupted;
mod kill;
mod line;
mod long;
mod names;
mod owned;
mod raw;
mod refresh;
mod stream;
mod threads;
mod version;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use machine_images::djinn::{Client, GetContent, Save};
use machine_images::testing::{DjinnServer, Fault};
use machine_images::{Progress, Result, RetryPolicy, Saved};
use tokio::sync::Notify;

pub(crate) use child::Child;
#[cfg(unix)]
pub(crate) use owned::is_root;

pub(crate) const MIB: usize = 1024 * 1024;

/// Four connections have something to do from 16 MiB on.
const LENGTH: usize = 20 * MIB + 12_345;

const CONNECTIONS: [usize; 2] = [1, 4];

/// Every block of data is unlike all others, so that a misplaced one shows; one of four MiB is
/// zeros.
pub(crate) fn image(length: usize) -> Vec<u8> {
    let mut image = vec![0; length];
    for (number, block) in image.chunks_mut(4096).enumerate() {
        if number % 1024 < 768 {
            let mark = (number as u64 + 1).to_le_bytes();
            block.fill(mark[0] | 1);
            let end = block.len().min(8);
            block[..end].copy_from_slice(&mark[..end]);
        }
    }
    image[..4].copy_from_slice(b"QFI\xfb");
    image
}

/// A server with an image, and a place to save it.
pub(crate) struct Setup {
    pub(crate) server: DjinnServer,
    client: Client,
    pub(crate) image: Vec<u8>,
    pub(crate) directory: tempfile::TempDir,
}

fn quick() -> RetryPolicy {
    let delay = Duration::from_millis(1);
    RetryPolicy::default().first_delay(delay).max_delay(delay)
}

impl Setup {
    fn new() -> Self {
        Self::of(image(LENGTH))
    }

    pub(crate) fn of(image: Vec<u8>) -> Self {
        let server = DjinnServer::start().unwrap();
        server.add_image("image", &image).unwrap();
        Self {
            client: client(&server, quick()),
            server,
            image,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn content(&self) -> GetContent {
        self.client.images().content(1)
    }

    pub(crate) fn save(&self, connections: usize, path: impl Into<PathBuf>) -> Save {
        let save = self.client.images().save(1, path).unchecked();
        // It is the disk that tests would wait for, and no image that they save.
        save.connections(connections).durable(false)
    }

    pub(crate) fn images(&self) -> machine_images::djinn::Images {
        self.client.images()
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.directory.path().join("disk.qcow2")
    }

    pub(crate) fn part(&self) -> PathBuf {
        self.directory.path().join("disk.qcow2.part")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("disk.qcow2.part.state")
    }

    /// The records in the state file.
    fn records(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read(self.state()).unwrap();
        let slots = text.chunks(64 * 1024);
        let lines = slots.filter_map(|slot| std::str::from_utf8(slot).unwrap().split_once('\n'));
        lines
            .map(|(line, _)| serde_json::from_str(line.rsplit_once(' ').unwrap().0).unwrap())
            .collect()
    }

    /// Names of all files there.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The target, and nothing else, is there and whole.
    pub(crate) fn assert_saved(&self) {
        assert_eq!(self.files(), ["disk.qcow2"]);
        assert!(std::fs::read(self.target()).unwrap() == self.image);
    }

    /// Bytes of bodies that the server handed out.
    pub(crate) fn sent(&self) -> u64 {
        self.server.requests().iter().map(|r| r.body_sent).sum()
    }

    pub(crate) fn on(&self, fault: Fault) -> machine_images::testing::FaultRule {
        fault.on("GET", "/images/1")
    }

    /// Whether nobody holds the file beside the target.
    pub(crate) fn is_let_go(&self) -> bool {
        let Ok(part) = std::fs::File::open(self.part()) else {
            return false;
        };
        #[cfg(unix)]
        return rustix::fs::flock(&part, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok();
        #[cfg(not(unix))]
        return part.metadata().is_ok();
    }

    /// Fetches until so much was sent, and drops the fetch: what it leaves can be continued.
    pub(crate) async fn leave_half(&self, connections: usize) {
        let fetch = self.save(connections, self.target()).send();
        self.leave_at(self.image.len() / 2, fetch).await;
    }

    async fn leave_at<T>(&self, sent: usize, fetch: impl Future<Output = T> + Send + 'static)
    where
        T: std::fmt::Debug + Send + 'static,
    {
        // Slow enough for several connections to be far from the end when half was sent.
        let slow = Fault::Trickle {
            bytes: self.image.len() / 128,
            every: Duration::from_millis(5),
        };
        self.server.inject(self.on(slow).always());
        self.server.clear_requests();
        let fetch = tokio::spawn(fetch);
        // What the server sent may not have been seen yet.
        let is_under_way = || self.sent() >= sent as u64 && self.state().exists();
        while !is_under_way() && !fetch.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fetch.abort();
        assert!(fetch.await.unwrap_err().is_cancelled());
        self.server.clear_faults();
        // The lock tells when the last thread has let go.
        while !self.is_let_go() {
            assert!(self.part().exists(), "it ended before it was dropped");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.server.clear_requests();
        assert_eq!(self.files(), ["disk.qcow2.part", "disk.qcow2.part.state"]);
    }
}

fn client(server: &DjinnServer, retry: RetryPolicy) -> Client {
    Client::builder(server.url())
        .token(server.token())
        .retry(retry)
        .build()
        .unwrap()
}

/// Reports, as they come.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<Progress>>>);

impl Reports {
    fn listener(&self) -> impl Fn(Progress) + Send + Sync + 'static {
        let reports = self.0.clone();
        move |report| reports.lock().unwrap().push(report)
    }

    /// They never fell, and ended at the total.
    fn assert_good(&self, total: u64) -> Progress {
        let reports = self.0.lock().unwrap();
        assert!(reports.windows(2).all(|pair| pair[0].done <= pair[1].done));
        let last = *reports.last().unwrap();
        assert_eq!((last.done, last.total), (total, Some(total)));
        last
    }
}

/// Ends within its time, whatever it is.
pub(crate) async fn ends(fetch: impl IntoFuture<Output = Result<Saved>>) -> Result<Saved> {
    let ended = tokio::time::timeout(Duration::from_secs(20), fetch).await;
    ended.expect("it hangs")
}

/// Holds a fetch where its listener is told of so many bytes, until it is opened.
#[derive(Default)]
pub(crate) struct Gate(Arc<Held>);

#[derive(Default)]
struct Held {
    reached: Notify,
    is_reached: AtomicBool,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn at(&self, done: u64) -> impl Fn(Progress) + Send + Sync + 'static {
        let held = self.0.clone();
        move |progress| {
            if progress.done < done || held.is_reached.swap(true, Ordering::SeqCst) {
                return;
            }
            held.reached.notify_one();
            let mut is_open = held.is_open.lock().unwrap();
            while !*is_open {
                is_open = held.opened.wait(is_open).unwrap();
            }
        }
    }

    /// Waits until the fetch is there; fails after a while, as it may be over.
    pub(crate) async fn reached(&self) {
        let reached = self.0.reached.notified();
        let reached = tokio::time::timeout(Duration::from_secs(60), reached);
        reached.await.expect("the fetch never came that far");
    }

    pub(crate) fn open(&self) {
        *self.0.is_open.lock().unwrap() = true;
        self.0.opened.notify_all();
    }
}

impl Drop for Gate {
    /// A test that fails is not to wait for ever. The listener has no gate of its own.
    fn drop(&mut self) {
        self.open();
    }
}
