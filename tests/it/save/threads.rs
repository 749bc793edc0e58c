//! The threads of a fetch: one that ends is never waited for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use machine_images::Saved;
use machine_images::testing::{Fault, Received};
use sha2::Digest as _;

use super::{Gate, MIB, Setup, image};

#[tokio::test]
async fn a_listener_that_panics_on_any_thread_ends_the_fetch() {
    if std::thread::available_parallelism().map_or(1, usize::from) == 1 {
        return;
    }
    // On the thread that is told first, on the next one, or on all of them.
    for (connections, first, others) in [
        (1, true, false),
        (4, true, false),
        (4, false, true),
        (4, true, true),
    ] {
        // Any of them may be the one that is told most of the time.
        let mut setup = Setup::new();
        while let Ok(_saved) = panicking(&setup, connections, first, others).await {
            assert!(others && !first);
            setup = Setup::new();
        }
        assert!(!setup.target().exists());
        setup.server.clear_faults();
        setup.save(connections, setup.target()).await.unwrap();
        setup.assert_saved();
    }
}

/// Saves with a listener that panics when it is told the second time, on these threads.
async fn panicking(
    setup: &Setup,
    connections: usize,
    first: bool,
    others: bool,
) -> Result<Saved, ()> {
    let slow = Fault::Trickle {
        bytes: 64 * 1024,
        every: Duration::from_millis(5),
    };
    if first && !others {
        // The others have nothing to tell of while the first one is told again and again.
        let rare = Fault::Trickle {
            bytes: 64 * 1024,
            every: Duration::from_millis(500),
        };
        let is_other = |request: &Received| request.header("Range").is_some();
        let rare = setup.on(rare).when(is_other);
        setup.server.inject(rare.always());
    }
    setup.server.inject(setup.on(slow).always());
    let (thread, calls) = (Mutex::new(None), AtomicU32::new(0));
    let request = setup.save(connections, setup.target()).progress(move |_| {
        let this = std::thread::current().id();
        let first_thread = *thread.lock().unwrap().get_or_insert(this);
        let is_first = first_thread == this;
        let late = calls.fetch_add(1, Ordering::Relaxed) > 0;
        assert!(
            !late || !(first && is_first || others && !is_first),
            "no more of this"
        );
    });
    let fetch = tokio::spawn(request.send());
    let ended = tokio::time::timeout(Duration::from_secs(10), fetch).await;
    let ended = ended.expect("it hangs");
    ended
        .map(Result::unwrap)
        .map_err(|error| assert!(error.is_panic()))
}

/// Threads that a runtime has no room for are never begun, and not waited for.
#[test]
fn a_runtime_of_few_threads_is_enough() {
    let setup = Setup::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let fetch = setup.save(4, setup.target());
    let ended =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), fetch).await });
    runtime.shutdown_background();
    ended.expect("it hangs").unwrap();
    setup.assert_saved();
}

/// The last byte is written when the fetch is dropped.
#[tokio::test]
async fn a_fetch_that_is_dropped_right_before_its_end_changes_nothing() {
    for durable in [false, true] {
        const LENGTH: usize = 4 * 4096;
        let setup = Setup::of(image(LENGTH));
        std::fs::write(setup.target(), "before").unwrap();
        // Each piece comes at once and late enough to be reported, the last one, too.
        let slow = Fault::Trickle {
            bytes: 4096,
            every: Duration::from_millis(80),
        };
        setup.server.inject(setup.on(slow).always());
        let gate = Gate::default();
        let request = setup.save(1, setup.target()).durable(durable);
        let request = request.progress(gate.at(LENGTH as u64));
        let fetch = tokio::spawn(request.send());
        gate.reached().await;
        fetch.abort();
        assert!(fetch.await.unwrap_err().is_cancelled());
        gate.open();
        until_let_go(&setup).await;
        assert_eq!(std::fs::read(setup.target()).unwrap(), b"before");
        setup.server.clear_faults();
        let saved = setup.save(1, setup.target()).await.unwrap();
        assert!(saved.resumed_from > 0);
        setup.assert_saved();
    }
}

#[tokio::test]
async fn a_fetch_that_is_dropped_while_its_digest_is_computed_changes_nothing() {
    let length = 128 * MIB as u64;
    let setup = Setup::of(Vec::new());
    setup
        .server
        .new_image("long")
        .content(b"QFI\xfb")
        .length(length)
        .add()
        .unwrap();
    std::fs::write(setup.target(), "before").unwrap();
    let request = setup
        .images()
        .save(2, setup.target())
        .unchecked()
        .connections(4);
    let mut hasher = sha2::Sha256::new();
    hasher.update(b"QFI\xfb");
    let zeros = vec![0; MIB];
    hasher.update(&zeros[4..]);
    (1..length / MIB as u64).for_each(|_| hasher.update(&zeros));
    let digest = machine_images::Digest::new(hasher.finalize().into());
    let fetch = tokio::spawn(request.sha256(digest).send());
    while setup.sent() < length {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // All of it is there, so that only the digest is still to come.
    let is_there = || std::fs::metadata(setup.part()).is_ok_and(|part| part.len() == length);
    assert!(is_there() && !fetch.is_finished());
    tokio::time::sleep(Duration::from_secs(1)).await;
    if fetch.is_finished() {
        // With optimization it takes no second; the other drops are tested all the same.
        return;
    }
    fetch.abort();
    assert!(fetch.await.unwrap_err().is_cancelled());
    let began = Instant::now();
    until_let_go(&setup).await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(std::fs::read(setup.target()).unwrap(), b"before");
}

async fn until_let_go(setup: &Setup) {
    let began = Instant::now();
    while setup.part().exists() && !setup.is_let_go() {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
