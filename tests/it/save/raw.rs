//! A server for answers that no server should give.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use machine_images::djinn::Client;

use super::quick;

pub(super) const KIND: &str = "application/x-qemu-disk";

/// Answers each connection's first request and closes it. It goes on until the process ends.
pub(super) struct Raw(SocketAddr);

impl Raw {
    /// Gives the bytes of the answer to a request's head, in lower case, and its number.
    pub(super) fn start(answer: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, count) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, count) = (answer.clone(), count.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read(&mut byte).unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8(head).unwrap().to_lowercase();
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    // The client may have enough before the end.
                    let _ = stream.write_all(&answer(&head, number));
                });
            }
        });
        Self(address)
    }

    pub(super) fn client(&self) -> Client {
        Client::builder(self.url()).retry(quick()).build().unwrap()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.0)
    }
}
