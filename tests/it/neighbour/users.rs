//! A user without rights over others, in a directory for everyone.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use super::brief;
use super::world::{Kind, OTHER, Place, World};
use crate::save::{Child, MIB, Setup, image, is_root};

#[tokio::test]
async fn in_a_directory_for_everyone_nothing_of_others_is_taken() {
    if !is_root("being someone else") {
        return;
    }
    let setup = Setup::of(image(2 * MIB));
    let copies = tempfile::tempdir().unwrap();
    let (url, token) = (setup.server.url(), setup.server.token());
    let mut rows = Vec::new();
    let places = Place::ALL.into_iter().map(Some).chain([None]);
    for (place, directory) in places.flat_map(|place| [0o1777, 0o777].map(|mode| (place, mode))) {
        for kind in Kind::ALL {
            let mut world = World::new();
            for path in [world.root(), &world.here(), &world.elsewhere()] {
                fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
            }
            fs::set_permissions(world.here(), Permissions::from_mode(directory)).unwrap();
            if let Some(place) = place {
                world.plant(place, kind);
                if kind == Kind::AnothersFile {
                    chown(world.path(place), Some(OTHER - 1), Some(OTHER - 1)).unwrap();
                }
            } else if kind != Kind::ReadOnly {
                continue;
            } else {
                fs::set_permissions(world.here(), Permissions::from_mode(0o555)).unwrap();
            }
            let target = world.target();
            let child = Child::as_user(OTHER, copies.path(), url.as_str(), token, &target);
            let outcome = child.outcome().await;
            let is_ok = outcome.starts_with("ok ");
            let planted = place.map(|place| (place, world.path(place)));
            world.assert_unharmed(is_ok, &setup.image, OTHER);
            if let Some((Place::Part, path)) = &planted {
                // What was root's still is.
                assert!(!is_ok && fs::symlink_metadata(path).unwrap().uid() != OTHER);
            }
            let text = brief(outcome, &world.here());
            rows.push([
                format!("{kind:?} of another"),
                planted.map_or("directory".to_owned(), |(place, _)| format!("{place:?}")),
                format!("{directory:o}"),
                "1".to_owned(),
                text.replacen("save image 1 to disk: ", "", 1),
            ]);
        }
    }
    super::print("What a user finds in a directory for everyone", rows);
}
