//! A receiver of a Djinn CI server's webhook, which prints what happens to images.
//!
//! `WEBHOOK_SECRET=s3cr3t cargo run --features webhooks --example webhook_receiver -- 127.0.0.1:9098`
//!
//! Add a webhook with the event `images`, this secret and the URL `http://HOST:9098/hook` to a
//! namespace. While the secret is changed, `WEBHOOK_SECRET` has both, separated by a comma.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use machine_images::ErrorKind;
use machine_images::djinn::webhook::{self, Action, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let address = address.ok_or("usage: webhook_receiver ADDRESS")?;
    let secrets = std::env::var("WEBHOOK_SECRET")?;
    let secrets: Arc<[String]> = secrets.split(',').map(String::from).collect();
    let router = Router::new()
        .route("/hook", post(receive))
        .layer(DefaultBodyLimit::max(webhook::MAX_BODY))
        .with_state(secrets);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/hook", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

/// Takes the body as it was sent, since each byte of it is signed.
async fn receive(
    State(secrets): State<Arc<[String]>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    match webhook::from_headers(&secrets, &headers, &body) {
        Ok(event) => {
            show(&event);
            StatusCode::NO_CONTENT
        }
        Err(error) => {
            eprintln!("{error:#}");
            match error.kind() {
                ErrorKind::SignatureMissing | ErrorKind::SignatureMismatch => {
                    StatusCode::UNAUTHORIZED
                }
                // Signed, but of no interest.
                ErrorKind::UnexpectedContent => StatusCode::NO_CONTENT,
                _ => StatusCode::BAD_REQUEST,
            }
        }
    }
}

fn show(event: &Event) {
    let image = &event.image;
    match &event.action {
        Action::Created => println!("+ {} {}", image.id, image.name),
        Action::Deleted => println!("- {} {}", image.id, image.name),
        action => println!("{action} {} {}", image.id, image.name),
    }
}
