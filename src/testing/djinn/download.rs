use std::sync::Arc;

use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;

use super::api::{Api, MEDIA_TYPE};
use super::download_url::DownloadUrl;
use super::state::{Download, Image};
use crate::sync::lock;
use crate::testing::content::{Content, ContentWriter};

/// The end of a download job.
enum Outcome {
    Done(Content),
    Failed(String),
    /// The job never ends, and stays started.
    Stuck,
}

/// Runs a download job.
pub(super) async fn run(api: Arc<Api>, id: i64, url: DownloadUrl) {
    tokio::time::sleep(api.download_delay).await;
    api.update(id, |_, job| job.started = Some(Timestamp::now()));
    let outcome = if url.is_sftp() {
        Outcome::Failed("not a valid qcow2 file".to_owned())
    } else if url.has_password() {
        Outcome::Stuck
    } else if url.host().is_empty() {
        let url = url.as_str();
        Outcome::Failed(format!("Get \"{url}\": http: no Host in request URL"))
    } else {
        fetch(&api, &url).await
    };
    match outcome {
        Outcome::Done(content) => {
            api.update(id, |image, job| {
                image.content = Some(Arc::new(content));
                job.finished = Some(Timestamp::now());
            });
            let state = lock(&api.state);
            if let Some(image) = state.images.get(&id) {
                api.webhooks
                    .send("downloaded", api.image_json(&state, image));
            }
        }
        Outcome::Failed(problem) => api.update(id, |_, job| {
            job.error = Some(problem);
            job.finished = Some(Timestamp::now());
        }),
        Outcome::Stuck => {}
    }
}

/// Fetches the URL. Like the real server, checks only its media type.
async fn fetch(api: &Api, url: &DownloadUrl) -> Outcome {
    let failed = |error: &reqwest::Error| {
        let (url, host) = (url.as_str(), url.host());
        Outcome::Failed(if error.is_connect() {
            format!("Get \"{url}\": dial tcp {host}: connect: connection refused")
        } else {
            format!("Get \"{url}\": {error}")
        })
    };
    let Some(client) = api.http.get_or_init(client).await else {
        return Outcome::Failed(format!("Get \"{}\": TLS is not available", url.as_str()));
    };
    let mut response = match client.get(url.as_str()).send().await {
        Ok(response) => response,
        Err(error) => return failed(&error),
    };
    if response
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind != MEDIA_TYPE)
    {
        let problem = format!("unexpected Content-Type, expected {MEDIA_TYPE}");
        return Outcome::Failed(problem);
    }
    let Ok(mut writer) = ContentWriter::new(&api.dir) else {
        return Outcome::Stuck;
    };
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if writer.write(&chunk).is_ok() => {}
            Ok(None) => return writer.finish().map_or(Outcome::Stuck, Outcome::Done),
            _ => return Outcome::Stuck,
        }
    }
}

/// Builds the client on another thread: it loads certificates, and panics without a crypto
/// provider.
async fn client() -> Option<reqwest::Client> {
    let build = || reqwest::Client::builder().no_proxy().build();
    tokio::task::spawn_blocking(build).await.ok()?.ok()
}

impl Api {
    /// Changes the job of an image, if the image still exists.
    fn update(&self, id: i64, change: impl FnOnce(&mut Image, &mut Download)) {
        let mut state = lock(&self.state);
        let Some(image) = state.images.get_mut(&id) else {
            return;
        };
        if let Some(mut job) = image.download.take() {
            change(image, &mut job);
            image.download = Some(job);
        }
    }
}
