//! How many connections a fetch makes by itself, and what it does where a server has no more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine_images::testing::{Fault, Received};
use machine_images::{ErrorKind, Phase};

use super::{MIB, Setup, image};

/// Each connection gets 64 KiB every 10 ms.
fn slow() -> Fault {
    Fault::Trickle {
        bytes: 64 * 1024,
        every: Duration::from_millis(10),
    }
}

fn by_itself(setup: &Setup) -> machine_images::djinn::Save {
    let save = setup.images().save(1, setup.target()).unchecked();
    save.durable(false)
}

#[tokio::test]
async fn connections_are_added_as_long_as_they_bring_more() {
    let setup = Setup::of(image(48 * MIB));
    setup.server.inject(setup.on(slow()).always());
    let saved = by_itself(&setup).await.unwrap();
    assert!((3..=8).contains(&saved.connections), "{saved:?}");
    setup.assert_saved();
}

#[tokio::test]
async fn a_small_image_takes_one_connection_and_one_request() {
    let setup = Setup::of(image(8 * MIB - 1));
    setup.server.inject(setup.on(slow()).always());
    let saved = by_itself(&setup).await.unwrap();
    assert_eq!(saved.connections, 1);
    assert_eq!(setup.server.requests().len(), 1);
    setup.assert_saved();
}

/// Returns `true` if content was sent, or given up.
fn is_sent(request: &Received) -> bool {
    matches!(request.status, Some(200 | 206)) && request.is_over
}

/// As a server that allows two connections to a client.
#[tokio::test]
async fn a_server_that_refuses_the_third_connection_ends_with_the_file() {
    for status in [503, 429] {
        for connections in [None, Some(8)] {
            let setup = Arc::new(Setup::new());
            let site = Arc::downgrade(&setup);
            // Locked, as two requests may come at once.
            let begun = Mutex::new(0);
            let third = move |_: &Received| {
                let mut begun = begun.lock().unwrap();
                let requests = site.upgrade().map(|setup| setup.server.requests());
                let sent = requests.iter().flatten().filter(|r| is_sent(r)).count();
                let is_third = *begun - sent >= 2;
                *begun += usize::from(!is_third);
                is_third
            };
            setup
                .server
                .inject(setup.on(Fault::status(status)).when(third).always());
            setup.server.inject(setup.on(slow()).always());
            let mut save = by_itself(&setup);
            if let Some(connections) = connections {
                save = save.connections(connections);
            }
            let saved = save.await.unwrap();
            // One may take the place of another.
            assert!(saved.connections >= 2, "{saved:?}");
            let requests = setup.server.requests();
            let refused = requests.iter().filter(|r| r.status == Some(status));
            assert!(refused.count() <= 8, "{requests:?}");
            setup.assert_saved();
        }
    }
}

#[tokio::test]
async fn a_server_without_ranges_is_asked_for_one_once_and_ends_with_the_file() {
    for connections in [None, Some(4)] {
        let setup = Setup::new();
        setup.server.inject(
            setup
                .on(Fault::IgnoreRange)
                .when(|r| r.header("range").is_some())
                .always(),
        );
        setup.server.inject(setup.on(slow()).always());
        let mut save = by_itself(&setup);
        if let Some(connections) = connections {
            save = save.connections(connections);
        }
        let saved = save.await.unwrap();
        assert_eq!(saved.connections, 1);
        setup.assert_saved();
    }
}

/// Connections that give way are not the end of a fetch, but the last of them is.
#[tokio::test]
async fn a_server_that_is_too_busy_for_all_ends_a_fetch() {
    let setup = Setup::new();
    let cut = Fault::CutResponse {
        after: MIB as u64,
        close: machine_images::testing::Close::Clean,
    };
    setup.server.inject(setup.on(cut));
    setup.server.inject(setup.on(Fault::status(503)).always());
    let error = by_itself(&setup).connections(4).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    setup.server.clear_faults();
    assert!(by_itself(&setup).await.unwrap().resumed_from > 0);
    setup.assert_saved();
}

/// A listener that takes its time holds up the connection that calls it, and no other.
#[tokio::test]
async fn a_slow_listener_holds_up_one_connection() {
    let setup = Setup::new();
    let calls = AtomicUsize::new(0);
    let save = by_itself(&setup).connections(4).progress(move |progress| {
        let progress: machine_images::Progress = progress;
        if progress.phase == Phase::Content && calls.fetch_add(1, Ordering::Relaxed) == 1 {
            std::thread::sleep(Duration::from_secs(2));
        }
    });
    setup.server.inject(setup.on(slow()).always());
    let fetch = tokio::spawn(save.send());
    // What the others do while one sleeps is all but what that one has claimed.
    tokio::time::sleep(Duration::from_millis(1900)).await;
    assert!(setup.sent() > setup.image.len() as u64 * 3 / 4);
    fetch.await.unwrap().unwrap();
    setup.assert_saved();
}
