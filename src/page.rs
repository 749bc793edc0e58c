//! Pages of a list, and streams over them.

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
/// Streams follow the pages by themselves; a page is for those who show a list piece by piece.
///
/// ```
/// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
/// let page = images.list().page(2).send().await?;
/// println!("page {}: {} images", page.number, page.items.len());
///
/// if let Some(next) = page.next {
///     let page = images.list().page(next).send().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[doc(alias = "pagination")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items on the page.
    pub items: Vec<T>,
    /// The number of the page, from 1.
    pub number: u64,
    /// The number of the next page, or `None` on the last page.
    pub next: Option<u64>,
    /// The number of the previous page, or `None` on the first page.
    pub previous: Option<u64>,
    pub(crate) next_cursor: Option<Cursor>,
}

/// The position of a page: its number, and the query that the server gave for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) number: u64,
    pub(crate) query: Option<String>,
}

/// The links of a page, made safe to follow: only forward, and only on the same origin.
pub(crate) struct PageLinks {
    pub(crate) next: Option<Cursor>,
    pub(crate) previous: Option<u64>,
}

impl PageLinks {
    /// Parses the targets of a page's links, absolute or relative to the page's own URL.
    ///
    /// Uses only the query of a link, as a proxy may have rewritten the path. Accepts only a next
    /// page with a higher number: real servers link the last page to itself, an empty list to page
    /// 0, and a page past the end to an earlier one.
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
                .map_err(|_| "a link of the list is not a URL".to_owned())?;
            if !crate::transport::same_origin(&target, url) {
                let origin = target.origin().ascii_serialization();
                return Err(format!(
                    "a link of the list leads to another origin: {origin}"
                ));
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

/// Returns the page number in a link. A link without one is to the first page.
fn page_number(url: &Url) -> Result<u64, String> {
    let mut pairs = url.query_pairs();
    match pairs.find(|(name, _)| name == "page") {
        Some((_, text)) => text
            .parse()
            .map_err(|_| "the page in a link of the list is not a number".to_owned()),
        None => Ok(1),
    }
}

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

/// Returns the items of repeated walks over a list, each id once, until two walks in a row see the
/// same ids.
///
/// A walk misses a row when one that it has read is deleted, which moves later rows forward. The
/// next walk does not see the deleted row, so the first of two walks that see the same ids has
/// missed none.
pub(crate) fn steady<T, P>(
    walks: u32,
    id: fn(&T) -> i64,
    walk: impl Fn() -> P + Send,
) -> impl Stream<Item = Result<T>> + Send
where
    T: Send,
    P: Stream<Item = Result<Page<T>>> + Send + Unpin,
{
    try_stream! {
        let mut yielded = IdSet::default();
        let mut previous = None;
        for _ in 0..walks {
            let (mut ids, mut count) = (IdSet::default(), 0);
            let mut pages = walk();
            while let Some(page) = pages.try_next().await? {
                count += 1;
                for item in page.items {
                    ids.insert(id(&item));
                    if yielded.insert(id(&item)) {
                        yield item;
                    }
                }
            }
            if count == 1 || previous.as_ref() == Some(&ids) {
                return;
            }
            previous = Some(ids);
        }
        let message = format!("the list changed during each of {walks} walks");
        Err(Error::plain(ErrorKind::Limit, message))?;
    }
}

/// The items of a stream of pages, each id once, limited to a number.
pub(crate) struct Items<P, T> {
    pages: P,
    page: vec::IntoIter<T>,
    seen: IdSet,
    id: fn(&T) -> i64,
    remaining: u64,
}

impl<P, T> Items<P, T> {
    pub(crate) fn new(pages: P, limit: Option<u64>, id: fn(&T) -> i64) -> Self {
        Self {
            pages,
            page: Vec::new().into_iter(),
            seen: IdSet::default(),
            id,
            remaining: limit.unwrap_or(u64::MAX),
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
        while this.remaining > 0 {
            if let Some(item) = this.page.find(|item| this.seen.insert((this.id)(item))) {
                this.remaining -= 1;
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

/// A set of ids, one bit for each in blocks of 64. Servers count ids up, so most blocks are nearly
/// full, and the set of a long list stays in the processor's cache.
#[derive(Default, PartialEq)]
struct IdSet(HashMap<i64, u64>);

impl IdSet {
    /// Adds an id. Returns `true` if it is new.
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
        let links = PageLinks::new(&url, number, false, Some(target), None)?;
        Ok(links.next.map(|cursor| cursor.number))
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
    fn a_link_that_cannot_be_followed_is_an_error() {
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
        let links = PageLinks::new(&url, 4, true, Some("?page=5"), Some("?page=3")).unwrap();
        assert!(links.next.is_none());
        assert_eq!(links.previous, Some(3));
    }

    proptest! {
        #[test]
        fn an_id_is_new_once(ids in prop::collection::vec(prop_oneof![-200_i64..200, any::<i64>()], 0..400)) {
            let (mut seen, mut expected) = (IdSet::default(), std::collections::HashSet::new());
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
            if let Ok(links) = PageLinks::new(&url, number, false, Some(&target), Some(&target)) {
                let next = links.next.map(|cursor| cursor.number);
                prop_assert!(next.is_none_or(|next| next > number), "{:?}", next);
                prop_assert!(links.previous.is_none_or(|page| page > 0 && page < number));
            }
        }
    }
}
