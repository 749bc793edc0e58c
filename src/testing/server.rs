use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::absence::{Absence, Departures};
use super::connection;
use super::message::Service;
use super::record::Log;
use super::rule::Faults;

/// Where and how a server listens.
#[derive(Clone, Debug)]
pub(super) struct Listen {
    pub(super) address: SocketAddr,
    pub(super) latency: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            latency: Duration::ZERO,
        }
    }
}

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) log: Log,
    pub(super) faults: Faults,
    pub(super) latency: Duration,
    pub(super) absence: Absence,
    pub(super) service: Box<dyn Service>,
}

/// A listening server on a thread of its own, until it is dropped.
pub(super) struct Server {
    pub(super) shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(
        listener: TcpListener,
        latency: Duration,
        service: Box<dyn Service>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (absence, departures) = Absence::new();
        let shared = Arc::new(Shared {
            log: Log::default(),
            faults: Faults::default(),
            latency,
            absence,
            service,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("machine-images-testing")
            .enable_io()
            .enable_time()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, departures, serving) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        Ok(Self {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Server {
    /// Goes away for `wait`; returns when it has gone.
    pub(super) fn go_away(&self, wait: Duration) {
        // A server that is stopping drops its side, and has gone as well.
        let _ = self.shared.absence.begin(wait).recv();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread has been reported by the thread.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, mut departures: Departures, shared: Arc<Shared>) {
    let Ok(mut listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            biased;
            stay = departures.next() => {
                match departures.leave(listener, stay).await {
                    Ok(back) => listener = back,
                    Err(_) => return,
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let presence = departures.presence();
                tokio::spawn(connection::serve(stream, Arc::clone(&shared), presence));
            }
            // Out of file descriptors, most likely: some will come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
