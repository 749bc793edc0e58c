//! One page of a list, and the stream over all of them.

mod prefetch;

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use async_stream::try_stream;
use futures::ready;
use futures::stream::{Stream, StreamExt, TryStreamExt};
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use prefetch::Prefetch;

/// One page of a list.
///
/// ```
/// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
/// let page = images.list().page(2).send().await?;
/// println!("page {}: {} images", page.number, page.items.len());
/// if let Some(next) = page.next {
///     let page = images.list().page(next).send().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// The page's number, from 1.
    pub number: u64,
    /// The number of the next page, or `None` on the last: unlike the server's `Link`, which names
    /// the last page as its own next.
    pub next: Option<u64>,
    /// The number of the page before, or `None` on the first.
    pub previous: Option<u64>,
    pub(crate) follow: Option<Cursor>,
}

/// How to ask for a page: its number, and the query that the server gave for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) number: u64,
    pub(crate) query: Option<String>,
}

/// What a page's links say, made safe to follow: forward only, and never off the origin.
pub(crate) struct Neighbours {
    pub(crate) next: Option<Cursor>,
    pub(crate) previous: Option<u64>,
}

impl Neighbours {
    /// Reads the targets of a page's links, absolute or relative to the page's own URL.
    ///
    /// Only the query of a link is used: a proxy may have rewritten the path. A next page has a
    /// higher number than this one, which is what ends the walk on a real server, where the last
    /// page links to itself, an empty list to page 0, and a page past the end to an earlier one.
    pub(crate) fn new(
        url: &Url,
        number: u64,
        is_empty: bool,
        next: Option<&str>,
        previous: Option<&str>,
    ) -> Result<Self, String> {
        let resolve = |target: &str| {
            let target = url
                .join(target)
                .map_err(|_| "a link cannot be read".to_owned())?;
            if !crate::transport::same_origin(&target, url) {
                let origin = target.origin().ascii_serialization();
                return Err(format!("a link leads to another origin: {origin}"));
            }
            Ok(target)
        };
        let next = match next {
            Some(target) if !is_empty => {
                let target = resolve(target)?;
                let query = target.query().map(str::to_owned);
                let cursor = Cursor {
                    number: page_number(&target)?,
                    query,
                };
                (cursor.number > number).then_some(cursor)
            }
            _ => None,
        };
        let previous = match previous {
            Some(target) => Some(page_number(&resolve(target)?)?),
            None => None,
        };
        let previous = previous.filter(|&page| page > 0 && page < number);
        Ok(Self { next, previous })
    }
}

/// The number in a link's query; a link without one means the first page.
fn page_number(url: &Url) -> Result<u64, String> {
    let mut pairs = url.query_pairs();
    match pairs.find(|(name, _)| name == "page") {
        Some((_, text)) => text
            .parse()
            .map_err(|_| "a link's page is not a number".to_owned()),
        None => Ok(1),
    }
}

/// Walks over pages from `start` on, at most `max` of them; each is asked for when the one before
/// has been taken, or up to `prefetch` pages earlier.
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
        for walked in 1.. {
            let Some(cursor) = next else { break };
            if walked > max {
                let message = format!("the list has more than {max} pages");
                Err(Error::plain(ErrorKind::Limit, message))?;
            }
            let page = ahead.page(cursor).await?;
            if let Some(next) = &page.follow {
                ahead.ask(next, max - walked);
            }
            next = page.follow.clone();
            yield page;
        }
    }
}

/// The pages of repeated walks over a list, each item once, until two walks in a row meet the same.
/// Pages of later walks that have nothing new are left out.
///
/// To miss a row, a walk has to pass a place where one that it has read was deleted; the next walk
/// does not meet that one. So the first of two walks that meet the same ids has missed none.
pub(crate) fn steady<T, P>(
    walks: u32,
    id: fn(&T) -> i64,
    walk: impl Fn() -> P + Send,
) -> impl Stream<Item = Result<Page<T>>> + Send
where
    T: Send,
    P: Stream<Item = Result<Page<T>>> + Send + Unpin,
{
    try_stream! {
        let mut yielded = Seen::default();
        let mut before = None;
        for _ in 0..walks {
            let (mut met, mut count) = (Seen::default(), 0);
            let mut pages = walk();
            while let Some(mut page) = pages.try_next().await? {
                count += 1;
                page.items.retain(|item| {
                    met.insert(id(item));
                    yielded.insert(id(item))
                });
                if before.is_none() || !page.items.is_empty() {
                    yield page;
                }
            }
            if count == 1 || before.as_ref() == Some(&met) {
                return;
            }
            before = Some(met);
        }
        let message = format!("the list changed in each of {walks} walks");
        Err(Error::plain(ErrorKind::Limit, message))?;
    }
}

/// The items of a stream of pages, each id once, at most `limit`.
pub(crate) struct Items<P, T> {
    pages: P,
    page: vec::IntoIter<T>,
    seen: Seen,
    id: fn(&T) -> i64,
    left: u64,
}

impl<P, T> Items<P, T> {
    pub(crate) fn new(pages: P, limit: Option<u64>, id: fn(&T) -> i64) -> Self {
        Self {
            pages,
            page: Vec::new().into_iter(),
            seen: Seen::default(),
            id,
            left: limit.unwrap_or(u64::MAX),
        }
    }
}

// Combinators would move each item twice as often, and items are large.
impl<P, T: Unpin> Stream for Items<P, T>
where
    P: Stream<Item = Result<Page<T>>> + Unpin,
{
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.left > 0 {
            if let Some(item) = this.page.find(|item| this.seen.insert((this.id)(item))) {
                this.left -= 1;
                return Poll::Ready(Some(Ok(item)));
            }
            match ready!(this.pages.poll_next_unpin(context)) {
                Some(Ok(page)) => this.page = page.items.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(None)
    }
}

/// A set of ids, one bit for each in blocks of 64: a server counts them up, so that most blocks
/// are nearly full, and the set of a long list stays in the processor's cache.
#[derive(Default, PartialEq)]
struct Seen(HashMap<i64, u64>);

impl Seen {
    /// Whether the id is new.
    fn insert(&mut self, id: i64) -> bool {
        let block = self.0.entry(id >> 6).or_default();
        let bit = 1 << (id & 63);
        let is_new = *block & bit == 0;
        *block |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(number: u64, target: &str) -> Result<Option<u64>, String> {
        let url = "http://h:80/api/images?page=2".parse().unwrap();
        let neighbours = Neighbours::new(&url, number, false, Some(target), None)?;
        Ok(neighbours.next.map(|cursor| cursor.number))
    }

    #[test]
    fn only_a_later_page_is_next() {
        for (number, target, expected) in [
            (1, "/api/images?page=2", Some(2)),
            (3, "/api/images?page=3", None),
            (1, "?page=0", None),
            (4, "/api/images?page=2", None),
            (1, "http://h/api/images?page=2&search=x", Some(2)),
            (1, "/rewritten?page=7", Some(7)),
            (1, "/api/images", None),
        ] {
            assert_eq!(next(number, target), Ok(expected), "{target}");
        }
    }

    #[test]
    fn a_link_that_cannot_be_followed_does_not_end_the_walk_in_silence() {
        assert!(next(1, "/api/images?page=x").is_err());
        assert!(next(1, "http://[").is_err());
    }

    #[test]
    fn no_link_leaves_the_origin() {
        for target in [
            "https://h/i?page=3",
            "http://other/i?page=3",
            "//other/i?page=3",
        ] {
            assert!(next(1, target).is_err(), "{target}");
        }
    }

    #[test]
    fn an_empty_page_is_the_last() {
        let url = "http://h/images?page=4".parse().unwrap();
        let neighbours = Neighbours::new(&url, 4, true, Some("?page=5"), Some("?page=3")).unwrap();
        assert!(neighbours.next.is_none());
        assert_eq!(neighbours.previous, Some(3));
    }

    proptest! {
        #[test]
        fn an_id_is_new_once(ids in prop::collection::vec(prop_oneof![-200_i64..200, any::<i64>()], 0..400)) {
            let (mut seen, mut expected) = (Seen::default(), std::collections::HashSet::new());
            for id in ids {
                prop_assert_eq!(seen.insert(id), expected.insert(id), "{}", id);
            }
        }

        #[test]
        fn any_link_leads_forward_on_the_origin_or_nowhere(
            target in "(http://h)?(/[a-z.]{0,4}){0,3}[?](page=[0-9]{1,3}|[a-z=&]{0,9})|(//|[a-z]{1,5}:)?.{0,30}",
            number in 1_u64..50,
        ) {
            let url = "http://h/api/images?page=2".parse().unwrap();
            if let Ok(neighbours) = Neighbours::new(&url, number, false, Some(&target), Some(&target)) {
                let next = neighbours.next.map(|cursor| cursor.number);
                prop_assert!(next.is_none_or(|next| next > number), "{:?}", next);
                prop_assert!(neighbours.previous.is_none_or(|page| page > 0 && page < number));
            }
        }
    }
}
