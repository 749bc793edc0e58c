//! Threads that decompress clusters and write them to their places.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::assembly::Assembly;
use crate::disk::{Places, undone};
use crate::file::Sink;
use crate::qcow2::{Decompressor, Finding};
use crate::sync::lock;

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

    /// Fails once a thread has, each time: the first to ask may be a connection whose error is
    /// not that of the transfer.
    fn check(&self) -> io::Result<()> {
        lock(&self.shared.failed)
            .as_ref()
            .map_or(Ok(()), |error| Err(copied(error)))
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

fn copied(error: &io::Error) -> io::Error {
    let inner = error.get_ref();
    match (
        inner.and_then(|inner| inner.downcast_ref::<Finding>()),
        error.raw_os_error(),
    ) {
        (Some(finding), _) => invalid(finding.clone()),
        (None, Some(code)) => io::Error::from_raw_os_error(code),
        (None, None) => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Wraps a finding, from which the error of the call is made.
fn invalid(finding: Finding) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, finding)
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::time::Duration;

    use flate2::{Compress, Compression, FlushCompress};

    use super::*;
    use crate::error::Error;
    use crate::qcow2::{self, Code, Extent, ExtentKind, Geometry, Inspection, Policy};
    use crate::spans::Spans;

    const CLUSTER: u64 = 64 << 10;

    /// A disk without room.
    struct Full;

    impl Sink for Full {
        fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Err(io::Error::from_raw_os_error(28))
        }

        fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn failed(&self, what: &str, error: io::Error) -> Error {
            Error::io(what.to_owned(), error)
        }
    }

    /// Threads for an image of two compressed clusters.
    fn workers() -> (Workers, Arc<Mutex<Assembly>>) {
        let image = crate::testing::empty_qcow2(2 * CLUSTER);
        let length = image.len() as u64;
        let inspection = qcow2::inspect(&image, Some(length), &Policy::default());
        let Inspection::Done(report) = inspection else {
            panic!("{inspection:?}")
        };
        let mut places = Places::new(Geometry::new(&report, length).unwrap());
        for (start, offset) in [(0, 1000), (CLUSTER, 2000)] {
            let kind = ExtentKind::Compressed {
                offset,
                length: 1000,
            };
            let length = CLUSTER;
            let extent = Extent {
                start,
                length,
                kind,
            };
            places.add(&extent).unwrap();
        }
        let places = Arc::new(places);
        let assembly = Assembly::new(places.clone(), &Spans::default());
        let assembly = Arc::new(Mutex::new(assembly));
        let target: Arc<dyn Sink> = Arc::new(Full);
        let workers = Workers::start(&places, &target, &assembly).unwrap();
        (workers, assembly)
    }

    fn compressed() -> Vec<u8> {
        let mut deflate = Compress::new(Compression::fast(), false);
        let mut bytes = Vec::with_capacity(1000);
        let zeros = [0; CLUSTER as usize];
        let done = deflate.compress_vec(&zeros, &mut bytes, FlushCompress::Finish);
        done.unwrap();
        bytes
    }

    /// The connection that is told first may not be the one whose error counts.
    #[test]
    fn a_failure_is_told_each_time_and_the_cluster_stays_open() {
        let is_damage = |error: io::Error| {
            let finding: &Finding = error.get_ref().unwrap().downcast_ref().unwrap();
            finding.code == Code::CompressedCluster
        };
        let is_full = |error: io::Error| error.raw_os_error() == Some(28);
        let cases: [(_, &dyn Fn(io::Error) -> bool); 2] =
            [(vec![0xff; 1000], &is_damage), (compressed(), &is_full)];
        for (bytes, is_it) in cases {
            let (workers, assembly) = workers();
            lock(&assembly).add(1000, &[0; 1000]);
            workers.give(vec![(0, bytes.clone())]).unwrap();
            while workers.give(vec![(1, bytes.clone())]).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(is_it(workers.give(vec![(1, bytes)]).unwrap_err()));
            assert!(is_it(workers.finish().unwrap_err()));
            assert!(is_it(workers.finish().unwrap_err()));
            let mut done = Spans::default();
            done.add(0, 3000);
            lock(&assembly).take_open(&mut done);
            assert_eq!(done.iter().collect::<Vec<_>>(), [(0, 1000), (2000, 3000)]);
        }
    }
}
