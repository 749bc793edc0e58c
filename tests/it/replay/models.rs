//! Everything that the real server wrote of images is read, and written again as it was.

use machine_images::djinn::Image;
use serde_json::Value;

use super::bodies::exchanges;

/// Whether an image is written as the JSON it was read from.
pub(super) fn written(image: &Image, json: &Value) -> bool {
    serde_json::to_value(image).unwrap() == as_read(json)
}

/// JSON with its timestamps in UTC, as they are written: a server can be elsewhere.
pub(super) fn as_read(json: &Value) -> Value {
    match json {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let time = value.as_str().filter(|_| name.ends_with("_at"));
                let time = time.map(|text| text.parse::<jiff::Timestamp>().unwrap().to_string());
                (
                    name.clone(),
                    time.map_or_else(|| as_read(value), Value::from),
                )
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(as_read).collect(),
        other => other.clone(),
    }
}

/// The uncut pages: head and body apart.
fn full_pages() -> Vec<(&'static str, &'static str)> {
    [
        include_str!("../../data/wire/full/list.http"),
        include_str!("../../data/wire/full/list-page-1.http"),
        include_str!("../../data/wire/full/list-page-2.http"),
        include_str!("../../data/wire/full/list-page-3.http"),
        include_str!("../../data/wire/full/list-page-4.http"),
        include_str!("../../data/wire/full/list-page-64.http"),
        include_str!("../../data/wire/full/list-search-img-0-page-2.http"),
        include_str!("../../data/wire/full/list-with-namespaces-and-downloads.http"),
    ]
    .map(|text| text.split_once("\r\n\r\n").unwrap())
    .into()
}

/// Whether JSON is an image, as far as its fields tell.
fn is_image(json: &Value) -> bool {
    ["author_id", "driver", "download"]
        .iter()
        .all(|&field| json.get(field).is_some())
}

#[test]
fn every_captured_image_is_read_into_typed_fields_and_written_as_it_was() {
    let exchanges = exchanges();
    let captured = exchanges
        .iter()
        .filter_map(|exchange| exchange.response.json.as_ref());
    let mut all: Vec<Value> = captured.cloned().collect();
    all.extend(
        full_pages()
            .iter()
            .map(|(_, body)| serde_json::from_str(body).unwrap()),
    );
    let images = all.iter().flat_map(|json| match json {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    });
    let mut count = 0;
    for json in images.filter(|json| is_image(json)) {
        let image: Image = serde_json::from_value(json.clone()).unwrap();
        assert!(written(&image, json), "{json}");
        // What is not typed would be here.
        assert!(image.extra.is_empty(), "{:?}", image.extra);
        let users = [&image.author, &image.user].into_iter().flatten();
        assert!(users.clone().all(|user| user.extra.is_empty()));
        assert!(
            users
                .clone()
                .all(|user| user.email.is_some() && user.created_at.is_some())
        );
        assert!(
            image
                .download
                .iter()
                .all(|download| download.extra.is_empty())
        );
        assert!(
            image
                .namespace
                .iter()
                .all(|namespace| namespace.extra.is_empty())
        );
        assert_eq!(
            image.namespace.is_some(),
            image.namespace_id.is_some() && image.user.is_some()
        );
        count += 1;
    }
    assert_eq!(count, 229);
}

#[tokio::test]
async fn the_walk_over_the_uncut_pages_yields_each_image_once() {
    use crate::support::raw::{Answer, RawServer, Then};
    use futures::TryStreamExt;

    let pages = full_pages()[1..4].to_vec();
    let answers = pages
        .iter()
        .map(|(head, body)| Answer::new(format!("{head}\r\n\r\n{body}"), Then::KeepAlive));
    let server = RawServer::start(answers.collect()).await;
    let client = machine_images::djinn::Client::builder(server.url("/api"))
        .build()
        .unwrap();
    let all: Vec<Image> = client.images().list().stream().try_collect().await.unwrap();
    let targets: Vec<_> = server
        .received()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(
        targets,
        ["/api/images", "/api/images?page=2", "/api/images?page=3"]
    );
    let mut ids: Vec<_> = all.iter().map(|image| image.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((all.len(), ids.len()), (72, 72));
}
