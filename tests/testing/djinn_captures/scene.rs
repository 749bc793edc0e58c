//! A server in a state of the captures, and the exchanges that are replayed against it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use machine_images::testing::{DjinnServer, DjinnServerBuilder, ImageBuilder};

use super::compare::differences;
use super::exchange::{Exchange, SOURCE, disk};
use crate::http::{Answer, connect, get};

pub(super) const ELI: &str = "72bcff1345c5005f318d16466eb229d0";
const GMAN: &str = "6fe101b2892ca04c4695f57e0ecc0bab";

/// Whoever owns what was made between two captures.
const FILLER: &str = "filler";

/// The users and tokens of the captures.
pub(super) fn builder() -> DjinnServerBuilder {
    DjinnServer::builder()
        .username("gordon.freeman")
        .user("eli.vance", ELI)
        .user("g.man", GMAN)
        .user(FILLER, "f1113r")
        .scoped_token("a548071d1dcf27151ac0f1bd667125c7", &["image:read"])
        .scoped_token("d17193b1fcd90f9defc761bdb4db19fc", &["image:write"])
        .scoped_token("677a01b68fc6fbc687395e194475bf0f", &["namespace:read"])
        .scoped_token(
            "194697b2afc6ab868b53d5487ea08da9",
            &["image:read", "image:write"],
        )
}

/// What has been replayed so far, and what came of it.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) replayed: BTreeSet<String>,
    pub(super) differences: Vec<String>,
}

pub(super) struct Scene<'a> {
    pub(super) server: DjinnServer,
    replay: &'a mut Replay,
    pub(super) source: String,
}

impl<'a> Scene<'a> {
    pub(super) fn new(replay: &'a mut Replay, builder: DjinnServerBuilder) -> Self {
        Self {
            server: builder.start().unwrap(),
            replay,
            source: SOURCE.to_owned(),
        }
    }

    /// Adds an image as in the captures.
    pub(super) fn image(&self, id: i64, name: &str) -> ImageBuilder<'_> {
        self.server.new_image(name).id(id).content(disk())
    }

    /// Sets the id of the next image.
    pub(super) fn advance(&self, id: i64) {
        let name = format!("before-{id}");
        let filler = self.server.new_image(&name).author(FILLER).id(id - 1);
        // The image with the id before may exist.
        let _ = filler.add();
    }

    /// Replays exchanges, separated by white space, in order.
    pub(super) fn play(&mut self, names: &str) {
        for name in names.split_whitespace() {
            let mut exchanges = self.replay.exchanges.iter();
            let exchange = exchanges.find(|exchange| exchange.name == name);
            let exchange = exchange.unwrap_or_else(|| panic!("no exchange {name}"));
            let response = &exchange.response;
            if let (201, Some(json)) = (response.status, &response.json) {
                self.advance(json["id"].as_i64().unwrap());
            }
            let answer = self.send(&exchange.request.bytes(&self.source));
            let found = differences(exchange, &answer, &self.source);
            let found = found.iter().map(|found| format!("{name}: {found}"));
            self.replay.differences.extend(found);
            assert!(self.replay.replayed.insert(name.to_owned()), "{name} again");
        }
    }

    fn send(&self, request: &[u8]) -> Answer {
        let mut stream = connect(&self.server.url());
        // An early answer can end the connection before the whole request is sent.
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer)
    }

    /// Waits until a field of a download is set.
    pub(super) fn wait(&self, id: i64, field: &str) {
        let begun = Instant::now();
        let is_set = || {
            let image = get(&self.server, &format!("/api/images/{id}")).json();
            !image["download"][field].is_null()
        };
        while !is_set() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{id} {field}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
