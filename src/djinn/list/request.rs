//! The request for one page, and what the response says of others.

use std::fmt;
use std::sync::Arc;

use reqwest::Method;
use reqwest::header::LINK;
use tokio::sync::OnceCell;
use url::form_urlencoded::parse;

use crate::djinn::model::Image;
use crate::djinn::name::NamespacePath;
use crate::djinn::user::user;
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::operation::Operation;
use crate::page::{Cursor, Page, PageLinks};
use crate::transport::{Links, Request, Transport};

pub(super) const OPERATION: Operation = Operation::new("list images");

/// The images to list.
#[derive(Clone)]
pub(super) struct Filter {
    pub(super) transport: Transport,
    pub(super) namespace: Option<NamespacePath>,
    /// The token's user, once it was needed.
    pub(super) owner: Arc<OnceCell<String>>,
    pub(super) query: Vec<(String, String)>,
}

/// Leaves out the values of query parameters, which may be secret.
impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.query.iter().map(|(name, _)| name).collect();
        f.debug_struct("Filter")
            .field("transport", &self.transport)
            .field("namespace", &self.namespace)
            .field("query", &names)
            .finish_non_exhaustive()
    }
}

impl Filter {
    pub(super) async fn fetch(&self, cursor: Cursor) -> Result<Page<Image>> {
        OPERATION.run(self.fetch_page(cursor)).await
    }

    async fn fetch_page(&self, cursor: Cursor) -> Result<Page<Image>> {
        let response = self.transport.fetch(self.request(&cursor).await?).await?;
        let items: Vec<Image> = response.json()?;
        let lines = response.headers().get_all(LINK);
        let lines = lines
            .iter()
            .map(|line| String::from_utf8_lossy(line.as_bytes()));
        let links = Links::parse(lines);
        if links.next.is_none() && links.unreadable && !items.is_empty() {
            let message = "the Link header cannot be parsed, so there may be more pages";
            return Err(response.error(Cause::Decode(message.into())));
        }
        let links = PageLinks::new(
            response.url(),
            cursor.number,
            items.is_empty(),
            links.next.as_deref(),
            links.previous.as_deref(),
        )
        .map_err(|message| response.error(Cause::Decode(message.into())))?;
        Ok(Page {
            items,
            number: cursor.number,
            next: links.next.as_ref().map(|next| next.number),
            previous: links.previous,
            next_cursor: links.next,
        })
    }

    async fn request(&self, cursor: &Cursor) -> Result<Request> {
        if cursor.number == 0 {
            return Err(Error::invalid("pages are counted from 1"));
        }
        let mut request = Request::new(Method::GET);
        if let Some(namespace) = &self.namespace {
            let owner = self.owner(namespace).await?;
            request = request.path(["n", owner])?;
            request = request.path(namespace.path().split('/'))?.path(["-"])?;
        }
        request = request.path(["images"])?;
        let given = cursor.query.as_deref().unwrap_or_default();
        let has = |wanted: &str| parse(given.as_bytes()).any(|(name, _)| name == wanted);
        request = request.raw_query(cursor.query.as_deref());
        // A server's link may lack the search, as the one in the written API does.
        for (name, value) in self.query.iter().filter(|(name, _)| !has(name)) {
            request = request.query(name, value);
        }
        if cursor.query.is_none() && cursor.number > 1 {
            request = request.query("page", &cursor.number.to_string());
        }
        Ok(request)
    }

    /// Returns the owner of the namespace: without one it is the token's user.
    async fn owner<'a>(&'a self, namespace: &'a NamespacePath) -> Result<&'a str> {
        if let Some(owner) = namespace.owner() {
            return Ok(owner);
        }
        let user = async || Ok(user(&self.transport).await?.username);
        let owner = self.owner.get_or_try_init(user).await;
        let owner = owner.map_err(|error: Error| match error.kind() {
            ErrorKind::Unauthorized => {
                let text = format!(
                    "the token is wrong, or the server does not tell its user: \
                     try {namespace}@OWNER"
                );
                error.meaning(ErrorKind::Unauthorized, text)
            }
            _ => error,
        });
        owner.map(String::as_str)
    }
}
