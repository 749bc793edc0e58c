use machine_images::testing::DjinnServer;
use serde_json::json;

use super::djinn::sha256;
use super::{DISK, Ran, on, run};

const TARGET: &str = "b1946ac92492d2347c6235b4d2611184";

struct Site {
    source: DjinnServer,
    target: DjinnServer,
    disk: Vec<u8>,
}

fn site() -> Site {
    let source = DjinnServer::start().unwrap();
    let disk = std::fs::read(DISK).unwrap();
    source.add_image("web", &disk).unwrap();
    let all = ["image:read", "image:write", "namespace:read"];
    let target = DjinnServer::builder().scoped_token(TARGET, &all);
    Site {
        source,
        target: target.start().unwrap(),
        disk,
    }
}

impl Site {
    fn copy(&self, json: &str, id: i64, options: &str) -> Ran {
        let to = self.target.url();
        let args = format!("{json} djinn copy {id} --to {to} --to-token {TARGET} {options}");
        run(on(&self.source), &args)
    }
}

#[test]
fn a_copy_is_the_same_image_on_the_other_server() {
    let site = site();
    let ran = site.copy("--json", 1, "").ok();
    assert_eq!(ran.err, "");
    let [line] = &ran.json()[..] else {
        panic!("not one line: {ran:?}");
    };
    let digest = sha256(&site.disk);
    assert_eq!(line["bytes"], site.disk.len());
    assert_eq!(line["sha256"], digest);
    assert_eq!(line["image"]["name"], "web");
    assert_eq!(line.as_object().unwrap().len(), 3);
    let id = line["image"]["id"].as_i64().unwrap();
    assert_eq!(site.target.content(id), Some(site.disk.clone()));

    let options = format!("--name shop --namespace lab --sha256 {digest}");
    let people = site.copy("", 1, &options).ok();
    for text in ["name       shop", "namespace  lab", &digest] {
        assert!(people.out.contains(text), "{people:?}");
    }
    let requests = site.target.requests();
    let token = format!("Bearer {TARGET}");
    let mut sent = requests
        .iter()
        .map(|request| request.header("authorization"));
    assert!(sent.all(|sent| sent == Some(&token)));
    assert!(!format!("{:?}", site.source.requests()).contains(TARGET));
}

#[test]
fn a_copy_that_fails_says_which_side() {
    let site = site();
    let ran = site.copy("--json", 7, "");
    assert_eq!(
        ran.failure(),
        json!({
            "error": "not_found_or_unauthorized",
            "message": "copy image 7: source: not found, or the token is wrong (404 Not Found)",
            "status": 404,
            "retryable": false,
            "fields": null,
        })
    );
    let wrong = format!("--sha256 {}", "0".repeat(64));
    let ran = site.copy("", 1, &wrong);
    assert_eq!((ran.status, &*ran.out), (Some(1), ""));
    let expected = "error: copy image 1: source: the SHA-256 is ";
    assert!(ran.err.starts_with(expected), "{ran:?}");
    assert_eq!(site.target.image_count(), 0);

    site.target.add_image("web", "").unwrap();
    let ran = site.copy("--json", 1, "");
    assert_eq!(ran.failure()["error"], "name_taken");
}

#[test]
fn a_copy_needs_a_target() {
    let server = DjinnServer::start().unwrap();
    let ran = run(on(&server), "djinn copy 1");
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("--to <URL>"), "{ran:?}");
}
