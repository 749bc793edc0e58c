use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use machine_images::djinn::Visibility;
use machine_images::testing::{Close, DjinnServer, Fault};

use super::{DISK, Ran, example_on, run};

const TARGET: &str = "b1946ac92492d2347c6235b4d2611184";

/// Two servers, and the images of the first by name.
struct Site {
    source: DjinnServer,
    target: DjinnServer,
    images: BTreeMap<String, Vec<u8>>,
}

fn site(count: usize) -> Site {
    let source = DjinnServer::start().unwrap();
    let disk = std::fs::read(DISK).unwrap();
    let images = (0..count).map(|index| {
        let bytes = [&*disk, format!("{index:05}").as_bytes()].concat();
        (format!("image-{index:03}"), bytes)
    });
    let images: BTreeMap<_, _> = images.collect();
    for (name, bytes) in &images {
        source.add_image(name, bytes).unwrap();
    }
    let all = ["image:read", "image:write", "namespace:read"];
    let target = DjinnServer::builder().scoped_token(TARGET, &all);
    Site {
        source,
        target: target.start().unwrap(),
        images,
    }
}

impl Site {
    fn program(&self) -> Command {
        let mut program = example_on("mirror", &self.source);
        program.env("MIRROR_API_SERVER", self.target.url().as_str());
        program.env("MIRROR_TOKEN", TARGET);
        program
    }

    fn run(&self, args: &str) -> Ran {
        run(self.program(), args)
    }

    /// Names and contents on the target.
    fn mirrored(&self) -> Vec<(String, Vec<u8>)> {
        let mut list = super::example("images");
        list.env("DJINN_API_SERVER", self.target.url().as_str());
        list.env("DJINN_TOKEN", TARGET);
        let listed = run(list, "--json djinn list").ok().json();
        let mut all: Vec<_> = listed
            .iter()
            .map(|image| {
                let content = self.target.content(image["id"].as_i64().unwrap());
                (image["name"].as_str().unwrap().to_owned(), content.unwrap())
            })
            .collect();
        all.sort();
        all
    }

    fn posts(&self) -> usize {
        let requests = self.target.requests();
        let posts = requests.iter().filter(|request| request.method == "POST");
        posts.count()
    }

    #[track_caller]
    fn check_mirrored(&self) {
        let mirrored = self.mirrored();
        assert_eq!(mirrored.len(), self.images.len());
        assert!(mirrored.into_iter().eq(self.images.clone()));
        assert!(!format!("{:?}", self.source.requests()).contains(TARGET));
        let requests = self.target.requests();
        assert!(!format!("{requests:?}").contains(self.source.token()));
    }
}

fn summary(ran: &Ran) -> &str {
    ran.out.lines().last().unwrap()
}

#[test]
fn a_mirror_that_is_killed_again_and_again_has_each_image_once() {
    let site = site(200);
    let close = Close::Reset;
    let is_content = |request: &machine_images::testing::Received| {
        request.header("accept") == Some("application/x-qemu-disk")
    };
    let mut random = fastrand::Rng::new();
    let mut alive = 0;
    for _ in 0..20 {
        for after in [1000, 100_000, 200_000] {
            let cut = Fault::CutResponse { after, close };
            site.source.inject(cut.when(is_content));
        }
        let mut program = site.program();
        let program = program.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        let enough = site.target.image_count() + random.usize(1..9);
        let began = Instant::now();
        while site.target.image_count() < enough && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(random.u64(..30)));
        alive += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(alive, 20, "too late to kill");
    assert!(site.target.image_count() < 200, "nothing is left to do");

    let ran = site.run("--jobs 8").ok();
    assert!(ran.err.is_empty(), "{ran:?}");
    site.check_mirrored();

    let before = site.posts();
    let ran = site.run("").ok();
    assert_eq!(ran.out, "0 copied, 200 skipped, 0 deleted, 0 failed\n");
    assert_eq!(site.posts(), before);
}

#[test]
fn one_failure_does_not_lose_the_rest() {
    let mut site = site(10);
    site.images.remove("image-003");
    let gone = Fault::status(403).on("GET", "/images/4");
    site.source.inject(gone.always());
    let ran = site.run("");
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert_eq!(summary(&ran), "9 copied, 0 skipped, 0 deleted, 1 failed");
    assert!(
        ran.err.starts_with("image-003: copy image 4: source: "),
        "{ran:?}"
    );
    site.check_mirrored();
    site.source.clear_faults();
    let ran = site.run("").ok();
    assert_eq!(summary(&ran), "1 copied, 9 skipped, 0 deleted, 0 failed");
}

#[test]
fn images_keep_their_namespace_and_a_search_or_a_namespace_narrows_them() {
    let site = site(2);
    site.source
        .add_namespace("lab", Visibility::Private)
        .unwrap();
    let lab = site.source.new_image("image-000").namespace("lab");
    lab.content(std::fs::read(DISK).unwrap()).add().unwrap();

    let ran = site.run("--search image-001").ok();
    assert_eq!(summary(&ran), "1 copied, 0 skipped, 0 deleted, 0 failed");
    let ran = site.run("").ok();
    // In another namespace it is another image.
    assert_eq!(summary(&ran), "2 copied, 1 skipped, 0 deleted, 0 failed");
    assert_eq!(site.target.image_count(), 3);
    let ran = site.run("--namespace lab").ok();
    assert_eq!(summary(&ran), "0 copied, 1 skipped, 0 deleted, 0 failed");

    let site = Site {
        target: self::site(0).target,
        ..site
    };
    let ran = site.run("--namespace lab").ok();
    assert_eq!(summary(&ran), "1 copied, 0 skipped, 0 deleted, 0 failed");
}

#[test]
fn what_differs_is_a_failure_or_is_replaced_with_prune() {
    let site = site(3);
    let mut other = site.images["image-001"].clone();
    *other.last_mut().unwrap() = b'x';
    site.target.add_image("image-000", "short").unwrap();
    site.target.add_image("image-001", other).unwrap();
    site.target.add_image("surplus", "").unwrap();

    let ran = site.run("");
    assert_eq!(ran.status, Some(1));
    assert_eq!(summary(&ran), "1 copied, 1 skipped, 0 deleted, 1 failed");
    assert!(
        ran.err.starts_with("image-000: the target has another"),
        "{ran:?}"
    );

    let before = site.target.requests().len();
    let ran = site.run("--prune --verify --dry-run").ok();
    let mut lines: Vec<_> = ran.out.lines().collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "2 copied, 1 skipped, 1 deleted, 0 failed",
            "would copy image-000",
            "would copy image-001",
            "would delete image-000",
            "would delete image-001",
            "would delete surplus",
        ]
    );
    let requests = site.target.requests();
    assert!(
        requests[before..]
            .iter()
            .all(|request| request.method == "GET")
    );

    // The other one has the length of the source's.
    let ran = site.run("--prune").ok();
    assert_eq!(summary(&ran), "1 copied, 2 skipped, 1 deleted, 0 failed");
    let ran = site.run("--prune --verify").ok();
    assert_eq!(summary(&ran), "1 copied, 2 skipped, 0 deleted, 0 failed");
    site.check_mirrored();
}

#[test]
fn prune_deletes_nothing_if_the_source_has_nothing_or_fails() {
    let site = site(0);
    site.target.add_image("precious", "").unwrap();
    let ran = site.run("--prune");
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.err.contains("the source has no images"), "{ran:?}");

    site.source.add_image("bad", "no image").unwrap();
    let ran = site.run("--prune");
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert_eq!(summary(&ran), "0 copied, 0 skipped, 0 deleted, 1 failed");
    assert_eq!(site.target.image_count(), 1);

    // Nor is an image replaced by a bad one.
    site.target.add_image("bad", DISK).unwrap();
    let ran = site.run("--prune");
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.err.contains("the source's is bad"), "{ran:?}");
    assert_eq!(site.target.image_count(), 2);
}

#[test]
fn an_image_in_the_way_of_another_is_deleted_before_it() {
    let site = site(1);
    let lab = site.target.new_image("image-000").namespace("lab");
    site.target
        .add_namespace("lab", Visibility::Private)
        .unwrap();
    lab.content("old").add().unwrap();
    let ran = site.run("--prune").ok();
    assert_eq!(summary(&ran), "1 copied, 0 skipped, 1 deleted, 0 failed");
    site.check_mirrored();
}

#[test]
fn wrong_usage_ends_with_2() {
    let site = site(0);
    for args in ["--jobs 0", "--jobs x", "--to ftp://example.org", "surplus"] {
        let ran = site.run(args);
        assert_eq!(ran.status, Some(2), "{ran:?}");
    }
    let ran = run(super::example("mirror"), "--to http://127.0.0.1:1");
    assert_eq!(ran.status, Some(2), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_130_and_leaves_nothing_half_done() {
    let site = site(4);
    let wait = Duration::from_secs(60);
    let stall = Fault::StallResponse {
        after: 100_000,
        wait,
    };
    site.source.inject(stall.on("GET", "/images/2").always());
    let mut child = site.program().stdout(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while site.target.image_count() < 3 && began.elapsed() < wait {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(site.target.image_count(), 3);
}
