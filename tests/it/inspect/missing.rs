use std::time::Duration;

use machine_images::ErrorKind;
use machine_images::djinn::{Image, Images};
use machine_images::testing::{DjinnServer, Fault};
use tokio::io::AsyncReadExt;

use super::{good, site, site_of};

async fn download(images: &Images, url: url::Url) -> Image {
    images.create_download("down", url).send().await.unwrap()
}

#[tokio::test]
async fn a_queued_download_is_not_ready_on_every_way_to_the_contents() {
    let (server, images) =
        site_of(DjinnServer::builder().download_delay(Duration::from_secs(3600)));
    let id = download(&images, server.publish(good()).unwrap()).await.id;
    server.clear_requests();
    let content = || images.content(id);

    let error = content().send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotReady, "{error:?}");
    assert!(error.to_string().contains("has yet to begin"), "{error}");
    assert!(error.to_string().contains("since 20"), "{error}");
    assert!(error.is_retryable());
    // One look at the metadata, and none of the contents again.
    assert_eq!(server.requests().len(), 2);

    let errors = [
        content().range(5..).send().await.unwrap_err(),
        images.inspect(id).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotReady, "{error:?}");
    }
    let error = images.reader(id).read_u8().await.unwrap_err();
    assert!(error.to_string().contains("has yet to begin"), "{error}");
    #[cfg(feature = "fs")]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let save = images.save(id, &path);
        for save in [save.clone(), save.unchecked()] {
            let error = save.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotReady, "{error:?}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_download_under_way_is_not_ready() {
    let (server, images) = site();
    // The real server leaves such a download running for ever.
    let mut stuck = server.publish(good()).unwrap();
    stuck.set_username("user").unwrap();
    stuck.set_password(Some("secret")).unwrap();
    let id = download(&images, stuck).await.id;
    let wait = images
        .wait_downloaded(id)
        .timeout(Duration::from_millis(50));
    wait.send().await.unwrap_err();
    let error = images.content(id).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotReady);
    assert!(
        error.to_string().contains("is still downloading it ("),
        "{error}"
    );
    assert!(error.to_string().contains("s, since 20"), "{error}");
}

#[tokio::test]
async fn a_failed_download_says_so_in_the_servers_words() {
    let (_server, images) = site();
    let id = download(&images, "http://127.0.0.1:1/x".parse().unwrap())
        .await
        .id;
    images.wait_downloaded(id).send().await.unwrap_err();
    let error = images.content(id).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DownloadFailed);
    assert!(error.message().unwrap().contains("127.0.0.1:1"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn everything_else_stays_what_the_server_said() {
    let (server, images) = site();
    let id = server.add_image("x", good()).unwrap();
    let path = format!("/images/{id}");
    // Contents that are gone though the image is there, and metadata that cannot be had.
    server.inject(Fault::status(404).on("GET", &path));
    let gone = images.content(id).send().await.unwrap_err();
    server.inject(Fault::status(404).on("GET", &path));
    server.inject(Fault::status(403).on("GET", &path));
    let forbidden = images.content(id).send().await.unwrap_err();
    let unknown = images.content(999).send().await.unwrap_err();
    for error in [gone, forbidden, unknown] {
        assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized, "{error:?}");
        assert_eq!(error.status(), Some(404));
    }
    assert_eq!(server.requests().len(), 6);
}
