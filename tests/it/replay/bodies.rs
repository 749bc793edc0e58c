//! Bodies and logins of the captures of a Djinn CI server.

use serde_json::{Value, json};

use super::capture::Exchange;
use crate::support::raw::Answer;

/// The length of the image that every capture was made with.
const DISK: usize = 196_616;

pub(super) fn exchanges() -> Vec<Exchange> {
    serde_json::from_str(include_str!("../../data/wire/djinn.json")).unwrap()
}

/// An image as long as the one of the captures.
pub(super) fn disk() -> Vec<u8> {
    let bytes = (0..DISK).map(|at| (at % 251) as u8);
    let mut disk: Vec<u8> = bytes.collect();
    disk[..4].copy_from_slice(b"QFI\xfb");
    disk
}

impl Exchange {
    /// The path before `/images` and the like.
    pub(super) fn base_path(&self) -> &str {
        match self.request.target.starts_with("/api/") {
            true => "/api",
            false => "",
        }
    }

    /// The bearer token, or `None` for none, or an error for an authorization of another form.
    pub(super) fn token(&self) -> Result<Option<&str>, ()> {
        let Some(value) = self.request.header("authorization") else {
            return Ok(None);
        };
        let token = value.strip_prefix("Bearer ").ok_or(())?;
        match token.is_empty() || token.contains(' ') {
            true => Err(()),
            false => Ok(Some(token)),
        }
    }

    /// The body to upload: what was captured, or else an image of the announced length; the one
    /// of a GiB is not worth the time.
    pub(super) fn upload(&self) -> Vec<u8> {
        if let Some(body) = &self.request.body {
            return body.clone().into_bytes();
        }
        let length = self.request.header("content-length");
        let length: usize = length.map_or(DISK, |text| text.parse().unwrap());
        let mut disk = disk();
        disk.truncate(length);
        disk
    }

    /// The captured answer, to the byte; a body that was cut in the capture is made up with the
    /// length and type that were announced.
    pub(super) fn answer(&self) -> Answer {
        self.answer_with(&self.body())
    }

    fn body(&self) -> Vec<u8> {
        let length = self.response.length().unwrap_or(0);
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
        let media_type = self.response.header("content-type").unwrap_or_default();
        match media_type.split(';').next().unwrap() {
            _ if length == 0 => Vec::new(),
            _ if self.request.method == "HEAD" => {
                as_go_writes(&json!({"message": "Method Not Allowed"}))
            }
            "application/json" => list(length),
            "application/x-qemu-disk" => {
                let range = self.response.header("content-range");
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
