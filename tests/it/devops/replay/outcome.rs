//! What comes of a call that gets a captured answer.

use machine_images::devops::{Client, ClientBuilder, Image, Images, NewImage};
use machine_images::{Error, RetryPolicy};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::replay::call::Call;
use crate::replay::capture::{self, Exchange};
use crate::replay::table::Outcome;
use crate::support::raw::{Answer, RawServer, Then};

/// Calls the client with a server that gives the captured answer.
pub(super) async fn of(exchanges: &[Exchange], exchange: &Exchange, call: &Call) -> Outcome {
    let captured = answer(exchanges, exchange);
    let answers = match (call.word(), call.after("then")) {
        // Version 3 is asked for with what is documented, and then with the whole record.
        ("update", Some(name)) => {
            let then = capture::find(exchanges, name);
            let record = record(then).to_string();
            vec![captured, json_answer(&record), answer(exchanges, then)]
        }
        ("update", None) => vec![json_answer(&record(exchange).to_string()), captured],
        _ => vec![captured],
    };
    let expected = answers.len();
    let server = RawServer::start(answers).await;
    let text = match result(exchange, call, &server).await {
        Ok(text) => text,
        Err(error) => format!("{}: {error}", error.kind()),
    };
    let text = shown(text, call);
    let received = server.received();
    let sent = !received.is_empty();
    assert!(
        !sent || received.len() == expected,
        "{}: {} requests: {text}",
        exchange.name,
        received.len()
    );
    // The answer to the first is the captured one, unless an update begins with a look.
    let is_first = call.word() != "update" || call.after("then").is_some();
    let request = match is_first {
        true => received.first(),
        false => received.last(),
    };
    let base = server.url("");
    Outcome {
        is_captured_request: !is_no_text(exchange)
            && request.is_some_and(|sent| exchange.is_request(sent, &base)),
        text: if sent {
            text
        } else {
            format!("not sent: {text}")
        },
        sent,
    }
}

/// A text for one line of a table.
fn shown(text: String, call: &Call) -> String {
    let text = text.replace('\0', "\\0");
    match call.has_argument(1) && call.argument(1).len() > 100 {
        true => text.replace(&call.argument(1), "{id}"),
        false => text,
    }
}

/// Whether the captured body has bytes that are no UTF-8, which the captures replace.
fn is_no_text(exchange: &Exchange) -> bool {
    let body = exchange.request.body.as_deref().unwrap_or_default();
    body.contains('\u{fffd}')
}

/// The login of the capture, as far as a client can have it.
fn login(exchange: &Exchange, builder: ClientBuilder<Client>) -> ClientBuilder<Client> {
    match exchange.request.header("authorization") {
        None => builder,
        Some("Bearer t0k3n") => builder.token("t0k3n"),
        Some("Basic dXNlcjp3cm9uZw==") => builder.basic("user", "wrong"),
        Some("Basic dXNlcjo=") => builder.basic("user", ""),
        Some("Basic bm9wYXNzOg==") => builder.basic("nopass", ""),
        Some("Basic bcO8bGxlcjpnZWhlaW0tw58=") => builder.basic("müller", "geheim-ß"),
        Some("Basic bml4Ondyb25n") => builder.basic("nix", "wrong"),
        Some("Basic bm9ib2R5OnNlY3JldA==") => builder.basic("nobody", "secret"),
        Some("Basic cmVhZGVyOnNlY3JldA==") => builder.basic("reader", "secret"),
        Some("Basic dXNlcjpzZWNyZXQ=" | "Basic !!!") => builder.basic("user", "secret"),
        Some(other) => panic!("{}: {other}", exchange.name),
    }
}

/// Sends everything once: there are no more answers than the captured ones.
fn images(exchange: &Exchange, call: &Call, server: &RawServer) -> Images {
    let is_v3 = exchange.request.target.starts_with("/v3/") || call.after("then").is_some();
    let base = server.url(if is_v3 { "/v3" } else { "/v2.0" });
    let builder = Client::builder(base).retry(RetryPolicy::none());
    login(exchange, builder).build().unwrap().images()
}

async fn result(exchange: &Exchange, call: &Call, server: &RawServer) -> Result<String, Error> {
    let images = images(exchange, call, server);
    let id = || decoded(&call.argument(1));
    Ok(match call.word() {
        "list" => {
            let mut list = images.list();
            if call.has_argument(1) {
                list = list.provider(id());
            }
            let list = list.await?;
            assert_written(exchange, &list);
            let ids: Vec<_> = list.iter().map(|image| image.id.as_str()).collect();
            format!("{ids:?}")
        }
        "get" => {
            let image = images.get(id()).send().await?;
            assert_written(exchange, &image);
            as_text(&image)
        }
        "create" => {
            let created = images.create(new(exchange, call)).send().await?;
            assert_eq!(created.id, new(exchange, call).id);
            created.message.unwrap()
        }
        "update" => {
            let mut update = images.update(id());
            if let Some(user) = call.option("user=") {
                update = update.remote_user(decoded(user));
            }
            if let Some(name) = call.option("name=") {
                update = update.name(decoded(name));
            }
            let updated = update.send().await?;
            assert_eq!(updated.image, None);
            updated.message.unwrap()
        }
        "delete" => {
            images.delete(id()).send().await?;
            "deleted".to_owned()
        }
        other => panic!("no call {other}"),
    })
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn as_text(image: &Image) -> String {
    let template = match &image.bootstrap_template {
        Some(template) => format!(" with {template}"),
        None => String::new(),
    };
    format!(
        "{:?} at {} as {}: {:?}{template}",
        image.id.as_str(),
        image.provider,
        image.remote_user,
        image.name
    )
}

/// What was read is written as it was, where the answer is that of the call.
fn assert_written(exchange: &Exchange, read: &impl serde::Serialize) {
    if let Some(json) = &exchange.response.json {
        let written = serde_json::to_value(read).unwrap();
        assert_eq!(&written, json, "{}", exchange.name);
    }
}

/// The record that was sent, as far as it is one.
fn fields(exchange: &Exchange) -> Map<String, Value> {
    let body = exchange.request.body.as_deref().unwrap_or("{}");
    serde_json::from_str(body).unwrap_or_default()
}

/// The captured record, with something in place of what a client cannot leave out.
fn new(exchange: &Exchange, call: &Call) -> NewImage {
    let sent = fields(exchange);
    let text = |name: &str, default: &str| {
        let sent = sent.get(name).and_then(Value::as_str);
        sent.unwrap_or(default).to_owned()
    };
    let id = match call.has_argument(1) {
        true => decoded(&call.argument(1)),
        false => text("id", "ami-2"),
    };
    let (provider, user) = (text("provider", "ec2"), text("remote_user", "ec2-user"));
    let mut image = NewImage::new(id, provider, user, text("name", "debian-12"));
    for (name, value) in sent {
        match name.as_str() {
            "id" | "provider" | "remote_user" | "name" => {}
            "bootstrap_template" => image.bootstrap_template = value.as_str().map(str::to_owned),
            _ => {
                image.extra.insert(name, value);
            }
        }
    }
    image
}

/// The record before a captured update, which sent all that it did not change.
fn record(exchange: &Exchange) -> Value {
    let sent = fields(exchange);
    let kept = |name: &str, default: Value| sent.get(name).cloned().unwrap_or(default);
    json!({
        "provider": kept("provider", "ec2".into()),
        "name": "before",
        "remote_user": "before",
        "bootstrap_template": kept("bootstrap_template", Value::Null),
        "id": kept("id", "ami-63071b0a".into()),
    })
}

fn json_answer(body: &str) -> Answer {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=utf-8";
    let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    Answer::new(answer, Then::KeepAlive)
}

/// The captured answer, to the byte; that of a HEAD has the body that a GET has.
fn answer(exchanges: &[Exchange], exchange: &Exchange) -> Answer {
    let with_body = match exchange.name.as_str() {
        "head-list" => "accept-gzip",
        "head-show" => "id-query-override",
        "head-unknown" => "show-unknown",
        name => name,
    };
    exchange.answer_with(&body(capture::find(exchanges, with_body)))
}

fn body(exchange: &Exchange) -> Vec<u8> {
    let response = &exchange.response;
    if let Some(json) = &response.json {
        // A single image is on many lines.
        let compact = serde_json::to_vec(json).unwrap();
        return match response.length() {
            Some(length) if length != compact.len() => serde_json::to_vec_pretty(json).unwrap(),
            _ => compact,
        };
    }
    // The captures end a text with a newline that is not on the wire.
    let text = response.text.as_deref().unwrap_or_default();
    text.strip_suffix('\n').unwrap_or(text).as_bytes().to_vec()
}
