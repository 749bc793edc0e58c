use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt};
use machine_images::djinn::Image;

use super::Site;

#[tokio::test]
async fn each_image_comes_once_with_a_request_a_page() {
    for count in [0, 1, 25, 26, 60, 1000] {
        let site = Site::new();
        let Some(server) = &site.embedded else { return };
        let mut added = server.add_images(count).unwrap();

        let listed: Vec<Image> = site.images.list().stream().try_collect().await.unwrap();

        let mut ids: Vec<_> = listed.iter().map(|image| image.id).collect();
        ids.sort_unstable();
        added.sort_unstable();
        assert_eq!(ids, added, "{count} images");
        let pages = count.div_ceil(25).max(1);
        assert_eq!(server.requests().len(), pages, "{count} images");
    }
}

#[tokio::test]
async fn an_image_that_moves_to_the_next_page_comes_once() {
    let site = Site::new();
    let Some(server) = &site.embedded else { return };
    server.add_images(60).unwrap();
    let mut all = site.images.list().stream();
    let mut ids = Vec::new();
    for _ in 0..25 {
        ids.push(all.try_next().await.unwrap().unwrap().id);
    }
    // It sorts before all others and shifts them by one.
    server.add_image("Aaa", b"QFI\xfb").unwrap();
    while let Some(image) = all.try_next().await.unwrap() {
        ids.push(image.id);
    }
    assert_eq!(ids.len(), 60);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 60);
}

#[tokio::test]
async fn a_limit_asks_for_no_more_pages_than_it_needs() {
    for (limit, requests) in [(0, 0), (1, 1), (25, 1), (26, 2)] {
        let site = Site::new();
        let Some(server) = &site.embedded else { return };
        server.add_images(60).unwrap();
        let listed = site.images.list().limit(limit).stream().count().await;
        assert_eq!((listed as u64, server.requests().len()), (limit, requests));
    }
}

#[tokio::test]
async fn pages_know_their_neighbours() {
    let site = Site::new();
    let Some(server) = &site.embedded else { return };
    server.add_images(60).unwrap();
    let neighbours: Vec<_> = site
        .images
        .list()
        .pages()
        .map_ok(|page| (page.number, page.items.len(), page.previous, page.next))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        neighbours,
        [
            (1, 25, None, Some(2)),
            (2, 25, Some(1), Some(3)),
            (3, 10, Some(2), None)
        ]
    );
    // Past the end the real server answers with an empty page, and further on with the last.
    for (page, items) in [(4, 0), (61, 10), (99, 10)] {
        let page = site.images.list().page(page).send().await.unwrap();
        assert_eq!(
            (page.items.len(), page.next),
            (items, None),
            "page {}",
            page.number
        );
    }
}
