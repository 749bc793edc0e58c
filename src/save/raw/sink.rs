//! The sink that puts the guest's bytes where they belong.

use std::io;
use std::sync::{Arc, Mutex};

use super::assembly::Assembly;
use super::workers::Workers;
use crate::digest::{Digest, Hasher};
use crate::disk::{Places, rejected};
use crate::error::Error;
use crate::file::Sink;
use crate::qcow2::{Finding, Report};
use crate::spans::Spans;
use crate::sync::lock;

/// Takes the bytes of the image, and writes the guest's to a raw disk.
pub(super) struct RawSink {
    places: Arc<Places>,
    report: Report,
    target: Arc<dyn Sink>,
    assembly: Arc<Mutex<Assembly>>,
    workers: Workers,
    /// The hash of all that came, in order, if it is wanted.
    hasher: Option<Mutex<(u64, Hasher)>>,
}

impl RawSink {
    pub(super) fn new(
        places: &Arc<Places>,
        report: Report,
        target: Arc<dyn Sink>,
        done: &Spans,
        hashes: bool,
    ) -> io::Result<Self> {
        let assembly = Arc::new(Mutex::new(Assembly::new(places.clone(), done)));
        Ok(Self {
            workers: Workers::start(places, &target, &assembly)?,
            places: places.clone(),
            report,
            target,
            assembly,
            hasher: hashes.then(Mutex::default),
        })
    }

    /// Waits until all is where it belongs; returns the digest of what came.
    pub(super) fn finish(&self) -> io::Result<Option<Digest>> {
        self.workers.finish()?;
        let hasher = self.hasher.as_ref().map(|hasher| lock(hasher).1.clone());
        Ok(hasher.map(Hasher::finish))
    }
}

impl Sink for RawSink {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(hasher) = &self.hasher {
            let (next, hasher) = &mut *lock(hasher);
            if *next != offset {
                return Err(io::Error::other("the bytes to be hashed are out of order"));
            }
            hasher.update(bytes);
            *next += bytes.len() as u64;
        }
        let end = offset + bytes.len() as u64;
        for place in self.places.data_in(offset..end) {
            let from = (place.offset - offset) as usize;
            let part = &bytes[from..from + place.length as usize];
            self.target.write(place.guest, part)?;
        }
        if self.places.compressed.is_empty() {
            return Ok(());
        }
        let complete = lock(&self.assembly).add(offset, bytes);
        self.workers.give(complete)
    }

    fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        // It is never asked to hash.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn settle(&self, done: &mut Spans) {
        lock(&self.assembly).take_open(done);
    }

    fn sync(&self) -> io::Result<()> {
        self.target.sync()
    }

    fn failed(&self, what: &str, mut error: io::Error) -> Error {
        let finding = error.get_mut().and_then(|inner| inner.downcast_mut());
        match finding {
            Some(finding) => {
                let finding: &mut Finding = finding;
                rejected(&self.report, finding.clone())
            }
            None => self.target.failed(what, error),
        }
    }
}
