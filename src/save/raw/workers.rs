//! Threads that decompress clusters and write them to their places.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::assembly::Assembly;
use crate::disk::{Places, undone};
use crate::file::Sink;
use crate::qcow2::{Decompressor, Finding};

/// The jobs that wait, for each thread: a cluster each.
const WAITING: usize = 4;
/// The bytes of all jobs that wait, if clusters are large. A cluster may be twice as long in the
/// file.
const BYTES: u64 = 16 << 20;

type Job = (usize, Vec<u8>);

/// Threads that decompress clusters, as many as the machine has cores.
pub(super) struct Workers {
    jobs: Mutex<Option<SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

/// The part that the threads share.
struct Shared {
    places: Arc<Places>,
    target: Arc<dyn Sink>,
    assembly: Arc<Mutex<Assembly>>,
    /// The first failure. What comes after it is dropped.
    failed: Mutex<Option<io::Error>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    pub(super) fn start(
        places: &Arc<Places>,
        target: &Arc<dyn Sink>,
        assembly: &Arc<Mutex<Assembly>>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            places: places.clone(),
            target: target.clone(),
            assembly: assembly.clone(),
            failed: Mutex::default(),
        });
        let mut threads = Vec::new();
        let mut sender = None;
        if !places.compressed.is_empty() {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            let most = BYTES / (2 * places.geometry().cluster_size());
            let (jobs, waiting) = sync_channel((WAITING * cores).min(most as usize));
            let waiting = Arc::new(Mutex::new(waiting));
            sender = Some(jobs);
            for _ in 0..cores {
                let (shared, waiting) = (shared.clone(), waiting.clone());
                let thread = thread::Builder::new().name("machine-images".to_owned());
                threads.push(thread.spawn(move || shared.work(&waiting))?);
            }
        }
        Ok(Self {
            jobs: Mutex::new(sender),
            threads: Mutex::new(threads),
            shared,
        })
    }

    /// Gives clusters to the threads, and waits while they have enough.
    pub(super) fn give(&self, clusters: Vec<Job>) -> io::Result<()> {
        if clusters.is_empty() {
            return Ok(());
        }
        self.check()?;
        let jobs = lock(&self.jobs).clone();
        for cluster in clusters {
            let sent = jobs.as_ref().is_some_and(|jobs| jobs.send(cluster).is_ok());
            if !sent {
                self.check()?;
                return Err(io::Error::other("the threads that decompress have ended"));
            }
        }
        Ok(())
    }

    /// Waits until all clusters are where they belong.
    pub(super) fn finish(&self) -> io::Result<()> {
        *lock(&self.jobs) = None;
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                return Err(io::Error::other("a thread that decompresses has panicked"));
            }
        }
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        lock(&self.shared.failed).take().map_or(Ok(()), Err)
    }
}

impl Drop for Workers {
    /// They hold the target.
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

impl Shared {
    fn work(&self, waiting: &Mutex<Receiver<Job>>) {
        let geometry = self.places.geometry();
        let mut decompressor = Decompressor::new(geometry.compression());
        let mut cluster = vec![0; geometry.cluster_size() as usize];
        let next = || lock(waiting).recv();
        while let Ok((number, bytes)) = next() {
            if lock(&self.failed).is_some() {
                continue;
            }
            let place = self.places.compressed[number];
            let filled = decompressor
                .as_mut()
                .is_some_and(|decompressor| decompressor.fill(&bytes, &mut cluster));
            let length = (geometry.size() - place.guest).min(geometry.cluster_size());
            let written = match filled {
                true => self.target.write(place.guest, &cluster[..length as usize]),
                false => Err(invalid(undone(place.offset))),
            };
            match written {
                Ok(()) => lock(&self.assembly).settle(number),
                Err(error) => {
                    lock(&self.failed).get_or_insert(error);
                }
            }
        }
    }
}

/// Wraps a finding, from which the error of the call is made.
fn invalid(finding: Finding) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, finding)
}
