//! Where download jobs read from: the server that the captures were made with, as far as the
//! jobs show what it did.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::exchange::disk;

pub(super) struct Source {
    pub(super) address: SocketAddr,
    released: Arc<AtomicBool>,
}

impl Source {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let released = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&released);
        // The thread ends with the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let released = Arc::clone(&shared);
                // A client may disconnect.
                thread::spawn(move || serve(stream, &released).ok());
            }
        });
        Self { address, released }
    }

    /// Releases the slow image.
    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }
}

fn serve(mut stream: TcpStream, released: &AtomicBool) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let target = String::from_utf8_lossy(&head);
    let target = target.split(' ').nth(1).unwrap_or_default().to_owned();
    let path = target.split('?').next().unwrap_or_default();
    let mut body = disk();
    let (status, header) = match path {
        "/wrong-type" => ("200 OK", "Content-Type: text/plain"),
        "/type-with-param" => ("200 OK", "Content-Type: application/x-qemu-disk; x=1"),
        "/redirect" => ("302 Found", "Location: /ok.qcow2"),
        "/404q" => ("404 Not Found", "Content-Type: application/x-qemu-disk"),
        _ => ("200 OK", "Content-Type: application/x-qemu-disk"),
    };
    if path == "/not-qcow2" {
        body = b"not an image".to_vec();
    }
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body[..length / 2])?;
    while path == "/slow" && !released.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(5));
    }
    stream.write_all(&body[length / 2..])
}
