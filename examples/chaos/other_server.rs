//! Another server, which faults redirect to and no client should send credentials to.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A server that accepts every connection until the process ends.
pub(crate) struct OtherServer {
    address: SocketAddr,
    leaks: Arc<AtomicU64>,
}

impl OtherServer {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let leaks = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&leaks);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = vec![0; 16 * 1024];
                let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                let length = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
                if head.contains("authorization") {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { address, leaks })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests with credentials.
    pub(crate) fn leaks(&self) -> u64 {
        self.leaks.load(Ordering::Relaxed)
    }
}
