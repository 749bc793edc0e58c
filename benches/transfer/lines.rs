//! Many connections on a line that is slow for each of them, against aria2.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::images::{Images, SMALL};
use crate::measure::{cost, median};
use crate::nginx::Nginx;
use crate::{Args, throttle};

const MIB: u64 = 64;
/// They take half a minute each.
const ROUNDS: usize = 3;

pub(crate) fn run(args: &Args) {
    if !args.wants("throttled") {
        return;
    }
    let images = Images::new();
    let nginx = Nginx::start(images.directory());
    images.image(SMALL, MIB, 0.0);
    let line = throttle::start(nginx.address());
    let base = format!("http://{line}/api");
    let file = args.directory.join("transfer-bench");
    let (mut one, mut eight, mut aria2) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(wall(&mut ours(&base, &file, "1"), &file));
        eight.push(wall(&mut ours(&base, &file, "8"), &file));
        aria2.push(wall(&mut theirs(&base, &file), &file));
    }
    let (one, eight, aria2) = (median(one), median(eight), median(aria2));
    println!(
        "{MIB} MiB throttled to 20 Mbit/s a connection: 8 connections are {:.2} times as fast as one \
         (goal 7), and take {:.2} of aria2c -x8 (goal 1.00): {eight:.2} s ({one:.1} s, {aria2:.2} s)",
        one / eight,
        eight / aria2,
    );
}

fn wall(command: &mut Command, file: &Path) -> f64 {
    let wall = cost(command).wall;
    assert_eq!(fs::metadata(file).unwrap().len(), MIB << 20);
    fs::remove_file(file).unwrap();
    wall
}

fn ours(base: &str, file: &Path, connections: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["client", base, "save", &SMALL.to_string()]);
    command.arg(file).arg(connections);
    command
}

fn theirs(base: &str, file: &Path) -> Command {
    let mut command = Command::new("aria2c");
    command.args([
        "-q",
        "-x8",
        "-s8",
        "-k1M",
        "--file-allocation=none",
        "--no-conf",
    ]);
    command.arg("--header=Accept: application/x-qemu-disk");
    command.arg("-d").arg(file.parent().unwrap());
    command.arg("-o").arg(file.file_name().unwrap());
    command
        .arg(format!("{base}/images/{SMALL}"))
        .stdout(Stdio::null());
    command
}
