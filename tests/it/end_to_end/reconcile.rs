use machine_images::djinn::{Client, Images, Source};
use machine_images::testing::{Close, DjinnServer, Fault};
use machine_images::{Digest, ErrorKind};
use reqwest::Method;
use sha2::Digest as _;

use super::DISK;

fn site() -> (DjinnServer, Images) {
    let server = DjinnServer::start().unwrap();
    let client = Client::builder(server.url()).token(server.token());
    let images = client.build().unwrap().images();
    (server, images)
}

fn posts(server: &DjinnServer) -> usize {
    let requests = server.requests();
    requests
        .iter()
        .filter(|request| request.method == "POST")
        .count()
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_found_again() {
    for close in [Close::Clean, Close::Reset] {
        let (server, images) = site();
        server.inject(Fault::DropAnswer { close }.on(Method::POST, "/images"));
        let upload = images
            .create_upload("lost", Source::file(DISK))
            .reconcile(true);

        let image = upload.send().await.unwrap();

        assert_eq!(
            server.content(image.id.0).unwrap(),
            std::fs::read(DISK).unwrap()
        );
        assert_eq!((posts(&server), server.image_count()), (1, 1));
    }
}

#[tokio::test]
async fn an_upload_that_was_cut_is_sent_again() {
    let (server, images) = site();
    let cut = Fault::CutRequest {
        after: 50_000,
        close: Close::Reset,
    };
    server.inject(cut.on(Method::POST, "/images"));
    let namespace = "lab".parse().unwrap();
    let upload = images
        .create_upload("cut", Source::file(DISK))
        .namespace(namespace);

    let image = upload.reconcile(true).send().await.unwrap();

    assert_eq!(
        server.content(image.id.0).unwrap(),
        std::fs::read(DISK).unwrap()
    );
    assert_eq!((posts(&server), server.image_count()), (2, 1));
}

#[tokio::test]
async fn a_source_that_can_be_read_once_is_not_sent_again() {
    let (server, images) = site();
    let cut = Fault::CutRequest {
        after: 50_000,
        close: Close::Reset,
    };
    server.inject(cut.on(Method::POST, "/images"));
    let reader = tokio::fs::File::open(DISK).await.unwrap();
    let upload = images.create_upload("cut", Source::reader(reader, 208_896));

    let error = upload.reconcile(true).send().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!((posts(&server), server.image_count()), (1, 0));
}

#[tokio::test]
async fn an_image_with_other_contents_is_not_taken_for_the_upload() {
    let digest = Digest(sha2::Sha256::digest(std::fs::read(DISK).unwrap()).into());
    let mut other = std::fs::read(DISK).unwrap();
    other[100_000] ^= 1;
    for (contents, found) in [(std::fs::read(DISK).unwrap(), true), (other, false)] {
        let (server, images) = site();
        // It was there before, so the upload itself would have been refused.
        server.add_image("mine", contents).unwrap();
        server.inject(
            Fault::DropAnswer {
                close: Close::Clean,
            }
            .on(Method::POST, "/images"),
        );
        let upload = images
            .create_upload("mine", Source::file(DISK))
            .reconcile_sha256(digest);
        match upload.send().await {
            Ok(image) => assert!(found && image.name == "mine"),
            Err(error) => assert!(!found && error.kind() == ErrorKind::Rejected, "{error:?}"),
        }
    }
}
