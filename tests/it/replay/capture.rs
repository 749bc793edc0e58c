//! The captured exchanges: their answers to the byte, and their requests to compare with.

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::support::raw::{Answer, Received, Then};

/// The length of the image that every capture was made with.
const DISK: usize = 196_616;

#[derive(Deserialize)]
pub(super) struct Exchange {
    name: String,
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    json: Option<Value>,
    text: Option<String>,
}

pub(super) fn exchanges() -> Vec<Exchange> {
    serde_json::from_str(include_str!("../../data/wire/djinn.json")).unwrap()
}

pub(super) fn find<'a>(exchanges: &'a [Exchange], name: &str) -> &'a Exchange {
    let found = exchanges.iter().find(|exchange| exchange.name == name);
    found.unwrap_or_else(|| panic!("no exchange {name}"))
}

/// An image as long as the one of the captures.
pub(super) fn disk() -> Vec<u8> {
    let bytes = (0..DISK).map(|at| (at % 251) as u8);
    let mut disk: Vec<u8> = bytes.collect();
    disk[..4].copy_from_slice(b"QFI\xfb");
    disk
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

impl Exchange {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The path before `/images` and the like.
    pub(super) fn base_path(&self) -> &str {
        match self.request.target.starts_with("/api/") {
            true => "/api",
            false => "",
        }
    }

    /// The bearer token, or `None` for none, or an error for an authorization of another form.
    pub(super) fn token(&self) -> Result<Option<&str>, ()> {
        let Some(value) = header(&self.request.headers, "authorization") else {
            return Ok(None);
        };
        let token = value.strip_prefix("Bearer ").ok_or(())?;
        match token.is_empty() || token.contains(' ') {
            true => Err(()),
            false => Ok(Some(token)),
        }
    }

    pub(super) fn json(&self) -> Option<&Value> {
        self.response.json.as_ref()
    }

    pub(super) fn last_modified(&self) -> Option<&str> {
        header(&self.response.headers, "last-modified")
    }

    /// The body to upload: what was captured, or else an image of the announced length; the one
    /// of a GiB is not worth the time.
    pub(super) fn upload(&self) -> Vec<u8> {
        if let Some(body) = &self.request.body {
            return body.clone().into_bytes();
        }
        let length = header(&self.request.headers, "content-length");
        let length: usize = length.map_or(DISK, |text| text.parse().unwrap());
        let mut disk = disk();
        disk.truncate(length);
        disk
    }

    /// The captured answer, to the byte; a body that was cut in the capture is made up with the
    /// length and type that were announced.
    pub(super) fn answer(&self) -> Answer {
        let mut bytes = format!("HTTP/1.1 {} Replayed\r\n", self.response.status).into_bytes();
        for (name, value) in &self.response.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let body = self.body();
        let length = header(&self.response.headers, "content-length");
        let length: usize = length.map_or(0, |text| text.parse().unwrap());
        assert_eq!(body.len(), length, "{}: the body's length", self.name);
        bytes.extend_from_slice(&body);
        let closes = header(&self.response.headers, "connection") == Some("close");
        let then = if closes { Then::Close } else { Then::KeepAlive };
        Answer::new(bytes, then)
    }

    fn body(&self) -> Vec<u8> {
        let headers = &self.response.headers;
        let length = header(headers, "content-length").unwrap_or("0");
        let length: usize = length.parse().unwrap();
        if let Some(json) = &self.response.json {
            // One capture is shorter than what was sent: a path was taken out of it.
            let mut body = as_go_writes(json);
            body.resize(length, b'\n');
            return body;
        }
        // The capture has more or less white space than was sent, and once what came after it.
        if let Some(text) = &self.response.text {
            let mut body = text.clone().into_bytes();
            body.resize(length, b'\n');
            return body;
        }
        let media_type = header(headers, "content-type").unwrap_or_default();
        match media_type.split(';').next().unwrap() {
            _ if length == 0 => Vec::new(),
            _ if self.request.method == "HEAD" => {
                as_go_writes(&json!({"message": "Method Not Allowed"}))
            }
            "application/json" => list(length),
            "application/x-qemu-disk" => {
                let range = header(headers, "content-range");
                let first = range.map_or("0", |range| {
                    range
                        .trim_start_matches("bytes ")
                        .split('-')
                        .next()
                        .unwrap()
                });
                let first: usize = first.parse().unwrap();
                disk()[first..first + length].to_vec()
            }
            "text/html" => filled(b"<!DOCTYPE HTML>\n<html>", length),
            "multipart/byteranges" => filled(b"--dca8ff\r\n", length),
            other => panic!("{}: a cut body of {other}", self.name),
        }
    }

    /// Whether this is the request that was captured. `*/*` and JSON mean the same to the server.
    pub(super) fn is_request(&self, sent: &Received, base: &str) -> bool {
        let captured = |name: &str| header(&self.request.headers, name);
        let url = |target: &str| Url::parse(base).unwrap().join(target).unwrap();
        let parts = |url: Url| {
            let mut query: Vec<_> = url.query_pairs().into_owned().collect();
            query.sort();
            (url.path().to_owned(), query)
        };
        let accepts = self.request.headers.iter();
        let accepts = accepts.filter(|(name, _)| name == "Accept").count();
        let accept = match captured("accept") {
            Some("*/*") => Some("application/json"),
            accept => accept,
        };
        let json = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
        let body = self.request.body.as_ref().map(|body| body.as_bytes());
        let foreign = [
            "if-match",
            "if-modified-since",
            "accept-encoding",
            "expect",
            "cookie",
        ];
        let same = [
            "range",
            "if-range",
            "authorization",
            "content-type",
            "content-encoding",
        ];
        let is_json = captured("content-type") == Some("application/json");
        self.request.method == sent.method
            && parts(url(&self.request.target)) == parts(url(&sent.target))
            && accepts == 1
            && accept == sent.header("accept")
            && foreign.iter().all(|name| captured(name).is_none())
            && same.iter().all(|name| captured(name) == sent.header(name))
            && match (is_json, body) {
                (true, Some(body)) => json(body) == json(&sent.body),
                (_, Some(body)) => body == sent.body,
                (_, None) => captured("content-length") == sent.header("content-length"),
            }
    }
}

/// JSON as Go's encoder writes it, to the byte: with a newline, and HTML's letters escaped.
fn as_go_writes(json: &Value) -> Vec<u8> {
    let text = serde_json::to_string(json).unwrap();
    let text = ["&", "<", ">"].iter().fold(text, |text, &letter| {
        text.replace(letter, &format!("\\u{:04x}", letter.as_bytes()[0]))
    });
    (text + "\n").into_bytes()
}

fn filled(start: &[u8], length: usize) -> Vec<u8> {
    let mut body = start.to_vec();
    body.resize(length, b'.');
    body
}

/// A page of a list that was cut in the capture: as many images as the server counted there, of
/// the shortest shape that was seen, and white space up to the length.
fn list(length: usize) -> Vec<u8> {
    let count = match length {
        4305 => 10,
        3096 => 7,
        _ => 25,
    };
    let user = json!({
        "created_at": "2026-11-22T00:53:05.513888Z",
        "email": "eli.vance@black-mesa.com",
        "username": "eli.vance",
    });
    let images: Vec<_> = (0..count)
        .map(|at| {
            json!({
                "author": user,
                "author_id": 2,
                "created_at": "2026-11-22T01:02:50.97739Z",
                "download": null,
                "driver": "qemu",
                "id": 43 + at,
                "name": format!("img-{at:02}"),
                "namespace": null,
                "namespace_id": null,
                "url": format!("http://127.0.0.1:8090/images/{}", 43 + at),
                "user": user,
                "user_id": 2,
            })
        })
        .collect();
    let mut body = serde_json::to_vec(&images).unwrap();
    assert!(body.len() < length, "{} of {length}", body.len());
    body.resize(length - 1, b' ');
    body.push(b'\n');
    body
}
