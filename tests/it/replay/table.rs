//! The tables of what comes of every exchange.

use std::collections::BTreeSet;

use super::capture::Exchange;

/// One line of a table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) call: &'static str,
    pub(crate) outcome: &'static str,
}

/// What came of a call.
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) sent: bool,
    /// Whether the captured request is the one that was sent.
    pub(crate) is_captured_request: bool,
}

pub(crate) fn cases(table: &'static str) -> Vec<Case> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
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

impl Case {
    /// The line as it should be, if it came out otherwise.
    pub(crate) fn check(&self, outcome: &Outcome) -> Option<String> {
        let mark = if outcome.is_captured_request || !outcome.sent {
            ""
        } else {
            "~"
        };
        let call = format!("{mark}{}", self.call.trim_start_matches('~'));
        let is_right = (call.as_str(), outcome.text.as_str()) == (self.call, self.outcome);
        (!is_right).then(|| format!("{}\t{call}\t{}", self.name, outcome.text))
    }
}

/// Every one of so many exchanges has a case, and one in which something is sent.
pub(crate) fn assert_complete(cases: &[Case], exchanges: &[Exchange], count: usize) {
    let captured: BTreeSet<&str> = exchanges.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(exchanges.len(), count);
    assert_eq!(captured.len(), count, "a name occurs twice");
    let replayed: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(replayed, captured);
    // What is refused unsent must not be all there is of an exchange.
    let answered = cases
        .iter()
        .filter(|case| !case.outcome.starts_with("not sent"));
    let answered: BTreeSet<&str> = answered.map(|case| case.name).collect();
    assert_eq!(answered, captured);
}
