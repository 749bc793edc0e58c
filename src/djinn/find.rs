//! Finding an image by its name.

use futures::{Stream, TryStreamExt, future};

use super::get;
use super::images::Images;
use super::model::{Image, User};
use super::name::NamespacePath;
use super::user::{is_user, user};
use crate::call::awaitable;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Operation;

/// The maximum number of passes over a list that changes.
const MAX_PASSES: u32 = 10;

impl Images {
    /// Finds the image of exactly this name.
    ///
    /// `Endpoint: GET /user`, then `GET /images` or `GET /n/:user/:path/-/images`, then
    /// `GET /images/:id`
    ///
    /// A name is unique in each namespace, and among the images of one user that are in none.
    /// Without a [`namespace`](Find::namespace), returns the image in no namespace that the token's
    /// user owns. The token needs `image:read`.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// match images.find("debian-12").namespace("lab".parse()?).await? {
    ///     Some(image) => println!("image {}", image.id),
    ///     None => println!("there is no debian-12 in lab"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The server has no lookup by name, so the cost depends on the namespace:
    ///
    /// | namespace | requests |
    /// |---|---|
    /// | `lab@gordon` | the list of the namespace, narrowed to names like this one: usually one page; then the image if it was found |
    /// | `lab` | the same, after `GET /user` |
    /// | one that does not exist, that the token must not list, or whose path two of the owner's namespaces share | as above, but the list fails; then `GET /user` and the pages of all images, as without a namespace |
    /// | none | `GET /user`, then the pages of all images that the user owns, 25 a page, up to the image; if it does not exist, all pages, and at least twice unless there is only one |
    #[doc(alias = "lookup")]
    #[doc(alias = "search")]
    pub fn find(&self, name: impl Into<String>) -> Find {
        Find {
            images: self.clone(),
            name: name.into(),
            namespace: None,
        }
    }
}

/// A builder that finds an image by its name: see [`Images::find`].
#[derive(Clone, Debug)]
#[must_use = "`find` does nothing unless awaited"]
pub struct Find {
    images: Images,
    name: String,
    namespace: Option<NamespacePath>,
}

impl Find {
    /// Sets the namespace of the image. Defaults to none.
    ///
    /// `lab` is a namespace of the token's user, `lab@gordon` one of the user `gordon`. Namespaces
    /// below it are not searched.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Sends the requests. Awaiting the builder does the same.
    ///
    /// Returns `None` if there is no such image or no such namespace. A server does not tell a
    /// missing namespace from one that the token must not list, as without `namespace:read`: then
    /// the image is looked for in the list of all that the token's user can see without that.
    ///
    /// A list of several pages is read again until no image was missed, at most 10 times: see
    /// [`ListAll::consistent`](super::ListAll::consistent). If parallel uploads created several
    /// images of the name, one of them is returned.
    ///
    /// # Errors
    ///
    /// - [`Unauthorized`](ErrorKind::Unauthorized) if the token is wrong or missing.
    /// - [`NotFoundOrUnauthorized`](ErrorKind::NotFoundOrUnauthorized) if it lacks `image:read`.
    /// - [`Server`](ErrorKind::Server) if another user has two namespaces with the path, and the list of
    ///   all images does not have this one.
    /// - Those of [`ListAll::all`](super::ListAll::all).
    pub async fn send(self) -> Result<Option<Image>> {
        let operation = Operation::new("find image").on(format!("{:?}", self.name));
        operation.run(self.find()).await
    }

    async fn find(self) -> Result<Option<Image>> {
        let Self {
            images,
            name,
            namespace,
        } = self;
        let transport = &images.transport;
        let Some(namespace) = namespace else {
            let me = user(transport).await?;
            return images.named_without_namespace(&name, &me).try_next().await;
        };
        let row = match images.named_in(&name, &namespace).try_next().await {
            Err(error) if is_missing(&error) || is_ambiguous(&error) => {
                // A bad token gets the same response as one that must not list the namespace.
                let me = user(transport).await?.username;
                let owner = namespace.owner().unwrap_or(&me).to_owned();
                let mut all = images.named_in_all(&name, namespace.of(&owner));
                return match all.try_next().await? {
                    // The list of all has no images of others that are only public.
                    None if owner != me && is_ambiguous(&error) => Err(error),
                    found => Ok(found),
                };
            }
            row => row?,
        };
        let Some(row) = row else {
            return Ok(None);
        };
        // The list of a namespace leaves most fields out.
        match get::fetch(transport, row.id).await {
            // Deleted in the meantime.
            Err(error) if is_missing(&error) => Ok(None),
            image => image.map(Some),
        }
    }
}

awaitable!(Find, send -> Option<Image>);

impl Images {
    /// Lists the images of this name in no namespace that `me`, the token's user, owns.
    fn named_without_namespace(
        &self,
        name: &str,
        me: &User,
    ) -> impl Stream<Item = Result<Image>> + Send + Unpin + use<> {
        let (name, me) = (name.to_owned(), me.clone());
        let list = self.list().search(&name).consistent(MAX_PASSES).stream();
        list.try_filter(move |image| {
            let is_mine = is_user(&me, image.user_id, image.user.as_ref());
            future::ready(image.namespace_id.is_none() && image.name == name && is_mine)
        })
    }

    /// Lists the images of this name in a namespace.
    fn named_in(
        &self,
        name: &str,
        namespace: &NamespacePath,
    ) -> impl Stream<Item = Result<Image>> + Send + Unpin + use<> {
        let name = name.to_owned();
        let list = self.list().namespace(namespace.clone()).search(&name);
        // The search takes `_` for any character, and finds more.
        let list = list.consistent(MAX_PASSES).stream();
        list.try_filter(move |image| future::ready(image.name == name))
    }

    /// The same, out of the list of all images.
    fn named_in_all(
        &self,
        name: &str,
        namespace: NamespacePath,
    ) -> impl Stream<Item = Result<Image>> + Send + Unpin + use<> {
        let name = name.to_owned();
        let list = self.list().search(&name).consistent(MAX_PASSES).stream();
        list.try_filter(move |image| future::ready(image.name == name && is_in(image, &namespace)))
    }
}

fn is_missing(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFoundOrUnauthorized
}

/// Returns `true` if the server could not list a namespace as another has the same path: an upload to
/// a namespace below one makes a second of it.
fn is_ambiguous(error: &Error) -> bool {
    let message = error.message().unwrap_or_default();
    error.status() == Some(500) && message.contains("more than one row returned")
}

/// Returns `true` for an image in a namespace, of which the owner is known.
pub(super) fn is_in(image: &Image, namespace: &NamespacePath) -> bool {
    let is_owner = |user: &User| Some(user.username.as_str()) == namespace.owner();
    let of_image = image.namespace.as_ref();
    of_image.is_some_and(|of_image| of_image.path == namespace.path())
        && image.user.as_ref().is_some_and(is_owner)
}
