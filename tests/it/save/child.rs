//! Fetches in a process of their own: with another user, limits or working directory.
#![allow(clippy::print_stdout, reason = "it is how a child tells its parent")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use machine_images::djinn::Client;

use super::{Gate, quick};

/// Not a test: the process, told by its environment what to fetch.
#[tokio::test]
#[ignore = "run by Child, for tests that need a process of another user or limits"]
async fn fetch() {
    let var = |name: &str| std::env::var(name).unwrap();
    let client = Client::builder(var("CHILD_URL"))
        .token(var("CHILD_TOKEN"))
        .retry(quick());
    let images = client.build().unwrap().images();
    let request = images.save(1, var("CHILD_TARGET")).unchecked();
    let mut request = request.connections(var("CHILD_CONNECTIONS").parse().unwrap());
    let moves = std::env::var_os("CHILD_MOVES_TO");
    let gate = Gate::default();
    if moves.is_some() {
        request = request.progress(gate.at(0));
    }
    let fetch = tokio::spawn(request.send());
    if let Some(directory) = moves {
        gate.reached().await;
        std::env::set_current_dir(directory).unwrap();
        gate.open();
    }
    match fetch.await.unwrap() {
        Ok(saved) => println!("\noutcome: ok {}", saved.bytes),
        Err(error) => println!("\noutcome: {} {error:?}", error.kind()),
    }
}

/// Such a process.
pub(crate) struct Child(Command);

impl Child {
    pub(crate) fn new(url: &str, token: &str, target: &Path) -> Self {
        Self::of(Command::new(std::env::current_exe().unwrap()), url, token).target(target)
    }

    /// With this much address space, in KiB: what takes more ends the child and not the machine.
    pub(crate) fn limited(kib: u64, url: &str, target: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {kib}; exec \"$0\" \"$@\"")]);
        shell.arg(std::env::current_exe().unwrap());
        Self::of(shell, url, "none").target(target)
    }

    /// As another user, for whom the program is copied to where it can be read.
    #[cfg(unix)]
    pub(crate) fn as_user(uid: u32, copies: &Path, url: &str, token: &str, target: &Path) -> Self {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;

        let program = copies.join("program");
        if !program.exists() {
            std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            std::fs::set_permissions(copies, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(program);
        command.uid(uid).gid(uid).current_dir("/");
        Self::of(command, url, token).target(target)
    }

    fn of(mut command: Command, url: &str, token: &str) -> Self {
        command
            .args(["--exact", "save::child::fetch", "--ignored", "--nocapture"])
            .env("CHILD_URL", url)
            .env("CHILD_TOKEN", token)
            .env("CHILD_CONNECTIONS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command)
    }

    fn target(mut self, target: &Path) -> Self {
        self.0.env("CHILD_TARGET", target);
        self
    }

    pub(crate) fn connections(mut self, connections: usize) -> Self {
        self.0.env("CHILD_CONNECTIONS", connections.to_string());
        self
    }

    /// Begins in one directory, and is in another when the first bytes are there.
    pub(crate) fn moves(mut self, from: &Path, to: &Path) -> Self {
        self.0.current_dir(from).env("CHILD_MOVES_TO", to);
        self
    }

    /// `ok BYTES`, or the error's kind and all that it says.
    pub(crate) async fn outcome(mut self) -> String {
        let mut child = self.0.spawn().unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let outcome = stdout
            .lines()
            .find_map(|line| line.strip_prefix("outcome: "));
        outcome.map(str::to_owned).unwrap_or_else(|| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            panic!("{}: {stdout}{stderr}", output.status)
        })
    }
}
