//! The items of pages, each id once.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use futures::ready;
use futures::stream::{Stream, StreamExt};

use super::Page;
use crate::error::Result;

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
pub(super) struct IdSet(HashMap<i64, u64>);

impl IdSet {
    /// Adds an id. Returns `true` if it is new.
    pub(super) fn insert(&mut self, id: i64) -> bool {
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

    proptest! {
        #[test]
        fn an_id_is_new_once(ids in prop::collection::vec(prop_oneof![-200_i64..200, any::<i64>()], 0..400)) {
            let (mut seen, mut expected) = (IdSet::default(), std::collections::HashSet::new());
            for id in ids {
                prop_assert_eq!(seen.insert(id), expected.insert(id), "{}", id);
            }
        }
    }
}
