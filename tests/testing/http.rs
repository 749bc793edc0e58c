//! A client of raw bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use machine_images::testing::DjinnServer;
use url::Url;

pub(crate) const QCOW2: &[u8] = b"QFI\xfb\0\0\0\x03 the rest of an image";

/// A parsed answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        Self {
            line: lines.next().unwrap().to_owned(),
            headers: lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the names of the headers, sorted because their order has no meaning.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

pub(crate) fn connect(url: &Url) -> TcpStream {
    let address = url.socket_addrs(|| None).unwrap();
    let stream = TcpStream::connect(&*address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Sends bytes, closes the sending side, and reads the whole answer.
pub(crate) fn exchange(url: &Url, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(url);
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Sends a request with the token and some header lines.
pub(crate) fn send(
    server: &DjinnServer,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
) -> Answer {
    let token = server.token();
    let mut request = format!(
        "{method} {target} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n{headers}"
    )
    .into_bytes();
    if !body.is_empty() {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    Answer::parse(&exchange(&server.url(), &request))
}

pub(crate) fn get(server: &DjinnServer, target: &str) -> Answer {
    send(server, "GET", target, "", b"")
}

pub(crate) fn upload(server: &DjinnServer, query: &str, body: &[u8]) -> Answer {
    let kind = "Content-Type: application/x-qemu-disk\r\n";
    send(server, "POST", &format!("/api/images{query}"), kind, body)
}

pub(crate) fn post_json(server: &DjinnServer, body: &str) -> Answer {
    let kind = "Content-Type: application/json\r\n";
    send(server, "POST", "/api/images", kind, body.as_bytes())
}
