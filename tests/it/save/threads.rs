//! The threads of a fetch: one that ends is never waited for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use machine_images::testing::Fault;

use super::Setup;

async fn a_listener_that_panics_on_any_thread_ends_the_fetch() {
    // On the thread that is told first, on the next one, or on all of them.
    for (connections, first, others) in [
        (1, true, false),
        (4, true, false),
        (4, false, true),
        (4, true, true),
    ] {
        let setup = Setup::new();
        let slow = Fault::Trickle {
            bytes: 64 * 1024,
            every: Duration::from_millis(5),
        };
        setup.server.inject(setup.on(slow).always());
        let (thread, calls) = (Mutex::new(None), AtomicU32::new(0));
        let request = setup.content(connections).progress(move |_| {
            let this = std::thread::current().id();
            let first_thread = *thread.lock().unwrap().get_or_insert(this);
            let is_first = first_thread == this;
            let late = calls.fetch_add(1, Ordering::Relaxed) > 0;
            assert!(
                !late || !(first && is_first || others && !is_first),
                "no more of this"
            );
        });
        let fetch = tokio::spawn(request.save_to(setup.target()));
        let ended = tokio::time::timeout(Duration::from_secs(10), fetch).await;
        let ended = ended.expect("it hangs");
        if others && std::thread::available_parallelism().map_or(1, usize::from) == 1 {
            return;
        }
        assert!(ended.unwrap_err().is_panic());
        assert!(!setup.target().exists());
        setup.server.clear_faults();
        setup
            .content(connections)
            .save_to(setup.target())
            .await
            .unwrap();
        setup.assert_saved();
    }
}

fn a_runtime_of_few_threads_is_enough() {
    let setup = Setup::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let fetch = setup.content(4).save_to(setup.target());
    let ended =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), fetch).await });
    runtime.shutdown_background();
    ended.expect("it hangs").unwrap();
    setup.assert_saved();
}
