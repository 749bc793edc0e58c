//! Pages that are asked for before it is their turn.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

use super::{Cursor, Page};
use crate::error::{Error, ErrorKind, Result};

/// Asks for pages ahead of a walk, whose links it guesses: they are those of the page before with
/// the next number. A guess is used only if the link is that to the letter, so that the walk makes
/// the same steps as without.
pub(super) struct Prefetch<T, F> {
    pages: usize,
    fetch: F,
    asked: VecDeque<(Cursor, Task<T>)>,
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
            asked: VecDeque::new(),
        }
    }

    /// Asks for pages from `next` on, at most `most`, and forgets those that turn out wrong.
    pub(super) fn ask(&mut self, next: &Cursor, most: u64) {
        if self.asked.front().is_some_and(|(asked, _)| asked != next) {
            // A server that numbers its pages in another way would be asked twice for each.
            self.asked.clear();
            self.pages = 0;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.pages);
        while self.asked.len() < most {
            let cursor = match self.asked.back() {
                Some((last, _)) => last.following(),
                None => Some(next.clone()),
            };
            let Some(cursor) = cursor else { return };
            let task = Task(tokio::spawn((self.fetch)(cursor.clone())));
            self.asked.push_back((cursor, task));
        }
    }

    /// The page at the cursor that was asked for last, or without one at any.
    pub(super) async fn page(&mut self, cursor: Cursor) -> Result<Page<T>> {
        let Some((_, mut task)) = self.asked.pop_front() else {
            return (self.fetch)(cursor).await;
        };
        (&mut task.0).await.unwrap_or_else(|_| {
            let message = "the runtime is shutting down";
            Err(Error::plain(ErrorKind::Io, message))
        })
    }
}

/// A request that ends when nobody waits for it any more.
struct Task<T>(JoinHandle<Result<Page<T>>>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cursor {
    /// The cursor of the page after this one, if the query has the number in it.
    fn following(&self) -> Option<Self> {
        let number = self.number.checked_add(1)?;
        let own = format!("page={}", self.number);
        let mut found = false;
        let mut pairs = Vec::new();
        for pair in self.query.as_deref()?.split('&') {
            match pair == own {
                true => pairs.push(format!("page={number}")),
                false => pairs.push(pair.to_owned()),
            }
            found |= pair == own;
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
