/// The visibility of a namespace of a [`DjinnServer`](super::DjinnServer).
///
/// As on the real server, it limits the list of the namespace's images only: a single image of a
/// namespace, with its content, is served to everyone who knows its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// The owner and collaborators.
    #[default]
    Private,
    /// Every user.
    Internal,
    /// Everyone, without a token too.
    Public,
}

impl Visibility {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}
