//! A disk saved as raw equals that of `qemu-img convert`.

use std::path::Path;
use std::process::Command;

use machine_images::testing::DjinnServer;

use crate::disks::{disks, name, raw};

/// Compares without reading holes.
fn assert_same(found: &Path, expected: &Path, of: &str) {
    let (length, wanted) = (
        found.metadata().unwrap().len(),
        expected.metadata().unwrap().len(),
    );
    assert_eq!(length, wanted, "{of}");
    let mut compare = Command::new("qemu-img");
    compare.args(["compare", "-q", "-f", "raw", "-F", "raw"]);
    compare.arg(found).arg(expected);
    assert!(compare.status().unwrap().success(), "{of}");
}

#[tokio::test]
async fn with_one_connection_and_four_it_is_that_of_qemu_img_convert() {
    let server = DjinnServer::start().unwrap();
    let images = server.client().unwrap().images();
    let folder = tempfile::tempdir().unwrap();
    for path in disks().into_iter().flatten() {
        let (name, expected) = (name(path), raw(path));
        let id = server
            .add_image("disk", std::fs::read(path).unwrap())
            .unwrap();
        for connections in [1, 4] {
            let target = folder.path().join(format!("{name}-{connections}.raw"));
            let save = images.save_raw(id, &target).connections(connections);
            let saved = save.durable(false).await.unwrap();
            assert_eq!(saved.bytes, expected.metadata().unwrap().len());
            assert_same(&target, &expected, &name);
            std::fs::remove_file(target).unwrap();
        }
        images.delete(id).await.unwrap();
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
