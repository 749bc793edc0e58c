//! The public futures can be sent to another task, and are small enough to be held in others.

use machine_images::djinn::{Client, Image, Images};
use machine_images::{Content, Result};

/// The most that a public future may take of its holder's stack.
const MOST: usize = 8192;

fn check<F: Future + Send>(name: &str, future: F) -> String {
    let size = size_of_val(&future);
    assert!(size <= MOST, "the future of {name} has {size} bytes");
    format!("{name} {size}")
}

/// The futures of contents, which only a server gives.
fn of_content(content: Content) -> [String; 2] {
    let mut content = content;
    [
        check("content.chunk", content.chunk()),
        check("content.bytes", content.bytes()),
    ]
}

fn client() -> Client {
    Client::builder("http://127.0.0.1:1").build().unwrap()
}

fn images() -> Images {
    client().images()
}

async fn content() -> Content {
    let server = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(crate::support::disk_answer(200, "QFI"))
        .expect(1)
        .mount(&server)
        .await;
    let images = crate::support::images(&server);
    images.content(1).send().await.unwrap()
}

#[tokio::test]
async fn public_futures_are_small_and_send() {
    let images = images();
    let url = "http://h/x".parse().unwrap();
    let mut sizes = vec![
        check("list.send", images.list().page(1).send()),
        check("get.send", images.get(1).send()),
        check("find.send", images.find("x").send()),
        check("content.send", images.content(1).send()),
        check(
            "create_upload.send",
            images.create_upload("x", vec![1]).send(),
        ),
        check(
            "create_download.send",
            images.create_download("x", url).send(),
        ),
        check("check.send", client().check().send()),
        check("digest.send", images.digest(1).send()),
        check("wait_downloaded.send", images.wait_downloaded(1).send()),
        check(
            "woken_by.send",
            images
                .wait_downloaded(1)
                .woken_by(futures::stream::pending::<()>())
                .send(),
        ),
        check("delete.send", images.delete(1).send()),
        check("copy.send", images.copy(1).to(&images).send()),
    ];
    #[cfg(feature = "fs")]
    sizes.push(check("save.send", images.save(1, "x").send()));
    #[cfg(all(feature = "disk", feature = "fs"))]
    sizes.push(check("save_raw.send", images.save_raw(1, "x").send()));
    sizes.extend(of_content(content().await));
    // Seen with --nocapture.
    #[allow(clippy::print_stdout)]
    {
        println!("future sizes: {}", sizes.join(", "));
    }
}

#[test]
fn streams_are_send_and_boxed() {
    fn check<S: futures::Stream + Send + Unpin + 'static>(stream: S) {
        assert!(size_of_val(&stream) <= 64);
    }
    check(images().list().stream());
    check(images().list().pages());
}

#[test]
fn clients_and_what_they_return_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + Unpin + 'static>() {}
    shared::<Client>();
    shared::<Images>();
    shared::<Image>();
    shared::<machine_images::RetryPolicy>();
    sent::<Result<Image>>();
    sent::<Content>();
    sent::<machine_images::djinn::Source>();
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    error::<machine_images::Error>();
}
