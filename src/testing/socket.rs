use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::sync::lock;

/// The time for which a closed connection discards what the client still sends, so that the
/// client can read the answer before the kernel resets the connection.
const LINGER: Duration = Duration::from_secs(2);

/// A way to close a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Close {
    /// An orderly end of the stream (FIN). All bytes sent before arrive.
    #[default]
    Clean,
    /// A reset (RST). The client sees an error, and may lose bytes that were in flight.
    Reset,
}

/// An early end of a connection.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) close: Close,
    /// Bytes to write after everything else, outside of any response.
    pub(super) trailing: Bytes,
}

impl From<Close> for Ending {
    fn from(close: Close) -> Self {
        Self {
            close,
            trailing: Bytes::new(),
        }
    }
}

/// The handle that ends a connection while a request is answered.
#[derive(Debug, Default)]
pub(super) struct SocketControl {
    ending: Mutex<Option<Ending>>,
    armed: AtomicBool,
    watching: AtomicBool,
    fired: Notify,
}

impl SocketControl {
    /// Ends the connection once the kernel has all bytes written so far.
    pub(super) fn end_after_flush(&self, ending: Ending) {
        *lock(&self.ending) = Some(ending);
        self.armed.store(true, Ordering::Release);
    }

    /// Ends the connection now.
    pub(super) fn end(&self, ending: Ending) {
        *lock(&self.ending) = Some(ending);
        self.fired.notify_one();
    }

    /// Sets whether the connection ends as soon as the client closes it, even while a request is
    /// being answered.
    pub(super) fn watch_client(&self, watching: bool) {
        self.watching.store(watching, Ordering::Release);
    }

    pub(super) async fn ended(&self) {
        self.fired.notified().await;
    }

    pub(super) fn take_ending(&self) -> Ending {
        lock(&self.ending).take().unwrap_or_default()
    }
}

/// A TCP stream that its [`SocketControl`] can stop after a flush.
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) control: Arc<SocketControl>,
}

impl Socket {
    fn is_closed_by_client(&self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let peeked = self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte));
        matches!(peeked, Poll::Ready(Ok(0) | Err(_)))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes its stream only when it has nothing left to write.
        if self.control.armed.load(Ordering::Acquire) {
            self.control.fired.notify_one();
            return Poll::Pending;
        }
        // hyper flushes each time it is polled, so also after the request that starts the
        // watch. From then on the end of the stream wakes it.
        if self.control.watching.load(Ordering::Acquire) && self.is_closed_by_client(cx) {
            self.control.end(Close::Reset.into());
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Closes the stream as the ending specifies.
pub(super) async fn close(mut stream: TcpStream, ending: Ending) -> io::Result<()> {
    if !ending.trailing.is_empty() {
        stream.write_all(&ending.trailing).await?;
    }
    match ending.close {
        Close::Reset => reset_on_drop(&stream),
        Close::Clean => {
            stream.shutdown().await?;
            let mut sink = vec![0; 64 * 1024];
            let discard = async { while matches!(stream.read(&mut sink).await, Ok(1..)) {} };
            let _ = tokio::time::timeout(LINGER, discard).await;
            Ok(())
        }
    }
}

// Deprecated because lingering blocks the thread on drop. A zero timeout does not block, and
// the replacement is missing in the oldest tokio that this crate allows.
#[allow(deprecated)]
fn reset_on_drop(stream: &TcpStream) -> io::Result<()> {
    stream.set_linger(Some(Duration::ZERO))
}
