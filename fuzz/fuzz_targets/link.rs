//! Any lines of `Link` headers.

#![no_main]
#![allow(dead_code)]

#[path = "../../src/transport/link.rs"]
mod link;

use libfuzzer_sys::fuzz_target;
use link::Links;

fuzz_target!(|text: &str| {
    let lines: Vec<&str> = text.split('\n').collect();
    let links = Links::parse(&lines);
    // No line hides what another says.
    let alone = || lines.iter().map(|line| Links::parse([line]));
    assert_eq!(links.next, alone().find_map(|links| links.next));
    assert_eq!(links.previous, alone().find_map(|links| links.previous));
    assert_eq!(links.unreadable, alone().any(|links| links.unreadable));

    let mut written = Vec::new();
    for (target, relation) in [(&links.next, "next"), (&links.previous, "prev")] {
        if let Some(target) = target {
            assert!(lines.iter().any(|line| line.contains(target.as_str())));
            written.push(format!("<{target}>; rel=\"{relation}\""));
        }
    }
    let readable = Links {
        unreadable: false,
        ..links
    };
    assert_eq!(Links::parse([written.join(", ")]), readable);
});
