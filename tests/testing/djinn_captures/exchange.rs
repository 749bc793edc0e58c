//! The captured exchanges as data, and their requests as bytes.

use serde::Deserialize;
use serde_json::Value;

/// The length of the image that most captures were made with.
pub(super) const DISK: usize = 196_616;

/// A GiB is not worth the time: this much of it is sent.
const LARGE: usize = 1 << 20;

#[derive(Deserialize)]
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) request: Request,
    pub(super) response: Response,
}

#[derive(Deserialize)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) json: Option<Value>,
    pub(super) text: Option<String>,
}

pub(super) fn exchanges() -> Vec<Exchange> {
    serde_json::from_str(include_str!("../../data/wire/djinn.json")).unwrap()
}

pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// An image as long as the one of the captures.
pub(super) fn disk() -> Vec<u8> {
    let mut disk: Vec<u8> = (0..DISK).map(|at| (at % 251) as u8).collect();
    disk[..4].copy_from_slice(b"QFI\xfb");
    disk
}

impl Request {
    /// Returns the head and body. `source` replaces the server that downloads read from. A
    /// client that expects `100 Continue` holds its body back.
    pub(super) fn bytes(&self, source: &str) -> Vec<u8> {
        let body = self.body().map(|body| replace(&body, source));
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            let length = body.as_ref().map(|body| body.len().to_string());
            let value = match (name.as_str(), length) {
                ("Content-Length", Some(length)) => length,
                _ => value.clone(),
            };
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        if header(&self.headers, "Expect").is_none() {
            bytes.extend(body.unwrap_or_default());
        }
        bytes
    }

    /// Returns the captured body, or one of the same length and kind.
    fn body(&self) -> Option<Vec<u8>> {
        let length: usize = header(&self.headers, "Content-Length")?.parse().unwrap();
        if let Some(body) = &self.body {
            return Some(body.clone().into_bytes());
        }
        let mut body = match length {
            // The only body of this length, compressed.
            413 => b"\x1f\x8b".to_vec(),
            _ => disk(),
        };
        body.resize(length.min(LARGE), 0);
        Some(body)
    }
}

fn replace(body: &[u8], source: &str) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) => text.replace(SOURCE, source).into_bytes(),
        Err(_) => body.to_vec(),
    }
}

/// Where the captures' download jobs read from.
pub(super) const SOURCE: &str = "127.0.0.1:9099";

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns the answer's JSON, even if more was captured after it.
    pub(super) fn json(&self, source: &str) -> Option<Value> {
        let text = match (&self.json, &self.text) {
            (Some(json), _) => json.to_string(),
            (None, Some(text)) if text.starts_with('{') => text.lines().next()?.to_owned(),
            _ => return None,
        };
        Some(serde_json::from_str(&text.replace(SOURCE, source)).unwrap())
    }
}
