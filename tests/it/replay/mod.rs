//! Every exchange that was captured from the real server, replayed against the client.
//!
//! `expected.tsv` says for each exchange which call of the client gets the captured answer, and
//! what comes of it. A call marked `~` is only the nearest one: this client never makes the
//! captured request. An exchange whose request the client refuses has a second line for that.

mod call;
mod capture;
mod models;
mod outcome;

use std::collections::BTreeSet;

use call::Call;
use capture::Exchange;

/// One line of `expected.tsv`.
struct Case {
    name: &'static str,
    call: &'static str,
    outcome: &'static str,
}

fn cases() -> Vec<Case> {
    let lines = include_str!("expected.tsv").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            let [name, call, outcome] = columns[..] else {
                panic!("not three columns: {line}");
            };
            Case {
                name,
                call,
                outcome,
            }
        })
        .collect()
}

/// Replays the cases whose call begins with this word.
async fn replay(word: &str) {
    let exchanges = capture::exchanges();
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
        let mark = if outcome.is_captured_request || !outcome.sent {
            ""
        } else {
            "~"
        };
        let call = format!("{mark}{}", case.call.trim_start_matches('~'));
        if (call.as_str(), outcome.text.as_str()) != (case.call, case.outcome) {
            wrong.push(format!("{}\t{call}\t{}", case.name, outcome.text));
        }
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
    let exchanges = capture::exchanges();
    let captured: Vec<&str> = exchanges.iter().map(Exchange::name).collect();
    assert_eq!(captured.len(), 215);
    let captured: BTreeSet<&str> = captured.into_iter().collect();
    assert_eq!(captured.len(), 215, "a name occurs twice");
    let cases = cases();
    let replayed: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(replayed, captured);
    // What is refused unsent must not be all there is of an exchange.
    let answered = cases
        .iter()
        .filter(|case| !case.outcome.starts_with("not sent"));
    let answered: BTreeSet<&str> = answered.map(|case| case.name).collect();
    assert_eq!(answered, captured);
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
