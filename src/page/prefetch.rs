//! Pages that are requested ahead of their turn.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

use super::{Cursor, Page};
use crate::error::Result;
use crate::join::lost;

/// Requests pages ahead, by guessing their links: the link of the previous page with the next
/// number. A guess is used only if the real link is exactly the same, so that prefetching does not
/// change which pages are read.
pub(super) struct Prefetch<T, F> {
    pages: usize,
    fetch: F,
    requested: VecDeque<(Cursor, Task<T>)>,
}

impl<T, F, P> Prefetch<T, F>
where
    T: Send + 'static,
    F: Fn(Cursor) -> P,
    P: Future<Output = Result<Page<T>>> + Send + 'static,
{
    pub(super) fn new(pages: usize, fetch: F) -> Self {
        Self {
            pages,
            fetch,
            requested: VecDeque::new(),
        }
    }

    /// Requests at most `max` pages from `next` on. Drops pages that were guessed wrong.
    pub(super) fn request(&mut self, next: &Cursor, max: u64) {
        if self
            .requested
            .front()
            .is_some_and(|(cursor, _)| cursor != next)
        {
            // This server numbers its pages in another way: every page would be requested twice.
            self.requested.clear();
            self.pages = 0;
        }
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(self.pages);
        while self.requested.len() < max {
            let cursor = match self.requested.back() {
                Some((last, _)) => last.following(),
                None => Some(next.clone()),
            };
            let Some(cursor) = cursor else { return };
            let task = Task(tokio::spawn((self.fetch)(cursor.clone())));
            self.requested.push_back((cursor, task));
        }
    }

    /// Returns the page that was requested first, or fetches the page at `cursor`.
    pub(super) async fn page(&mut self, cursor: Cursor) -> Result<Page<T>> {
        let Some((_, mut task)) = self.requested.pop_front() else {
            return (self.fetch)(cursor).await;
        };
        (&mut task.0).await.map_err(lost)?
    }
}

/// A request that is aborted when it is dropped.
struct Task<T>(JoinHandle<Result<Page<T>>>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cursor {
    /// Returns the cursor of the next page, if the query contains the page number.
    fn following(&self) -> Option<Self> {
        let number = self.number.checked_add(1)?;
        let current = format!("page={}", self.number);
        let mut found = false;
        let mut pairs = Vec::new();
        for pair in self.query.as_deref()?.split('&') {
            match pair == current {
                true => pairs.push(format!("page={number}")),
                false => pairs.push(pair.to_owned()),
            }
            found |= pair == current;
        }
        let query = Some(pairs.join("&"));
        found.then_some(Self { number, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_following_link_has_the_next_number_and_nothing_else_new() {
        for (number, query, expected) in [
            (2, Some("page=2"), Some("page=3")),
            (
                9,
                Some("a=page%3D9&page=9&search=x+y"),
                Some("a=page%3D9&page=10&search=x+y"),
            ),
            (2, Some("page=02"), None),
            (2, Some("after=xyz"), None),
            (u64::MAX, Some("page=18446744073709551615"), None),
            (1, None, None),
        ] {
            let query = query.map(str::to_owned);
            let following = Cursor { number, query }.following();
            assert_eq!(
                following.as_ref().and_then(|next| next.query.as_deref()),
                expected
            );
        }
    }
}
