//! Listing images, page by page.

mod all;
mod page;
mod request;

use std::sync::Arc;

use futures::Stream;

use super::images::Images;
use super::model::Image;
use super::name::NamespacePath;
use crate::call::awaitable;
use crate::error::Result;
use crate::page::Page;
pub use all::ListAll;
pub use page::ListPage;
use request::Filter;

const SEARCH: &str = "search";

impl Images {
    /// Lists the images that the token's user can see, ordered by name.
    ///
    /// `Endpoint: GET /images`
    ///
    /// The server sends 25 images a page. The token needs `image:read`.
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let mut all = images.list().search("debian").stream();
    /// while let Some(image) = all.try_next().await? {
    ///     println!("{} {}", image.id, image.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self) -> List {
        List {
            filter: Filter {
                transport: self.transport.clone(),
                namespace: None,
                owner: Arc::default(),
                query: Vec::new(),
            },
        }
    }
}

/// A builder that lists images: see [`Images::list`].
///
/// First say which images: [`namespace`](Self::namespace), [`search`](Self::search) and
/// [`query`](Self::query). Then how to read them: one [`page`](Self::page), or all of them, as a
/// [`stream`](Self::stream), by [`pages`](Self::pages) or at once. Options of reading many pages
/// turn the builder into a [`ListAll`].
#[derive(Clone, Debug)]
#[must_use = "`list` does nothing unless awaited or streamed"]
pub struct List {
    filter: Filter,
}

impl List {
    /// Lists the images of one namespace, instead of all that the token's user can see.
    ///
    /// `Endpoint: GET /n/:user/:path/-/images`
    ///
    /// The token needs `namespace:read`, unless the namespace is public.
    ///
    /// `lab` is a namespace of the token's user, which takes one more request, `GET /user`;
    /// `lab@gordon` is one of the user `gordon`. Images in the public namespaces of other users are
    /// found only here. The server leaves [`author`](Image::author), [`user`](Image::user),
    /// [`namespace`](Image::namespace) and [`download`](Image::download) out of this list:
    /// [`get`](Images::get) has them.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// for image in images.list().namespace("lab/kernels@gordon".parse()?).await? {
    ///     println!("{}", image.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.filter.namespace = Some(namespace);
        self
    }

    /// Lists only images whose name contains this text, as SQL's `LIKE` does.
    ///
    /// `%` stands for any characters and `_` for any one. In the list of all images, the real
    /// server applies it only to those of other users: all that the token's user owns are listed.
    /// For an exact name, see [`find`](Images::find).
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.filter.query.retain(|(name, _)| name != SEARCH);
        self.query(SEARCH, text)
    }

    /// Adds a query parameter that this crate does not know, sent for every page. For `page`, use
    /// [`page`](Self::page) or [`from_page`](Self::from_page).
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter.query.push((name.into(), value.into()));
        self
    }

    /// Gets one page, counted from 1. A page past the end is empty, or the last page once more.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let page = images.list().page(2).await?;
    /// println!("page {}: {} images", page.number, page.items.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn page(self, number: u64) -> ListPage {
        ListPage {
            filter: self.filter,
            number,
        }
    }

    /// Sets the page to begin with. Defaults to 1.
    pub fn from_page(self, number: u64) -> ListAll {
        self.list_all().from_page(number)
    }

    /// Sets the maximum number of images. Defaults to no limit.
    pub fn limit(self, images: u64) -> ListAll {
        self.list_all().limit(images)
    }

    /// Sets the number of pages to request ahead: see [`ListAll::prefetch`].
    #[doc(alias = "parallel")]
    pub fn prefetch(self, pages: usize) -> ListAll {
        self.list_all().prefetch(pages)
    }

    /// Reads the list up to `max_passes` times, until no image was missed: see
    /// [`ListAll::consistent`].
    pub fn consistent(self, max_passes: u32) -> ListAll {
        self.list_all().consistent(max_passes)
    }

    /// Returns all images. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// See [`ListAll::all`].
    pub async fn all(self) -> Result<Vec<Image>> {
        self.list_all().all().await
    }

    /// Returns a stream of all images: see [`ListAll::stream`].
    pub fn stream(self) -> impl Stream<Item = Result<Image>> + Send + Unpin + 'static {
        self.list_all().stream()
    }

    /// Returns a stream of all pages: see [`ListAll::pages`].
    pub fn pages(self) -> impl Stream<Item = Result<Page<Image>>> + Send + Unpin + 'static {
        self.list_all().pages()
    }

    /// Returns an iterator over all images, for programs without async code: see
    /// [`ListAll::iter`].
    #[cfg(feature = "blocking")]
    pub fn iter(self) -> impl Iterator<Item = Result<Image>> + Send + 'static {
        self.list_all().iter()
    }

    fn list_all(self) -> ListAll {
        ListAll::new(self.filter)
    }
}

awaitable!(List, all -> Vec<Image>);
