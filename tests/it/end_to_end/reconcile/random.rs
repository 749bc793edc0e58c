//! Random uploads under random faults, with others at work on the same names meanwhile.
//!
//! Whatever happens, an image that comes back was not there before, is the caller's, is where it
//! was wanted and has the bytes that were sent; and the server never has two of the caller's
//! images of one name in one place. Times are those of the real world in milliseconds.
//!
//! There are 300 runs, or as many as `MACHINE_IMAGES_RECONCILE_RUNS` says. Each has a seed of its
//! own, counted up from `MACHINE_IMAGES_RECONCILE_SEED` or a random number, which is printed. A
//! failure names its seed; with it and one run the same is done again, except for how the threads
//! of the client and the server happen to meet.

mod plan;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use machine_images::djinn::{Client, Image, Images, Source};
use machine_images::testing::DjinnServer;
use machine_images::{ClientBuilder, Error, ErrorKind, RetryPolicy};

use super::super::without_certificates;
use super::sha256;
use plan::{Plan, Racer, Reading};

/// Runs under way at a time: most of them wait.
const AT_ONCE: usize = 48;

const NAME: &str = "debian_12";
const CALLER: &str = "caller";
const USERS: [(&str, &str); 2] = [("eli", "e11"), ("gordon", "90rd0n")];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_image_that_comes_back_is_new_and_the_callers_and_the_only_one() {
    let runs = number("MACHINE_IMAGES_RECONCILE_RUNS").unwrap_or(300);
    let seed = number("MACHINE_IMAGES_RECONCILE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    eprintln!("{runs} runs from seed {seed}");
    let all = (seed..seed + runs).map(|seed| async move {
        let run = tokio::spawn(run(Plan::any(seed)));
        let result = run.await.unwrap_or_else(|panic| Err(panic.to_string()));
        (seed, result)
    });
    let mut outcomes = BTreeMap::<String, u64>::new();
    let mut broken = Vec::new();
    let mut all = stream::iter(all).buffer_unordered(AT_ONCE);
    while let Some((seed, result)) = all.next().await {
        match result {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(what) => {
                eprintln!("BROKEN with seed {seed}: {what}\n{:?}", Plan::any(seed));
                broken.push(seed);
            }
        }
    }
    for (outcome, count) in outcomes {
        eprintln!("{count:8} {outcome}");
    }
    assert!(broken.is_empty(), "seeds {broken:?}, see above");
}

fn client(server: &DjinnServer, token: &str) -> ClientBuilder<Client> {
    let retry = RetryPolicy::default()
        .first_delay(Duration::from_millis(5))
        .max_delay(Duration::from_millis(100));
    Client::builder(server.url())
        .reqwest_builder(without_certificates)
        .token(token)
        .retry(retry)
}

/// The server of a run, and those who use it.
struct Scene {
    server: Arc<DjinnServer>,
    /// Those of the caller, without its timeouts, and of the others in the order of `USERS`.
    images: [Images; 3],
    before: HashSet<i64>,
}

impl Scene {
    /// All images of the name in the places where the caller may create some.
    async fn named(&self) -> Vec<Image> {
        let mut all = BTreeMap::new();
        for images in &self.images[..2] {
            let mut list = images.list().search(NAME).consistent(20).stream();
            while let Some(image) = list.try_next().await.unwrap() {
                if image.name == NAME {
                    all.insert(image.id.get(), image);
                }
            }
        }
        all.into_values().collect()
    }

    async fn race(&self, racer: &Racer) {
        tokio::time::sleep(racer.after).await;
        let mut bytes = b"QFI\xfb".to_vec();
        bytes.resize(racer.length, 0xa5);
        let upload = self.images[racer.user].create_upload(NAME, Source::from(bytes));
        let upload = match racer.namespace {
            Some(namespace) => upload.namespace(namespace.parse().unwrap()),
            None => upload,
        };
        // It may come too late, or meet the server's absence.
        let _ = upload.unchecked().send().await;
    }

    /// Moves the rows of the caller's list, and of the shared namespace's.
    async fn shift(&self, every: Option<Duration>) {
        let Some(every) = every else {
            return std::future::pending().await;
        };
        let mut added = Vec::new();
        for round in 0.. {
            tokio::time::sleep(every).await;
            for (author, place) in [("tester", None), ("eli", Some("lab@eli"))] {
                let image = self.server.new_image(&format!("a-{round}")).author(author);
                let image = match place {
                    Some(place) => image.namespace(place),
                    None => image,
                };
                added.push((author, image.content(b"QFI\xfb").add().unwrap()));
            }
            if round % 3 == 2 {
                for (author, id) in added.drain(..) {
                    let images = &self.images[usize::from(author != "tester")];
                    let _ = images.delete(id).send().await;
                }
            }
        }
    }
}

fn scene(plan: &Plan) -> Scene {
    let mut server = DjinnServer::builder().unique_names(plan.unique_names);
    for (name, token) in USERS {
        server = server.user(name, token);
    }
    let server = server.start().unwrap();
    plan.furnish(&server);
    let tokens = [server.token(), USERS[0].1, USERS[1].1];
    let images = tokens.map(|token| client(&server, token).build().unwrap().images());
    let server = Arc::new(server);
    Scene {
        server,
        images,
        before: HashSet::new(),
    }
}

/// One run: the outcome, or what is wrong.
async fn run(plan: Plan) -> Result<String, String> {
    let mut scene = scene(&plan);
    let before = scene.named().await;
    scene.before = before.iter().map(|image| image.id.get()).collect();
    let scene = scene;
    for rule in plan.rules() {
        scene.server.inject(rule);
    }
    let caller = client(&scene.server, scene.server.token())
        .user_agent(CALLER)
        .response_timeout(plan.patience)
        .stall_timeout(plan.patience)
        .build()
        .unwrap();
    let bytes = plan.bytes();
    let source = match plan.reading {
        Reading::Bytes => Source::from(bytes.clone()),
        Reading::Once => Source::reader(std::io::Cursor::new(bytes.clone()), plan.length as u64),
        Reading::Chunked => {
            let chunks: Vec<_> = bytes
                .chunks(7000)
                .map(<[u8]>::to_vec)
                .map(std::io::Result::Ok)
                .collect();
            Source::stream(stream::iter(chunks), None)
        }
    };
    let mut upload = caller
        .images()
        .create_upload(NAME, source)
        .unchecked()
        .reconcile(true)
        .reconcile_within(plan.within);
    if let Some(namespace) = plan.place.namespace() {
        upload = upload.namespace(namespace.parse().unwrap());
    }
    if plan.digest {
        upload = upload.reconcile_sha256(sha256(&bytes));
    }
    let upload = async {
        let outcome = tokio::time::timeout(plan.dropped_after, upload.send()).await;
        outcome.ok()
    };
    let racers = futures::future::join_all(plan.racers.iter().map(|racer| scene.race(racer)));
    let work = async { tokio::join!(upload, racers).0 };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = scene.shift(plan.shifting) => unreachable!("it ends with the others"),
        () = tokio::time::sleep(Duration::from_secs(60)) => return Err("it hangs".to_owned()),
    };
    // What is still away or being copied.
    scene.server.clear_faults();
    tokio::time::sleep(plan.settles_after()).await;
    let after = scene.named().await;
    judge(&plan, &scene, &bytes, outcome.as_ref(), &after)?;
    let requests = scene.server.requests();
    let last = requests
        .iter()
        .rfind(|request| plan::is_the_callers(request));
    let last = last.map_or("", |request| &request.method);
    Ok(match outcome {
        None => "dropped".to_owned(),
        Some(Ok(_)) => {
            let how = if last == "POST" { "answered" } else { "found" };
            format!("new image of {} uploads, {how}", posts(&scene))
        }
        Some(Err(error)) => error.kind().to_string(),
    })
}

fn posts(scene: &Scene) -> usize {
    let requests = scene.server.requests();
    requests
        .iter()
        .filter(|request| plan::is_upload(request))
        .count()
}

fn judge(
    plan: &Plan,
    scene: &Scene,
    bytes: &[u8],
    outcome: Option<&Result<Image, Error>>,
    after: &[Image],
) -> Result<(), String> {
    let mine = |image: &&Image| image.author_id.get() == 1 && plan.place.has(image);
    let mine: Vec<_> = after.iter().filter(mine).collect();
    let is_new = |image: &&&Image| !scene.before.contains(&image.id.get());
    let new = mine.iter().filter(is_new).count();
    if new > 1 || new > 0 && new < mine.len() {
        return Err(format!("{} images of the caller's, {new} new", mine.len()));
    }
    let is_sent = |image: &&&Image| scene.server.content(image.id).as_deref() == Some(bytes);
    let made = mine.iter().filter(is_new).find(is_sent);
    match outcome {
        Some(Ok(image)) => {
            let there = after.iter().find(|other| other.id == image.id);
            let there = there.ok_or("the image is not on the server")?;
            let wrong = [
                (
                    scene.before.contains(&image.id.get()),
                    "it was there before",
                ),
                (image.name != NAME, "it has another name"),
                (there.author_id.get() != 1, "it is another user's"),
                (!plan.place.has(there), "it is in another place"),
                (!is_sent(&&there), "it has other bytes"),
            ];
            let wrong = wrong.iter().find(|(is_wrong, _)| *is_wrong);
            wrong.map_or(Ok(()), |(_, what)| {
                Err(format!("image {}: {what}", image.id))
            })
        }
        Some(Err(error)) => {
            let kind = error.kind();
            let is_explained = match kind {
                ErrorKind::OutcomeUnknown => true,
                ErrorKind::NotSent | ErrorKind::Connect => made.is_none(),
                // Without the body of the refusal it is told as the other.
                ErrorKind::NameTaken | ErrorKind::Rejected => made.is_none() && !after.is_empty(),
                // Of the looks before the upload.
                ErrorKind::Timeout
                | ErrorKind::Stalled
                | ErrorKind::Transport
                | ErrorKind::Server
                | ErrorKind::Limit => posts(scene) == 0,
                _ => false,
            };
            match is_explained {
                true => Ok(()),
                false => Err(format!(
                    "made {:?}, and {error:?}",
                    made.map(|image| image.id)
                )),
            }
        }
        None => Ok(()),
    }
}
