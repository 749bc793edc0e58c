//! What the tests share: clients, entities as the real server spells them, and exact requests.

pub(crate) mod raw;

use std::time::Duration;

use machine_images::djinn::{Client, Images};
use machine_images::{ClientBuilder, Error, RetryPolicy};
use proptest::prelude::ProptestConfig;
use serde_json::{Value, json};
use wiremock::{MockServer, Request, ResponseTemplate};

pub(crate) const TOKEN: &str = "866913559a626dc4522c6aa7b1554861";
pub(crate) const QEMU_DISK: &str = "application/x-qemu-disk";
pub(crate) const DATE: &str = "Sun, 22 Nov 2026 01:04:06 GMT";

/// So many cases of something that takes its time, unless `PROPTEST_CASES` says how many.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig {
            cases: count,
            ..config
        },
    }
}

/// A policy that repeats as the default one does, without the time.
pub(crate) fn quick() -> RetryPolicy {
    RetryPolicy::default()
        .first_delay(Duration::from_millis(1))
        .max_delay(Duration::from_millis(2))
}

/// A client of the API under `/api`, with the token.
pub(crate) fn builder(server: &MockServer) -> ClientBuilder<Client> {
    let base = format!("{}/api", server.uri());
    Client::builder(base).token(TOKEN).retry(quick())
}

pub(crate) fn images(server: &MockServer) -> Images {
    builder(server).build().unwrap().images()
}

/// An image as the real server writes it.
pub(crate) fn image(id: i64, name: &str) -> Value {
    let user = json!({
        "created_at": "2026-11-22T00:53:05.449836Z",
        "email": "gordon.freeman@black-mesa.com",
        "username": "gordon.freeman",
    });
    json!({
        "author": user,
        "author_id": 1,
        "created_at": "2026-11-22T00:57:39.760155Z",
        "download": null,
        "driver": "qemu",
        "id": id,
        "name": name,
        "namespace": null,
        "namespace_id": null,
        "url": format!("http://127.0.0.1:8080/api/images/{id}"),
        "user": user,
        "user_id": 1,
    })
}

/// Images with the ids of a range.
pub(crate) fn rows(ids: std::ops::Range<i64>) -> Vec<Value> {
    ids.map(|id| image(id, &format!("img-{id:02}"))).collect()
}

/// A page of the list with the real server's `Link` line.
pub(crate) fn page(items: &[Value], previous: u64, next: u64) -> ResponseTemplate {
    let link = format!(
        r#"</api/images?page={previous}>; rel="prev", </api/images?page={next}>; rel="next""#
    );
    json_answer(200, &items).insert_header("Link", link.as_str())
}

/// JSON with the type that the real server gives it, parameter included.
pub(crate) fn json_answer(status: u16, body: &impl serde::Serialize) -> ResponseTemplate {
    let body = serde_json::to_vec(body).unwrap();
    ResponseTemplate::new(status).set_body_raw(body, "application/json; charset=utf-8")
}

/// An image's contents.
pub(crate) fn disk_answer(status: u16, body: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .insert_header("Last-Modified", DATE)
        .insert_header("Accept-Ranges", "bytes")
        .set_body_raw(body, QEMU_DISK)
}

/// The only request that a server got.
pub(crate) async fn only_request(server: &MockServer) -> Request {
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1, "requests");
    requests.remove(0)
}

/// Method, path and query as they were sent.
pub(crate) fn target(request: &Request) -> String {
    let query = request.url.query().map(|query| format!("?{query}"));
    let (method, path) = (&request.method, request.url.path());
    format!("{method} {path}{}", query.unwrap_or_default())
}

pub(crate) async fn targets(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(target).collect()
}

/// Checks a whole request: these headers and the three of every request, and no others.
pub(crate) fn assert_request(request: &Request, line: &str, headers: &[&str], body: &[u8]) {
    assert_eq!(target(request), line);
    let mut sent: Vec<String> = request
        .headers
        .iter()
        .filter(|(name, _)| *name != "host")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    sent.sort();
    let mut expected: Vec<String> = headers.iter().map(|&line| line.to_owned()).collect();
    expected.push(format!("authorization: Bearer {TOKEN}"));
    expected.push(format!(
        "user-agent: machine-images/{}",
        env!("CARGO_PKG_VERSION")
    ));
    expected.sort();
    assert_eq!(sent, expected, "{line}");
    assert!(request.headers.contains_key("host"));
    assert_eq!(request.body, body, "{line}");
}

/// Everything that an error says, down its chain.
pub(crate) fn everything(error: &Error) -> String {
    let mut text = format!(
        "{error} {error:?} {:?} {:?}",
        error.message(),
        error.fields()
    );
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    text
}
