//! Runs, one after the other or at once, each with a server of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures::{StreamExt, stream};
use machine_images::djinn::{Client, Visibility};
use machine_images::testing::{DjinnServer, Fault, FaultRule};
use machine_images::{Error, ErrorKind, RetryPolicy};
use tempfile::TempDir;

use super::calls::{Call, OTHER, Outcome, SHARED};
use super::faults;
use super::other_server::OtherServer;
use super::summary::Summary;

/// What a call may take at most: some stalls, each repeated, and the search for a lost upload.
const WATCHDOG: Duration = Duration::from_secs(30);

const TIMEOUT: Duration = Duration::from_millis(400);

/// What every run shares.
pub(crate) struct Shared {
    pub(crate) other_server: OtherServer,
    /// Enough for one connection, and for four.
    pub(crate) small: Vec<u8>,
    pub(crate) large: Vec<u8>,
}

impl Shared {
    fn new() -> io::Result<Self> {
        let small: &[u8] = include_bytes!("../../tests/data/disk.qcow2");
        // No two places look alike, but for some that are empty.
        let mut noise = Rng::with_seed(7);
        let mut large = small.to_vec();
        while large.len() < 18 << 20 {
            let block = 64 * 1024;
            let empty = noise.u8(..4) == 0;
            large.extend((0..block).map(|_| if empty { 0 } else { noise.u8(..) }));
        }
        Ok(Self {
            other_server: OtherServer::start()?,
            small: small.to_vec(),
            large,
        })
    }
}

/// A server, its clients and a place for files.
pub(crate) struct Setup {
    pub(crate) server: DjinnServer,
    pub(crate) images: machine_images::djinn::Images,
    /// Another client of the same user, whose connections no fault has spoilt.
    pub(crate) afterwards: machine_images::djinn::Images,
    /// The other server of copies, with a token of its own.
    pub(crate) peer: DjinnServer,
    pub(crate) peer_images: machine_images::djinn::Images,
    pub(crate) peer_afterwards: machine_images::djinn::Images,
    pub(crate) directory: TempDir,
    pub(crate) content: Arc<Shared>,
}

/// One of the two servers and its clients.
pub(crate) struct Site<'a> {
    pub(crate) server: &'a DjinnServer,
    pub(crate) images: &'a machine_images::djinn::Images,
    pub(crate) afterwards: &'a machine_images::djinn::Images,
}

/// The token for the peer.
const PEER_TOKEN: &str = "2dd4fb1c0a7e4f6f9b0d8c3e5a716294";

/// Reading the system's certificates takes longer than most calls.
fn without_certificates() -> reqwest::ClientBuilder {
    let http = reqwest::Client::builder();
    #[cfg(any(
        feature = "rustls",
        feature = "rustls-no-provider",
        feature = "native-tls"
    ))]
    let http = http.tls_certs_only([]);
    // The platform's library reads its own all the same.
    #[cfg(feature = "rustls")]
    let http = http.tls_backend_rustls();
    http
}

/// Makes runs with seeds counted from this one.
pub(crate) async fn run_all(seed: u64, runs: u64, jobs: usize) -> io::Result<Summary> {
    let content = Arc::new(Shared::new()?);
    let runs = (seed..seed.saturating_add(runs)).map(|seed| {
        let content = Arc::clone(&content);
        async move {
            let run = tokio::spawn(run_one(seed, content));
            let violation = |what: String| Summary {
                runs: 1,
                violations: vec![(seed, what)],
                ..Summary::default()
            };
            match run.await {
                Ok(Ok(summary)) => summary,
                Ok(Err(error)) => violation(format!("the run could not be made: {error}")),
                Err(panic) => violation(format!("a panic: {panic}")),
            }
        }
    });
    let mut total = Summary::default();
    let mut runs = stream::iter(runs).buffer_unordered(jobs.max(1));
    while let Some(summary) = runs.next().await {
        total.add(summary);
    }
    Ok(total)
}

async fn run_one(
    seed: u64,
    content: Arc<Shared>,
) -> Result<Summary, Box<dyn std::error::Error + Send + Sync>> {
    let mut rng = Rng::with_seed(seed);
    let server = DjinnServer::builder()
        .user(OTHER, "e11")
        .download_delay(Duration::from_millis(5))
        .start()?;
    server.add_namespace(SHARED, Visibility::Private)?;
    server.add_collaborator(SHARED, "tester")?;
    let policy = RetryPolicy::default()
        .retries(5)
        .first_delay(Duration::from_millis(10))
        .max_delay(Duration::from_millis(200))
        .max_retry_after(Duration::from_secs(1));
    let all = ["image:read", "image:write", "namespace:read"];
    let peer = DjinnServer::builder()
        .scoped_token(PEER_TOKEN, &all)
        .start()?;
    let clients = |server: &DjinnServer, token: &str| {
        let client = Client::builder(server.url())
            .reqwest_builder(without_certificates)
            .token(token)
            .response_timeout(TIMEOUT)
            .stall_timeout(TIMEOUT)
            .retry(policy.clone());
        let afterwards = Client::builder(server.url())
            .reqwest_builder(without_certificates)
            .token(token);
        Ok::<_, Error>((client.build()?.images(), afterwards.build()?.images()))
    };
    let (images, afterwards) = clients(&server, server.token())?;
    let (peer_images, peer_afterwards) = clients(&peer, PEER_TOKEN)?;
    let setup = Setup {
        images,
        afterwards,
        server,
        peer,
        peer_images,
        peer_afterwards,
        directory: tempfile::tempdir()?,
        content,
    };
    let mut summary = Summary {
        runs: 1,
        ..Summary::default()
    };
    for _ in 0..rng.usize(2..6) {
        let call = Call::random(&mut rng, &setup)?;
        let fault_count = Arc::new(AtomicU64::new(0));
        let doubtful = Arc::new(AtomicBool::new(false));
        let mut injected = Vec::new();
        let mut may_be_away = false;
        for _ in 0..rng.usize(1..4) {
            let fault = faults::random(&mut rng, call.length(&setup), &setup.content.other_server);
            injected.push(format!("{fault:?}"));
            may_be_away |= matches!(fault, Fault::Restart { .. });
            let at_peer = call.is_copy() && rng.bool();
            let rule = rule(fault, &call, &mut rng, &fault_count, &doubtful);
            setup.site(at_peer).server.inject(rule);
        }
        let before = count(&setup, |_| true);
        let began = Instant::now();
        let outcome = tokio::time::timeout(WATCHDOG, call.make(&setup)).await;
        summary.longest = summary.longest.max(began.elapsed());
        setup.server.clear_faults();
        setup.peer.clear_faults();
        if may_be_away {
            tokio::time::sleep(Duration::from_millis(faults::AWAY)).await;
        }
        summary.calls += 1;
        summary.faults += fault_count.load(Ordering::Relaxed);
        summary.requests += count(&setup, |_| true) - before;
        summary.copies += u64::from(call.is_copy());
        let doubtful = doubtful.load(Ordering::Relaxed);
        let succeeded = matches!(outcome, Ok(Outcome::Done | Outcome::Wrong(_)));
        let mut violations = match outcome {
            Err(_) => vec!["it hangs".to_owned()],
            Ok(Outcome::Done) => {
                summary.succeeded += 1;
                summary.copied += u64::from(call.is_copy());
                if call.is_reconciled() {
                    summary.reconciled += 1;
                    summary.resent += u64::from(uploads(&setup, &call) > 1);
                }
                Vec::new()
            }
            Ok(Outcome::Wrong(_)) if doubtful && !call.has_digest() => Vec::new(),
            Ok(Outcome::Wrong(what)) => vec![what],
            Ok(Outcome::Failed(error)) => {
                *summary.errors.entry(error.kind().as_str()).or_default() += 1;
                let has_side = error.side().is_some() == call.is_copy();
                let fits = has_side && is_explained(&error, &call, may_be_away);
                let text = || format!("an error that no fault explains: {error:?}");
                (!fits).then(text).into_iter().collect()
            }
        };
        let made = count(&setup, |request| {
            request.status == Some(201) && call.is_made_by(request)
        });
        if made > 1 {
            violations.push(format!("{made} images were made"));
        }
        violations.extend(call.violations(&setup, succeeded, doubtful).await);
        if setup.content.other_server.leaks() > 0 || has_leaked(&setup) {
            violations.push("credentials went elsewhere".to_owned());
        }
        let told = |what| (seed, format!("{call:?} with {injected:?}: {what}"));
        summary.violations.extend(violations.into_iter().map(told));
    }
    summary.resumes = count(&setup, |request| request.header("if-range").is_some());
    // Its end waits for what is still stalled.
    tokio::task::spawn_blocking(move || drop(setup));
    Ok(summary)
}

/// How often an image was sent.
fn uploads(setup: &Setup, call: &Call) -> u64 {
    count(setup, |request| {
        request.method == "POST" && call.is_made_by(request)
    })
}

fn count(setup: &Setup, matches: impl Fn(&machine_images::testing::Received) -> bool) -> u64 {
    let servers = [&setup.server, &setup.peer].map(DjinnServer::requests);
    let requests = servers.iter().flatten();
    requests.filter(|request| matches(request)).count() as u64
}

/// Returns `true` if a server got the token for the other one.
fn has_leaked(setup: &Setup) -> bool {
    let has = |server: &DjinnServer, token: &str| {
        let token = format!("Bearer {token}");
        let requests = server.requests();
        let mut sent = requests
            .iter()
            .filter_map(|request| request.header("authorization"));
        sent.any(|sent| sent == token)
    };
    has(&setup.peer, setup.server.token()) || has(&setup.server, PEER_TOKEN)
}

/// Befalls one request, some, or all; counts them, and notes what no client can see.
fn rule(
    fault: Fault,
    call: &Call,
    rng: &mut Rng,
    fault_count: &Arc<AtomicU64>,
    doubtful: &Arc<AtomicBool>,
) -> FaultRule {
    let (fault_count, doubtful) = (Arc::clone(fault_count), Arc::clone(doubtful));
    let how_often = rng.u8(..10);
    let is_undetectable = faults::is_undetectable(&fault, call, how_often > 3);
    let rule = fault.when(move |request| {
        let is_api = request.path().starts_with("/api/");
        if is_api {
            fault_count.fetch_add(1, Ordering::Relaxed);
            doubtful.fetch_or(is_undetectable, Ordering::Relaxed);
        }
        is_api
    });
    match how_often {
        0 => rule.always(),
        1..=3 => rule.times(rng.usize(2..5)),
        _ => rule,
    }
}

/// Whether a fault can lead to such an error of such a call.
fn is_explained(error: &Error, call: &Call, may_be_away: bool) -> bool {
    match error.kind() {
        ErrorKind::OutcomeUnknown | ErrorKind::NotSent => call.is_creation(),
        ErrorKind::NameTaken => call.may_be_taken(),
        ErrorKind::Connect => may_be_away,
        ErrorKind::DigestMismatch => call.has_digest(),
        ErrorKind::Deleted => matches!(call, Call::Download { .. }),
        // The server downloads from itself, also while it restarts.
        ErrorKind::DownloadFailed => may_be_away && matches!(call, Call::Download { .. }),
        // Nothing was wrong on this side.
        ErrorKind::InvalidInput | ErrorKind::Source | ErrorKind::Io | ErrorKind::Busy => false,
        _ => true,
    }
}
