use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use machine_images::testing::{DjinnServer, Fault};
use serde_json::{Value, json};

use crate::http::{QCOW2, post_json, send, upload};

const CAPTURED: &str = include_str!("../data/wire/webhooks.txt");

/// What a webhook's URL leads to.
struct Receiver(TcpListener);

/// A delivery: its lines to the empty one, and its body.
struct Delivery {
    head: Vec<String>,
    body: String,
}

impl Receiver {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/hook?from=djinn", self.0.local_addr().unwrap())
    }

    /// Takes the next delivery, and answers it.
    fn next(&self) -> Delivery {
        let (stream, _) = self.0.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut lines = BufReader::new(&stream);
        let mut line = || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            line.trim_end_matches("\r\n").to_owned()
        };
        let head = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())).collect();
        let length = usize::from_str_radix(&line(), 16).unwrap();
        let mut body = vec![0; length];
        lines.read_exact(&mut body).unwrap();
        let mut end = [0; 7];
        lines.read_exact(&mut end).unwrap();
        assert_eq!(&end, b"\r\n0\r\n\r\n");
        let mut stream = &stream;
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        Delivery {
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }
}

impl Delivery {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn action(&self) -> (String, i64) {
        let event = self.json();
        let action = event["action"].as_str().unwrap();
        (action.to_owned(), event["image"]["id"].as_i64().unwrap())
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.iter();
        lines.find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

fn create(server: &DjinnServer, name: &str) {
    let answer = upload(server, &format!("?name={name}&namespace=blackmesa"), QCOW2);
    assert_eq!(answer.status(), 201);
}

/// The keys of an object and of those in it, which are `null` where it has no value.
fn shape(json: &Value) -> Value {
    match json {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
        Value::Null => Value::Null,
        _ => Value::Bool(true),
    }
}

#[test]
fn deliveries_are_as_the_real_servers() {
    let (server, receiver) = (DjinnServer::start().unwrap(), Receiver::new());
    assert_eq!(server.webhook(receiver.url(), "s3cr3t").unwrap(), 1);
    let target = receiver.url();
    let (host, path) = target["http://".len()..].split_once('/').unwrap();
    create(&server, "hooked");
    let created = receiver.next();
    assert_eq!(
        send(&server, "DELETE", "/api/images/1", "", b"").status(),
        204
    );
    let deleted = receiver.next();

    let captured: Vec<&str> = CAPTURED.split("\n--- ").collect();
    for (delivery, captured) in [created, deleted].iter().zip(captured) {
        let (head, rest) = captured.split_once("\n\n").unwrap();
        let signature = delivery.header("X-Djinn-Ci-Signature").unwrap();
        assert_eq!(signature.len(), "sha256=".len() + 64);
        let head = head
            .lines()
            .skip(1)
            .map(|line| match line.split_once(": ") {
                None => format!("POST /{path} HTTP/1.1"),
                Some(("Host", _)) => format!("Host: {host}"),
                Some(("X-Djinn-Ci-Signature", _)) => format!("X-Djinn-Ci-Signature: {signature}"),
                Some(_) => line.to_owned(),
            });
        assert_eq!(delivery.head, head.collect::<Vec<_>>());
        let captured: Value = serde_json::from_str(rest.lines().next().unwrap()).unwrap();
        assert_eq!(delivery.json()["action"], captured["action"]);
        assert_eq!(shape(&delivery.json()), shape(&captured));
        assert!(delivery.body.ends_with("}\n"));
    }
}

#[test]
fn a_download_is_reported_when_it_is_requested_and_when_it_has_ended() {
    let (server, receiver) = (DjinnServer::start().unwrap(), Receiver::new());
    server.webhook(receiver.url(), "s3cr3t").unwrap();
    let source = server.publish(QCOW2).unwrap();
    post_json(
        &server,
        &json!({"name": "dl", "download_url": source}).to_string(),
    );
    let created = receiver.next();
    assert_eq!(created.action(), ("created".to_owned(), 1));
    assert!(created.json()["image"]["download"].is_null());
    let downloaded = receiver.next();
    assert_eq!(downloaded.action(), ("downloaded".to_owned(), 1));
    assert!(downloaded.json()["image"]["download"]["finished_at"].is_string());
}

#[test]
fn other_actions_are_delivered_on_request() {
    let (server, receiver) = (DjinnServer::start().unwrap(), Receiver::new());
    let id = server.add_image("x", QCOW2).unwrap();
    server.webhook(receiver.url(), "s3cr3t").unwrap();
    server.deliver("updated", id).unwrap();
    assert_eq!(receiver.next().action(), ("updated".to_owned(), id.get()));
    assert!(server.deliver("updated", id.get() + 1).is_err());
}

#[test]
fn without_a_secret_there_is_no_signature() {
    let (server, receiver) = (DjinnServer::start().unwrap(), Receiver::new());
    server.webhook(receiver.url(), "").unwrap();
    create(&server, "x");
    assert_eq!(receiver.next().header("X-Djinn-Ci-Signature"), None);
}

#[test]
fn each_webhook_gets_every_delivery_in_order_and_a_refused_one_once() {
    let server = DjinnServer::start().unwrap();
    let receivers = [Receiver::new(), Receiver::new()];
    // Nobody listens there.
    server.webhook("http://127.0.0.1:1/hook", "s").unwrap();
    let ids = receivers
        .each_ref()
        .map(|receiver| server.webhook(receiver.url(), "s").unwrap());
    assert_eq!(ids, [2, 3]);
    for name in ["a", "b", "c"] {
        create(&server, name);
    }
    server.inject(Fault::status(503));
    assert_eq!(
        send(&server, "DELETE", "/api/images/1", "", b"").status(),
        503
    );
    assert_eq!(
        send(&server, "DELETE", "/api/images/2", "", b"").status(),
        204
    );
    for (receiver, id) in receivers.iter().zip(ids) {
        let got: Vec<_> = (0..4).map(|_| receiver.next()).collect();
        let actions: Vec<_> = got.iter().map(Delivery::action).collect();
        let expected = [
            ("created", 1),
            ("created", 2),
            ("created", 3),
            ("deleted", 2),
        ];
        assert_eq!(
            actions,
            expected.map(|(action, id)| (action.to_owned(), id))
        );
        assert_eq!(got[0].header("X-Djinn-CI-Hook-ID"), Some(&*id.to_string()));
    }
}

#[test]
fn a_url_that_cannot_be_sent_to_is_refused() {
    let server = DjinnServer::start().unwrap();
    for url in ["https://127.0.0.1/hook", "127.0.0.1", "", "file:///x"] {
        assert!(server.webhook(url, "s").is_err(), "{url}");
    }
}
