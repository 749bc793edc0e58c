//! A neighbour with a hand in the directory: whatever is put where a fetch has its files, and
//! whenever, nothing else is written to, nothing foreign gets the final name with `Ok`, and
//! nothing hangs. What came of each case is printed with `--nocapture`.
#![allow(clippy::print_stdout, reason = "the tables are worth reading")]
#![cfg(unix)]

mod directories;
mod planted;
mod restless;
mod users;
mod world;

use std::fmt::Display;

/// Prints a table of cases and what came of them.
fn print(title: &str, mut rows: Vec<[String; 5]>) {
    rows.sort();
    rows.dedup();
    println!("\n{title}");
    let heads = ["what is there", "where", "when", "connections", "outcome"];
    rows.insert(0, heads.map(String::from));
    for [kind, place, when, connections, outcome] in rows {
        println!("| {kind:22} | {place:9} | {when:8} | {connections:11} | {outcome} |");
    }
}

/// An outcome in a few words: what is special to one case is left out.
fn brief(outcome: impl Display, here: &std::path::Path) -> String {
    let text = outcome
        .to_string()
        .replace(&format!("{}/", here.display()), "");
    let text = text.split(" (io").next().unwrap_or_default();
    let text = text.split(" (busy").next().unwrap_or_default();
    text.to_owned()
}
