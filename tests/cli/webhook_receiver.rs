use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Stdio};

use machine_images::testing::DjinnServer;
use reqwest::{Client, StatusCode};

use super::{Running, example};

struct Receiver {
    _running: Running,
    url: String,
    out: Lines<BufReader<ChildStdout>>,
}

impl Receiver {
    fn start(secrets: &str) -> Self {
        let mut receiver = example("webhook_receiver");
        receiver
            .arg("127.0.0.1:0")
            .env("WEBHOOK_SECRET", secrets)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = receiver.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = out.next().unwrap().unwrap();
        Self {
            _running: Running(child),
            url,
            out,
        }
    }

    fn line(&mut self) -> String {
        self.out.next().unwrap().unwrap()
    }
}

#[tokio::test]
async fn it_prints_what_happens_to_images() {
    let server = DjinnServer::start().unwrap();
    let mut receiver = Receiver::start("s3cr3t");
    server.webhook(&receiver.url, "s3cr3t").unwrap();
    let images = server.client().unwrap().images();
    let disk = machine_images::testing::empty_qcow2(1 << 20);

    let image = images.create_upload("web", disk).await.unwrap();
    assert_eq!(receiver.line(), format!("+ {} web", image.id));
    server.deliver("renamed", image.id).unwrap();
    assert_eq!(receiver.line(), format!("renamed {} web", image.id));
    images.delete(image.id).await.unwrap();
    assert_eq!(receiver.line(), format!("- {} web", image.id));
}

#[tokio::test]
async fn only_signed_deliveries_are_taken() {
    let server = DjinnServer::start().unwrap();
    let mut receiver = Receiver::start("new,old");
    let id = server.add_image("web", "QFI").unwrap();
    for (secret, action) in [("", "a"), ("other", "b"), ("old", "c"), ("new", "d")] {
        server.webhook(&receiver.url, secret).unwrap();
        server.deliver(action, id).unwrap();
    }
    // Each of the two that are accepted gets the later ones as well, in any order between them.
    let mut lines: Vec<_> = (0..3).map(|_| receiver.line()).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            format!("c {id} web"),
            format!("d {id} web"),
            format!("d {id} web")
        ]
    );

    let post = |body: String| Client::new().post(&receiver.url).body(body).send();
    let unsigned = post("{}".to_owned()).await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::UNAUTHORIZED);
    let large = post(" ".repeat(2 << 20)).await.unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
