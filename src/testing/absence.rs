use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// The connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// How long to wait for the port if it is not free at once.
const RETRY: Duration = Duration::from_millis(5);

/// What is longer than anybody waits.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A request to go away.
struct Departure {
    wait: Duration,
    left: Sender<()>,
}

/// The handle by which a server is sent away.
#[derive(Clone)]
pub(super) struct Absence(mpsc::UnboundedSender<Departure>);

impl Absence {
    /// The handle, and what the server's listener needs to obey it.
    pub(super) fn new() -> (Self, Departures) {
        let (sender, requests) = mpsc::unbounded_channel();
        let (present, _) = watch::channel(());
        (Self(sender), Departures { requests, present })
    }

    /// Sends the server away for `wait`; the receiver gets a word, or its end, when it has gone.
    pub(super) fn begin(&self, wait: Duration) -> Receiver<()> {
        let (left, has_left) = channel();
        let wait = wait.min(LONGEST);
        // A server that is stopping cannot go away any more.
        let _ = self.0.send(Departure { wait, left });
        has_left
    }
}

/// Ends when the server goes away; one for each connection.
#[derive(Clone)]
pub(super) struct Presence(watch::Receiver<()>);

impl Presence {
    pub(super) async fn ended(&mut self) {
        if self.0.changed().await.is_err() {
            // The server stops, and its connections with it.
            pending().await
        }
    }
}

/// The requests to go away, on the side of the listener.
pub(super) struct Departures {
    requests: mpsc::UnboundedReceiver<Departure>,
    present: watch::Sender<()>,
}

impl Departures {
    pub(super) fn presence(&self) -> Presence {
        Presence(self.present.subscribe())
    }

    /// The next request to go away.
    pub(super) async fn next(&mut self) -> Stay {
        match self.requests.recv().await {
            Some(departure) => Stay::new(departure),
            None => pending().await,
        }
    }

    /// Closes the listener, ends all connections, and listens again on the same address when
    /// the time is up.
    pub(super) async fn leave(
        &mut self,
        listener: TcpListener,
        mut stay: Stay,
    ) -> io::Result<TcpListener> {
        let address = listener.local_addr()?;
        // First, so that a client that sees its connection end finds nobody.
        drop(listener);
        self.present.send_replace(());
        // Bound, but not listening: connections are refused and nobody else gets the port, not
        // even a client as its own port, with which it would connect to itself.
        let socket = bind(address).await;
        loop {
            stay.announce();
            tokio::select! {
                () = tokio::time::sleep_until(stay.until) => break,
                Some(departure) = self.requests.recv() => stay.extend(departure),
            }
        }
        socket.listen(BACKLOG)
    }
}

/// How long the server stays away.
pub(super) struct Stay {
    until: Instant,
    /// Those who wait for the server to have gone.
    waiting: Vec<Sender<()>>,
}

impl Stay {
    fn new(departure: Departure) -> Self {
        Self {
            until: Instant::now() + departure.wait,
            waiting: vec![departure.left],
        }
    }

    fn extend(&mut self, departure: Departure) {
        self.until = self.until.max(Instant::now() + departure.wait);
        self.waiting.push(departure.left);
    }

    fn announce(&mut self) {
        for waiting in self.waiting.drain(..) {
            // Whoever does not wait any more need not know.
            let _ = waiting.send(());
        }
    }
}

/// Binds the address; there is nothing else to do than to try until it works.
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
    // Connections of before may still be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
