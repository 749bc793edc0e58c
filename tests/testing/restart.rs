//! Restarts of a server, and slow copies of uploads.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use machine_images::testing::{DjinnServer, Fault};

use crate::http::{QCOW2, connect, get, upload};

const WAIT: Duration = Duration::from_millis(200);

fn open(server: &DjinnServer, method: &str, target: &str, body: &[u8]) -> TcpStream {
    let mut stream = connect(&server.url());
    let (token, length) = (server.token(), body.len());
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// Waits until a connection ends without an answer.
fn end(stream: &mut TcpStream) -> ErrorKind {
    stream.read(&mut [0]).unwrap_err().kind()
}

fn connect_error(server: &DjinnServer) -> Option<ErrorKind> {
    let address = server.url().socket_addrs(|| None).unwrap();
    let error = TcpStream::connect(&*address).err();
    error.map(|error| error.kind())
}

/// Waits until the server accepts connections again. Returns the time that it took.
fn downtime(server: &DjinnServer) -> Duration {
    let begun = Instant::now();
    while let Some(kind) = connect_error(server) {
        assert_eq!(kind, ErrorKind::ConnectionRefused);
        assert!(begun.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(2));
    }
    begun.elapsed()
}

fn server() -> DjinnServer {
    let server = DjinnServer::start().unwrap();
    server.add_image("a", QCOW2).unwrap();
    server
}

#[test]
fn a_request_is_processed_before_the_restart_or_not_at_all() {
    for (done, images) in [(false, 1), (true, 0)] {
        let server = server();
        server.inject(Fault::Restart { done, wait: WAIT }.on("DELETE", "/images/1"));
        let mut idle = connect(&server.url());
        assert_eq!(get(&server, "/api/images").status(), 200);
        let mut stream = open(&server, "DELETE", "/api/images/1", b"");
        assert_eq!(end(&mut stream), ErrorKind::ConnectionReset);
        assert_eq!(connect_error(&server), Some(ErrorKind::ConnectionRefused));
        assert_eq!(end(&mut idle), ErrorKind::ConnectionReset);
        assert!(downtime(&server) > WAIT / 2);
        assert_eq!(server.image_count(), images);
        assert_eq!(get(&server, "/api/images").status(), 200);
    }
}

#[test]
fn a_server_restarts_repeatedly() {
    let server = server();
    for _ in 0..20 {
        let mut stream = connect(&server.url());
        server.restart(Duration::from_millis(5));
        assert_eq!(end(&mut stream), ErrorKind::ConnectionReset);
        downtime(&server);
        assert_eq!(get(&server, "/api/images/1").status(), 200);
    }
    server.restart(Duration::ZERO);
    downtime(&server);
    assert_eq!(get(&server, "/api/images/1").status(), 200);
}

#[test]
fn a_server_that_is_down_processes_nothing() {
    let server = server();
    let mut idle: Vec<_> = (0..200).map(|_| connect(&server.url())).collect();
    assert_eq!(get(&server, "/api/images/1").status(), 200);
    server.clear_requests();
    server.restart(Duration::MAX);
    for stream in idle.iter_mut().rev() {
        // The connection may be known to be reset by now.
        let _ = stream.write_all(b"GET /api/images/1 HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    for stream in &mut idle {
        assert!(!matches!(stream.read(&mut [0]), Ok(1)));
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn the_longest_downtime_applies_and_does_not_delay_the_drop() {
    let server = server();
    server.restart(WAIT);
    server.restart(Duration::ZERO);
    assert!(downtime(&server) > WAIT / 2);
    server.restart(Duration::MAX);
    assert_eq!(connect_error(&server), Some(ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn a_server_restarts_within_a_runtime() {
    let server = server();
    server.restart(WAIT);
    assert_eq!(connect_error(&server), Some(ErrorKind::ConnectionRefused));
}

fn slow(outlives_client: bool) -> DjinnServer {
    let server = server();
    let fault = Fault::SlowCopy {
        wait: WAIT,
        outlives_client,
    };
    server.inject(fault.on("POST", "/images"));
    server
}

/// Waits until an upload has arrived, and a little longer.
fn arrived(server: &DjinnServer) {
    let received = |server: &DjinnServer| server.requests().last().map(|last| last.body_received);
    while received(server) != Some(QCOW2.len() as u64) {
        thread::sleep(Duration::from_millis(2));
    }
    thread::sleep(WAIT / 10);
    assert_eq!(server.image_count(), 1, "not yet");
}

#[test]
fn a_slow_copy_is_answered_late() {
    for outlives_client in [false, true] {
        let server = slow(outlives_client);
        let mut stream = open(&server, "POST", "/api/images?name=b", QCOW2);
        arrived(&server);
        assert_eq!(get(&server, "/api/images/1").status(), 200);
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 201");
        assert_eq!(server.content(2).unwrap(), QCOW2);
    }
}

#[test]
fn a_client_that_disconnects_ends_the_copy_unless_the_copy_outlives_it() {
    for (outlives_client, images) in [(false, 1), (true, 2)] {
        let server = slow(outlives_client);
        let stream = open(&server, "POST", "/api/images?name=b", QCOW2);
        arrived(&server);
        drop(stream);
        thread::sleep(2 * WAIT);
        assert_eq!(server.image_count(), images);
        let again = upload(&server, "?name=b", QCOW2).status();
        assert_eq!(again, if outlives_client { 400 } else { 201 });
    }
}

#[test]
fn a_truncated_body_is_not_copied() {
    for outlives_client in [false, true] {
        let server = slow(outlives_client);
        let mut stream = connect(&server.url());
        let token = server.token();
        let head = format!(
            "POST /api/images?name=b HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 1000\r\n\r\nQFI"
        );
        stream.write_all(head.as_bytes()).unwrap();
        drop(stream);
        thread::sleep(2 * WAIT);
        assert_eq!(server.image_count(), 1);
    }
}

#[test]
fn a_name_is_checked_before_and_after_the_copy() {
    let server = slow(true);
    let mut first = open(&server, "POST", "/api/images?name=b", QCOW2);
    arrived(&server);
    assert_eq!(upload(&server, "?name=b", QCOW2).status(), 201);
    let mut answer = [0; 12];
    first.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    assert_eq!(server.image_count(), 2);
    server.inject(Fault::SlowCopy {
        wait: Duration::from_secs(600),
        outlives_client: true,
    });
    assert_eq!(upload(&server, "?name=b", QCOW2).status(), 400, "at once");
}

#[test]
fn a_restart_ends_slow_copies() {
    for outlives_client in [false, true] {
        let server = slow(outlives_client);
        let mut stream = open(&server, "POST", "/api/images?name=b", QCOW2);
        arrived(&server);
        server.restart(Duration::ZERO);
        assert_eq!(end(&mut stream), ErrorKind::ConnectionReset);
        thread::sleep(2 * WAIT);
        assert_eq!(server.image_count(), 1);
    }
}
