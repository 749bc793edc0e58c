//! Getting one page of a list.

use super::request::Filter;
use crate::call::awaitable;
use crate::djinn::model::Image;
use crate::error::Result;
use crate::page::{Cursor, Page};

/// A builder that gets one page of a list: see [`List::page`](super::List::page).
#[derive(Clone, Debug)]
#[must_use = "`page` does nothing unless awaited"]
pub struct ListPage {
    pub(super) filter: Filter,
    pub(super) number: u64,
}

impl ListPage {
    /// Sends the request. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// - [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if the token is wrong or
    ///   lacks `image:read`; with a namespace, if it is wrong or lacks `namespace:read`, or there is
    ///   no such namespace.
    /// - [`Unauthorized`](crate::ErrorKind::Unauthorized) if a namespace has no owner, and the server does
    ///   not tell the token's user.
    /// - [`Decode`](crate::ErrorKind::Decode) if a link to another page cannot be parsed or leads to
    ///   another origin.
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) for page 0.
    pub async fn send(self) -> Result<Page<Image>> {
        let cursor = Cursor {
            number: self.number,
            query: None,
        };
        self.filter.fetch(cursor).await
    }
}

awaitable!(ListPage, send -> Page<Image>);
