//! Spans: one for each operation, one for each request, and nothing said of what went well.
//!
//! In a process of its own, and one after the other: a thread without a subscriber that comes first
//! to a span switches it off for those that have one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
// The server is needed, and a client without a crypto provider cannot be built.
#![cfg(all(
    feature = "testing",
    any(feature = "rustls", not(feature = "rustls-no-provider"))
))]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine_images::RetryPolicy;
use machine_images::djinn::{Client, Images};
use machine_images::testing::{Close, DjinnServer, Fault};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");

/// What this crate's spans and all events say.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<String>>>);

/// The documented target of a span or an event, if it is not one of this test.
fn target(name: &str) -> Option<&'static str> {
    match name {
        "operation" => Some("machine_images::operation"),
        "request" => Some("machine_images::transport"),
        "retrying" => Some("machine_images::retry"),
        "one connection less" => Some("machine_images::transfer"),
        _ => None,
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target().starts_with("machine_images") {
            let mut fields = Fields(String::new());
            attributes.record(&mut fields);
            let parents = context.span_scope(id).map_or(0, Iterator::count) - 1;
            let name = attributes.metadata().name();
            let found = attributes.metadata().target();
            assert_eq!(target(name).unwrap_or(found), found);
            let line = format!("{}{name}{}", "  ".repeat(parents), fields.0);
            self.0.lock().unwrap().push(line);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let target = context
            .metadata(id)
            .map_or("", |metadata| metadata.target());
        if target.starts_with("machine_images") {
            let mut fields = Fields(String::new());
            values.record(&mut fields);
            self.0
                .lock()
                .unwrap()
                .push(fields.0.trim_start().to_owned());
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target().starts_with("machine_images") {
            let mut fields = Fields(String::new());
            event.record(&mut fields);
            let found = event.metadata().target();
            let names = ["retrying", "one connection less"];
            for name in names.into_iter().filter(|name| fields.0.contains(name)) {
                assert_eq!(target(name), Some(found));
            }
            let scope = context.event_scope(event).into_iter().flatten();
            let spans: Vec<_> = scope.map(|span| span.name()).collect();
            let line = format!("{spans:?}{}", fields.0);
            self.1.lock().unwrap().push(line);
        }
        if *event.metadata().level() <= Level::INFO {
            let line = format!("event of {}", event.metadata().target());
            self.0.lock().unwrap().push(line);
        }
    }
}

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Events of this crate, with the spans that they are in.
    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.1.lock().unwrap())
    }

    /// Without what came of each request.
    fn spans(&self) -> Vec<String> {
        let mut lines = self.take();
        lines.retain(|line| !line.starts_with("http.response.status_code="));
        lines
    }
}

fn setup() -> (DjinnServer, Images, Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber = tracing_subscriber::registry().with(log.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    let server = DjinnServer::start().unwrap();
    let client = Client::builder(server.url()).token(server.token());
    let images = client
        .retry(RetryPolicy::default().first_delay(Duration::from_millis(1)))
        .build()
        .unwrap();
    (server, images.images(), log, guard)
}

#[tokio::test]
async fn spans_tell_of_calls_and_requests() {
    a_call_is_an_operation_and_each_attempt_a_request_in_it().await;
    each_call_is_an_operation().await;
    a_call_of_many_requests_is_one_operation().await;
    retries_are_told_of_in_the_span_of_their_operation().await;
    #[cfg(feature = "fs")]
    a_transfer_is_seen_by_the_callers_subscriber_in_the_callers_span().await;
}

async fn a_call_is_an_operation_and_each_attempt_a_request_in_it() {
    let (server, images, log, _guard) = setup();
    let id = server.add_image("disk", DISK).unwrap();
    server.inject(Fault::DropRequest {
        close: Close::Clean,
    });
    server.inject(Fault::status(503));
    images.get(id).send().await.unwrap();
    let (host, port) = ("127.0.0.1", server.url().port().unwrap());
    let request = |count: u32| {
        format!(
            "  request http.request.method=GET server.address={host:?} server.port={port} \
             url.full=\"{}/images/{id}\" http.request.resend_count={count}",
            server.url()
        )
    };
    let expected = [
        "operation name=\"get image\"",
        &request(0),
        "error.type=\"transport\"",
        &request(1),
        "http.response.status_code=503",
        "error.type=\"503\"",
        &request(2),
        "http.response.status_code=200",
    ];
    assert_eq!(log.take(), expected);
}

async fn each_call_is_an_operation() {
    let (_server, images, log, _guard) = setup();
    let image = images.create_upload("disk", DISK).send().await.unwrap();
    images.list().page(1).send().await.unwrap();
    let content = images.content(image.id).send().await.unwrap();
    content.bytes().await.unwrap();
    images.inspect(image.id).await.unwrap();
    images.delete(image.id).send().await.unwrap();
    let lines = log.spans();
    for pair in lines.chunks(2) {
        assert!(pair[0].starts_with("operation name="), "{lines:#?}");
        assert!(
            pair[1].starts_with("  request http.request.method="),
            "{lines:#?}"
        );
    }
    assert_eq!(lines.len(), 10, "{lines:#?}");
}

async fn a_call_of_many_requests_is_one_operation() {
    let (server, images, log, _guard) = setup();
    let id = server.add_image("disk", DISK).unwrap();
    images.wait_downloaded(id).send().await.unwrap();
    let lines = log.spans();
    let operations = lines.iter().filter(|line| line.starts_with("operation"));
    assert_eq!(operations.count(), 1, "{lines:#?}");
    assert!(lines.len() > 2, "{lines:#?}");
}

async fn retries_are_told_of_in_the_span_of_their_operation() {
    let (server, images, log, _guard) = setup();
    let id = server.add_image("disk", DISK).unwrap();
    let cut = || Fault::CutResponse {
        after: 100_000,
        close: Close::Clean,
    };
    server.inject(Fault::status(503));
    images.get(id).send().await.unwrap();
    server.inject(cut());
    // Read on outside of the call that opened it.
    let content = images.content(id).send().await.unwrap();
    content.bytes().await.unwrap();
    server.inject(cut());
    let mut all = Vec::new();
    let mut reader = images.reader(id);
    tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut all)
        .await
        .unwrap();
    #[cfg(feature = "fs")]
    for connections in [1, 4] {
        server.inject(cut());
        let folder = tempfile::tempdir().unwrap();
        let save = images
            .save(id, folder.path().join("disk"))
            .connections(connections)
            .unchecked();
        save.await.unwrap();
    }
    let events = log.events();
    let count = if cfg!(feature = "fs") { 5 } else { 3 };
    assert_eq!(events.len(), count, "{events:#?}");
    for event in &events {
        assert!(
            event.starts_with("[\"operation\"] message=retrying"),
            "{event}"
        );
        assert!(event.contains(" attempt=1 error="), "{event}");
        assert!(event.contains(" delay="), "{event}");
    }
}

#[cfg(feature = "fs")]
async fn a_transfer_is_seen_by_the_callers_subscriber_in_the_callers_span() {
    let (server, images, log, _guard) = setup();
    let mut image = DISK.to_vec();
    image.resize(33 << 20, 1);
    let id = server.add_image("disk", &image).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.qcow2");
    // So that several connections have something to do.
    let slow = Fault::Trickle {
        bytes: 256 * 1024,
        every: Duration::from_millis(5),
    };
    server.inject(slow.on("GET", format!("/images/{id}")).always());
    for connections in [1, 4] {
        let content = images
            .save(id, path.with_extension(connections.to_string()))
            .connections(connections)
            .durable(false);
        let save = content.send();
        let outer = tracing::info_span!(target: "machine_images::test", "outer");
        tracing::Instrument::instrument(save, outer).await.unwrap();
        let lines = log.spans();
        let (outer, requests) = lines.split_at(2);
        assert_eq!(outer, ["outer", "  operation name=\"save image\""]);
        assert!(requests.len() >= connections, "{requests:#?}");
        assert!(
            requests.iter().all(|line| line.starts_with("    request ")),
            "{requests:#?}"
        );
    }
    std::fs::write(&path, &image).unwrap();
    images.create_upload("copy", path).send().await.unwrap();
    let lines = log.spans();
    assert!(
        lines[0].starts_with("operation ") && lines[1].starts_with("  request "),
        "{lines:#?}"
    );
    assert_eq!(lines.len(), 2, "{lines:#?}");
}
