//! A neighbour who never stops.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::world::{Place, World, outcome};
use crate::save::{MIB, Setup, ends, image};

/// Puts a new file at a path again and again, until dropped.
struct Swaps(Arc<AtomicBool>, Option<std::thread::JoinHandle<u64>>);

impl Swaps {
    fn start(path: PathBuf, spare: PathBuf, keeps: bool) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            while !is_done.load(Ordering::Relaxed) {
                fs::write(&spare, "another's").unwrap();
                // As often as not there is nothing.
                if fs::rename(&spare, &path).is_ok() {
                    count += 1;
                }
                if !keeps {
                    let _ = fs::remove_file(&path);
                    std::thread::yield_now();
                }
            }
            count
        });
        Self(done, Some(thread))
    }

    fn stop(mut self) -> u64 {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().unwrap().join().unwrap()
    }
}

#[tokio::test]
async fn files_that_are_swapped_all_the_time_end_a_fetch_in_time_and_are_never_named() {
    let setup = Setup::of(image(MIB / 4));
    let mut rows = Vec::new();
    for place in [Place::Part, Place::Journal, Place::Spare] {
        for keeps in [true, false] {
            for _ in 0..20 {
                let world = World::new();
                let spare = world.root().join("swapped");
                let swaps = Swaps::start(world.path(place), spare, keeps);
                let request = setup.save(1, world.target());
                let result = ends(request.send()).await;
                let count = swaps.stop();
                let uid = rustix::process::geteuid().as_raw();
                let is_ok = result.is_ok();
                if is_ok || fs::symlink_metadata(world.target()).is_err() {
                    world.assert_unharmed(is_ok, &setup.image, uid);
                }
                assert!(count > 0 || is_ok);
                rows.push([
                    if keeps { "swapped" } else { "there and gone" }.to_owned(),
                    format!("{place:?}"),
                    "always".to_owned(),
                    "1".to_owned(),
                    outcome(&result, &world.here()),
                ]);
            }
        }
    }
    super::print("What a restless neighbour does", rows);
}
