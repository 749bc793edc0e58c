//! Reading all pages of a list.

use futures::future::Either;
use futures::stream::{Stream, TryStreamExt, try_unfold};

use super::request::{Filter, OPERATION};
use crate::call::awaitable;
use crate::djinn::model::Image;
use crate::error::Result;
use crate::page::{self, Cursor, Items, Page};

/// A builder that reads all pages of a list: see [`List`](super::List).
///
/// Every option applies to the [`stream`](Self::stream), to [`pages`](Self::pages) and to
/// [`all`](Self::all).
#[derive(Clone, Debug)]
#[must_use = "`list` does nothing unless awaited or streamed"]
pub struct ListAll {
    filter: Filter,
    from_page: u64,
    limit: Option<u64>,
    prefetch: usize,
    max_passes: u32,
}

impl ListAll {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            filter,
            from_page: 1,
            limit: None,
            prefetch: 0,
            max_passes: 1,
        }
    }

    /// Sets the page to begin with. Defaults to 1.
    pub fn from_page(mut self, number: u64) -> Self {
        self.from_page = number;
        self
    }

    /// Sets the maximum number of images. Defaults to no limit.
    ///
    /// No page is requested after the one that reaches it, except those already requested by
    /// [`prefetch`](Self::prefetch).
    pub fn limit(mut self, images: u64) -> Self {
        self.limit = Some(images);
        self
    }

    /// Sets the number of pages to request ahead, each by its own request. Defaults to 0.
    ///
    /// The result is the same; at the end of the list, or where a stream is dropped, up to that
    /// many requests may be wasted. Works on servers that number their pages, as Djinn CI does.
    ///
    /// If images are created or deleted in the meantime, pages may be inconsistent: requests for
    /// several pages are processed in any order, and a row that moves may be missed.
    #[doc(alias = "parallel")]
    #[doc(alias = "concurrency")]
    pub fn prefetch(mut self, pages: usize) -> Self {
        self.prefetch = pages;
        self
    }

    /// Reads the list up to `max_passes` times, until no image was missed. Defaults to 1: the list is
    /// read once and nothing is compared.
    ///
    /// When a row is deleted from a page already read, the following rows move up, and one of them
    /// to that page. Two passes in a row that see the same images show that none was missed. A
    /// list of a single page is read once. Each image is returned once, as soon as it is read; one
    /// that is deleted in the meantime may be among them.
    ///
    /// Fails with [`Limit`](crate::ErrorKind::Limit) if no two passes in a row saw the same images.
    /// The ids of all images are held in memory.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let all = images.list().consistent(5).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn consistent(mut self, max_passes: u32) -> Self {
        self.max_passes = max_passes.max(1);
        self
    }

    /// Returns all images. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// - Those of [`ListPage::send`](super::ListPage::send).
    /// - [`Limit`](crate::ErrorKind::Limit) for a list of more than
    ///   [`max_pages`](crate::ClientBuilder::max_pages).
    pub async fn all(self) -> Result<Vec<Image>> {
        OPERATION.run(self.stream().try_collect()).await
    }

    /// Returns a stream of all images.
    ///
    /// Each image is returned once, even if rows move between pages while they are read. A row that
    /// moves to a page already read is missed, unless [`consistent`](Self::consistent) is set. A
    /// page is requested when the images of the one before were consumed, or earlier with
    /// [`prefetch`](Self::prefetch).
    ///
    /// # Errors
    ///
    /// See [`all`](Self::all). The stream ends after an error.
    pub fn stream(self) -> impl Stream<Item = Result<Image>> + Send + Unpin + 'static {
        let limit = self.limit;
        // Boxed to keep the futures that hold it small.
        Box::new(Items::new(self.uncut_pages(), limit, id))
    }

    /// Returns an iterator over all images, for programs without async code.
    ///
    /// It yields the items of the [`stream`](Self::stream), and requests pages as that does.
    ///
    /// ```
    /// # fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// for image in images.list().limit(100).iter() {
    ///     println!("{}", image?.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`all`](Self::all). The iterator ends after an error.
    ///
    /// # Panics
    ///
    /// The iterator panics inside async code: see [`blocking`](crate::blocking#panics).
    #[cfg(feature = "blocking")]
    pub fn iter(self) -> impl Iterator<Item = Result<Image>> + Send + 'static {
        crate::blocking::iter(self.stream())
    }

    /// Returns a stream of all pages, as the server sends them.
    ///
    /// A row that moves while pages are read may be on two of them. A [`limit`](Self::limit) cuts
    /// the last page. With [`consistent`](Self::consistent), the pages of later passes have only
    /// images that were not returned before, and are left out if there are none.
    ///
    /// # Errors
    ///
    /// See [`all`](Self::all). The stream ends after an error.
    pub fn pages(self) -> impl Stream<Item = Result<Page<Image>>> + Send + Unpin + 'static {
        let left = self.limit.unwrap_or(u64::MAX);
        let pages = (self.uncut_pages(), left);
        Box::pin(try_unfold(pages, async |(mut pages, left)| {
            if left == 0 {
                return Ok(None);
            }
            let page = pages.try_next().await?;
            Ok(page.map(|mut page| {
                page.items
                    .truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - page.items.len() as u64;
                (page, (pages, left))
            }))
        }))
    }

    /// Returns the pages without the limit.
    fn uncut_pages(self) -> impl Stream<Item = Result<Page<Image>>> + Send + Unpin + 'static {
        if self.max_passes == 1 {
            return Either::Left(self.read());
        }
        let pages = page::consistent(self.max_passes, id, move || self.clone().read());
        Either::Right(Box::pin(pages.map_err(|error| error.during(&OPERATION))))
    }

    /// Reads the pages once.
    fn read(self) -> impl Stream<Item = Result<Page<Image>>> + Send + Unpin + 'static {
        let start = Cursor {
            number: self.from_page,
            query: None,
        };
        let filter = self.filter;
        let max = filter.transport.max_pages();
        let fetch = move |cursor| {
            let filter = filter.clone();
            async move { filter.fetch(cursor).await }
        };
        let pages = page::pages(max, self.prefetch, start, fetch);
        Box::pin(pages.map_err(|error| error.during(&OPERATION)))
    }
}

awaitable!(ListAll, all -> Vec<Image>);

fn id(image: &Image) -> i64 {
    image.id.get()
}
