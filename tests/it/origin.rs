//! Credentials stay at home: whatever a server says, a second listener that it names gets no
//! request with an `Authorization` header.

use machine_images::djinn::{Client, Images};
use machine_images::testing::{DjinnServer, Fault};
use machine_images::{ErrorKind, RetryPolicy};

use crate::support::raw::RawServer;

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");

fn images(server: &DjinnServer) -> Images {
    let client = Client::builder(server.url()).token(server.token());
    let client = client.retry(RetryPolicy::none()).build().unwrap();
    client.images()
}

async fn elsewhere() -> RawServer {
    RawServer::start(Vec::new()).await
}

fn assert_untouched(elsewhere: &RawServer) {
    let received = elsewhere.received();
    let leaked = received
        .iter()
        .filter(|request| request.header("authorization").is_some());
    assert_eq!(leaked.count(), 0, "{received:?}");
    assert!(received.is_empty(), "{received:?}");
}

#[tokio::test]
async fn a_foreign_next_page_is_not_asked_for() {
    let (server, elsewhere) = (DjinnServer::start().unwrap(), elsewhere().await);
    server.add_images(30).unwrap();
    let next = elsewhere.url("/api/images?page=2");
    server.inject(Fault::header("Link", format!("<{next}>; rel=\"next\"")));
    let all = images(&server).list().stream();
    let all: Result<Vec<_>, _> = futures::TryStreamExt::try_collect(all).await;
    assert_eq!(all.unwrap_err().kind(), ErrorKind::Decode);
    assert_untouched(&elsewhere);
}

#[tokio::test]
async fn a_foreign_redirect_is_not_followed() {
    let (server, elsewhere) = (DjinnServer::start().unwrap(), elsewhere().await);
    let id = server.add_image("disk", DISK).unwrap();
    let images = images(&server);
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url("/api/images/1");
        let redirect = Fault::Redirect { status, location };
        server.inject(redirect.always());
        let errors = [
            images.list().page(1).send().await.map(drop),
            images.get(id).send().await.map(drop),
            images.content(id).send().await.map(drop),
            images.create_upload("new", DISK).send().await.map(drop),
            images.delete(id).send().await,
        ];
        for error in errors {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Redirect, "{status}");
        }
        server.clear_faults();
    }
    assert_untouched(&elsewhere);
}

#[tokio::test]
async fn a_foreign_url_field_is_not_followed() {
    let elsewhere = elsewhere().await;
    let home = wiremock::MockServer::start().await;
    let mut image = crate::support::image(1, "disk");
    image["url"] = elsewhere.url("/api/images/1").into();
    let answer = crate::support::json_answer(200, &image);
    let get = wiremock::matchers::header("accept", "application/json");
    wiremock::Mock::given(get)
        .respond_with(answer)
        .mount(&home)
        .await;
    let contents = wiremock::matchers::header("accept", crate::support::QEMU_DISK);
    let answer = crate::support::disk_answer(200, DISK);
    wiremock::Mock::given(contents)
        .respond_with(answer)
        .mount(&home)
        .await;

    let images = crate::support::images(&home);
    let image = images.get(1).send().await.unwrap();
    assert_eq!(image.url.as_str(), elsewhere.url("/api/images/1"));
    images.wait_downloaded(image.id).send().await.unwrap();
    let content = images.content(image.id).send().await.unwrap();
    assert_eq!(content.bytes().await.unwrap(), DISK);
    images.delete(image.id).send().await.unwrap();
    assert_untouched(&elsewhere);
}
