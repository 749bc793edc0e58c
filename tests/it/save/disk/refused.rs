//! Images and digests that are wrong leave nothing.

use machine_images::qcow2::{Code, ExtentKind};
use machine_images::testing::empty_qcow2;
use machine_images::{Digest, ErrorKind};

use super::super::{CONNECTIONS, Setup};
use super::{FORMATS, Format, Scene};

#[tokio::test]
async fn a_wrong_digest_leaves_nothing_and_the_right_one_is_told() {
    for format in FORMATS {
        let Some(scene) = Scene::new(format) else {
            return;
        };
        let setup = &scene.setup;
        std::fs::write(setup.target(), "before").unwrap();
        let save = scene.save_raw(4).sha256(Digest::new([7; 32]));
        let error = save.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DigestMismatch);
        assert_eq!(setup.files(), ["disk.qcow2"]);
        assert_eq!(std::fs::read(setup.target()).unwrap(), b"before");
        std::fs::remove_file(setup.target()).unwrap();

        // What an earlier call left is not in it.
        scene.leave_half(4).await;
        let digest = Digest::of(&setup.image);
        let saved = scene.save_raw(4).sha256(digest).await.unwrap();
        assert_eq!((saved.sha256, saved.resumed_from), (Some(digest), 0));
        scene.assert_saved();
    }
}

#[tokio::test]
async fn a_rejected_image_leaves_nothing_and_nothing_but_its_header_is_asked_for() {
    for connections in CONNECTIONS {
        let mut image = empty_qcow2(64 << 20);
        // The name of a backing file, after the header.
        image[8..16].copy_from_slice(&200_u64.to_be_bytes());
        image[16..20].copy_from_slice(&6_u32.to_be_bytes());
        image[200..206].copy_from_slice(b"parent");
        let setup = Setup::of(image);
        for before in [None, Some("before")] {
            if let Some(before) = before {
                std::fs::write(setup.target(), before).unwrap();
            }
            let save = setup.images().save_raw(1, setup.target());
            let error = save.connections(connections).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ImageRejected);
            let report = error.inspection().unwrap();
            assert!(report.findings.iter().any(|f| f.code == Code::BackingFile));
            assert_eq!(setup.files().len(), before.into_iter().count());
        }
        assert_eq!(std::fs::read(setup.target()).unwrap(), b"before");
    }
}

/// However much of it is right: the first, one on the way, or the last.
#[tokio::test]
async fn a_damaged_cluster_leaves_nothing_and_is_named() {
    for (format, connections) in [(Format::Zlib, 1), (Format::Zlib, 4), (Format::Zstd, 4)] {
        let Some(scene) = Scene::new(format) else {
            return;
        };
        let (setup, extents) = (&scene.setup, scene.extents().await);
        let compressed = extents.iter().filter_map(|extent| match extent.kind {
            ExtentKind::Compressed { offset, .. } => Some(offset),
            _ => None,
        });
        let compressed: Vec<_> = compressed.collect();
        for number in [0, compressed.len() / 2, compressed.len() - 1] {
            let offset = compressed[number];
            let mut image = setup.image.clone();
            image[offset as usize..][..100].fill(0xff);
            scene.replace(&image, 60).await;
            let save = scene.save_raw(connections);
            let save = match number {
                0 => save.sha256(Digest::of(&image)),
                _ => save,
            };
            let error = save.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
            let findings = &error.inspection().unwrap().findings;
            let found = findings.iter().find(|f| f.code == Code::CompressedCluster);
            assert_eq!(found.unwrap().offset, offset);
            assert!(setup.files().is_empty(), "{:?}", setup.files());
        }
    }
}
