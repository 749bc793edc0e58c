//! Every fault of `testing::Fault` against every call. What comes of it is in the documentation
//! of `Fault`, in tables that this test reads: there is no other list of what is expected.

mod call;
mod rows;
mod table;

use std::time::Duration;

use futures::{StreamExt, stream};
use machine_images::RetryPolicy;
use machine_images::djinn::{Client, Images};
use machine_images::testing::{Close, DjinnServer, Fault};

use crate::end_to_end::without_certificates;
use call::{Call, Scene};
use table::{Table, tables};

/// Longer than the machine ever takes, and shorter than the stalls among the rows.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// The first delay between requests, and that for a server which is away for a moment.
const DELAY: Duration = Duration::from_millis(1);
const LONGER_DELAY: Duration = Duration::from_millis(200);

/// The requests of a call: `save_raw` makes five, each of them up to three times.
const MOST: usize = 15;

/// Cells under way at a time: most of them wait.
const AT_ONCE: usize = 8;

/// When the fault befalls the call.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Once,
    Always,
    /// The request that goes on after the contents broke off.
    Resuming,
}

fn client(server: &DjinnServer, first_delay: Duration) -> Images {
    let policy = RetryPolicy::default()
        .retries(2)
        .first_delay(first_delay)
        .max_retry_after(Duration::from_secs(2));
    // A connection of an earlier cell may be one that its fault has broken.
    let http = || without_certificates().pool_max_idle_per_host(0);
    let client = Client::builder(server.url())
        .reqwest_builder(http)
        .token(server.token())
        .response_timeout(TIMEOUT)
        .stall_timeout(TIMEOUT)
        .retry(policy);
    client.build().unwrap().images()
}

/// What comes of one call, as the tables write it.
async fn cell(mode: Mode, fault: Fault, call: Call) -> String {
    let mut scene = Scene::take();
    if matches!(fault, Fault::Restart { .. }) {
        scene.wait_longer();
    }
    let (server, image) = (&scene.server, format!("/images/{}", scene.image));
    if mode == Mode::Resuming {
        let cut = Fault::CutResponse {
            after: 100_000,
            close: Close::Clean,
        };
        server.inject(cut.on("GET", image));
    }
    let is_api = |path: &str| path.starts_with("/api/");
    let rule = fault.clone().when(move |request| is_api(request.path()));
    server.inject(match mode {
        Mode::Always => rule.always(),
        Mode::Once | Mode::Resuming => rule,
    });
    let outcome = scene.run(call).await;
    let requests = server.requests();
    let requests = requests.iter().filter(|request| is_api(request.path()));
    let count = requests.count();
    if rows::is_over_at_once(&fault) {
        scene.give_back().await;
    }
    assert!(count <= MOST, "{count} requests of {call:?}");
    format!("{outcome} {count}")
}

async fn check(mode: Mode, table: Table) -> Vec<String> {
    let faults = rows::faults(mode);
    let labels: Vec<_> = faults.iter().map(|fault| format!("{fault:?}")).collect();
    let cells = faults.iter().flat_map(|fault| {
        let calls = table.columns.iter().map(|column| Call::named(column));
        calls.map(move |call| tokio::spawn(cell(mode, fault.clone(), call)))
    });
    let found: Vec<String> = stream::iter(cells)
        .buffered(AT_ONCE)
        .map(Result::unwrap)
        .collect()
        .await;
    let found = found.chunks(table.columns.len());
    let mut wrong = Vec::new();
    for (index, (label, found)) in labels.iter().zip(found).enumerate() {
        let fits = table
            .rows
            .get(index)
            .is_some_and(|row| row.fits(label, found));
        if !fits {
            wrong.push(format!("| `{label}` | {} |", found.join(" | ")));
        }
    }
    if table.rows.len() != labels.len() {
        wrong.push(format!("{} rows, not {}", table.rows.len(), labels.len()));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_on_every_call_ends_as_the_tables_say() {
    let [once, always, resuming] = tables();
    let mut wrong = check(Mode::Once, once).await;
    wrong.extend(check(Mode::Always, always).await);
    wrong.extend(check(Mode::Resuming, resuming).await);
    assert!(
        wrong.is_empty(),
        "rows as they were found:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_fault_is_missing_in_the_tables() {
    let source = include_str!("../../../src/testing/fault.rs");
    let body = source.split("pub enum Fault {").nth(1).unwrap();
    let body = body.split("\n}").next().unwrap();
    let variants = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        let end = name.find(|c: char| !c.is_alphanumeric())?;
        (end > 0).then_some(&name[..end])
    });
    let [once, ..] = tables();
    let mut count = 0;
    for variant in variants {
        let is_there = once.rows.iter().any(|row| row.is_of(variant));
        assert!(is_there, "{variant}");
        count += 1;
    }
    assert!(count > 20, "{count} variants were found");
}
