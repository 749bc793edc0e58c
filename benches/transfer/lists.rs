//! A list of 100,000 images, against a walk that is written by hand, and ahead of itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::measure::{Cost, Pairs, cost};
use crate::{Args, pages};

const PAGES: u64 = 4000;

pub(crate) fn run(args: &Args) {
    if args.wants("list without delay") {
        let base = pages::start("127.0.0.1", PAGES, Duration::ZERO);
        let mut pairs = Pairs::default();
        // Short runs differ a lot from each other; they also take turns at going first.
        for pair in 0..3 * args.pairs {
            let mut both = [None; 2];
            for side in [pair % 2, (pair + 1) % 2] {
                both[side] = Some(list(args, &base, &[["list", "list-by-hand"][side]]));
            }
            if let [Some(ours), Some(theirs)] = both {
                pairs.add(ours, theirs);
            }
        }
        println!(
            "list of {PAGES} pages without delay, to reqwest and serde_json by hand: \
             CPU {:.2} (goal 1.15), {:.2} s ({:.2} s)",
            pairs.ratio(|cost| cost.cpu),
            pairs.ours(|cost| cost.cpu),
            pairs.theirs(|cost| cost.cpu),
        );
    }
    if args.wants("list with 20 ms") {
        let base = pages::start("127.0.0.1", PAGES, Duration::from_millis(20));
        let plain = list(args, &base, &["list"]);
        let ahead = list(args, &base, &["list", "--prefetch", "8"]);
        println!(
            "list of {PAGES} pages of 20 ms: prefetch(8) is {:.2} times as fast as the plain walk \
             (goal 7), {:.1} s ({:.1} s)",
            plain.wall / ahead.wall,
            ahead.wall,
            plain.wall,
        );
    }
}

fn list(args: &Args, base: &str, work: &[&str]) -> Cost {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg("client")
        .args(args.multi_thread.then_some("--multi-thread"));
    cost(command.arg(base).args(work).stdout(Stdio::null()))
}
