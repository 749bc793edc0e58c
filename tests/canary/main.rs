//! A canary for a token and one for each password: none of them gets out, whatever happens.
//!
//! In a process of its own, since it listens to all that is traced in it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
// A client without a crypto provider cannot be built.
#![cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod traces;

use std::fmt::Debug;
use std::time::Duration;

use futures::TryStreamExt;
use machine_images::djinn::{Client, ClientBuilder, Images, Source};
use machine_images::{Error, Result};
use serde_json::json;
use wiremock::matchers::{any, header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::raw::{Answer, RawServer, Then};
use crate::support::{disk_answer, everything, image, json_answer, page, quick};

const TOKEN: &str = "canary-t0ken-Zx81";
const PASSWORD: &str = "canary%20Pa55";
const PLAIN_PASSWORD: &str = "canary Pa55";
const PROXY_PASSWORD: &str = "canary-pr0xy";
/// `proxy:canary-pr0xy`, as it is sent to the proxy.
const PROXY_BASE64: &str = "cHJveHk6Y2FuYXJ5LXByMHh5";

/// Checks that a text has no canary in it, in the place that it is from.
fn check(place: &str, text: &str) {
    for secret in [
        TOKEN,
        PASSWORD,
        PLAIN_PASSWORD,
        PROXY_PASSWORD,
        PROXY_BASE64,
    ] {
        if let Some(at) = text.find(secret) {
            let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            panic!("{place}: {secret} in {}", &text[start..at + secret.len()]);
        }
    }
}

struct Run {
    place: &'static str,
    failures: usize,
}

impl Run {
    fn note<T: Debug>(&mut self, result: Result<T>) -> Option<T> {
        check(self.place, &format!("{result:?}"));
        result.map_err(|error| self.note_error(&error)).ok()
    }

    fn note_error(&mut self, error: &Error) {
        self.failures += 1;
        check(self.place, &everything(error));
    }
}

fn builder(base: &str) -> ClientBuilder<Client> {
    Client::builder(base).token(TOKEN).retry(quick().retries(1))
}

/// Runs every operation; returns how many of the 9 failed.
async fn every_operation(place: &'static str, builder: ClientBuilder<Client>) -> usize {
    let mut run = Run { place, failures: 0 };
    check(place, &format!("{builder:?}"));
    let client = builder.build().unwrap();
    let images: Images = client.images();
    check(place, &format!("{client:?} {images:?}"));
    let secret_query = images.list().query("token", TOKEN);
    check(place, &format!("{secret_query:?}"));
    run.note(secret_query.page(1).await);
    run.note(images.list().stream().try_collect::<Vec<_>>().await);
    run.note(images.get(42).send().await);
    if let Some(content) = run.note(images.content(42).send().await) {
        run.note(content.bytes().await);
    }
    #[cfg(feature = "fs")]
    {
        let folder = tempfile::tempdir().unwrap();
        let saved = images.save(42, folder.path().join("x")).unchecked();
        run.note(saved.await);
    }
    #[cfg(not(feature = "fs"))]
    run.note(images.content(42).send().await);
    let source = Source::from(b"QFI\xfb".as_slice());
    check(place, &format!("{source:?}"));
    run.note(images.create_upload("x", source).unchecked().send().await);
    let url = format!("sftp://user:{PASSWORD}@127.0.0.1/{TOKEN}")
        .parse()
        .unwrap();
    run.note(images.create_download("x", url).send().await);
    run.note(images.wait_downloaded(42).unchecked().send().await);
    run.note(images.delete(42).send().await);
    run.failures
}

async fn answering(answer: impl wiremock::Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(answer)
        .expect(1..)
        .mount(&server)
        .await;
    server
}

async fn succeeding() -> MockServer {
    let server = MockServer::start().await;
    let authorized = || header("authorization", format!("Bearer {TOKEN}").as_str());
    let disk = header("accept", "application/x-qemu-disk");
    let one = "/images/42";
    for (mock, answer, requests) in [
        (Mock::given(path(one)).and(disk), disk_answer(200, "QFI"), 2),
        (
            Mock::given(path("/images")).and(method("GET")),
            page(&[], 0, 0),
            2,
        ),
        (
            Mock::given(path("/images")),
            json_answer(201, &image(42, "x")),
            2,
        ),
        (
            Mock::given(path(one)).and(method("DELETE")),
            ResponseTemplate::new(204),
            1,
        ),
        (Mock::given(path(one)), json_answer(200, &image(42, "x")), 2),
    ] {
        let mock = mock.and(authorized()).respond_with(answer);
        mock.expect(requests).mount(&server).await;
    }
    server
}

/// All that was sent, headers and body, and the password in plain if it is in there.
fn echo(request: &Request) -> String {
    let body = String::from_utf8_lossy(&request.body);
    let plain = body.replace(PASSWORD, PLAIN_PASSWORD);
    format!("{request:?} {body} {plain} Bearer {TOKEN}")
}

#[tokio::test]
async fn no_secret_is_shown_or_traced() {
    traces::listen();
    let good = succeeding().await;
    assert_eq!(every_operation("success", builder(&good.uri())).await, 0);

    for (place, status) in [
        ("echo in a 400", 400),
        ("echo in a 503", 503),
        ("echo in a 404", 404),
    ] {
        let server = answering(move |request: &Request| {
            json_answer(status, &json!({"message": echo(request)}))
        });
        let failures = every_operation(place, builder(&server.await.uri())).await;
        assert_eq!(failures, 9, "{place}");
    }
    let server = answering(|request: &Request| {
        json_answer(
            400,
            &json!({TOKEN: [echo(request)], "name": [echo(request)]}),
        )
    });
    assert_eq!(
        every_operation("fields", builder(&server.await.uri())).await,
        9
    );
    let server = answering(|request: &Request| {
        ResponseTemplate::new(500).set_body_raw(echo(request), "text/plain")
    });
    assert_eq!(
        every_operation("text", builder(&server.await.uri())).await,
        9
    );

    // Answers of status 200 that are not what they should be.
    let server =
        answering(|request: &Request| json_answer(200, &json!({"id": echo(request)}))).await;
    // A deletion takes any JSON.
    assert_eq!(
        every_operation("wrong JSON", builder(&server.uri())).await,
        8
    );
    let typed = ResponseTemplate::new(200).set_body_raw("x", &format!("text/{TOKEN}"));
    let server = answering(typed).await;
    assert_eq!(
        every_operation("wrong type", builder(&server.uri())).await,
        9
    );
    let mut failed = image(42, "x");
    let text = format!("GET: Bearer {TOKEN}");
    failed["download"] = json!({"source": "http://h/x", "error": text});
    let server = answering(move |request: &Request| match request.method.as_str() {
        "GET" => json_answer(200, &failed),
        _ => ResponseTemplate::new(400),
    });
    let server = server.await;
    let client = builder(&server.uri()).build().unwrap();
    let waited = client.images().wait_downloaded(42).unchecked().send().await;
    let mut run = Run {
        place: "failed download",
        failures: 0,
    };
    run.note(waited.map(drop));
    assert_eq!(run.failures, 1);

    for location in [
        "/{}",
        "http://{}.example.org/{}?{}#{}",
        "http://{}:{}@127.0.0.1/",
    ] {
        let location = location.replace("{}", TOKEN);
        let answer = ResponseTemplate::new(302).insert_header("Location", location.as_str());
        let server = answering(answer).await;
        assert_eq!(every_operation("redirect", builder(&server.uri())).await, 9);
    }
    for link in ["<http://{}/?page=2>; rel=next", "<{}?page={}>; rel=next"] {
        let link = link.replace("{}", TOKEN);
        let answer = json_answer(200, &[image(1, "x")]).insert_header("Link", link.as_str());
        let server = answering(answer).await;
        let images = builder(&server.uri()).build().unwrap().images();
        let mut run = Run {
            place: "link",
            failures: 0,
        };
        run.note(images.list().page(1).send().await);
        assert_eq!(run.failures, 1);
    }

    // No answer at all.
    for (place, answer, then) in [
        ("closed", "", Then::Close),
        ("rubbish", "rubbish\r\n\r\n", Then::Close),
        ("silent", "", Then::Hang),
        (
            "cut",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[",
            Then::Close,
        ),
    ] {
        let answers = (0..40).map(|_| Answer::new(answer, then)).collect();
        let server = RawServer::start(answers).await;
        let short = Duration::from_millis(200);
        let builder = match then {
            Then::Hang => builder(&server.url("")).response_timeout(short),
            _ => builder(&server.url("")),
        };
        assert_eq!(every_operation(place, builder).await, 9, "{place}");
    }
    let server = RawServer::start(Vec::new()).await;
    let gone = server.url("");
    drop(server);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(every_operation("no server", builder(&gone)).await, 9);

    // A proxy that takes part, one that refuses, and one that is not there.
    let proxied = |address: &str| {
        let proxy = format!("http://proxy:{PROXY_PASSWORD}@{address}");
        builder("http://djinn.example/").proxy(proxy)
    };
    let proxy = succeeding().await;
    let address = proxy.address().to_string();
    assert_eq!(every_operation("proxy", proxied(&address)).await, 0);
    let requests = proxy.received_requests().await.unwrap();
    let sent = format!("Basic {PROXY_BASE64}");
    assert_eq!(requests[0].headers["proxy-authorization"], sent.as_str());
    let refusing = answering(|request: &Request| {
        ResponseTemplate::new(407).set_body_raw(echo(request), "text/html")
    });
    let refusing = refusing.await;
    let address = refusing.address().to_string();
    assert_eq!(
        every_operation("refusing proxy", proxied(&address)).await,
        9
    );
    let address = gone.trim_start_matches("http://");
    assert_eq!(every_operation("no proxy", proxied(address)).await, 9);

    let traces = traces::so_far();
    // The canary must be where it could sing: this crate's traces, and those of what it is built on.
    assert!(traces.contains("retrying"), "{} bytes", traces.len());
    assert!(
        traces.contains("starting new connection"),
        "{} bytes",
        traces.len()
    );
    check("traces", &traces);
}
