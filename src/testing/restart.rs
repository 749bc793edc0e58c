use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// The number of connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 1024;

/// The pause between attempts to bind the port.
const RETRY: Duration = Duration::from_millis(5);

/// The most time that connections have to end: one that was closed in order still reads for a
/// while, and one whose handler restarts the server waits for it.
const CLOSING: Duration = Duration::from_secs(1);

/// Bounds a downtime, so that adding it to the current time cannot overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A request to restart the server.
struct RestartRequest {
    downtime: Duration,
    /// Reports that the server is down.
    down: Sender<()>,
}

/// The handle that restarts a server.
#[derive(Clone)]
pub(super) struct Restarter(mpsc::UnboundedSender<RestartRequest>);

impl Restarter {
    /// Returns the handle, and the requests for the server's listener.
    pub(super) fn new() -> (Self, RestartRequests) {
        let (sender, requests) = mpsc::unbounded_channel();
        let (shutdown, _) = watch::channel(());
        (Self(sender), RestartRequests { requests, shutdown })
    }

    /// Stops the server for `downtime`. The receiver gets a message, or is disconnected, once
    /// the server is down.
    pub(super) fn restart(&self, downtime: Duration) -> Receiver<()> {
        let (down, is_down) = channel();
        let downtime = downtime.min(LONGEST);
        // A server that is being dropped cannot restart any more.
        let _ = self.0.send(RestartRequest { downtime, down });
        is_down
    }
}

/// Tells a connection that the server goes down.
#[derive(Clone)]
pub(super) struct ShutdownSignal(watch::Receiver<()>);

impl ShutdownSignal {
    pub(super) async fn received(&mut self) {
        if self.0.changed().await.is_err() {
            // The server is being dropped, and its connections with it.
            pending().await
        }
    }
}

/// The requests to restart, as the listener receives them.
pub(super) struct RestartRequests {
    requests: mpsc::UnboundedReceiver<RestartRequest>,
    shutdown: watch::Sender<()>,
}

impl RestartRequests {
    pub(super) fn shutdown_signal(&self) -> ShutdownSignal {
        ShutdownSignal(self.shutdown.subscribe())
    }

    /// Waits for the next request to restart.
    pub(super) async fn next(&mut self) -> Downtime {
        match self.requests.recv().await {
            Some(request) => Downtime::new(request),
            None => pending().await,
        }
    }

    /// Closes the listener, ends all connections, and listens again on the same address after
    /// the downtime.
    pub(super) async fn restart(
        &mut self,
        listener: TcpListener,
        mut downtime: Downtime,
    ) -> io::Result<TcpListener> {
        let address = listener.local_addr()?;
        // First, so that a client that reconnects at once is refused.
        drop(listener);
        self.shutdown.send_replace(());
        // Bound, but not listening: connections are refused and nobody else gets the port, not
        // even a client as its own port, with which it would connect to itself.
        let socket = bind(address).await;
        // Each connection has a receiver until it is closed.
        let _ = timeout(CLOSING, self.shutdown.closed()).await;
        loop {
            downtime.report();
            tokio::select! {
                () = tokio::time::sleep_until(downtime.until) => break,
                Some(request) = self.requests.recv() => downtime.extend(request),
            }
        }
        socket.listen(BACKLOG)
    }
}

/// A time for which the server is down.
pub(super) struct Downtime {
    until: Instant,
    /// The callers that wait for the server to be down.
    waiting: Vec<Sender<()>>,
}

impl Downtime {
    fn new(request: RestartRequest) -> Self {
        Self {
            until: Instant::now() + request.downtime,
            waiting: vec![request.down],
        }
    }

    fn extend(&mut self, request: RestartRequest) {
        self.until = self.until.max(Instant::now() + request.downtime);
        self.waiting.push(request.down);
    }

    fn report(&mut self) {
        for waiting in self.waiting.drain(..) {
            // A caller may have stopped waiting.
            let _ = waiting.send(());
        }
    }
}

/// Binds the address, retrying until it is free.
async fn bind(address: SocketAddr) -> TcpSocket {
    loop {
        match try_bind(address) {
            Ok(socket) => return socket,
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

fn try_bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections from before the restart may still be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
