//! A server of list pages, as the Djinn CI server writes them.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const ROWS: u64 = 25;

/// Starts a server with so many full pages, each of which takes a while; gives its base URL.
pub(crate) fn start(host: &str, pages: u64, delay: Duration) -> String {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, pages, delay));
        }
    });
    format!("http://{address}/api")
}

fn serve(stream: TcpStream, pages: u64, delay: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answer = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    let mut page = 1;
    while let Some(line) = lines.next().transpose()? {
        if let Some((_, number)) = line.split_once("page=") {
            let number = number.split_whitespace().next().unwrap_or_default();
            page = number.parse().map_err(io::Error::other)?;
        }
        if line.is_empty() {
            thread::sleep(delay);
            answer.write_all(render(page, pages).as_bytes())?;
            page = 1;
        }
    }
    Ok(())
}

/// The images of a page.
pub(crate) fn rows(page: u64) -> String {
    let mut rows = String::from("[");
    for id in (page - 1) * ROWS + 1..=page * ROWS {
        let comma = if rows.len() > 1 { "," } else { "" };
        let _ = write!(
            rows,
            r#"{comma}{{"id":{id},"author_id":1,"user_id":1,"namespace_id":2,"driver":"qemu","name":"image-{id:06}","created_at":"2026-01-02T03:04:05.678901Z","url":"http://127.0.0.1/api/images/{id}","author":{{"email":"eli@example.org","username":"eli","created_at":"2025-01-02T03:04:05Z"}},"user":{{"email":"eli@example.org","username":"eli","created_at":"2025-01-02T03:04:05Z"}},"namespace":{{"id":2,"user_id":1,"root_id":2,"parent_id":null,"name":"lab","path":"lab","description":"","visibility":"private","created_at":"2025-01-02T03:04:05Z"}},"download":null}}"#,
        );
    }
    rows.push(']');
    rows
}

fn render(page: u64, pages: u64) -> String {
    let rows = rows(page);
    let (previous, next) = ((page - 1).max(1), (page + 1).min(pages));
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\
         Link: </api/images?page={previous}>; rel=\"prev\", </api/images?page={next}>; rel=\"next\"\r\n\
         Content-Length: {}\r\n\r\n{rows}",
        rows.len(),
    )
}
