//! Each kind of thing at each path, before and at each step of a fetch.

use futures::{StreamExt, stream};
use machine_images::Digest;
use machine_images::djinn::ImageId;
use machine_images::testing::Fault;
use std::time::Duration;

use super::world::{Kind, Place, World, outcome};
use crate::save::{Gate, MIB, Setup, ends, image, is_root};

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Before,
    AtFirst,
    InMiddle,
    AtEnd,
}

#[tokio::test]
async fn whatever_is_put_there_nothing_else_is_written_or_named() {
    // Each piece comes at once and late enough to be reported, the last one, too.
    const LENGTH: usize = 4 * 4096;
    let setup = Setup::of(image(LENGTH));
    let slow = Fault::Trickle {
        bytes: 4096,
        every: Duration::from_millis(70),
    };
    setup.server.inject(setup.on(slow).always());
    // Several connections have something to do.
    let long = image(8 * MIB);
    let id = setup.server.add_image("long", &long).unwrap();
    let has_others = is_root("giving files away");
    let mut cases = Vec::new();
    for place in Place::ALL {
        for kind in Kind::ALL {
            if kind == Kind::AnothersFile && !has_others {
                continue;
            }
            for when in [When::Before, When::AtFirst, When::InMiddle, When::AtEnd] {
                cases.push((place, kind, when, 1));
            }
            for when in [When::Before, When::AtFirst] {
                cases.push((place, kind, when, 2));
            }
        }
    }
    let (setup, long) = (&setup, &long);
    let run = |(place, kind, when, connections): (Place, Kind, When, usize)| async move {
        let mut world = World::new();
        let (id, image) = match connections {
            1 => (ImageId::from(1), &setup.image),
            _ => (id, long),
        };
        let digest = Digest::of(image);
        let request = setup
            .images()
            .save(id, world.target())
            .unchecked()
            .sha256(digest);
        let request = request.durable(false).connections(connections);
        let gate = Gate::default();
        let result = if when == When::Before {
            world.plant(place, kind);
            ends(request.send()).await
        } else {
            let mark = match when {
                When::InMiddle => LENGTH / 2,
                When::AtEnd => LENGTH,
                _ => 0,
            };
            let request = request.progress(gate.at(mark as u64));
            let fetch = tokio::spawn(request.send());
            gate.reached().await;
            world.plant(place, kind);
            gate.open();
            ends(async { fetch.await.unwrap() }).await
        };
        let uid = rustix::process::geteuid().as_raw();
        let row = [
            format!("{kind:?}"),
            format!("{place:?}"),
            format!("{when:?}"),
            connections.to_string(),
            outcome(&result, &world.here()),
        ];
        world.assert_unharmed(result.is_ok(), image, uid);
        row
    };
    let rows = stream::iter(cases).map(run).buffer_unordered(6);
    super::print("What a neighbour puts there", rows.collect().await);
}
