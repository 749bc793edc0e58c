//! What comes of a call that gets a captured answer.

use std::time::Duration;

use futures::TryStreamExt;
use machine_images::djinn::{Client, DownloadState, Image, Images, List};
use machine_images::{ClientBuilder, Content, Error, RetryPolicy};
use url::form_urlencoded;

use super::bodies::disk;
use super::call::Call;
use super::capture::{self, Exchange};
use super::models::written;
use super::table::Outcome;
use crate::support::raw::{Answer, RawServer, Received, Then};
use crate::support::{QEMU_DISK, TOKEN, quick};

/// Calls the client with a server that gives the captured answer.
pub(super) async fn of(exchanges: &[Exchange], exchange: &Exchange, call: &Call) -> Outcome {
    let mut answers = vec![exchange.answer()];
    if let Some(name) = call.after("then") {
        answers.push(capture::find(exchanges, name).answer());
    }
    if call.word() == "resume" {
        answers.insert(0, broken_off(exchange));
    }
    let mut expected = answers.len();
    let server = RawServer::start(answers).await;
    let text = result(exchange, call, &server).await;
    let text = text.unwrap_or_else(|error| shown(&error, &server.url("")));
    if call.word() == "content" && text.contains(" 404") {
        // It also asked for the metadata, which nobody answers here.
        expected += 1;
    }
    let received = server.received();
    let sent = !received.is_empty();
    assert!(
        !sent || received.len() == expected,
        "{}: {} requests",
        exchange.name,
        received.len()
    );
    let captured = |request: &Received| {
        exchange.token().is_ok() && exchange.is_request(request, &server.url(""))
    };
    Outcome {
        is_captured_request: received.first().is_some_and(captured),
        text: if sent {
            text
        } else {
            format!("not sent: {text}")
        },
        sent,
    }
}

fn builder(exchange: &Exchange, server: &RawServer) -> ClientBuilder<Client> {
    let mut builder = Client::builder(server.url(exchange.base_path()));
    match exchange.token() {
        Ok(Some(token)) => builder = builder.token(token),
        Ok(None) => {}
        Err(()) => builder = builder.token(TOKEN),
    }
    builder
}

/// Sends everything once: there are no more answers than the captured ones.
fn images(exchange: &Exchange, server: &RawServer) -> Images {
    let client = builder(exchange, server).retry(RetryPolicy::none()).build();
    client.unwrap().images()
}

async fn result(exchange: &Exchange, call: &Call, server: &RawServer) -> Result<String, Error> {
    let images = images(exchange, server);
    let namespace = || call.option("ns=").map(|text| text.parse().unwrap());
    let image = match call.word() {
        "list" => return list(exchange, query(images.list(), call), call).await,
        "get" => images.get(call.id()).send().await?,
        "content" => {
            let request = images.content(call.id());
            let content = match call.option("bytes=") {
                None => request.send().await?,
                Some(range) => {
                    let (first, last) = range.split_once('-').unwrap();
                    let first: u64 = first.parse().unwrap();
                    match last.parse::<u64>() {
                        Ok(last) => request.range(first..=last).send().await?,
                        Err(_) => request.range(first..).send().await?,
                    }
                }
            };
            return bytes(content, call).await;
        }
        "resume" => {
            let client = builder(exchange, server).retry(quick()).build().unwrap();
            let content = client.images().content(call.id()).send().await?;
            return bytes(content, call).await;
        }
        "upload" => {
            let mut create = images
                .create_upload(call.argument(1), exchange.upload())
                .unchecked();
            if let Some(namespace) = namespace() {
                create = create.namespace(namespace);
            }
            create.send().await?
        }
        "download" => {
            let url = call.argument(2).parse().unwrap();
            let mut create = images.create_download(call.argument(1), url);
            if let Some(namespace) = namespace() {
                create = create.namespace(namespace);
            }
            create.send().await?
        }
        "wait" => {
            let mut wait = images.wait_downloaded(call.id()).unchecked();
            if call.option("once").is_some() {
                wait = wait.timeout(Duration::ZERO);
            }
            wait.send().await?
        }
        "delete" => {
            images.delete(call.id()).send().await?;
            return Ok("deleted".to_owned());
        }
        other => panic!("no call {other}"),
    };
    let json = match &exchange.response.json {
        Some(json) => written(&image, json),
        None => true,
    };
    assert!(json, "{}: not written as it was read", exchange.name);
    Ok(as_text(&image))
}

fn as_text(image: &Image) -> String {
    let name = match image.name.len() {
        0..=40 => image.name.clone(),
        length => format!("n*{length}"),
    };
    let mut text = format!("image {} {name}", image.id);
    if let Some(namespace) = &image.namespace {
        text += &format!(" in {}", namespace.path);
    }
    if let Some(download) = &image.download {
        text += match download.state() {
            DownloadState::Queued => ", queued",
            DownloadState::Running => ", running",
            DownloadState::Finished => ", finished",
            DownloadState::Failed => ", failed",
            _ => ", of unknown state",
        };
        text += &format!(" from {}", download.source);
    }
    text
}

fn query(mut list: List, call: &Call) -> List {
    if let Some((user, path)) = call.option("ns=").and_then(|text| text.split_once('/')) {
        list = list.namespace(format!("{path}@{user}").parse().unwrap());
    }
    let pairs = call.option("?").unwrap_or_default();
    for (name, value) in form_urlencoded::parse(pairs.as_bytes()) {
        if name != "page" {
            list = list.query(name, value);
        }
    }
    list
}

fn page_number(call: &Call) -> u64 {
    let pairs = call.option("?").unwrap_or_default();
    let mut pairs = form_urlencoded::parse(pairs.as_bytes());
    let page = pairs.find(|(name, _)| name == "page");
    page.map_or(1, |(_, number)| number.parse().unwrap())
}

/// One page, and a walk from it to the end.
async fn list(exchange: &Exchange, list: List, call: &Call) -> Result<String, Error> {
    let page = list.page(page_number(call)).await?;
    if let Some(json) = &exchange.response.json {
        let items = json.as_array().unwrap();
        assert_eq!(page.items.len(), items.len());
        let mut pairs = page.items.iter().zip(items);
        assert!(
            pairs.all(|(image, json)| written(image, json)),
            "{}",
            exchange.name
        );
    }
    let mut text = format!("page {} of {} images", page.number, page.items.len());
    if let Some(previous) = page.previous {
        text += &format!(", after {previous}");
    }
    let empty = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    let answers = vec![exchange.answer(), Answer::new(empty, Then::KeepAlive)];
    let server = RawServer::start(answers).await;
    let walk = query(images(exchange, &server).list(), call);
    let walk = walk.from_page(page_number(call)).stream();
    let walked: Vec<_> = walk.try_collect().await?;
    assert_eq!(walked, page.items, "{}", exchange.name);
    let received = server.received();
    match (page.next, &received[1..]) {
        (None, []) => text += ", the last",
        (Some(next), [second]) => {
            text += &format!(", before {next}: {}", second.target);
        }
        other => panic!("{}: {other:?}", exchange.name),
    }
    Ok(text)
}

async fn bytes(content: Content, call: &Call) -> Result<String, Error> {
    let (length, total) = (content.length(), content.total());
    assert!(content.last_modified().is_some());
    let bytes = content.bytes().await?;
    let start = call
        .option("bytes=")
        .map_or("0", |range| range.split('-').next().unwrap());
    let start: usize = start.parse().unwrap();
    assert!(bytes == disk()[start..start + bytes.len()], "other bytes");
    assert_eq!(length, Some(bytes.len() as u64));
    Ok(format!("{} of {} bytes", bytes.len(), total.unwrap()))
}

/// An answer with the whole image that breaks off after 4 bytes.
fn broken_off(exchange: &Exchange) -> Answer {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {QEMU_DISK}\r\nContent-Length: 196616\r\n\
         Last-Modified: {}\r\n\r\nQFI",
        exchange.response.header("last-modified").unwrap()
    );
    let mut bytes = head.into_bytes();
    bytes.push(0xfb);
    Answer::new(bytes, Then::Close)
}

fn shown(error: &Error, base: &str) -> String {
    let mut text = error.kind().to_string();
    if let Some(status) = error.status() {
        text += &format!(" {status}");
    }
    if let Some(message) = error.message() {
        text += &format!(" {}", message.replace(base, "{server}"));
    }
    if let Some(fields) = error.fields() {
        text += &format!(" {}", serde_json::to_string(fields).unwrap());
    }
    text
}
