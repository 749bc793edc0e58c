//! The list of images, page by page.

use futures::future::Either;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::Method;
use reqwest::header::LINK;
use url::form_urlencoded::parse;

use super::{Image, Images};
use crate::error::{Cause, Error, Result};
use crate::operation::Operation;
use crate::page::{self, Cursor, Items, Page, PageLinks};
use crate::transport::{Links, Request, Transport};

const OPERATION: Operation = Operation::new("list images");

impl Images {
    /// Lists the images that the token's user can see, ordered by name, 25 a page.
    ///
    /// `Endpoint: GET /images`
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let mut all = images.list().stream();
    /// while let Some(image) = all.try_next().await? {
    ///     println!("{} {}", image.id, image.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self) -> List {
        List {
            transport: self.transport.clone(),
            path: vec!["images".to_owned()],
            query: Vec::new(),
            page: 1,
            limit: None,
            prefetch: 0,
            walks: 1,
        }
    }
}

/// Lists images: see [`Images::list`].
#[derive(Clone)]
#[must_use = "nothing is sent before `stream`, `pages` or `send`"]
pub struct List {
    transport: Transport,
    path: Vec<String>,
    query: Vec<(String, String)>,
    page: u64,
    limit: Option<u64>,
    prefetch: usize,
    walks: u32,
}

impl List {
    /// Lists the images of one namespace, such as `lab/kernels` of the user `gordon`, instead of
    /// all that the token's user can see.
    ///
    /// `Endpoint: GET /n/:user/:path/-/images`
    ///
    /// This is how to find the images in the public namespaces of others. The server leaves
    /// [`author`](Image::author), [`user`](Image::user), [`namespace`](Image::namespace) and
    /// [`download`](Image::download) out of this list; [`get`](Images::get) has them.
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let mut lab = images.list().namespace("gordon", "lab/kernels").stream();
    /// while let Some(image) = lab.try_next().await? {
    ///     println!("{}", image.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespace(mut self, user: &str, path: &str) -> Self {
        let segments = ["n", user].into_iter().chain(path.split('/'));
        let segments = segments.chain(["-", "images"]);
        self.path = segments.map(str::to_owned).collect();
        self
    }

    /// Narrows the list to images whose name contains this text, in which `%` stands for any
    /// letters and `_` for any one, as in SQL.
    ///
    /// Of the list of all images the real server narrows only those of others: it always lists what
    /// the token's user owns. The list of a [namespace](Self::namespace) is narrowed whole.
    pub fn search(self, text: impl Into<String>) -> Self {
        self.query("search", text)
    }

    /// Adds a parameter that this crate does not know. Like `search`, it is sent for every page.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Begins with this page instead of the first.
    pub fn page(mut self, number: u64) -> Self {
        self.page = number;
        self
    }

    /// Ends [`stream`](Self::stream) after this many images.
    pub fn limit(mut self, images: u64) -> Self {
        self.limit = Some(images);
        self
    }

    /// Has [`stream`](Self::stream) and [`pages`](Self::pages) ask for up to this many pages, each
    /// by a request of its own, while the caller works on the one before.
    ///
    /// What they yield and where they end stays the same; where they end, up to that many requests
    /// were made in vain. It works for servers that number their pages, as Djinn CI does. Only if
    /// images are created or deleted meanwhile may the pages not fit each other: with more than one
    /// page ahead the server answers them in any order, and a row that moves may be missed.
    pub fn prefetch(mut self, pages: usize) -> Self {
        self.prefetch = pages;
        self
    }

    /// Has [`stream`](Self::stream) walk over the list up to `walks` times, until it has missed no
    /// image that was there all the time. Defaults to one walk.
    ///
    /// A row that is deleted from a page already read moves the following rows up, and one of them
    /// past the reader. Two walks in a row that meet the same images prove that none was missed. A
    /// list of a single page is read once. Images are yielded once, as soon as they are met; one
    /// that is deleted meanwhile may be among them.
    ///
    /// The stream ends in [`Limit`](crate::ErrorKind::Limit) if each of `walks` walks met others.
    /// The ids of all images are held in memory.
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let all: Vec<_> = images.list().steady(5).stream().try_collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn steady(mut self, walks: u32) -> Self {
        self.walks = walks.max(1);
        self
    }

    /// Asks for one page.
    ///
    /// # Errors
    ///
    /// [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) for a token that is
    /// wrong or lacks `image:read`; [`Decode`](crate::ErrorKind::Decode) for a link that cannot be
    /// read or leads to another origin.
    pub async fn send(self) -> Result<Page<Image>> {
        self.fetch(self.start()).await
    }

    /// Returns all images from this page on, each id once even if rows move between pages while
    /// they are read. A row that moves up past the reader is missed, unless [`steady`](Self::steady)
    /// walks again. The next page is asked for when the stream is polled past the end of one, or earlier
    /// with [`prefetch`](Self::prefetch).
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`Limit`](crate::ErrorKind::Limit) after
    /// [`max_pages`](super::ClientBuilder::max_pages). The stream ends after an error.
    pub fn stream(self) -> impl Stream<Item = Result<Image>> + Send + Unpin + 'static {
        let limit = self.limit;
        let id = |image: &Image| image.id.0;
        if self.walks == 1 {
            let items = Items::new(self.pages(), limit, id);
            return Either::Left(Box::new(items));
        }
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let (walks, list) = (self.walks, self);
        let items = page::steady(walks, id, move || list.clone().pages());
        let items = items.map_err(|error| error.during(&OPERATION));
        Either::Right(Box::pin(items.take(limit)))
    }

    /// All pages from this one on, as they are: without the limit, and with images that moved
    /// from one page to the next.
    ///
    /// # Errors
    ///
    /// As for [`stream`](Self::stream).
    pub fn pages(self) -> impl Stream<Item = Result<Page<Image>>> + Send + Unpin + 'static {
        let (max, prefetch, start) = (self.transport.max_pages(), self.prefetch, self.start());
        let fetch = move |cursor| {
            let list = self.clone();
            async move { list.fetch(cursor).await }
        };
        let pages = page::pages(max, prefetch, start, fetch);
        Box::pin(pages.map_err(|error| error.during(&OPERATION)))
    }

    fn start(&self) -> Cursor {
        Cursor {
            number: self.page,
            query: None,
        }
    }

    async fn fetch(&self, cursor: Cursor) -> Result<Page<Image>> {
        OPERATION.run(self.fetch_page(cursor)).await
    }

    async fn fetch_page(&self, cursor: Cursor) -> Result<Page<Image>> {
        let response = self.transport.fetch(self.request(&cursor)?).await?;
        let items: Vec<Image> = response.json()?;
        let lines = response.headers().get_all(LINK);
        let lines = lines
            .iter()
            .map(|line| String::from_utf8_lossy(line.as_bytes()));
        let links = Links::parse(lines);
        if links.next.is_none() && links.unreadable && !items.is_empty() {
            let message = "the Link header cannot be read, so there may be more pages";
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

    fn request(&self, cursor: &Cursor) -> Result<Request> {
        if cursor.number == 0 {
            return Err(Error::invalid("pages are counted from 1"));
        }
        let mut request = Request::new(Method::GET).path(&self.path)?;
        let given = cursor.query.as_deref().unwrap_or_default();
        let has = |wanted: &str| parse(given.as_bytes()).any(|(name, _)| name == wanted);
        request = request.raw_query(cursor.query.as_deref());
        // The written API's own example of a link has lost the search.
        for (name, value) in self.query.iter().filter(|(name, _)| !has(name)) {
            request = request.query(name, value);
        }
        if cursor.query.is_none() && cursor.number > 1 {
            request = request.query("page", &cursor.number.to_string());
        }
        Ok(request)
    }
}
