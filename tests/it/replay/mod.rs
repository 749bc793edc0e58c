//! Every exchange that was captured from the real server, replayed against the client.
//!
//! `expected.tsv` says for each exchange which call of the client gets the captured answer, and
//! what comes of it. A call marked `~` is only the nearest one: this client never makes the
//! captured request. An exchange whose request the client refuses has a second line for that.

mod bodies;
pub(crate) mod call;
pub(crate) mod capture;
mod models;
mod outcome;
pub(crate) mod table;

use bodies::exchanges;
use call::Call;
use table::Case;

fn cases() -> Vec<Case> {
    table::cases(include_str!("expected.tsv"))
}

/// Replays the cases whose call begins with this word.
async fn replay(word: &str) {
    let exchanges = exchanges();
    let mut wrong = Vec::new();
    let cases = cases();
    let cases = cases
        .iter()
        .filter(|case| Call::parse(case.call).word() == word);
    let mut count = 0;
    for case in cases {
        count += 1;
        let exchange = capture::find(&exchanges, case.name);
        let call = Call::parse(case.call);
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
fn every_exchange_has_its_case() {
    table::assert_complete(&cases(), &exchanges(), 215);
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
async fn contents() {
    replay("content").await;
}

#[tokio::test]
async fn contents_resumed() {
    replay("resume").await;
}

#[tokio::test]
async fn uploads() {
    replay("upload").await;
}

#[tokio::test]
async fn downloads() {
    replay("download").await;
}

#[tokio::test]
async fn waits() {
    replay("wait").await;
}

#[tokio::test]
async fn deletions() {
    replay("delete").await;
}
