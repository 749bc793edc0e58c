//! The DevOps Service client.

mod client;
mod errors;
#[cfg(feature = "testing")]
mod ids;
mod model;
#[cfg(feature = "testing")]
mod reconcile;
mod replay;
mod retries;
#[cfg(feature = "testing")]
mod service;
mod table;
mod update;
#[cfg(feature = "testing")]
mod versions;

use machine_images::RetryPolicy;
use machine_images::devops::{Client, ClientBuilder, Images};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// `gordon:secret`
const BASIC: &str = "Basic Z29yZG9uOnNlY3JldA==";

fn builder(server: &MockServer) -> ClientBuilder<Client> {
    Client::builder(server.uri())
        .basic("gordon", "secret")
        .retry(RetryPolicy::none())
}

fn images(server: &MockServer) -> Images {
    builder(server).build().unwrap().images()
}

/// A server that gives this answer to whatever comes, and wants to be asked once.
async fn answering(status: u16, content_type: &str, body: &str) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_raw(body, content_type);
    Mock::given(any())
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    server
}

async fn answering_json(status: u16, body: &str) -> MockServer {
    answering(status, "application/json", body).await
}

/// What matters of a request: all of it that the contract speaks of, as it was sent.
#[derive(Debug, PartialEq)]
struct Sent {
    call: String,
    accept: Option<String>,
    content_type: Option<String>,
    authorization: Option<String>,
    body: String,
}

impl Sent {
    fn new(request: &Request) -> Self {
        let header = |name: &str| {
            let values: Vec<_> = request.headers.get_all(name).iter().collect();
            assert!(values.len() < 2, "{name} was sent {} times", values.len());
            values
                .first()
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let query = request.url.query().map(|query| format!("?{query}"));
        Self {
            call: format!(
                "{} {}{}",
                request.method,
                request.url.path(),
                query.unwrap_or_default()
            ),
            accept: header("accept"),
            content_type: header("content-type"),
            authorization: header("authorization"),
            body: String::from_utf8(request.body.clone()).unwrap(),
        }
    }
}

async fn only_request(server: &MockServer) -> Sent {
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    Sent::new(&requests[0])
}

/// Asserts that this was the only request, with all headers that it needs: for version 2 a
/// deletion has a type, too.
async fn assert_sent(server: &MockServer, call: &str, body: Option<&str>) {
    let json = Some("application/json".to_owned());
    let expected = Sent {
        call: call.to_owned(),
        accept: json.clone(),
        content_type: json.filter(|_| body.is_some() || call.starts_with("DELETE")),
        authorization: Some(BASIC.to_owned()),
        body: body.unwrap_or_default().to_owned(),
    };
    assert_eq!(only_request(server).await, expected);
}
