//! Fetches that are dropped, and what the next one makes of what they left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use machine_images::RetryPolicy;
use machine_images::djinn::Client;
use machine_images::testing::Fault;
use proptest::prelude::*;

use super::raw::KIND;
use super::{CONNECTIONS, LENGTH, MIB, Reports, Setup, client, image};
use crate::support::cases;
use crate::support::raw::{Answer, RawServer, Received, Then};

#[tokio::test]
async fn a_dropped_fetch_stops_within_a_second_and_the_next_goes_on() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let slow = Fault::Trickle {
            bytes: 128 * 1024,
            every: Duration::from_millis(10),
        };
        setup.server.inject(setup.on(slow).always());
        let fetch = setup.save(connections, setup.target());
        let dropped = tokio::time::timeout(Duration::from_millis(300), fetch).await;
        assert!(dropped.is_err());
        let began = Instant::now();
        while !setup.is_let_go() {
            assert!(began.elapsed() < Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let sent = setup.sent();
        setup.server.clear_faults();

        let reports = Reports::default();
        let request = setup
            .save(connections, setup.target())
            .progress(reports.listener());
        let saved = request.await.unwrap();
        assert!(saved.resumed_from > 0 && saved.resumed_from <= sent);
        // The server has given out what was on the line, too.
        assert!(
            sent - saved.resumed_from < 2 * MIB as u64,
            "{sent} {saved:?}"
        );
        let last = reports.assert_good(LENGTH as u64);
        assert_eq!(last.resumed, saved.resumed_from);
        setup.assert_saved();
    }
}

/// As a program does that gives each attempt some time.
#[tokio::test]
async fn the_next_fetch_may_begin_at_once() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let slow = Fault::Trickle {
            bytes: 256 * 1024,
            every: Duration::from_millis(10),
        };
        setup.server.inject(setup.on(slow).always());
        let mut resumed_from = 0;
        for attempt in 0.. {
            assert!(attempt < 100);
            let fetch = setup.save(connections, setup.target());
            match tokio::time::timeout(Duration::from_millis(200), fetch).await {
                Err(_) => {}
                Ok(saved) => {
                    resumed_from = saved.unwrap().resumed_from;
                    break;
                }
            }
        }
        assert!(resumed_from > 0);
        setup.assert_saved();
    }
}

/// Dropped before it has begun, it leaves nothing.
#[tokio::test]
async fn a_fetch_that_is_dropped_before_the_first_answer_leaves_nothing() {
    let setup = Setup::new();
    setup.server.inject(setup.on(Fault::DelayResponse {
        wait: Duration::from_secs(600),
    }));
    let fetch = setup.save(1, setup.target());
    let dropped = tokio::time::timeout(Duration::from_millis(100), fetch).await;
    assert!(dropped.is_err());
    let began = Instant::now();
    while !setup.files().is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            setup.files()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Put(usize, Vec<u8>),
    Cut(usize),
    Remove(usize, usize),
    Swap(usize, usize),
    Zeros(usize),
    Empty,
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0_usize..2000;
    prop_oneof![
        (at.clone(), "[0-9wsb \n]{1,6}").prop_map(|(at, text)| Damage::Put(at, text.into())),
        at.clone().prop_map(Damage::Cut),
        (at.clone(), 1_usize..100).prop_map(|(at, count)| Damage::Remove(at, count)),
        (0_usize..40, 0_usize..40).prop_map(|(one, other)| Damage::Swap(one, other)),
        at.prop_map(Damage::Zeros),
        Just(Damage::Empty),
    ]
}

fn apply(damage: &Damage, mut state: Vec<u8>) -> Vec<u8> {
    let length = state.len();
    match damage {
        Damage::Put(at, bytes) => {
            let at = at % length;
            let end = (at + bytes.len()).min(length);
            state.splice(at..end, bytes.iter().copied());
        }
        Damage::Cut(at) => state.truncate(at % length),
        Damage::Remove(at, count) => {
            let at = at % length;
            state.drain(at..(at + count).min(length));
        }
        Damage::Swap(one, other) => {
            let mut lines: Vec<_> = state.split_inclusive(|&byte| byte == b'\n').collect();
            let count = lines.len();
            lines.swap(one % count, other % count);
            return lines.concat();
        }
        Damage::Zeros(at) => state[at % length..].fill(0),
        Damage::Empty => state.clear(),
    }
    state
}

#[test]
fn a_damaged_state_is_never_trusted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Small, as each of many cases fetches it, but large enough for a state.
    let setup = Setup::of(image(2 * MIB));
    runtime.block_on(setup.leave_half(1));
    let part = std::fs::read(setup.part()).unwrap();
    let state = std::fs::read(setup.state()).unwrap();
    proptest!(cases(24), |(damage in damage())| {
        std::fs::write(setup.part(), &part).unwrap();
        std::fs::write(setup.state(), apply(&damage, state.clone())).unwrap();
        let request = setup.save(1, setup.target()).durable(false);
        runtime.block_on(request.send()).unwrap();
        setup.assert_saved();
        std::fs::remove_file(setup.target()).unwrap();
    });
}

/// A connection ends with the runtime that made it: another call must not be on it by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beside_fetches_are_on_no_connection_of_theirs() {
    let setup = Setup::of(image(MIB));
    let client = client(&setup.server, RetryPolicy::none());
    for round in 0..20 {
        let fetches = (0..4).map(|number| {
            let target = setup.directory.path().join(number.to_string());
            let content = client.images().save(1, target).unchecked().durable(false);
            tokio::spawn(content.send())
        });
        let fetches: Vec<_> = fetches.collect();
        for number in 0..10 {
            let name = format!("beside-{round}-{number}");
            let upload = client.images().create_upload(name, b"QFI\xfb".as_slice());
            upload.unchecked().send().await.unwrap();
        }
        for fetch in fetches {
            fetch.await.unwrap().unwrap();
        }
    }
}

/// Reading the system's certificates takes longer than fetching a small image: those need no more
/// than the client has, and others share what they have made.
#[tokio::test]
async fn fetches_after_each_other_share_what_makes_connections() {
    let setup = Setup::of(image(MIB));
    let long = setup.server.add_image("long", image(8 * MIB)).unwrap();
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let client = Client::builder(setup.server.url()).token(setup.server.token());
    let client = client.reqwest_builder(move || {
        count.fetch_add(1, Ordering::Relaxed);
        reqwest::Client::builder()
    });
    let images = client.build().unwrap().images();
    let save = |id: machine_images::djinn::ImageId| {
        let save = images.save(id, setup.target()).unchecked();
        save.connections(2).durable(false)
    };
    for _ in 0..10 {
        save(1.into()).await.unwrap();
        save(long).await.unwrap();
    }
    // The client's own, and one for the saves. It is made on the side: a save that is done earlier
    // does not keep it.
    let made = made.load(Ordering::Relaxed);
    assert!((2..6).contains(&made), "{made}");
}

#[tokio::test]
async fn the_connection_that_a_client_has_open_is_used() {
    let image = image(MIB);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {KIND}\r\nETag: \"1\"\r\nContent-Length: {MIB}\r\n\r\n"
    );
    let answer = [head.as_bytes(), &image].concat();
    let answering = move |_: &Received| Answer::new(answer.clone(), Then::KeepAlive);
    let server = RawServer::answering(answering).await;
    let images = Client::builder(server.url("")).build().unwrap().images();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("disk");
    for _ in 0..3 {
        images.save(1, &target).unchecked().await.unwrap();
    }
    images.content(1).await.unwrap().bytes().await.unwrap();
    assert_eq!((server.received().len(), server.connections()), (4, 1));
}
