use std::sync::Arc;

use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;

use super::site::{MEDIA_TYPE, Site};
use super::source::Source;
use super::state::{Download, Image};
use crate::testing::content::{Content, ContentWriter};
use crate::testing::wire::lock;

/// How a job ends.
enum Outcome {
    Done(Content),
    Failed(String),
    /// Never: the job stays started.
    Stuck,
}

/// A download job, from the queue to its end.
pub(super) async fn run(site: Arc<Site>, id: i64, source: Source) {
    tokio::time::sleep(site.download_delay).await;
    site.update(id, |_, job| job.started = Some(Timestamp::now()));
    let outcome = if source.is_sftp() {
        Outcome::Failed("not a valid qcow2 file".to_owned())
    } else if source.has_password() {
        Outcome::Stuck
    } else if source.host().is_empty() {
        let url = source.url();
        Outcome::Failed(format!("Get \"{url}\": http: no Host in request URL"))
    } else {
        fetch(&site, &source).await
    };
    match outcome {
        Outcome::Done(content) => site.update(id, |image, job| {
            image.content = Some(Arc::new(content));
            job.finished = Some(Timestamp::now());
        }),
        Outcome::Failed(problem) => site.update(id, |_, job| {
            job.error = Some(problem);
            job.finished = Some(Timestamp::now());
        }),
        Outcome::Stuck => {}
    }
}

/// Fetches the source: neither the status nor the content is looked at, only the type.
async fn fetch(site: &Site, source: &Source) -> Outcome {
    let failed = |error: &reqwest::Error| {
        let url = source.url();
        Outcome::Failed(if error.is_connect() {
            let host = source.host();
            format!("Get \"{url}\": dial tcp {host}: connect: connection refused")
        } else {
            format!("Get \"{url}\": {error}")
        })
    };
    let Some(client) = site.http.get_or_init(client).await else {
        return Outcome::Failed(format!("Get \"{}\": no TLS to be had", source.url()));
    };
    let mut response = match client.get(source.url()).send().await {
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
    let Ok(mut writer) = ContentWriter::new(&site.dir) else {
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

/// Loading certificates takes its time; without a crypto provider building panics.
async fn client() -> Option<reqwest::Client> {
    let build = || reqwest::Client::builder().no_proxy().build();
    tokio::task::spawn_blocking(build).await.ok()?.ok()
}

impl Site {
    /// Changes the job of an image, if the image is still there.
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
