use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::body::Counted;
use super::wire::{Close, Control, Ending};

/// The body of an answer, as the connection takes it.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// An endless answer ends here.
const ENOUGH: u64 = 1 << 30;

/// How a body is sent.
#[derive(Debug)]
pub(super) enum Shape {
    Plain,
    /// Up to here; then the connection ends.
    Cut {
        after: u64,
        close: Close,
    },
    /// Up to here; the rest follows outside of the answer, then the connection ends.
    Spill {
        after: u64,
    },
    Stall {
        after: u64,
        wait: Duration,
    },
    Trickle {
        bytes: usize,
        every: Duration,
    },
    /// Rows without end after the body.
    Endless,
}

/// Gives a body its shape.
pub(super) fn shape(body: Counted, shape: Shape, control: &Arc<Control>) -> Outgoing {
    if let Shape::Plain = shape {
        return body.boxed_unsync();
    }
    let mut shaping = Shaping {
        body,
        shape,
        control: Arc::clone(control),
        held: Bytes::new(),
        sent: 0,
    };
    shaping.prepare();
    let pieces = stream::unfold(shaping, |mut shaping| async {
        let piece = shaping.next().await.transpose()?;
        Some((piece.map(Frame::data), shaping))
    });
    StreamBody::new(pieces.boxed()).boxed_unsync()
}

struct Shaping {
    body: Counted,
    shape: Shape,
    control: Arc<Control>,
    held: Bytes,
    sent: u64,
}

impl Shaping {
    /// Ends the connection after the head if no piece of the body will be there to do so.
    fn prepare(&mut self) {
        match self.shape {
            Shape::Cut { after: 0, close } => self.control.end_after_flush(close.into()),
            Shape::Spill { after: 0 } => {
                // A body that cannot be read has nothing to spill.
                let _ = self.spill();
            }
            _ => {}
        }
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.shape {
            Shape::Plain => self.take(u64::MAX),
            Shape::Cut { after, .. } | Shape::Spill { after } if self.sent >= after => {
                pending().await
            }
            Shape::Cut { after, close } => {
                let piece = self.take(after - self.sent)?;
                if self.sent == after {
                    self.control.end_after_flush(close.into());
                }
                Ok(piece)
            }
            Shape::Spill { after } => {
                let piece = self.take(after - self.sent)?;
                if self.sent == after {
                    self.spill()?;
                }
                Ok(piece)
            }
            Shape::Stall { after, .. } if self.sent < after => self.take(after - self.sent),
            Shape::Stall { wait, .. } => {
                tokio::time::sleep(wait).await;
                self.shape = Shape::Plain;
                self.take(u64::MAX)
            }
            Shape::Trickle { bytes, every } => {
                if self.sent > 0 {
                    tokio::time::sleep(every).await;
                }
                self.take(bytes as u64)
            }
            Shape::Endless if self.sent >= ENOUGH => Ok(None),
            Shape::Endless => Ok(Some(match self.take(u64::MAX)? {
                Some(piece) => piece,
                None => self.rows(),
            })),
        }
    }

    /// The next bytes of the body, at most so many.
    fn take(&mut self, limit: u64) -> io::Result<Option<Bytes>> {
        if self.held.is_empty() {
            match self.body.payload.next()? {
                Some(piece) => self.held = piece,
                None => return Ok(None),
            }
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let piece = self.held.split_to(self.held.len().min(limit));
        Ok(Some(self.count(piece)))
    }

    fn rows(&mut self) -> Bytes {
        let row = br#"{"id":1,"name":"endless"},"#;
        self.count(Bytes::from(row.repeat(1000)))
    }

    fn count(&mut self, piece: Bytes) -> Bytes {
        self.sent += piece.len() as u64;
        self.body.entry.body_sent(piece.len());
        piece
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut trailing = BytesMut::new();
        while let Some(piece) = self.take(u64::MAX)? {
            trailing.extend_from_slice(&piece);
        }
        self.control.end_after_flush(Ending {
            close: Close::Clean,
            trailing: trailing.freeze(),
        });
        Ok(())
    }
}
