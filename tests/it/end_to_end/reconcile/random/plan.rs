//! What happens in a run, all of it drawn from the seed.

use std::time::Duration;

use fastrand::Rng;
use machine_images::djinn::{Image, Visibility};
use machine_images::testing::{Close, DjinnServer, Fault, FaultRule, Received};

use super::{CALLER, NAME};

/// Where an image is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// Among the caller's, without a namespace.
    Own,
    /// In a namespace of the caller's, which need not exist.
    Lab,
    /// In another user's namespace, which the caller may use.
    Shared,
}

impl Place {
    pub(super) fn namespace(self) -> Option<&'static str> {
        match self {
            Self::Own => None,
            Self::Lab => Some("lab"),
            Self::Shared => Some("lab@eli"),
        }
    }

    pub(super) fn has(self, image: &Image) -> bool {
        let owner = if self == Self::Shared { 2 } else { 1 };
        let path = image.namespace.as_ref().map(|namespace| &*namespace.path);
        image.user_id.get() == owner && path == self.namespace().map(|_| "lab")
    }
}

/// How often the source can be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    Bytes,
    Once,
    Chunked,
}

/// Somebody else, or another program of the caller's, who wants the same name.
#[derive(Debug)]
pub(super) struct Racer {
    /// 0 is the caller.
    pub(super) user: usize,
    pub(super) namespace: Option<&'static str>,
    pub(super) length: usize,
    pub(super) after: Duration,
}

/// An image of the name that is there before.
#[derive(Debug)]
struct Older {
    author: &'static str,
    namespace: Option<&'static str>,
    length: usize,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) unique_names: bool,
    pub(super) place: Place,
    pub(super) length: usize,
    pub(super) reading: Reading,
    pub(super) digest: bool,
    /// How long the caller waits for an answer.
    pub(super) patience: Duration,
    pub(super) within: Duration,
    pub(super) racers: Vec<Racer>,
    pub(super) shifting: Option<Duration>,
    pub(super) dropped_after: Duration,
    older: Vec<Older>,
    /// Images of other names in the caller's list.
    others: usize,
    has_lab: bool,
    /// What befalls, whether uploads alone, and how many requests it lets pass before.
    faults: Vec<(Fault, bool, usize)>,
    filling: u8,
}

fn millis(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

impl Plan {
    pub(super) fn any(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let place = [Place::Own, Place::Lab, Place::Shared][rng.usize(..3)];
        let length = match rng.u8(..40) {
            0 => 12 << 20,
            1..10 => rng.usize(100_000..1_000_000),
            _ => rng.usize(4..50_000),
        };
        let unique_names = rng.u8(..4) > 0;
        let digest = rng.bool();
        let other = |rng: &mut Rng| match rng.bool() {
            true => length,
            false => rng.usize(4..50_000),
        };
        let older = (0..rng.usize(..8).saturating_sub(5)).map(|_| {
            let (author, namespace) = [
                ("tester", None),
                ("tester", Some("lab")),
                ("tester", Some("other")),
                ("eli", None),
                ("eli", Some("lab@eli")),
                ("gordon", None),
            ][rng.usize(..6)];
            let length = other(rng);
            Older {
                author,
                namespace,
                length,
            }
        });
        let older = older.collect();
        let racers = (0..rng.usize(..6).saturating_sub(3)).map(|_| {
            // Another image of the caller's can be told apart by its digest alone, and names are
            // unique then.
            let users = if digest && unique_names { 0 } else { 1 };
            let user = rng.usize(users..3);
            let namespace = match user {
                0 => place.namespace(),
                1 => [None, Some("lab")][rng.usize(..2)],
                _ => [None, Some("lab@eli")][rng.usize(..2)],
            };
            Racer {
                user,
                namespace,
                length: other(rng),
                after: millis(rng, 0..120),
            }
        });
        let racers = racers.collect();
        let may_copy_on = unique_names;
        let faults = (0..rng.usize(1..4))
            .map(|_| {
                let is_upload = rng.u8(..4) > 0;
                let passed =
                    rng.usize(..4).saturating_sub(2) + usize::from(!is_upload) * rng.usize(..4);
                (fault(rng, length as u64, may_copy_on), is_upload, passed)
            })
            .collect();
        Self {
            unique_names,
            place,
            length,
            reading: match rng.u8(..6) {
                0 => Reading::Once,
                1 => Reading::Chunked,
                _ => Reading::Bytes,
            },
            digest,
            patience: millis(rng, 120..360),
            // Without unique names nothing but time keeps a slow server from a second image.
            within: Duration::from_millis(if unique_names { 1200 } else { 3000 }),
            racers,
            shifting: (rng.u8(..5) == 0).then(|| millis(rng, 20..120)),
            dropped_after: match rng.u8(..8) {
                0 => millis(rng, 0..400),
                _ => Duration::from_secs(60),
            },
            older,
            others: [0, 0, 0, 3, 3, 30, 30, 60][rng.usize(..8)],
            has_lab: rng.bool(),
            faults,
            filling: rng.u8(..0xa0),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"QFI\xfb".to_vec();
        bytes.resize(self.length, self.filling);
        bytes
    }

    /// Adds what is there before.
    pub(super) fn furnish(&self, server: &DjinnServer) {
        server
            .add_namespace("lab@eli", Visibility::Private)
            .unwrap();
        for user in ["tester", "gordon"] {
            server.add_collaborator("lab@eli", user).unwrap();
        }
        if self.has_lab {
            server.add_namespace("lab", Visibility::Public).unwrap();
        }
        server.add_images(self.others).unwrap();
        // What the search takes for the name.
        server.new_image(&NAME.replace('_', "-")).add().unwrap();
        for older in &self.older {
            let mut image = server.new_image(NAME).author(older.author);
            if let Some(namespace) = older.namespace {
                image = image.namespace(namespace);
            }
            let image = image.content(b"QFI\xfb").length(older.length as u64);
            image.add().unwrap();
        }
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = FaultRule> + '_ {
        self.faults.iter().map(|(fault, uploads, passed)| {
            let uploads = *uploads;
            let is_meant = move |request: &Received| {
                is_the_callers(request) && (!uploads || request.method == "POST")
            };
            fault.clone().when(is_meant).skip(*passed)
        })
    }

    /// When nothing is away or being copied any more.
    pub(super) fn settles_after(&self) -> Duration {
        let waits = self.faults.iter().map(|(fault, ..)| match fault {
            Fault::Restart { wait, .. }
            | Fault::SlowCopy { wait, .. }
            | Fault::DelayResponse { wait }
            | Fault::StallRequest { wait, .. } => *wait,
            _ => Duration::ZERO,
        });
        waits.sum::<Duration>() + Duration::from_millis(20)
    }
}

pub(super) fn is_the_callers(request: &Received) -> bool {
    request
        .header("user-agent")
        .is_some_and(|agent| agent.contains(CALLER))
}

pub(super) fn is_upload(request: &Received) -> bool {
    request.method == "POST" && is_the_callers(request)
}

fn fault(rng: &mut Rng, length: u64, may_copy_on: bool) -> Fault {
    let close = [Close::Clean, Close::Reset][rng.usize(..2)];
    let after = [
        0,
        1,
        length / 2,
        length.saturating_sub(1),
        rng.u64(..length),
    ][rng.usize(..5)];
    match rng.u8(..16) {
        0 => Fault::DropRequest { close },
        1..4 => Fault::CutRequest { after, close },
        4..6 => Fault::DropResponse { close },
        6 => Fault::CutResponse {
            after: rng.u64(..300),
            close,
        },
        7 => Fault::DelayResponse {
            wait: millis(rng, 0..500),
        },
        8 => Fault::StallRequest {
            after,
            wait: millis(rng, 0..500),
        },
        9 => Fault::Html {
            status: [502, 504][rng.usize(..2)],
        },
        10 => Fault::Html { status: 502 },
        11..14 => Fault::Restart {
            done: rng.bool(),
            wait: match rng.u8(..10) {
                0 => millis(rng, 1000..3000),
                _ => millis(rng, 0..600),
            },
        },
        _ => Fault::SlowCopy {
            wait: millis(rng, 0..400),
            outlives_client: may_copy_on && rng.bool(),
        },
    }
}
