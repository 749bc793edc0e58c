//! The reason for a 404 when content is requested.

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use reqwest::Method;

use super::{DownloadState, Image};
use crate::content::Location;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::{Request, Transport};

/// Looks at the metadata: the server says 404 as well of an image that it has yet to download, or
/// could not.
pub(super) fn explain(location: Location, error: Error) -> BoxFuture<'static, Error> {
    async move {
        let download = match look(&location).await {
            Ok(image) => image.download,
            // In the API's own words, where the other answer was HTML.
            Err(look) if look.status() == Some(404) && look.is_from_api() => {
                return look.attempts_of(&error);
            }
            Err(_) => return error,
        };
        let Some(download) = download else {
            return error;
        };
        let told = match download.state() {
            DownloadState::Queued => {
                let since = since(download.created_at);
                not_ready(format!("the server has yet to begin its download{since}"))
            }
            DownloadState::Running => {
                let since = since(download.started_at);
                not_ready(format!("the server is still downloading it{since}"))
            }
            DownloadState::Failed => failed(&location.transport, download.error),
            DownloadState::Finished => return error,
        };
        let told = told.attempts_of(&error);
        match error.url() {
            Some(url) => told.at(url.to_owned()),
            None => told,
        }
    }
    .boxed()
}

async fn look(location: &Location) -> Result<Image> {
    // The same path as the contents', for another type.
    let request = Request::new(Method::GET).path(&location.path)?;
    location.transport.fetch(request).await?.json()
}

fn not_ready(message: String) -> Error {
    Error::plain(ErrorKind::NotReady, message)
}

/// Since when, by the server's clock, and for how long, by this one's.
fn since(time: Option<Timestamp>) -> String {
    let Some(time) = time else {
        return String::new();
    };
    let seconds = Timestamp::now().as_second() - time.as_second();
    format!(" ({} s, since {time})", seconds.max(0))
}

/// The server gave up downloading an image, for the reason that it gives.
pub(super) fn failed(transport: &Transport, reason: Option<String>) -> Error {
    // It repeats the URL that was downloaded from.
    let text = transport.redact(reason.unwrap_or_default());
    Error::plain(ErrorKind::DownloadFailed, text)
}
