//! Awkward ids reach a server as the same id, and none escapes its path.

use machine_images::devops::{Client, NewImage};
use machine_images::testing::DevopsServer;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::cases;

/// What a path, a query or a header would read something into.
const AWKWARD: &[&str] = &[
    "/",
    "//",
    "?",
    "#",
    "%",
    "%2F",
    "%2e%2e",
    "%00",
    "%zz",
    " ",
    "..",
    ".",
    "\\",
    "+",
    "&",
    "=",
    ";",
    ":",
    "@",
    "~",
    "'",
    "\"",
    "<",
    ">",
    "[",
    "]",
    "{",
    "|",
    "^",
    "`",
    "*",
    "!",
    "$",
    ",",
    "(",
    "\0",
    "\t",
    "\r\n",
    "\u{1b}",
    "\u{7f}",
    "\u{85}",
    "é",
    "e\u{301}",
    "日本",
    "🦀",
    "\u{202e}",
    "\u{feff}",
    "\u{2215}",
    "http://h/",
    "/v3/images",
];

const BYSTANDERS: [&str; 4] = ["v3", "image", "images", "ami-63071b0a/"];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(AWKWARD).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => Just("ami-63071b0a".to_owned()),
    ]
}

fn id() -> impl Strategy<Value = String> {
    let id = proptest::collection::vec(piece(), 1..8).prop_map(|pieces| pieces.concat());
    let id = id.prop_filter("URLs cannot carry it", |id| id != "." && id != "..");
    id.prop_filter("there is one", |id| !BYSTANDERS.contains(&id.as_str()))
}

#[test]
fn an_id_stays_the_same_id_in_its_own_segment() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = DevopsServer::builder().base_path("/a/b").start().unwrap();
    let (user, password) = server.login();
    let client = Client::builder(server.url()).basic(user, password);
    let images = client.build().unwrap().images();
    // If an id escaped, it would meet these.
    for bystander in BYSTANDERS {
        server.add_image(bystander, "ec2", "nobody", bystander);
    }
    let before = server.images();
    let mut runner = TestRunner::new(cases(200));
    let check = |id: String| {
        server.clear_requests();
        runtime.block_on(async {
            let new = NewImage::new(id.as_str(), "ec2", "root", "new");
            let created = images.create(new).send().await.unwrap();
            prop_assert_eq!(created.id, id.as_str());
            let shown = images.get(id.as_str()).send().await.unwrap();
            prop_assert_eq!(&shown.id, id.as_str());
            let update = images.update(&shown.id).name("changed");
            let updated = update.send().await.unwrap().image.unwrap();
            prop_assert_eq!((&updated.id, updated.name), (&shown.id, "changed".into()));
            let listed = images.list().await.unwrap();
            prop_assert!(listed.iter().any(|image| image.id == shown.id));
            images.delete(shown.id).send().await.unwrap();
            Ok(())
        })?;
        prop_assert_eq!(server.images(), before.clone());
        let requests = server.requests();
        let of_one = requests
            .iter()
            .filter(|request| request.target.contains("/image/"));
        let mut count = 0;
        for request in of_one {
            let segment = request.target.strip_prefix("/a/b/v3/image/").unwrap();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            prop_assert!(segment.bytes().all(plain), "{}", segment);
            count += 1;
        }
        prop_assert_eq!((requests.len(), count), (6, 4));
        Ok(())
    };
    runner.run(&id(), check).unwrap();
}
