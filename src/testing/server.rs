use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::connection;
use super::fault_rule::FaultRules;
use super::message::Service;
use super::request_log::RequestLog;
use super::restart::{RestartRequests, Restarter};
use super::shared::Shared;

/// The settings of a listener.
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

/// An HTTP server on its own thread. Stops when it is dropped.
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
        let (restarter, restart_requests) = Restarter::new();
        let shared = Arc::new(Shared {
            log: RequestLog::default(),
            faults: FaultRules::default(),
            latency,
            restarter,
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
                    () = accept(listener, restart_requests, serving) => {}
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

    /// Stops serving for `downtime`. Returns once the server is down.
    pub(super) fn restart(&self, downtime: Duration) {
        // An error means that the thread has ended, so the server is down as well.
        let _ = self.shared.restarter.restart(downtime).recv();
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

async fn accept(listener: TcpListener, mut restart_requests: RestartRequests, shared: Arc<Shared>) {
    let Ok(mut listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            biased;
            downtime = restart_requests.next() => {
                match restart_requests.restart(listener, downtime).await {
                    Ok(restarted) => listener = restarted,
                    Err(_) => return,
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let shutdown = restart_requests.shutdown_signal();
                tokio::spawn(connection::serve(stream, Arc::clone(&shared), shutdown));
            }
            // Most likely out of file descriptors, until connections are closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
