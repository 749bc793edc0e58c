//! Every exchange that was captured from a server of version 2, replayed against the client.
//!
//! `expected.tsv` says for each exchange which call of the client gets the captured answer, and
//! what comes of it. Ids are percent-encoded, and `x*3` is `xxx`. A call marked `~` is only the
//! nearest one: this client never makes the captured request. An exchange whose request the client
//! refuses has a second line for that.

mod outcome;

use crate::replay::call::Call;
use crate::replay::capture::{self, Exchange};
use crate::replay::table;

fn exchanges() -> Vec<Exchange> {
    serde_json::from_str(include_str!("../../../data/wire/devops.json")).unwrap()
}

fn cases() -> Vec<table::Case> {
    table::cases(include_str!("expected.tsv"))
}

/// Replays the cases whose call begins with this word.
async fn replay(word: &str) {
    let exchanges = exchanges();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases() {
        let call = Call::parse(case.call);
        if call.word() != word {
            continue;
        }
        count += 1;
        let exchange = capture::find(&exchanges, case.name);
        let outcome = outcome::of(&exchanges, exchange, &call).await;
        wrong.extend(case.check(&outcome));
    }
    assert!(count > 0, "no case with {word}");
    assert!(
        wrong.is_empty(),
        "came out otherwise:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_one_of_156_exchanges_has_its_case() {
    table::assert_complete(&cases(), &exchanges(), 156);
}

/// So many requests are the captured ones; the others are of calls that the client does not have.
#[test]
fn the_captured_requests_are_those_of_the_client() {
    let cases = cases();
    let same = cases
        .iter()
        .filter(|case| !case.call.starts_with('~') && !case.outcome.starts_with("not sent"));
    assert_eq!(same.count(), 80);
}

#[tokio::test]
async fn lists() {
    replay("list").await;
}

#[tokio::test]
async fn single_images() {
    replay("get").await;
}

#[tokio::test]
async fn creations() {
    replay("create").await;
}

#[tokio::test]
async fn updates() {
    replay("update").await;
}

#[tokio::test]
async fn deletions() {
    replay("delete").await;
}
