//! Takes uploads, looks at none of them, and answers as the Djinn CI server does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

const IMAGE: &str = r#"{"id":1,"author_id":1,"user_id":1,"namespace_id":null,"driver":"qemu","name":"bench","created_at":"2026-01-02T03:04:05.678901234Z","url":"http://127.0.0.1/api/images/1","author":null,"user":null,"namespace":null,"download":null}"#;

/// Starts a sink at an address and gives the base URL of its API.
pub(crate) fn start(host: &str) -> String {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(|| take(stream));
        }
    });
    format!("http://{address}/api")
}

fn take(stream: TcpStream) -> io::Result<()> {
    let mut answer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(16 * 1024, stream);
    let mut length = 0;
    let mut is_chunked = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        is_chunked |= line == "transfer-encoding: chunked";
        if line == "expect: 100-continue" {
            answer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut buffer = vec![0; 256 * 1024];
    match is_chunked {
        false => discard(&mut reader, length, &mut buffer)?,
        true => loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            discard(&mut reader, length + 2, &mut buffer)?;
            if length == 0 {
                break;
            }
        },
    }
    let head = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close";
    write!(
        answer,
        "{head}\r\nContent-Length: {}\r\n\r\n{IMAGE}",
        IMAGE.len()
    )
}

fn discard(reader: &mut impl Read, length: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut body = reader.take(length);
    while body.limit() > 0 {
        if body.read(buffer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
