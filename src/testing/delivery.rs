use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::body::CountedBody;
use super::socket::{Close, Ending, SocketControl};

/// The body of an answer, as the connection takes it.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// The length at which an endless answer ends after all.
const ENDLESS_LIMIT: u64 = 1 << 30;

/// A way to send the body of an answer.
#[derive(Debug)]
pub(super) enum Delivery {
    Plain,
    /// Sends this many bytes, then ends the connection.
    Cut {
        after: u64,
        close: Close,
    },
    /// Sends this many bytes as the body, the others outside of the answer, then ends the
    /// connection.
    Overrun {
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
    /// Sends JSON rows without end after the body.
    Endless,
}

impl Delivery {
    /// Returns the body to send.
    pub(super) fn of(self, body: CountedBody, control: &Arc<SocketControl>) -> Outgoing {
        if let Self::Plain = self {
            return body.boxed_unsync();
        }
        let mut sender = BodySender {
            body,
            delivery: self,
            control: Arc::clone(control),
            buffer: Bytes::new(),
            sent: 0,
        };
        sender.prepare();
        let pieces = stream::unfold(sender, |mut sender| async {
            let piece = sender.next().await.transpose()?;
            Some((piece.map(Frame::data), sender))
        });
        StreamBody::new(pieces.boxed()).boxed_unsync()
    }
}

struct BodySender {
    body: CountedBody,
    delivery: Delivery,
    control: Arc<SocketControl>,
    buffer: Bytes,
    sent: u64,
}

impl BodySender {
    /// Ends the connection after the head if no part of the body is to be sent.
    fn prepare(&mut self) {
        match self.delivery {
            Delivery::Cut { after: 0, close } => self.control.end_after_flush(close.into()),
            Delivery::Overrun { after: 0 } => {
                // A body that cannot be read has nothing to send.
                let _ = self.overrun();
            }
            _ => {}
        }
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.delivery {
            Delivery::Plain => self.take(u64::MAX),
            Delivery::Cut { after, .. } | Delivery::Overrun { after } if self.sent >= after => {
                pending().await
            }
            Delivery::Cut { after, close } => {
                let piece = self.take(after - self.sent)?;
                if self.sent == after {
                    self.control.end_after_flush(close.into());
                }
                Ok(piece)
            }
            Delivery::Overrun { after } => {
                let piece = self.take(after - self.sent)?;
                if self.sent == after {
                    self.overrun()?;
                }
                Ok(piece)
            }
            Delivery::Stall { after, .. } if self.sent < after => self.take(after - self.sent),
            Delivery::Stall { wait, .. } => {
                tokio::time::sleep(wait).await;
                self.delivery = Delivery::Plain;
                self.take(u64::MAX)
            }
            Delivery::Trickle { bytes, every } => {
                if self.sent > 0 {
                    tokio::time::sleep(every).await;
                }
                self.take(bytes as u64)
            }
            Delivery::Endless if self.sent >= ENDLESS_LIMIT => Ok(None),
            Delivery::Endless => Ok(Some(match self.take(u64::MAX)? {
                Some(piece) => piece,
                None => self.rows(),
            })),
        }
    }

    /// Returns the next bytes of the body, at most `limit`.
    fn take(&mut self, limit: u64) -> io::Result<Option<Bytes>> {
        if self.buffer.is_empty() {
            match self.body.payload.next()? {
                Some(piece) => self.buffer = piece,
                None => return Ok(None),
            }
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let piece = self.buffer.split_to(self.buffer.len().min(limit));
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

    fn overrun(&mut self) -> io::Result<()> {
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
