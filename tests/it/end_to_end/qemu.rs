//! Whether QEMU accepts what was fetched.

use std::path::Path;
use std::process::Command;

use machine_images::djinn::Source;

use super::{DISK, Site};

/// Tests without `qemu-img` pass over, unless they must not.
pub(crate) fn has_qemu_img() -> bool {
    let found = Command::new("qemu-img").arg("--version").output().is_ok();
    let required = std::env::var_os("MACHINE_IMAGES_REQUIRE_TOOLS").is_some();
    assert!(found || !required, "qemu-img is missing");
    if !found {
        eprintln!("passed over: there is no qemu-img");
    }
    found
}

fn qemu_img(arguments: &[&str], paths: &[&Path]) {
    let output = Command::new("qemu-img")
        .args(arguments)
        .args(paths)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[tokio::test]
async fn qemu_finds_a_fetched_image_whole_and_the_same() {
    if !has_qemu_img() {
        return;
    }
    let site = Site::new();
    let source = Source::file(DISK);
    let image = site
        .images
        .create_upload(site.name("qemu"), source)
        .send()
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    for connections in [1, 4] {
        let path = directory.path().join(format!("{connections}.qcow2"));
        let fetch = site.images.save(image.id, &path).connections(connections);
        fetch.await.unwrap();
        qemu_img(&["check"], &[&path]);
        qemu_img(&["compare"], &[Path::new(DISK), &path]);
    }
    site.images.delete(image.id).send().await.unwrap();
}
