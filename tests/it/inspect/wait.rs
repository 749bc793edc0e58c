use machine_images::ErrorKind;
use machine_images::qcow2::{Code, Format, Policy};

use super::{bad, good, sent, site};

#[tokio::test]
async fn a_page_that_the_server_took_for_an_image_is_found_out() {
    let (server, images) = site();
    let page = b"<!DOCTYPE html>\n<title>404 Not Found</title>";
    let url = server.publish(page).unwrap();
    let id = images.create_download("page", url).send().await.unwrap().id;

    let error = images.wait_downloaded(id).send().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
    assert_eq!(error.inspection().unwrap().format, Format::Html);
    assert!(error.to_string().contains("HTML"), "{error}");
    // It is for the caller to delete it.
    images.get(id).send().await.unwrap();
    images.wait_downloaded(id).unchecked().send().await.unwrap();
}

#[tokio::test]
async fn a_bad_image_is_found_out_and_a_policy_lets_it_pass() {
    let (server, images) = site();
    let url = server.publish(bad()).unwrap();
    let id = images.create_download("bad", url).send().await.unwrap().id;
    let error = images.wait_downloaded(id).send().await.unwrap_err();
    assert!(error.inspection().unwrap().has(Code::BackingFile));
    let policy = Policy::default().allow(Code::BackingFile);
    let wait = images.wait_downloaded(id).policy(policy);
    wait.send().await.unwrap();
}

#[tokio::test]
async fn a_good_image_takes_one_small_request_more() {
    let (server, images) = site();
    let id = server
        .new_image("large")
        .content(good())
        .length(4 << 30)
        .add()
        .unwrap();
    images.wait_downloaded(id).send().await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(sent(&requests) < 128 << 10);
}

#[tokio::test]
async fn an_empty_source_makes_no_good_image() {
    let (server, images) = site();
    let url = server.publish(b"").unwrap();
    let id = images
        .create_download("empty", url)
        .send()
        .await
        .unwrap()
        .id;
    let error = images.wait_downloaded(id).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
}
