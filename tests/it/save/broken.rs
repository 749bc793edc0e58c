//! Lines that break, and servers that answer in part.

use std::time::{Duration, Instant};

use machine_images::testing::{Close, Fault};
use machine_images::{ErrorKind, RetryPolicy};

use super::{CONNECTIONS, LENGTH, MIB, Reports, Setup, client, quick};

#[tokio::test]
async fn a_cut_line_is_made_again() {
    for connections in CONNECTIONS {
        for close in [Close::Clean, Close::Reset] {
            for after in [0, 100_000, 3 * MIB as u64 + 7] {
                let setup = Setup::new();
                let cut = Fault::CutResponse { after, close };
                setup.server.inject(setup.on(cut).times(4));
                let reports = Reports::default();
                let request = setup
                    .save(connections, setup.target())
                    .progress(reports.listener());
                let saved = request.await.unwrap();
                setup.assert_saved();
                reports.assert_good(LENGTH as u64);
                // Others' bytes come twice where a response goes on over them.
                let most = if connections == 1 { 2 } else { 8 };
                let again = saved.fetched - LENGTH as u64;
                assert!(again <= most * MIB as u64, "{again} of {after} {close:?}");
                assert_eq!((saved.bytes, saved.resumed_from), (LENGTH as u64, 0));
                assert_eq!(saved.connections, connections);
                // Nothing was asked for twice but what broke.
                assert!(setup.server.requests().len() >= connections + 4);
            }
        }
    }
}

#[tokio::test]
async fn every_request_after_the_first_names_the_version() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let cut = Fault::CutResponse {
            after: MIB as u64,
            close: Close::Clean,
        };
        setup.server.inject(setup.on(cut).times(3));
        setup.save(connections, setup.target()).await.unwrap();
        let requests = setup.server.requests();
        assert!(requests[0].header("if-range").is_none());
        for request in &requests[1..] {
            assert!(request.header("range").is_some() && request.header("if-range").is_some());
            assert_eq!(request.status, Some(206));
        }
    }
}

#[tokio::test]
async fn without_retries_nothing_is_tried_twice_yet_several_connections_work() {
    let setup = Setup::new();
    let client = client(&setup.server, RetryPolicy::none());
    for _ in 0..4 {
        let request = client
            .images()
            .save(1, setup.target())
            .unchecked()
            .connections(4);
        request.await.unwrap();
        setup.assert_saved();
    }
}

#[tokio::test]
async fn a_transfer_that_never_gets_further_ends_within_its_retries() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        setup.server.inject(setup.on(Fault::CutResponse {
            after: MIB as u64,
            close: Close::Clean,
        }));
        setup.server.inject(setup.on(Fault::status(503)).always());
        let client = client(&setup.server, quick().retries(2));
        let request = client
            .images()
            .save(1, setup.target())
            .unchecked()
            .connections(connections);
        let error = request.await.unwrap_err();
        assert_eq!(error.status(), Some(503), "{error:?}");
        assert_eq!(error.attempts(), 3);
        let requests = setup.server.requests().len();
        assert!(requests <= 1 + 3 * connections, "{requests}");
        setup.server.clear_faults();
        let saved = setup.save(connections, setup.target()).await.unwrap();
        assert!(saved.resumed_from >= MIB as u64 / 2);
        setup.assert_saved();
    }
}

#[tokio::test]
async fn cuts_without_a_byte_between_them_end_within_the_retries() {
    let setup = Setup::new();
    let cut = |after| Fault::CutResponse {
        after,
        close: Close::Clean,
    };
    setup.server.inject(setup.on(cut(MIB as u64)));
    setup.server.inject(setup.on(cut(0)).always());
    let client = client(&setup.server, quick().retries(2));
    let save = client.images().save(1, setup.target()).unchecked();
    let error = save.connections(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(setup.server.requests().len(), 3);
}

#[tokio::test]
async fn a_line_that_stands_still_is_left_and_can_be_resumed() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        // Each of them: less than the shortest piece of an image.
        let after = 48 << 10;
        let stall = Fault::StallResponse {
            after,
            wait: Duration::from_secs(600),
        };
        setup.server.inject(setup.on(stall.clone()).always());
        let builder = machine_images::djinn::Client::builder(setup.server.url());
        let builder = builder
            .token(setup.server.token())
            .retry(RetryPolicy::none());
        let client = builder
            .stall_timeout(Duration::from_millis(200))
            .build()
            .unwrap();
        let fetch = || {
            client
                .images()
                .save(1, setup.target())
                .unchecked()
                .connections(connections)
        };
        let error = fetch().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stalled);
        setup.server.clear_faults();
        // Once only: a retry would go on by itself.
        let saved = fetch().await.unwrap();
        assert!(saved.resumed_from >= after, "{}", saved.resumed_from);
        let most = LENGTH + connections * MIB;
        assert!(saved.resumed_from + saved.fetched <= most as u64);
        setup.assert_saved();
    }
}

#[tokio::test]
async fn a_stall_is_gone_around_by_a_retry() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let stall = Fault::StallResponse {
            after: MIB as u64,
            wait: Duration::from_secs(600),
        };
        setup.server.inject(setup.on(stall));
        let builder = machine_images::djinn::Client::builder(setup.server.url());
        let builder = builder.token(setup.server.token()).retry(quick());
        let client = builder
            .stall_timeout(Duration::from_millis(200))
            .build()
            .unwrap();
        let request = client
            .images()
            .save(1, setup.target())
            .unchecked()
            .connections(connections);
        request.await.unwrap();
        setup.assert_saved();
    }
}

#[tokio::test]
async fn one_slow_connection_does_not_hold_the_end() {
    let setup = Setup::new();
    // Alone it would take almost an hour for its share.
    let slow = Fault::Trickle {
        bytes: 64,
        every: Duration::from_millis(50),
    };
    let slow = setup.on(slow).when(|r| {
        r.header("range")
            .is_some_and(|r| r.starts_with("bytes=4194304-"))
    });
    setup.server.inject(slow);
    let began = Instant::now();
    setup.save(4, setup.target()).await.unwrap();
    setup.assert_saved();
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_as_good() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        setup
            .server
            .inject(setup.on(Fault::header("Connection", "close")).always());
        let saved = setup.save(connections, setup.target()).await.unwrap();
        assert!(saved.fetched - LENGTH as u64 <= 2 * MIB as u64);
        setup.assert_saved();
    }
}

#[tokio::test]
async fn another_length_than_announced_is_found_out() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        setup
            .server
            .inject(setup.on(Fault::ContentLength { by: 1000 }));
        setup.save(connections, setup.target()).await.unwrap();
        setup.assert_saved();
    }
    // Whoever believes in it all the time has nothing to save.
    let setup = Setup::new();
    setup
        .server
        .inject(setup.on(Fault::ContentLength { by: 1000 }).always());
    let error = setup.save(1, setup.target()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Changed | ErrorKind::Range),
        "{error}"
    );
    assert!(!setup.target().exists());
}

#[tokio::test]
async fn small_and_empty_images_need_no_second_connection() {
    for length in [0, 1, 4096, 4 * MIB, 5 * MIB, 8 * MIB - 1] {
        for connections in CONNECTIONS {
            let setup = Setup::of(if length < 4 {
                vec![7; length]
            } else {
                super::image(length)
            });
            let client = client(&setup.server, RetryPolicy::none());
            let request = client
                .images()
                .save(1, setup.target())
                .unchecked()
                .connections(connections);
            let saved = request.await.unwrap();
            assert_eq!((saved.connections, saved.fetched), (1, length as u64));
            setup.assert_saved();
        }
    }
}
