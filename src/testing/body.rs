use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::request_log::Entry;

/// The number of bytes read from a file at a time.
const PIECE: u64 = 256 * 1024;

static ZEROS: [u8; PIECE as usize] = [0; PIECE as usize];

#[derive(Debug)]
enum Segment {
    Bytes(Bytes),
    File(Range<u64>),
    Zeros(u64),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(range) => range.end - range.start,
            Self::Zeros(length) => *length,
        }
    }
}

/// The body of an answer: bytes, and ranges of one file that are read while they are sent.
#[derive(Debug, Default)]
pub(super) struct Payload {
    segments: VecDeque<Segment>,
    left: u64,
    file: Option<File>,
}

impl Payload {
    /// Returns a body that can contain ranges of a file.
    pub(super) fn of_file(file: File) -> Self {
        Self {
            file: Some(file),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, bytes: impl Into<Bytes>) {
        self.push_segment(Segment::Bytes(bytes.into()));
    }

    pub(super) fn push_range(&mut self, range: Range<u64>) {
        self.push_segment(Segment::File(range));
    }

    pub(super) fn push_zeros(&mut self, length: u64) {
        self.push_segment(Segment::Zeros(length));
    }

    fn push_segment(&mut self, segment: Segment) {
        self.left += segment.len();
        self.segments.push_back(segment);
    }

    /// Returns the number of bytes left to send.
    pub(super) fn len(&self) -> u64 {
        self.left
    }

    /// Returns the next bytes, at least one. Reads the file on the calling thread: most of it is
    /// in the page cache, so another thread would cost more.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(segment) = self.segments.pop_front() {
            let piece = match segment {
                Segment::Bytes(bytes) => bytes,
                Segment::File(range) => self.read(range)?,
                Segment::Zeros(length) => self.zeros(length),
            };
            if !piece.is_empty() {
                self.left = self.left.saturating_sub(piece.len() as u64);
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn zeros(&mut self, length: u64) -> Bytes {
        if length > PIECE {
            self.segments.push_front(Segment::Zeros(length - PIECE));
        }
        let piece = usize::try_from(length.min(PIECE)).unwrap_or(ZEROS.len());
        Bytes::from_static(&ZEROS[..piece])
    }

    fn read(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        let Some(mut file) = self.file.as_ref() else {
            return Ok(Bytes::new());
        };
        let end = range.end.min(range.start + PIECE);
        let mut piece = Vec::with_capacity(usize::try_from(end - range.start).unwrap_or(0));
        file.seek(SeekFrom::Start(range.start))?;
        file.take(end - range.start).read_to_end(&mut piece)?;
        if end < range.end {
            self.segments.push_front(Segment::File(end..range.end));
        }
        Ok(piece.into())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        let mut payload = Self::default();
        payload.push(bytes);
        payload
    }
}

/// A payload that counts its bytes in the request log as they are sent.
#[derive(Debug)]
pub(super) struct CountedBody {
    pub(super) payload: Payload,
    pub(super) entry: Entry,
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.entry.ended();
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.payload.next().transpose();
        if let Some(Ok(bytes)) = &piece {
            self.entry.body_sent(bytes.len());
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.payload.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.payload.len())
    }
}
