//! Lines that break, and images that change meanwhile.

use machine_images::testing::{Close, Fault, Received};
use machine_images::{Digest, ErrorKind};

use super::super::{CONNECTIONS, MIB, Reports};
use super::{CLUSTER, FORMATS, Format, Scene};

/// The tables are in the first five clusters.
fn is_content(request: &Received) -> bool {
    let range = request.header("range").unwrap_or_default();
    let start = range.trim_start_matches("bytes=").split('-').next();
    start.is_some_and(|start| start.parse().is_ok_and(|start: usize| start >= 5 * CLUSTER))
}

#[tokio::test]
async fn a_cut_line_is_made_again() {
    for format in FORMATS {
        let Some(scene) = Scene::new(format) else {
            return;
        };
        let setup = &scene.setup;
        for connections in CONNECTIONS {
            for (after, close) in [
                (0, Close::Reset),
                (100_000, Close::Clean),
                (3 * MIB as u64 + 7, Close::Reset),
            ] {
                let cut = Fault::CutResponse { after, close };
                setup.server.inject(setup.on(cut).times(4));
                let reports = Reports::default();
                let save = scene.save_raw(connections).progress(reports.listener());
                save.await.unwrap();
                scene.assert_saved();
                reports.assert_good(setup.image.len() as u64);
                setup.server.clear_faults();
                std::fs::remove_file(setup.target()).unwrap();
            }
        }
    }
}

/// All is fetched in order, so that it can be hashed.
#[tokio::test]
async fn a_digest_is_right_over_a_line_that_is_cut() {
    let Some(scene) = Scene::new(Format::Zlib) else {
        return;
    };
    let setup = &scene.setup;
    let cut = Fault::CutResponse {
        after: 3 * MIB as u64,
        close: Close::Reset,
    };
    setup.server.inject(setup.on(cut).when(is_content).times(3));
    let digest = Digest::of(&setup.image);
    let saved = scene.save_raw(4).sha256(digest).await.unwrap();
    let length = setup.image.len() as u64;
    assert_eq!((saved.sha256, saved.fetched), (Some(digest), length));
    assert_eq!(saved.connections, 1);
    scene.assert_saved();
}

#[tokio::test]
async fn an_answer_of_another_version_starts_again_once() {
    for connections in CONNECTIONS {
        for fault in [
            Fault::IgnoreRange,
            Fault::LastModified { by: 60 },
            Fault::RangeTotal { by: 1 },
            Fault::status(416),
        ] {
            let Some(scene) = Scene::new(Format::Zlib) else {
                return;
            };
            let setup = &scene.setup;
            let cut = Fault::CutResponse {
                after: 2 * MIB as u64,
                close: Close::Clean,
            };
            setup.server.inject(setup.on(cut.clone()));
            // Not to the first that asks for contents, so that there is something to be dropped.
            let rule = setup
                .on(fault.clone())
                .when(|request| request.header("if-range").is_some() && is_content(request));
            setup.server.inject(rule.skip(connections));
            let reports = Reports::default();
            let save = scene.save_raw(connections).progress(reports.listener());
            let saved = save.await;
            let saved = saved.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            assert_eq!(saved.resumed_from, 0);
            reports.assert_good(setup.image.len() as u64);
            scene.assert_saved();
        }
    }
}

#[tokio::test]
async fn a_version_that_changes_each_time_is_a_typed_error() {
    let Some(scene) = Scene::new(Format::Zlib) else {
        return;
    };
    let setup = &scene.setup;
    std::fs::write(setup.target(), "before").unwrap();
    let rule = setup.on(Fault::status(416)).when(is_content);
    setup.server.inject(rule.always());
    let error = scene.save_raw(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error:?}");
    assert_eq!(std::fs::read(setup.target()).unwrap(), b"before");
    setup.server.clear_faults();
    scene.save_raw(1).await.unwrap();
    scene.assert_saved();
}
