//! One image by its name.

use futures::{Stream, TryStreamExt, future};

use super::{Image, Images, NamespacePath, User, UserId, get, user};
use crate::error::{ErrorKind, Result};
use crate::operation::Operation;

/// How often rows may move while a list is read.
const WALKS: u32 = 10;

impl Images {
    /// Finds the image of exactly this name, if there is one.
    ///
    /// A name is unique among the images of one user that are in no namespace, and in each
    /// namespace. Without a [`namespace`](Find::namespace), returns the image that the token's user
    /// owns and that is in none; images of the same name in namespaces, the user's own included,
    /// are not considered.
    ///
    /// `Endpoint: GET /user`, then `GET /images` or `GET /n/:user/:path/-/images`, then
    /// `GET /images/:id`
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// match images.find("debian-12").namespace("lab".parse()?).send().await? {
    ///     Some(image) => println!("image {}", image.id),
    ///     None => println!("there is no debian-12 in lab"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
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

/// Finds an image by its name: see [`Images::find`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Find {
    images: Images,
    name: String,
    namespace: Option<NamespacePath>,
}

impl Find {
    /// Finds the image in a namespace, instead of among those that are in none.
    ///
    /// `path` is a namespace of the token's user, `path@owner` one of another user. Namespaces below
    /// it are not searched.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Sends the requests.
    ///
    /// Returns `None` if there is no such image, or no such namespace. A server does not tell a
    /// missing namespace from one that the token must not list: a token without `namespace:read`
    /// finds images in public namespaces only.
    ///
    /// Without a namespace, all pages of the user's images may be read, more than once if rows move
    /// between pages meanwhile. If the server made several images of the name from parallel
    /// uploads, one of them is returned.
    ///
    /// # Errors
    ///
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) if the token is wrong or missing;
    /// [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if it lacks
    /// `image:read`; those of [`List::stream`](super::List::stream).
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
            let me = user::user(transport).await?;
            return images.named_without_namespace(&name, &me).try_next().await;
        };
        let owner = match namespace.owner() {
            Some(owner) => owner.to_owned(),
            None => user::user(transport).await?.username,
        };
        let mut named = images.named_in(&name, &owner, namespace.path());
        let row = match named.try_next().await {
            Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => {
                // The same answer as to a bad token.
                user::user(transport).await?;
                None
            }
            row => row?,
        };
        let Some(row) = row else {
            return Ok(None);
        };
        // The list of a namespace leaves most of it out.
        match get::fetch(transport, row.id).await {
            // Deleted meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => Ok(None),
            image => image.map(Some),
        }
    }
}

impl Images {
    /// Lists the images of this name that a user, the token's own, has in no namespace.
    pub(super) fn named_without_namespace(
        &self,
        name: &str,
        me: &User,
    ) -> impl Stream<Item = Result<Image>> + Send + Unpin + use<> {
        let (name, me) = (name.to_owned(), me.clone());
        let list = self.list().search(&name).steady(WALKS).stream();
        list.try_filter(move |image| {
            let is_mine = is_user(&me, image.user_id, image.user.as_ref());
            future::ready(image.namespace_id.is_none() && image.name == name && is_mine)
        })
    }

    /// Lists the images of this name in a namespace, as bare as the server lists them.
    pub(super) fn named_in(
        &self,
        name: &str,
        owner: &str,
        path: &str,
    ) -> impl Stream<Item = Result<Image>> + Send + Unpin + use<> {
        let name = name.to_owned();
        let list = self.list().namespace(owner, path).search(&name);
        // The search takes `_` for any letter, and finds more.
        let list = list.steady(WALKS).stream();
        list.try_filter(move |image| future::ready(image.name == name))
    }
}

/// Returns `true` if an image's user is this one: by the id, which not every server tells, or the
/// name.
pub(super) fn is_user(known: &User, id: UserId, user: Option<&User>) -> bool {
    match known.id {
        Some(known) => id == known,
        None => user.is_some_and(|user| user.username == known.username),
    }
}
