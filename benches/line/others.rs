//! Uploads and lists on a line, against curl and against reqwest and serde_json by hand.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cases::{CLEAN, inside};
use crate::images::{Images, SMALL};
use crate::line::{Line, SERVER, enter};
use crate::measure::{Pairs, cost};
use crate::{Args, pages, sink};

const PAGES: u64 = 40;

/// Runs the servers of both until it is killed; prints where they are.
pub(crate) fn serve() {
    println!("{}", sink::start(SERVER));
    println!("{}", pages::start(SERVER, PAGES, Duration::ZERO));
    loop {
        std::thread::park();
    }
}

/// The servers, at their end of the line.
struct Servers {
    process: Child,
    sink: String,
    pages: String,
}

impl Servers {
    fn start() -> Self {
        let [ip, words @ ..] = enter("server");
        let mut process = Command::new(ip)
            .args(words)
            .arg(std::env::current_exe().unwrap())
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap().unwrap();
        let (sink, pages) = (next(), next());
        Self {
            process,
            sink,
            pages,
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn run(args: &Args) {
    let _line = Line::start(CLEAN);
    let servers = Servers::start();
    println!("| case | ratio | goal | ours, s | theirs, s |");
    println!("|---|---|---|---|---|");
    let images = Images::new();
    for mib in [1, 16, 64] {
        let image = images.image(SMALL + mib, mib, 0.0);
        let ours = || {
            let mut command = client(&servers.sink);
            command.arg("upload").arg(&image);
            command
        };
        let theirs = || {
            let mut command = inside("curl".as_ref());
            command.args(["-sSf", "-X", "POST", "-T"]).arg(&image);
            command.args(["-H", "Content-Type: application/x-qemu-disk"]);
            command.arg(format!("{}/images?name=bench", servers.sink));
            command
        };
        compare(
            args,
            &format!("upload of {mib} MiB, to curl"),
            1.0,
            ours,
            theirs,
        );
    }
    let list = |words: &'static [&'static str]| {
        let base = &servers.pages;
        move || {
            let mut command = client(base);
            command.args(words);
            command
        }
    };
    let by_hand = list(&["list-by-hand"]);
    let name = format!("list of {PAGES} pages, by hand");
    compare(args, &name, 1.0, list(&["list"]), by_hand);
    let ahead = list(&["list", "--prefetch", "8"]);
    let by_hand = list(&["list-by-hand"]);
    let name = format!("list of {PAGES} pages with prefetch(8), by hand");
    compare(args, &name, 0.25, ahead, by_hand);
}

fn client(base: &str) -> Command {
    let mut command = inside(&std::env::current_exe().unwrap());
    command.args(["client", base]);
    command
}

fn compare(
    args: &Args,
    name: &str,
    goal: f64,
    ours: impl Fn() -> Command,
    theirs: impl Fn() -> Command,
) {
    if !args.wants(name) {
        return;
    }
    let mut pairs = Pairs::default();
    for _ in 0..args.rounds {
        pairs.add(cost(&mut ours()), cost(&mut theirs()));
    }
    println!(
        "| {name} | {:.2} | {goal:.2} | {:.3} | {:.3} |",
        pairs.ratio(|cost| cost.wall),
        pairs.ours(|cost| cost.wall),
        pairs.theirs(|cost| cost.wall)
    );
}
