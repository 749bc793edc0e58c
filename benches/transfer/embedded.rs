//! Two of the crate's own servers, in a process of their own: one with an image, one without.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use machine_images::testing::DjinnServer;

use crate::images::DATA;

pub(crate) struct Embedded {
    process: Child,
    /// The base URL of the one that has the image.
    pub(crate) from: String,
    pub(crate) to: String,
    /// Where they keep contents, in memory.
    _contents: tempfile::TempDir,
}

impl Embedded {
    pub(crate) fn start(image: &Path) -> Self {
        let contents = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("servers")
            .arg(image)
            .env("TMPDIR", contents.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let [from, to] = [(); 2].map(|()| lines.next().unwrap().unwrap());
        Self {
            process,
            from,
            to,
            _contents: contents,
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until its input ends.
pub(crate) fn serve(image: PathBuf) {
    let [from, to] = [(); 2].map(|()| DjinnServer::builder().user("bench", "bench").start());
    let (from, to) = (from.unwrap(), to.unwrap());
    let content = std::fs::read(image).unwrap();
    let new = from.new_image("image").author("bench").id(DATA as i64);
    new.content(content).add().unwrap();
    println!("{}\n{}", from.url(), to.url());
    let _ = std::io::stdin().read_line(&mut String::new());
}
