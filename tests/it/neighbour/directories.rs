//! The directory itself: another one by the time of the rename, or none at all.

use std::fs;
use std::os::unix::fs::symlink;

use machine_images::ErrorKind;

use super::world::{Kind, Place, World, outcome};
use crate::save::{Gate, MIB, Setup, ends, image};

#[tokio::test]
async fn a_directory_that_becomes_another_one_gets_nothing() {
    let setup = Setup::of(image(8 * MIB));
    let mut rows = Vec::new();
    for connections in [1, 2] {
        for change in ["moved away", "replaced", "link elsewhere", "link to itself"] {
            for planted in [false, true] {
                let mut world = World::new();
                let gate = Gate::default();
                let request = setup.save(connections, world.target()).progress(gate.at(0));
                let fetch = tokio::spawn(request.send());
                gate.reached().await;
                let moved = world.root().join("moved");
                fs::rename(world.here(), &moved).unwrap();
                match change {
                    "moved away" => {}
                    "replaced" => fs::create_dir(world.here()).unwrap(),
                    "link elsewhere" => symlink(world.elsewhere(), world.here()).unwrap(),
                    _ => symlink(&moved, world.here()).unwrap(),
                }
                let is_planted = planted && change == "replaced";
                if is_planted {
                    world.plant(Place::Part, Kind::File);
                    world.plant(Place::Journal, Kind::File);
                }
                gate.open();
                let result = ends(async { fetch.await.unwrap() }).await;
                match change {
                    // It is still the same file, wherever the directory is.
                    "link to itself" => assert!(result.is_ok(), "{result:?}"),
                    _ => assert_eq!(result.as_ref().unwrap_err().kind(), ErrorKind::Busy),
                }
                let uid = rustix::process::geteuid().as_raw();
                world.assert_unharmed(result.is_ok(), &setup.image, uid);
                if is_planted {
                    for place in [Place::Part, Place::Journal] {
                        assert_eq!(fs::read(world.path(place)).unwrap(), b"planted");
                    }
                }
                rows.push([
                    change.to_owned(),
                    "directory".to_owned(),
                    "AtFirst".to_owned(),
                    connections.to_string(),
                    outcome(&result, &world.here()),
                ]);
            }
        }
    }
    super::print("What becomes of the directory", rows);
}

#[tokio::test]
async fn what_is_no_directory_is_an_error_and_nothing_is_asked_for() {
    let setup = Setup::of(image(2 * MIB));
    let mut rows = Vec::new();
    for kind in [
        Kind::Fifo,
        Kind::DanglingLink,
        Kind::Link,
        Kind::HardLink,
        Kind::File,
    ] {
        let mut world = World::new();
        world.plant(Place::Target, kind);
        let target = world.target().join("disk");
        let result = ends(setup.save(1, target)).await;
        assert_eq!(result.as_ref().unwrap_err().kind(), ErrorKind::Io);
        world.assert_unharmed(false, &setup.image, 0);
        rows.push([
            format!("{kind:?}"),
            "directory".to_owned(),
            "Before".to_owned(),
            "1".to_owned(),
            outcome(&result, &world.here()),
        ]);
    }
    assert!(setup.server.requests().is_empty());
    super::print("What is there in place of the directory", rows);
}
