//! Pages that are asked for ahead: the walk must be the one without.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use machine_images::djinn::{Client, Image, List, ListAll};
use machine_images::testing::{DjinnServer, Fault};
use machine_images::{Error, ErrorKind, Page};

fn server_of(count: usize) -> DjinnServer {
    let server = DjinnServer::start().unwrap();
    server.add_images(count).unwrap();
    server
}

fn list(server: &DjinnServer) -> List {
    let client = Client::builder(server.url()).token(server.token());
    client.build().unwrap().images().list()
}

/// What does not depend on the server's port and clock.
fn shape(page: Page<Image>) -> (u64, Option<u64>, Option<u64>, Vec<String>) {
    let names = page.items.into_iter().map(|image| image.name).collect();
    (page.number, page.next, page.previous, names)
}

/// The numbers of the pages that came, and the error that ended them.
async fn walk(list: ListAll) -> (Vec<u64>, Option<Error>) {
    let mut pages = list.pages();
    let mut numbers = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => numbers.push(page.number),
            Err(error) => {
                assert!(pages.next().await.is_none());
                return (numbers, Some(error));
            }
        }
    }
    (numbers, None)
}

#[tokio::test]
async fn the_pages_are_those_of_the_plain_walk() {
    for count in [0, 1, 25, 26, 60, 1000] {
        let server = server_of(count);
        let plain: Vec<_> = list(&server)
            .pages()
            .map_ok(shape)
            .try_collect()
            .await
            .unwrap();
        for ahead in [1, 2, 3, 8, 100] {
            // Another server, as requests in vain may come in later.
            let server = server_of(count);
            let walked: Vec<_> = list(&server)
                .prefetch(ahead)
                .pages()
                .map_ok(shape)
                .try_collect()
                .await
                .unwrap();
            assert_eq!(walked, plain);
            let requests = server.requests();
            let asked: HashSet<_> = requests.iter().map(|request| &request.target).collect();
            assert_eq!(asked.len(), requests.len(), "none is asked for twice");
            assert!(requests.len() <= plain.len() + ahead, "{count} {ahead}");
        }
    }
}

#[tokio::test]
async fn a_search_and_a_first_page_are_kept() {
    let server = server_of(200);
    let images = || {
        list(&server)
            .search("a b&c")
            .query("x", "page=3")
            .from_page(3)
    };
    let plain: Vec<_> = images().pages().try_collect().await.unwrap();
    let asked = |server: &DjinnServer| {
        let requests = server.requests().into_iter();
        requests
            .map(|request| request.target)
            .collect::<HashSet<_>>()
    };
    let plainly = asked(&server);
    server.clear_requests();
    let ahead: Vec<_> = images().prefetch(4).pages().try_collect().await.unwrap();
    assert_eq!(ahead, plain);
    assert!(asked(&server).is_superset(&plainly));
}

#[tokio::test]
async fn no_more_is_asked_for_than_was_allowed() {
    let server = server_of(1000);
    let mut pages = list(&server).prefetch(3).pages();
    for taken in 1..=4 {
        pages.try_next().await.unwrap();
        // The caller works on the page.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(server.requests().len(), taken + 3);
    }
}

#[tokio::test]
async fn requests_end_with_the_stream() {
    let server = DjinnServer::builder()
        .latency(Duration::from_millis(100))
        .start()
        .unwrap();
    server.add_images(1000).unwrap();
    let mut pages = list(&server).prefetch(3).pages();
    pages.try_next().await.unwrap();
    drop(pages);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answered = |request: &machine_images::testing::Received| request.status.is_some();
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|request| answered(request))
            .count(),
        1
    );
}

#[tokio::test]
async fn an_error_comes_in_its_turn_and_ends_the_walk() {
    let server = server_of(1000);
    server.inject(
        Fault::status(400)
            .on("GET", "/images")
            .when(|request| request.target.ends_with("page=4"))
            .always(),
    );
    for ahead in [0, 2, 8] {
        let (numbers, error) = walk(list(&server).prefetch(ahead)).await;
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(error.unwrap().status(), Some(400));
    }
}

#[tokio::test]
#[should_panic(expected = "listener")]
async fn a_panic_of_a_listener_is_the_callers() {
    let server = server_of(60);
    let attempts = AtomicUsize::new(0);
    let builder = Client::builder(server.url()).token(server.token());
    // The first page is not asked for ahead.
    let client = builder.on_attempt(move |_| {
        assert!(attempts.fetch_add(1, Ordering::Relaxed) == 0, "listener");
    });
    let list = client.build().unwrap().images().list();
    walk(list.prefetch(2)).await;
}

#[tokio::test]
async fn an_error_past_the_end_is_none() {
    let server = server_of(60);
    server.inject(
        Fault::status(400)
            .on("GET", "/images")
            .when(|request| request.target.ends_with("page=4"))
            .always(),
    );
    let (numbers, error) = walk(list(&server).prefetch(8)).await;
    assert_eq!(numbers, [1, 2, 3]);
    assert!(error.is_none());
}

#[tokio::test]
async fn rows_that_move_are_seen_once() {
    for ahead in [0, 1, 4, 50] {
        let server = server_of(200);
        let ids: HashSet<_> = (list(&server).stream().map_ok(|image| image.id))
            .try_collect()
            .await
            .unwrap();
        let mut images = list(&server).prefetch(ahead).stream();
        let mut seen = Vec::new();
        while let Some(image) = images.try_next().await.unwrap() {
            if seen.len() % 30 == 0 {
                // It sorts before all others, and moves each of them by a row.
                let name = format!("a-{:05}", seen.len());
                server.add_image(&name, b"QFI\xfb").unwrap();
            }
            seen.push(image.id);
        }
        let unique: HashSet<_> = seen.iter().copied().collect();
        assert_eq!(unique.len(), seen.len());
        // Pages that are read at the same time may be of different times, in any order.
        assert!(ahead > 1 || unique.is_superset(&ids), "{ahead}");
    }
}

#[tokio::test]
async fn the_most_pages_are_not_exceeded() {
    let server = server_of(100);
    let client = Client::builder(server.url())
        .token(server.token())
        .max_pages(2);
    let images = client.build().unwrap().images();
    let (numbers, error) = walk(images.list().prefetch(8)).await;
    assert_eq!(numbers, [1, 2]);
    assert_eq!(error.unwrap().kind(), ErrorKind::Limit);
    assert_eq!(server.requests().len(), 2);
}
