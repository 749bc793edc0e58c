//! Downloads that the server makes, whose answer is lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use machine_images::ErrorKind;
use machine_images::djinn::{CreateDownload, Images};
use machine_images::testing::{Close, DjinnServer, Fault};
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{QUICK, disk, lose_the_answer, meanwhile, posts, site};
use crate::support::{builder, image, json_answer, page};

fn create(server: &DjinnServer, images: &Images) -> CreateDownload {
    let url = server.publish(disk()).unwrap();
    let create = images.create_download("lost", url);
    create.reconcile(true).reconcile_within(QUICK)
}

#[tokio::test]
async fn a_download_whose_answer_is_lost_is_found_again() {
    for namespace in [None, Some("lab")] {
        let (server, images) = site();
        lose_the_answer(&server);
        let mut create = create(&server, &images);
        if let Some(namespace) = namespace {
            create = create.namespace(namespace.parse().unwrap());
        }

        let image = create.await.unwrap();

        assert_eq!((posts(&server), server.image_count()), (1, 1));
        assert!(image.download.is_some());
        images.wait_downloaded(image.id).await.unwrap();
        assert_eq!(server.content(image.id).unwrap(), disk());
    }
}

#[tokio::test]
async fn a_download_that_the_server_does_not_know_is_asked_for_again() {
    let close = Close::Reset;
    for fault in [Fault::DropRequest { close }, Fault::Html { status: 502 }] {
        let (server, images) = site();
        server.inject(fault.on("POST", "/images"));

        let image = create(&server, &images).await.unwrap();

        assert_eq!((posts(&server), server.image_count()), (2, 1));
        images.wait_downloaded(image.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_asked_for() {
    let (server, images) = site();
    server.add_image("lost", disk()).unwrap();
    let error = create(&server, &images).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTaken);
    assert_eq!(posts(&server), 0);
}

#[tokio::test]
async fn another_image_of_the_name_is_not_taken_for_the_download() {
    for is_download in [false, true] {
        let (server, images) = site();
        let other = server.publish("other").unwrap();
        let (at, theirs) = (server.clone(), images.clone());
        let runtime = tokio::runtime::Handle::current();
        // While the answer is awaited that never comes.
        meanwhile(&server, move || {
            let (theirs, other) = (theirs.clone(), other.clone());
            match is_download {
                false => drop(at.add_image("lost", disk()).unwrap()),
                true => drop(runtime.spawn(async move {
                    theirs.create_download("lost", other).await.unwrap();
                })),
            }
        });
        let proxy = Fault::Html { status: 502 };
        server.inject(proxy.on("POST", "/images"));

        let error = create(&server, &images).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::NameTaken, "{error:?}");
        assert_eq!(server.image_count(), 1);
    }
}

#[tokio::test]
async fn a_server_that_stays_away_leaves_the_outcome_unknown() {
    let (server, images) = site();
    let wait = std::time::Duration::from_secs(600);
    server.inject(Fault::Restart { done: true, wait }.on("POST", "/images"));
    let error = create(&server, &images).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(posts(&server), 1);
}

/// The server stores an image, then its download.
#[tokio::test]
async fn an_image_whose_download_is_not_stored_yet_is_waited_for() {
    let made = image(9, "lost");
    let mut me = made["author"].clone();
    me["id"] = 1.into();
    let mut complete = made.clone();
    complete["download"] = json!({"source": "http://example.org/disk"});
    let (lists, gets) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let server = MockServer::start().await;
    let row = made.clone();
    let list = move |_: &wiremock::Request| match lists.fetch_add(1, Ordering::Relaxed) {
        0 => page(&[], 0, 0),
        _ => page(std::slice::from_ref(&row), 1, 1),
    };
    let get = move |_: &wiremock::Request| match gets.fetch_add(1, Ordering::Relaxed) {
        0..2 => json_answer(200, &made),
        _ => json_answer(200, &complete),
    };
    let lost = ResponseTemplate::new(504).set_body_raw("<html>", "text/html");
    for mock in [
        Mock::given(path("/api/user")).respond_with(json_answer(200, &me)),
        Mock::given(method("POST")).respond_with(lost).expect(1),
        Mock::given(path("/api/images")).respond_with(list),
        Mock::given(path("/api/images/9")).respond_with(get),
    ] {
        mock.mount(&server).await;
    }
    let images = builder(&server).build().unwrap().images();
    let url = "http://Example.org/Disk".parse().unwrap();

    let create = images.create_download("lost", url).reconcile(true);

    assert_eq!(create.await.unwrap().id.get(), 9);
}
