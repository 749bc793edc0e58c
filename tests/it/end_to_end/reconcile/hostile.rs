//! Servers that lie, leave out, or cannot say, and what the search for an upload makes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use machine_images::djinn::{Client, Image, Source, Visibility};
use machine_images::testing::DjinnServer;
use machine_images::{ErrorKind, Result, RetryPolicy};
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{DISK, disk, lose_the_answer, posts};
use crate::support::raw::{Answer, RawServer, Then};
use crate::support::{QEMU_DISK, TOKEN, disk_answer, image, json_answer, page};

const NAME: &str = "debian";

/// What a server says of itself; it loses the answer to every upload.
struct Tale {
    user: ResponseTemplate,
    before: Vec<Value>,
    after: Vec<Value>,
    /// What it says of each single image.
    single: Value,
    contents: ResponseTemplate,
    /// Lists after the upload that fail before one does not, and how.
    failures: (usize, ResponseTemplate),
}

fn with(mut image: Value, field: &str, value: impl Into<Value>) -> Value {
    image[field] = value.into();
    image
}

impl Tale {
    /// The truth of a server that has made the image with id 9.
    fn truth() -> Self {
        let made = image(9, NAME);
        let me = with(made["author"].clone(), "id", 1);
        let range = format!("bytes 0-0/{}", disk().len());
        Self {
            user: json_answer(200, &me),
            before: vec![image(7, "another")],
            after: vec![image(7, "another"), made.clone()],
            single: made,
            contents: disk_answer(206, "Q").insert_header("Content-Range", range.as_str()),
            failures: (0, ResponseTemplate::new(500)),
        }
    }

    /// What comes of an upload, and how many uploads there were.
    async fn upload(self) -> (Result<Image>, usize) {
        let server = MockServer::start().await;
        let is_sent = Arc::new(AtomicUsize::new(0));
        let sent = Arc::clone(&is_sent);
        let lost = move |_: &wiremock::Request| {
            sent.fetch_add(1, Ordering::Relaxed);
            ResponseTemplate::new(504).set_body_raw("<html>", "text/html")
        };
        let sent = Arc::clone(&is_sent);
        let left = AtomicUsize::new(self.failures.0);
        let list = move |_: &wiremock::Request| {
            if sent.load(Ordering::Relaxed) == 0 {
                return page(&self.before, 1, 1);
            }
            let take = |left: usize| left.checked_sub(1);
            match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                Ok(_) => self.failures.1.clone(),
                Err(_) => page(&self.after, 1, 1),
            }
        };
        let mounted = [
            Mock::given(path("/api/user")).respond_with(self.user),
            Mock::given(method("POST")).respond_with(lost),
            Mock::given(path("/api/images")).respond_with(list),
            Mock::given(header("Accept", QEMU_DISK)).respond_with(self.contents),
            Mock::given(method("GET")).respond_with(json_answer(200, &self.single)),
        ];
        for mock in mounted {
            mock.mount(&server).await;
        }
        let client = Client::builder(format!("{}/api", server.uri()))
            .token(TOKEN)
            .retry(RetryPolicy::none());
        let upload = client
            .build()
            .unwrap()
            .images()
            .create_upload(NAME, Source::file(DISK))
            .reconcile(true)
            .reconcile_within(Duration::from_millis(400));
        let outcome = upload.send().await;
        (outcome, is_sent.load(Ordering::Relaxed))
    }

    async fn expect_unknown(self, what: &str) {
        let (outcome, posts) = self.upload().await;
        let kind = outcome.map(|image| image.id).map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::OutcomeUnknown), "{what}");
        assert_eq!(posts, 1);
    }
}

#[tokio::test]
async fn a_server_that_tells_the_truth_is_believed() {
    let (outcome, posts) = Tale::truth().upload().await;
    assert_eq!((outcome.unwrap().id.get(), posts), (9, 1));

    let mut no_id = Tale::truth();
    no_id.user = json_answer(200, &image(9, NAME)["author"]);
    assert_eq!(no_id.upload().await.0.unwrap().id.get(), 9);
}

#[tokio::test]
async fn an_image_that_contradicts_itself_is_not_taken_for_the_upload() {
    let single = |field, value: Value| Tale {
        single: with(image(9, NAME), field, value),
        ..Tale::truth()
    };
    single("author_id", json!(2))
        .expect_unknown("another author")
        .await;
    single("id", json!(10)).expect_unknown("another id").await;
    single("name", json!("debiam"))
        .expect_unknown("another name")
        .await;
    single("namespace_id", json!(3))
        .expect_unknown("another place")
        .await;
    let download = json!({"source": "http://h/x", "error": null, "created_at": null,
        "started_at": null, "finished_at": null});
    single("download", download)
        .expect_unknown("a download")
        .await;
    let mut no_id = single(
        "author",
        with(image(9, "")["author"].clone(), "username", "eli"),
    );
    no_id.user = json_answer(200, &image(9, NAME)["author"]);
    no_id.expect_unknown("another author's name").await;
}

#[tokio::test]
async fn an_image_that_was_there_before_is_not_taken_for_the_upload() {
    // Its namespace was deleted meanwhile, which leaves its images without one.
    let namespaced = with(image(9, NAME), "namespace_id", 3);
    let moved = Tale {
        before: vec![namespaced],
        ..Tale::truth()
    };
    moved.expect_unknown("moved").await;
    // No server renames images, but one may.
    let renamed = Tale {
        before: vec![image(9, "another")],
        ..Tale::truth()
    };
    renamed.expect_unknown("renamed").await;
}

#[tokio::test]
async fn an_image_of_another_or_an_unknown_length_is_not_taken_for_the_upload() {
    for (what, contents) in [
        (
            "longer",
            disk_answer(206, "Q").insert_header("Content-Range", "bytes 0-0/208897"),
        ),
        (
            "unknown",
            disk_answer(206, "Q").insert_header("Content-Range", "bytes 0-0/*"),
        ),
        (
            "empty",
            ResponseTemplate::new(416).insert_header("Content-Range", "bytes */0"),
        ),
        ("without ranges", disk_answer(200, disk())),
        ("gone", json_answer(404, &json!({"message": "Not Found"}))),
    ] {
        let tale = Tale {
            contents,
            ..Tale::truth()
        };
        tale.expect_unknown(what).await;
    }
}

#[tokio::test]
async fn a_server_that_is_starting_is_asked_again() {
    let html = |status| ResponseTemplate::new(status).set_body_raw("<html>", "text/html");
    let message = json!({"message": "database: connection refused"});
    for failure in [
        json_answer(500, &message),
        json_answer(404, &json!({"message": "Not Found"})),
        html(404),
        html(200),
        html(503),
        html(502),
        html(301),
    ] {
        let tale = Tale {
            failures: (3, failure),
            ..Tale::truth()
        };
        let (outcome, posts) = tale.upload().await;
        assert_eq!((outcome.unwrap().id.get(), posts), (9, 1));
    }
}

#[tokio::test]
async fn without_a_user_nothing_is_sent() {
    let html = ResponseTemplate::new(404).set_body_raw("<html>", "text/html");
    for (user, kind) in [
        (
            json_answer(404, &json!({"message": "Not Found"})),
            ErrorKind::Unauthorized,
        ),
        (html, ErrorKind::UnknownRoute),
        (json_answer(200, &json!({})), ErrorKind::Decode),
    ] {
        let tale = Tale {
            user,
            ..Tale::truth()
        };
        let (outcome, posts) = tale.upload().await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), posts), (kind, 0), "{error:?}");
        if kind == ErrorKind::Unauthorized {
            assert!(error.to_string().contains("does not tell"), "{error}");
        }
    }
}

/// A server whose own list of the namespace `pa` fails, and the token to ask it with.
fn unlisted() -> [(DjinnServer, &'static str); 2] {
    let twice = DjinnServer::start().unwrap();
    twice.add_namespace("pa", Visibility::Private).unwrap();
    // As on the real server there are two of the upper one then.
    let below = twice.new_image("below").namespace("pa/ch");
    below.add().unwrap();
    let scoped = DjinnServer::builder().scoped_token("5c0ped", &["image:read", "image:write"]);
    let scoped = scoped.start().unwrap();
    scoped.add_namespace("pa", Visibility::Private).unwrap();
    [(twice, TOKEN), (scoped, "5c0ped")]
}

#[tokio::test]
async fn a_namespace_that_cannot_be_listed_is_searched_in_the_list_of_all() {
    for is_taken in [false, true] {
        for (server, token) in unlisted() {
            // The same name elsewhere is no trouble.
            let elsewhere = server.new_image(NAME).namespace("other");
            elsewhere.content(disk()).add().unwrap();
            if is_taken {
                let taken = server.new_image(NAME).namespace("pa");
                taken.content(disk()).add().unwrap();
            }
            let count = server.image_count();
            lose_the_answer(&server);
            let client = Client::builder(server.url()).token(token);
            let upload = client
                .build()
                .unwrap()
                .images()
                .create_upload(NAME, Source::file(DISK))
                .namespace("pa".parse().unwrap())
                .reconcile(true);
            match upload.send().await {
                Ok(image) => {
                    assert!(!is_taken);
                    assert_eq!(image.namespace.unwrap().path, "pa");
                    assert_eq!((posts(&server), server.image_count()), (1, count + 1));
                }
                Err(error) => {
                    assert!(is_taken, "{error:?}");
                    assert_eq!(error.kind(), ErrorKind::NameTaken);
                    assert_eq!((posts(&server), server.image_count()), (0, count));
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_says_nothing_of_what_was_done() {
    // As after an answer that was longer than it said, on the same connection.
    let garbage = vec![Answer::new("rest of a page\r\n\r\n", Then::Close)];
    let server = RawServer::start(garbage).await;
    let client = Client::builder(server.url("/api")).token(TOKEN);
    let images = client.build().unwrap().images();
    let upload = images.create_upload(NAME, Source::file(DISK));

    let error = upload.send().await.unwrap_err();

    assert_eq!(server.received().len(), 1);
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_one_image_or_none() {
    for millis in (0..60).step_by(3) {
        let (server, images) = super::site();
        lose_the_answer(&server);
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        let upload = async move {
            let upload = images.create_upload(NAME, Source::file(DISK));
            upload.reconcile(true).send().await.unwrap();
            ended.store(true, Ordering::Relaxed);
        };
        let _ = tokio::time::timeout(Duration::from_millis(millis), upload).await;
        // Whatever was under way is over.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let requests = server.requests().len();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(server.requests().len(), requests, "it goes on");
        let made = server.image_count();
        assert!(made <= 1 && posts(&server) <= 1);
        assert!(made == 1 || !has_ended.load(Ordering::Relaxed));
    }
}
