//! Streams of the pages of a list.

use async_stream::try_stream;
use futures::stream::{Stream, TryStreamExt};

use super::items::IdSet;
use super::prefetch::Prefetch;
use super::{Cursor, Page};
use crate::error::{Error, ErrorKind, Result};

/// Returns at most `max` pages from `start` on. Each is requested when the previous one has been
/// taken, or up to `prefetch` pages earlier.
pub(crate) fn pages<T, F>(
    max: u64,
    prefetch: usize,
    start: Cursor,
    fetch: impl Fn(Cursor) -> F + Send,
) -> impl Stream<Item = Result<Page<T>>> + Send
where
    T: Send + 'static,
    F: Future<Output = Result<Page<T>>> + Send + 'static,
{
    try_stream! {
        let mut ahead = Prefetch::new(prefetch, fetch);
        let mut next = Some(start);
        for count in 1.. {
            let Some(cursor) = next else { break };
            if count > max {
                let message = format!("the list has more than {max} pages");
                Err(Error::plain(ErrorKind::Limit, message))?;
            }
            let page = ahead.page(cursor).await?;
            if let Some(next) = &page.next_cursor {
                ahead.request(next, max - count);
            }
            next = page.next_cursor.clone();
            yield page;
        }
    }
}

/// Returns the pages of repeated passes over a list, each id once, until two passes in a row see
/// the same ids. Pages of later passes without new items are left out.
///
/// A pass misses a row when one that it has read is deleted, which moves later rows forward. The
/// next pass does not see the deleted row, so the first of two passes that see the same ids has
/// missed none.
pub(crate) fn consistent<T, P>(
    max_passes: u32,
    id: fn(&T) -> i64,
    pass: impl Fn() -> P + Send,
) -> impl Stream<Item = Result<Page<T>>> + Send
where
    T: Send,
    P: Stream<Item = Result<Page<T>>> + Send + Unpin,
{
    try_stream! {
        let mut yielded = IdSet::default();
        let mut previous = None;
        for _ in 0..max_passes {
            let (mut ids, mut count) = (IdSet::default(), 0);
            let mut pages = pass();
            while let Some(mut page) = pages.try_next().await? {
                count += 1;
                page.items.retain(|item| {
                    ids.insert(id(item));
                    yielded.insert(id(item))
                });
                if previous.is_none() || !page.items.is_empty() {
                    yield page;
                }
            }
            if count == 1 || previous.as_ref() == Some(&ids) {
                return;
            }
            previous = Some(ids);
        }
        let message = format!("the list changed during each of {max_passes} passes");
        Err(Error::plain(ErrorKind::Limit, message))?;
    }
}
