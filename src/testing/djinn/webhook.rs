use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use crate::sync::lock;

/// The time that a receiver has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The webhooks of a server. Each has a thread that sends its deliveries in order.
#[derive(Default)]
pub(super) struct Webhooks(Mutex<Vec<Sender<String>>>);

impl Webhooks {
    /// Adds a webhook and returns its id.
    pub(super) fn add(&self, url: &str, secret: &str) -> io::Result<i64> {
        let mut webhooks = lock(&self.0);
        let webhook = Webhook::new(webhooks.len() as i64 + 1, url, secret)?;
        let id = webhook.id;
        let (sender, bodies) = mpsc::channel::<String>();
        thread::Builder::new()
            .name("machine-images-webhook".to_owned())
            .spawn(move || {
                for body in bodies {
                    // A delivery that fails is not repeated.
                    let _ = webhook.send(&body);
                }
            })?;
        webhooks.push(sender);
        Ok(id)
    }

    /// Sends an event to all webhooks. Returns before it is sent.
    pub(super) fn send(&self, action: &str, image: Value) {
        let body = format!("{}\n", json!({"action": action, "image": image}));
        for webhook in lock(&self.0).iter() {
            // The thread has ended only if it panicked, which it reported.
            let _ = webhook.send(body.clone());
        }
    }
}

struct Webhook {
    id: i64,
    url: Url,
    secret: String,
}

impl Webhook {
    fn new(id: i64, url: &str, secret: &str) -> io::Result<Self> {
        // The real server stores it in lower case.
        let url = Url::parse(&url.to_lowercase()).ok();
        let Some(url) = url.filter(|url| url.scheme() == "http" && url.has_host()) else {
            let problem = "the URL of a webhook must use http";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        };
        let secret = secret.to_owned();
        Ok(Self { id, url, secret })
    }

    /// Sends a delivery, with the headers of the real server in its order and spelling.
    fn send(&self, body: &str) -> io::Result<()> {
        let addresses = self.url.socket_addrs(|| None)?;
        let mut stream = TcpStream::connect(&*addresses)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let request = format!(
            "POST {path} HTTP/1.1\r\n\
             Host: {host}\r\n\
             User-Agent: Djinn-CI-Hook\r\n\
             Transfer-Encoding: chunked\r\n\
             Accept: */*\r\n\
             Content-Type: application/json; charset=utf-8\r\n\
             X-Djinn-CI-Event: images\r\n\
             X-Djinn-CI-Hook-ID: {}\r\n\
             {}Accept-Encoding: gzip\r\n\
             \r\n\
             {:x}\r\n\
             {body}\r\n\
             0\r\n\
             \r\n",
            self.id,
            self.signature(body),
            body.len(),
        );
        stream.write_all(request.as_bytes())?;
        // Closes only after the receiver has answered, which may take the end of a connection for
        // that of the delivery.
        stream.read(&mut [0; 1024]).map(drop)
    }

    /// Returns the line of the signature, which there is only with a secret.
    fn signature(&self, body: &str) -> String {
        if self.secret.is_empty() {
            return String::new();
        }
        // A key may have any length.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()) else {
            return String::new();
        };
        let signature = mac.chain_update(body).finalize().into_bytes();
        format!("X-Djinn-Ci-Signature: sha256={signature:x}\r\n")
    }
}
