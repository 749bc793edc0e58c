//! Replays the captured requests: the embedded server answers as the real one did.

mod compare;
mod exchange;
mod scene;
mod source;

use std::time::Duration;

use exchange::exchanges;
use machine_images::djinn::Visibility;
use scene::{Replay, Scene, builder};
use source::Source;

use crate::http::{post_json, send};

/// The captures that are not replayed, with the reason.
const LEFT_OUT: [(&str, &[&str]); 4] = [
    (
        "parts of forms are not read",
        &[
            "create-multipart-ns-invalid",
            "create-upload-multipart",
            "create-upload-multipart-invalid",
            "create-upload-multipart-name-in-query",
        ],
    ),
    (
        "every Host is the right one",
        &[
            "host-mismatch-404",
            "host-mismatch-404-accept-qemu",
            "host-mismatch-create-invalid",
            "host-mismatch-list-bad-token",
        ],
    ),
    ("there are no webhooks", &["webhook-create"]),
    ("there are no invites", &["ns-invite-accept"]),
];

#[test]
fn captured_requests_are_answered_as_captured() {
    let mut replay = Replay {
        exchanges: exchanges(),
        ..Replay::default()
    };
    first_day(&mut replay);
    downloads(&mut replay);
    one_image(&mut replay);
    lists(&mut replay);
    collaborators(&mut replay);
    webhooks(&mut replay);
    let left_out: Vec<&str> = LEFT_OUT
        .iter()
        .flat_map(|(_, names)| *names)
        .copied()
        .collect();
    let forgotten: Vec<&str> = replay
        .exchanges
        .iter()
        .map(|exchange| exchange.name.as_str())
        .filter(|name| !replay.replayed.contains(*name) && !left_out.contains(name))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
    assert!(
        replay.differences.is_empty(),
        "{}",
        replay.differences.join("\n")
    );
    assert_eq!((replay.replayed.len(), left_out.len()), (205, 10));
    assert_eq!(replay.exchanges.len(), 215);
}

/// From an empty server on: uploads, names, namespaces, and what is refused.
fn first_day(replay: &mut Replay) {
    let mut scene = Scene::new(replay, builder());
    scene.play(
        "list-empty list-empty-search create-upload-raw list-one-page list-no-accept \
         get-json-uploaded create-upload-no-content-type create-upload-octet-stream \
         create-name-255 create-name-5000 create-only-4-magic-bytes create-unknown-query-param \
         create-upload-with-download_url-query",
    );
    scene.play(
        "create-err-bad-name create-err-duplicate create-err-empty-body \
         create-err-json-empty-body create-err-json-malformed create-err-json-no-url \
         create-err-name-dot create-err-no-name create-err-not-qcow2 create-err-nothing \
         create-multipart-no-boundary create-upload-content-encoding-gzip \
         create-upload-gzip-plain-bytes create-upload-curl-d-as-in-docs \
         create-upload-curl-default-form-ct create-upload-expect-100-bad-token",
    );
    scene.play(
        "create-ns-nonexistent-is-created create-ns-existing create-ns-duplicate-name-in-ns \
         create-ns-with-own-owner create-ns-someone-elses-new-ns create-ns-unknown-owner \
         create-ns-invalid-json create-ns-nested ns-images-list-500-after-duplicate-namespace",
    );
}

/// Creations by download, from the queue to their ends.
fn downloads(replay: &mut Replay) {
    let source = Source::start();
    let delay = Duration::from_secs(3);
    let mut scene = Scene::new(replay, builder().download_delay(delay));
    scene.source = source.address.to_string();
    let create = |scene: &Scene<'_>, id: i64, name: &str, path: &str| {
        scene.advance(id);
        let url = format!("http://{}/{path}", scene.source);
        let body = format!(r#"{{"name":"{name}","download_url":"{url}"}}"#);
        assert_eq!(post_json(&scene.server, &body).json()["id"], id);
    };
    scene.play(
        "download-create-ok download-create-uppercase download-create-wrong-type \
         download-create-type-with-param download-create-404-qemu-type",
    );
    create(&scene, 24, "dl-notq", "not-qcow2");
    scene.play(
        "download-create-redirect download-create-refused download-create-slow \
         download-create-namespace download-create-userinfo \
         download-create-sftp-with-password download-err-scheme-upper download-json-charset",
    );
    create(&scene, 36, "dl-deleted", "ok.qcow2");
    scene.play(
        "download-get-queued-ns download-get-queued-ok download-get-queued-upper \
         download-get-queued-userpw download-data-queued download-delete-queued",
    );
    scene.play(
        "download-err-control-char download-err-relative download-err-scheme-ftp \
         download-err-scheme-ssh download-err-sftp-no-password download-err-unparsable \
         download-err-url-not-string",
    );
    scene.wait(28, "started_at");
    scene.play("download-get-in-progress");
    source.release();
    for id in [18, 20, 24, 25, 27, 28, 29, 31] {
        scene.wait(id, "finished_at");
    }
    scene.wait(30, "started_at");
    scene.play(
        "download-get-error-refused download-get-error-sftp download-get-error-wrong-type \
         download-get-finished-not-qcow2 download-get-finished-ok download-get-finished-redirect \
         download-get-finished-slow download-get-stuck-userinfo download-data-error-wrong-type \
         download-data-finished-ok",
    );
    scene.play(
        "get-other-users-private-ns-image-no-token data-other-users-private-ns-image-no-token",
    );
}

/// One image of Gordon's, and one in a namespace: who gets them, and how.
fn one_image(replay: &mut Replay) {
    let mut scene = Scene::new(replay, builder());
    let created = "2026-11-22T01:04:06.870588Z".parse().unwrap();
    scene.image(112, "getme").created_at(created).add().unwrap();
    let image = scene.image(113, "getme-ns").namespace("blackmesa");
    image.add().unwrap();
    scene.play(
        "auth-create-form-ct-bad-token auth-create-json-bad-token \
         auth-create-multipart-bad-token-referer auth-create-multipart-bad-token \
         auth-create-no-token auth-create-scope-read-only auth-create-scope-write-only \
         auth-data-other-users-image auth-data-scope-noimage-own auth-delete-other-users-image \
         auth-delete-scope-read auth-get-bad-token auth-get-no-token auth-get-other-users-image \
         auth-get-other-users-ns-image auth-get-scope-noimage-own auth-get-scope-write-only-own \
         auth-list-bad-token auth-list-basic auth-list-empty-bearer auth-list-lowercase-bearer \
         auth-list-no-token auth-list-scope-noimage auth-list-token-trailing-space \
         auth-list-token-uppercase",
    );
    scene.image(115, "delete-me").add().unwrap();
    scene.play(
        "auth-delete-scope-read-write large-1g-upload large-1g-upload-bad-name \
         large-1g-upload-bad-token-no-expect tz-newyork-create tz-newyork-get",
    );
    scene.play(
        "cond-if-match-etag cond-if-match-star cond-if-modified-since-old \
         cond-if-modified-since-same data-accept-exact data-accept-list data-accept-octet \
         data-accept-q-space data-accept-q data-accept-star data-accept-trailing-space \
         data-accept-two-headers-json-first data-accept-upper data-full \
         data-with-content-type-header range-bad-unit range-beyond range-end-beyond range-first4 \
         range-garbage range-if-range-date range-if-range-old-date range-json range-mid \
         range-multi-overlap range-multi-sum-larger range-open range-space \
         range-suffix-too-long range-suffix range-whole gzip-accept-data",
    );
    scene.play(
        "get-accept-json get-double-slash get-encoded-id get-int32-overflow get-json-namespaced \
         get-negative get-non-numeric get-query-ignored get-trailing-slash get-unknown-id \
         head-data head-list host-mismatch-404-accept-json host-mismatch-get-ok \
         list-trailing-slash method-delete-list method-patch-image method-post-image \
         method-put-image method-put-list method-put-with-data method-trace-image \
         unknown-route-image-download delete-non-numeric delete-ok delete-then-get delete-twice \
         delete-with-body",
    );
}

/// Eli's 60 images, page by page.
fn lists(replay: &mut Replay) {
    let fill = |scene: &Scene<'_>, author: &str, range: std::ops::Range<i64>| {
        for at in range {
            let image = scene.image(43 + at, &format!("img-{at:02}"));
            image.author(author).add().unwrap();
        }
    };
    let mut scene = Scene::new(replay, builder());
    fill(&scene, "eli.vance", 0..25);
    scene.play("list-25-exactly-one-page");
    fill(&scene, "eli.vance", 25..60);
    scene.play(
        "list-60-page--1 list-60-page-0 list-60-page-1 list-60-page-2-twice list-60-page-2.5 \
         list-60-page-2 list-60-page-3 list-60-page-4 list-60-page-61 list-60-page-99 \
         list-60-page-abc list-60-page-none list-60-percent-bad-query list-60-search-empty \
         list-60-search-nomatch-page-2 list-60-search-nomatch list-60-search-page-2 \
         list-60-search-percent list-60-search-special list-60-search-underscore list-60-search",
    );
    for (id, name) in [(103, "alpha"), (104, "beta")] {
        let image = scene.image(id, name).author("eli.vance").namespace("labs");
        image.add().unwrap();
    }
    scene.play("list-search-namespaced-alpha list-search-two-namespaced");
    for (id, name) in (105..).zip(["Zed", "abc", "ABD", "_x", "-y", "10", "9"]) {
        scene.image(id, name).author("g.man").add().unwrap();
    }
    scene.play("list-order");
    let mut scene = Scene::new(replay, builder().base_path(""));
    fill(&scene, "eli.vance", 0..60);
    scene.play("list-60-page-2-api-only-server");
    let mut scene = Scene::new(replay, builder());
    fill(&scene, "gordon.freeman", 0..30);
    scene.play("gzip-accept-list");
}

/// Gordon's namespace, which Eli collaborates in.
fn collaborators(replay: &mut Replay) {
    let mut scene = Scene::new(replay, builder());
    let server = &scene.server;
    server
        .add_namespace("blackmesa", Visibility::Private)
        .unwrap();
    server.add_collaborator("blackmesa", "eli.vance").unwrap();
    for (id, author, name) in [
        (13, "gordon.freeman", "nsimg"),
        (14, "gordon.freeman", "nsimg2"),
        (15, "gordon.freeman", "debian-12"),
        (16, "gordon.freeman", "nsimg3"),
        (29, "gordon.freeman", "dl-ns"),
        (37, "gordon.freeman", "hooked"),
        (38, "gordon.freeman", "hooked-dl"),
        (40, "gordon.freeman", "hooked-dl2"),
        (42, "gordon.freeman", "hooked-dl3"),
        (121, "eli.vance", "by-eli"),
    ] {
        let image = scene.image(id, name).author(author);
        image.namespace("blackmesa@gordon.freeman").add().unwrap();
    }
    for at in 0..60 {
        let image = scene.image(43 + at, &format!("img-{at:02}"));
        image.author("eli.vance").add().unwrap();
    }
    scene.play(
        "collab-get-by-author collab-get-by-owner collab-list-search-by-eli \
         collab-create-without-owner collab-delete-by-eli-of-gordons ns-images-list \
         ns-images-list-search ns-images-list-search-nomatch",
    );
}

/// Creations that set off a webhook, which is nothing to see in their answers.
fn webhooks(replay: &mut Replay) {
    // Their source does not exist, and is never requested.
    let never = Duration::from_secs(3600);
    let mut scene = Scene::new(replay, builder().download_delay(never));
    scene.play("webhook-trigger-created webhook-trigger-created-download");
    let gone = send(&scene.server, "DELETE", "/api/images/41", "", b"");
    assert_eq!(gone.status(), 204);
}
