//! A proxy that lets anyone fetch images with one server's token: `GET /images/{id}`.
//!
//! `cargo run --example axum_proxy -- 127.0.0.1:8080`, then
//! `curl -OJ http://127.0.0.1:8080/images/42`
//!
//! Needs `DJINN_API_SERVER` and `DJINN_TOKEN`. Bytes are passed on as they arrive, and no faster than
//! the client takes them. Ranges work, so that `curl -C -` resumes.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use machine_images::djinn::{Client, Images};
use machine_images::{Content, Error, ErrorKind};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: axum_proxy ADDRESS")?;
    let images = Client::from_env()?.images();
    let router = Router::new().route("/images/{id}", axum::routing::get(image));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/images/", listener.local_addr()?);
    Ok(axum::serve(listener, router.with_state(images)).await?)
}

async fn image(State(images): State<Images>, Path(id): Path<i64>, headers: HeaderMap) -> Response {
    match open(&images, id, &headers).await {
        Ok(content) => answer(content),
        Err(error) => refuse(&error),
    }
}

/// Gets the content, or the range of it that the headers ask for.
async fn open(images: &Images, id: i64, headers: &HeaderMap) -> Result<Content, Error> {
    let text = |name| headers.get(name)?.to_str().ok();
    let Some(range) = text(header::RANGE) else {
        return images.content(id).await;
    };
    let content = images.content(id).range_header(range).await?;
    match text(header::IF_RANGE) {
        // The rest of another version is of no use.
        Some(old) if content.info().validator.as_deref() != Some(old) => images.content(id).await,
        _ => Ok(content),
    }
}

fn answer(content: Content) -> Response {
    let headers = content.headers();
    let status = match headers.contains_key(header::CONTENT_RANGE) {
        true => StatusCode::PARTIAL_CONTENT,
        false => StatusCode::OK,
    };
    (status, headers, Body::from_stream(content)).into_response()
}

fn refuse(error: &Error) -> Response {
    // Clients do not see the text, which is about this proxy's own token and server.
    eprintln!("{error:?}");
    let status = match error.kind() {
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::NotFoundOrUnauthorized => StatusCode::NOT_FOUND,
        ErrorKind::Range if error.total().is_some() => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorKind::NotReady | ErrorKind::RateLimited => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout | ErrorKind::Stalled => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    let total = error.total().map(|total| format!("bytes */{total}"));
    let headers = total.map(|total| [(header::CONTENT_RANGE, total)]);
    (status, headers, status.to_string()).into_response()
}
