//! Lists whose rows move, and lists of a namespace.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use machine_images::ErrorKind;
use machine_images::djinn::{Client, ImageId, Images, Visibility};
use machine_images::testing::DjinnServer;

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");

fn images(server: &DjinnServer, token: &str) -> Images {
    let client = Client::builder(server.url()).token(token);
    client.build().unwrap().images()
}

/// A server with 60 images on three pages.
fn site() -> (DjinnServer, Images) {
    let server = DjinnServer::start().unwrap();
    server.add_images(60).unwrap();
    let images = images(&server, server.token());
    (server, images)
}

/// The ids that a list meets while another deletes, each time a page has been read, an image of it.
async fn read(images: &Images, max_passes: u32, deletions: usize) -> (Vec<i64>, BTreeSet<i64>) {
    let list = images.list().stream();
    let all: BTreeSet<i64> = list
        .map_ok(|image| image.id.get())
        .try_collect()
        .await
        .unwrap();
    let mut left = all.clone();
    let mut met = Vec::new();
    let mut stream = images.list().consistent(max_passes).stream();
    while let Some(image) = stream.next().await {
        met.push(image.unwrap().id.get());
        if met.len() % 25 == 0 && all.len() - left.len() < deletions {
            let gone = met[met.len() - 1];
            images.delete(ImageId::from(gone)).send().await.unwrap();
            left.remove(&gone);
        }
    }
    (met, left)
}

#[tokio::test]
async fn one_pass_can_miss_a_row_that_moves_and_a_consistent_list_does_not() {
    let (_server, images) = site();
    let (met, left) = read(&images, 1, 1).await;
    let met: BTreeSet<_> = met.into_iter().collect();
    assert_eq!(left.difference(&met).count(), 1);

    let (_server, images) = site();
    let (met, left) = read(&images, 5, 2).await;
    let unique: BTreeSet<_> = met.iter().copied().collect();
    assert!(left.is_subset(&unique));
    assert_eq!(met.len(), unique.len());
}

#[tokio::test]
async fn a_list_that_stands_still_is_read_twice_and_a_single_page_once() {
    let (server, images) = site();
    let all: Vec<_> = images
        .list()
        .consistent(5)
        .stream()
        .try_collect()
        .await
        .unwrap();
    assert_eq!((all.len(), server.requests().len()), (60, 6));

    let server = DjinnServer::start().unwrap();
    server.add_images(10).unwrap();
    let images = self::images(&server, server.token());
    let few = images.list().consistent(5).limit(3).stream();
    assert_eq!(few.try_collect::<Vec<_>>().await.unwrap().len(), 3);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_list_that_never_stands_still_ends_in_an_error() {
    let (server, images) = site();
    let mut stream = images.list().consistent(3).stream();
    let mut met = 0;
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(_) => met += 1,
            Err(error) => break error,
        }
        // Each pass meets one more, at the end of the list.
        if met >= 60 && server.image_count() < 65 {
            let name = format!("zz-{met}");
            server.add_image(&name, DISK).unwrap();
        }
    };
    assert_eq!(error.kind(), ErrorKind::Limit);
    let text = "list images: the list changed during each of 3 passes";
    assert_eq!(error.to_string(), text);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn the_images_of_anothers_public_namespace_can_be_listed() {
    let server = DjinnServer::builder().user("eli", "e11").start().unwrap();
    for path in ["lab@eli", "lab/kernels@eli"] {
        server.add_namespace(path, Visibility::Public).unwrap();
    }
    for name in ["linux", "hurd"] {
        let image = server.new_image(name).author("eli");
        let image = image.namespace("lab/kernels@eli").content(DISK);
        image.add().unwrap();
    }
    let images = images(&server, server.token());
    assert_eq!(images.list().page(1).send().await.unwrap().items.len(), 0);
    let list = |namespace: &str| images.list().namespace(namespace.parse().unwrap());
    let all = list("lab/kernels@eli").await.unwrap();
    let names: Vec<_> = all.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["hurd", "linux"]);
    let narrowed = list("lab/kernels@eli").search("lin").await.unwrap();
    assert_eq!(narrowed.len(), 1);

    let error = list("none@eli").page(1).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);
}
