//! The images that `corpus.sh` makes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs};

const SCRIPT: &str = include_str!("corpus.sh");

pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Every image of the corpus, in order of name, or none when there is no `qemu-img`.
pub(crate) fn images() -> Option<&'static [Image]> {
    static IMAGES: OnceLock<Option<Vec<Image>>> = OnceLock::new();
    IMAGES
        .get_or_init(|| available("qemu-img").then(|| list(&make())))
        .as_deref()
}

/// The QCOW2 images alone, with their bytes.
pub(crate) fn qcow2() -> Option<Vec<(&'static Image, Vec<u8>)>> {
    let is_qcow2 = |image: &&Image| image.name.ends_with(".qcow2");
    let read = |image: &'static Image| (image, fs::read(&image.path).unwrap());
    Some(images()?.iter().filter(is_qcow2).map(read).collect())
}

pub(crate) fn path(name: &str) -> Option<&'static Path> {
    let image = images()?.iter().find(|image| image.name == name);
    Some(
        &image
            .unwrap_or_else(|| panic!("{name} is not in the corpus"))
            .path,
    )
}

/// Whether a tool runs; where tools are required, one that does not is a failure.
pub(crate) fn available(tool: &str) -> bool {
    let mut version = Command::new(tool);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success()) || skip(&format!("{tool} does not run"))
}

/// False, after saying that the test does nothing.
pub(crate) fn skip(why: &str) -> bool {
    assert!(
        !tools_required(),
        "{why}, but MACHINE_IMAGES_REQUIRE_TOOLS=1"
    );
    eprintln!("skipped: {why}");
    false
}

pub(crate) fn tools_required() -> bool {
    env::var("MACHINE_IMAGES_REQUIRE_TOOLS").is_ok_and(|value| value == "1")
}

/// Making LUKS volumes takes seconds, so the corpus is kept until the script changes.
fn make() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let kept = home.join("qcow2-corpus");
    if fs::read_to_string(kept.join("corpus.sh")).is_ok_and(|script| script == SCRIPT) {
        return kept;
    }
    let made = tempfile::tempdir_in(home).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "corpus.sh"]).arg(made.path());
    assert!(shell.status().unwrap().success(), "corpus.sh failed");
    fs::write(made.path().join("corpus.sh"), SCRIPT).unwrap();
    let _ = fs::remove_dir_all(&kept);
    fs::rename(made.keep(), &kept).unwrap();
    kept
}

fn list(directory: &Path) -> Vec<Image> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut images: Vec<Image> = entries
        .map(|entry| Image {
            name: entry.file_name().into_string().unwrap(),
            path: entry.path(),
        })
        .filter(|image| image.name != "corpus.sh")
        .collect();
    images.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(images.len() >= 80, "only {} images", images.len());
    images
}
