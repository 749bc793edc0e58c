//! A server that is honest but for one thing, and says that wherever it can.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::lies::Lie;
use crate::support::raw::{Answer, RawServer, Received, Then};
use crate::support::{DATE, QEMU_DISK, image};

/// Stands for a text that no JSON value of a library can be, such as a number beyond 64 bits.
const MARK: &str = "@LIE@";

/// What the server goes by.
pub(super) struct State {
    pub(super) lie: Option<Lie>,
    pub(super) disk: Arc<Vec<u8>>,
    /// Answers so far.
    pub(super) answers: usize,
    /// Whether the answer to a creation is lost.
    pub(super) loses_answer: bool,
    /// Whether there is an image of the name that is created.
    pub(super) created: bool,
}

/// The parts of an answer.
struct Reply {
    status: String,
    headers: Vec<(&'static str, String)>,
    json: Option<Value>,
    body: Vec<u8>,
}

pub(super) async fn start(state: Arc<Mutex<State>>) -> RawServer {
    RawServer::answering(move |request| {
        let mut state = state.lock().unwrap();
        state.answers += 1;
        if request.method == "POST" {
            state.created = true;
            if state.loses_answer {
                return Answer::new("", Then::Close);
            }
        }
        let mut reply = honest(request, &state);
        let lie = state.lie.clone();
        let lie = lie.filter(|lie| !lie.later || state.answers > 1);
        if let Some(lie) = &lie {
            tell(lie, &mut reply);
        }
        Answer::new(reply.bytes(lie.as_ref()), Then::Close)
    })
    .await
}

fn honest(request: &Received, state: &State) -> Reply {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    if request.header("accept") == Some(QEMU_DISK) {
        return contents(request, &state.disk);
    }
    if path.starts_with("/v3") {
        return devops(request, path);
    }
    let user = json!({"id": 1, "username": "gordon.freeman", "created_at": "2026-11-22T00:53:05Z"});
    let page: u64 = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("page="))
        .map_or(1, |number| number.parse().unwrap_or(0));
    match (request.method.as_str(), path) {
        ("DELETE", _) => Reply::new("204", Value::Null),
        ("POST", _) => Reply::new("201", image(5, "fresh")),
        (_, "/user") => Reply::new("200", user),
        (_, list) if list.ends_with("images") => {
            let mut rows = match page {
                1 => vec![image(1, "disk"), image(2, "row-2")],
                2 => vec![image(4, "row-4")],
                _ => vec![],
            };
            if state.created && page == 1 {
                rows.push(image(5, "fresh"));
            }
            let mut reply = Reply::new("200", rows.into());
            let link = |page: &str, rel: &str| format!("<{path}?page={page}>; rel=\"{rel}\"");
            let (previous, next) = match &state.lie {
                Some(lie) if lie.field == "link-next" => ("1", lie.value.as_str()),
                Some(lie) if lie.field == "link-previous" => (lie.value.as_str(), "2"),
                _ => ("1", "2"),
            };
            let link = format!("{}, {}", link(previous, "prev"), link(next, "next"));
            reply.headers.push(("Link", link));
            reply
        }
        (_, one) => {
            let id = one.rsplit('/').next().unwrap_or_default();
            let mut row = image(id.parse().unwrap_or(0), "disk");
            if id == "2" {
                let time = "2026-11-22T00:57:39.7Z";
                row["download"] = json!({
                    "source": "http://h/disk.qcow2", "error": null, "created_at": time,
                    "started_at": time, "finished_at": time,
                });
            } else if id == "3" {
                row["namespace_id"] = json!(7);
                row["namespace"] = json!({
                    "id": 7, "user_id": 1, "root_id": 7, "parent_id": null, "name": "lab",
                    "path": "lab", "created_at": "2026-11-22T00:57:39.7Z",
                });
            } else if id == "5" {
                row["name"] = json!("fresh");
            }
            Reply::new("200", row)
        }
    }
}

fn devops(request: &Received, path: &str) -> Reply {
    let row = json!({"id": "ami-1", "provider": "ec2", "remote_user": "admin", "name": "disk"});
    let json = match (request.method.as_str(), path) {
        ("GET", "/v3/images") => json!([row]),
        ("GET", _) => row,
        ("PUT", _) => json!({"image": row, "message": "updated"}),
        _ => json!({"id": "ami-1", "message": "done"}),
    };
    Reply::new("200", json)
}

fn contents(request: &Received, disk: &[u8]) -> Reply {
    let range = request.header("range").map(|range| {
        let (first, last) = range["bytes=".len()..].split_once('-').unwrap();
        let last = last.parse().unwrap_or(usize::MAX).min(disk.len() - 1);
        (first.parse::<usize>().unwrap(), last)
    });
    let mut reply = Reply::new("200", Value::Null);
    reply.json = None;
    reply.headers = vec![
        ("Content-Type", QEMU_DISK.to_owned()),
        ("Last-Modified", DATE.to_owned()),
    ];
    match range {
        None => reply.body = disk.to_vec(),
        Some((first, last)) if first <= last => {
            reply.status = "206".to_owned();
            let range = format!("bytes {first}-{last}/{}", disk.len());
            reply.headers.push(("Content-Range", range));
            reply.body = disk[first..=last].to_vec();
        }
        Some(_) => {
            reply.status = "416".to_owned();
            let range = format!("bytes */{}", disk.len());
            reply.headers.push(("Content-Range", range));
        }
    }
    reply
}

fn tell(lie: &Lie, reply: &mut Reply) {
    let value = lie.value.clone();
    match lie.field {
        "status" => reply.status = value,
        "content-length" => reply.set("Content-Length", value),
        "last-modified" => reply.set("Last-Modified", value),
        "etag" => reply.set("ETag", format!("\"{value}\"")),
        "retry-after" => {
            reply.set("Retry-After", value);
            reply.status = "503".to_owned();
        }
        "range-first" | "range-last" | "range-total" => {
            let known = reply
                .headers
                .iter()
                .find(|(name, _)| *name == "Content-Range");
            let Some((_, range)) = known else { return };
            let words: Vec<_> = range.split([' ', '-', '/']).map(str::to_owned).collect();
            let [_, first, last, total] = &words[..] else {
                return;
            };
            let range = match lie.field {
                "range-first" => format!("bytes {value}-{last}/{total}"),
                "range-last" => format!("bytes {first}-{value}/{total}"),
                _ => format!("bytes {first}-{last}/{value}"),
            };
            reply.set("Content-Range", range);
        }
        "rows" => {
            let Some(Value::Array(rows)) = &mut reply.json else {
                return;
            };
            let Some(row) = rows.first().cloned() else {
                return;
            };
            let count = value.parse().unwrap_or(0);
            rows.clear();
            for id in 0..count {
                let mut row = row.clone();
                if row["id"].is_number() {
                    row = json!({
                        "id": id, "author_id": 1, "user_id": 1, "name": "n",
                        "created_at": "2026-11-22T01:04:06Z", "url": "http://h/1",
                    });
                }
                rows.push(row);
            }
        }
        pointer if pointer.starts_with('/') => {
            let Some(json) = &mut reply.json else { return };
            let mut all = match json {
                Value::Array(rows) => rows.iter_mut().collect(),
                one => vec![one],
            };
            for row in &mut all {
                if let Some(field) = row.pointer_mut(pointer) {
                    *field = MARK.into();
                }
            }
        }
        _ => {}
    }
}

impl Reply {
    fn new(status: &str, json: Value) -> Self {
        Self {
            status: status.to_owned(),
            headers: vec![("Content-Type", "application/json".to_owned())],
            json: Some(json).filter(|json| !json.is_null()),
            body: Vec::new(),
        }
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
    }

    fn bytes(mut self, lie: Option<&Lie>) -> Vec<u8> {
        if let Some(json) = &self.json {
            let mut text = json.to_string();
            if let Some(lie) = lie.filter(|lie| lie.field.starts_with('/')) {
                text = text.replace(&format!("\"{MARK}\""), &lie.value);
            }
            self.body = text.into_bytes();
        }
        let has_length = self
            .headers
            .iter()
            .any(|(name, _)| *name == "Content-Length");
        if !has_length && self.status != "204" {
            self.headers
                .push(("Content-Length", self.body.len().to_string()));
        }
        let mut head = format!("HTTP/1.1 {} Some\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}
