//! Names of images and namespaces, checked as the server checks them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::model::Namespace;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Operation;

/// Refuses a name that the server would reject after the whole upload.
///
/// It accepts `^[a-zA-Z0-9_\-]+$`, of any length.
pub(super) fn check_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || !name.bytes().all(fits) {
        let message =
            format!("the name {name:?} may contain only ASCII letters, digits, '_' and '-'");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Refuses a namespace that the server would reject after the whole upload.
///
/// The server accepts only letters and `/` in the namespace of a new image.
pub(super) fn check_new_namespace(namespace: Option<&NamespacePath>) -> Result<()> {
    match namespace {
        Some(namespace) if namespace.path.contains(|c: char| c.is_ascii_digit()) => {
            let path = &namespace.path;
            let message =
                format!("a new image's namespace {path:?} may contain only letters and '/'");
            Err(Error::invalid(message))
        }
        _ => Ok(()),
    }
}

/// Adds the name to an error of a name that exists already.
pub(super) fn taken(error: Error, name: &str) -> Error {
    match error.kind() {
        ErrorKind::NameTaken => error.meaning(ErrorKind::NameTaken, is_taken(name)),
        _ => error,
    }
}

/// The message for a name that exists already.
pub(super) fn is_taken(name: &str) -> String {
    format!("a name must be unique: {name:?} exists already")
}

/// The most segments of a path. The server refuses more, after it has made the namespaces above.
const MAX_DEPTH: usize = 20;

/// The path of a namespace: `path`, or `path@owner` for one of another user.
///
/// A path has up to 20 segments of ASCII letters and digits, separated by `/`. Calls that create an
/// image refuse digits, as the server accepts only letters there. Assumed, not documented: an
/// owner's name may have any characters but `/`, `@` and white space.
///
/// ```
/// use machine_images::djinn::NamespacePath;
///
/// let namespace: NamespacePath = "blackmesa/lab@gordon.freeman".parse()?;
/// assert_eq!(namespace.path(), "blackmesa/lab");
/// assert_eq!(namespace.owner(), Some("gordon.freeman"));
/// assert!("black-mesa".parse::<NamespacePath>().is_err());
/// # Ok::<(), machine_images::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamespacePath {
    path: String,
    owner: Option<String>,
}

impl NamespacePath {
    /// Returns the path without the owner.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the owner, or `None` for a namespace of the token's user.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns the namespace of this path that another user owns.
    pub(super) fn of(&self, owner: &str) -> Self {
        Self {
            path: self.path.clone(),
            owner: Some(owner.to_owned()),
        }
    }
}

/// The path and owner of a namespace that an image is in. Without an owner, as in the response to a
/// creation, it is one of the token's user.
impl TryFrom<&Namespace> for NamespacePath {
    type Error = Error;

    fn try_from(namespace: &Namespace) -> Result<Self> {
        let path: Self = namespace.path.parse()?;
        Ok(match &namespace.user {
            Some(user) => path.of(&user.username),
            None => path,
        })
    }
}

impl FromStr for NamespacePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (path, owner) = match text.split_once('@') {
            Some((path, owner)) => (path, Some(owner)),
            None => (text, None),
        };
        let fits = |segment: &str| {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let invalid = |message| Error::invalid(message).during(&Operation::new("parse namespace"));
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@');
        let owner_fits = |owner: &str| !owner.is_empty() && !owner.contains(odd);
        if !path.split('/').all(fits) || !owner.is_none_or(owner_fits) {
            let message =
                format!("{text:?} is not a path of letters and digits, with or without @owner");
            return Err(invalid(message));
        }
        if path.split('/').count() > MAX_DEPTH {
            return Err(invalid(format!(
                "{text:?} has more than {MAX_DEPTH} segments"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            owner: owner.map(str::to_owned),
        })
    }
}

impl TryFrom<String> for NamespacePath {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<NamespacePath> for String {
    fn from(path: NamespacePath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for NamespacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => f.pad(&format!("{}@{owner}", self.path)),
            None => f.pad(&self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_as_the_server_takes_them() {
        for name in ["debian-12", "_x", "-y", "10", &"n".repeat(5000)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "!!!", "a.qcow2", "a b", "é", "a/b", "a\n"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn namespaces_are_written_as_they_were_read() {
        for text in ["blackmesa", "blackmesa/lab", "a1/b2@eli.vance"] {
            let namespace: NamespacePath = text.parse().unwrap();
            assert_eq!(namespace.to_string(), text);
            let json = serde_json::to_value(&namespace).unwrap();
            assert_eq!(json, text);
            assert_eq!(
                serde_json::from_value::<NamespacePath>(json).unwrap(),
                namespace
            );
            assert_eq!(
                check_new_namespace(Some(&namespace)).is_ok(),
                !text.contains('1')
            );
        }
        let deepest = ["a"; MAX_DEPTH].join("/");
        assert!(deepest.parse::<NamespacePath>().is_ok());
        let deeper = format!("{deepest}/a");
        for text in [
            &deeper, "", "a-b", "a//b", "/a", "a/", "a@", "@x", "a@b@c", "a@b/c", "a b",
        ] {
            assert!(text.parse::<NamespacePath>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_made_of_these_characters(name in "[a-zA-Z0-9_-]{1,40}", odd in "[^a-zA-Z0-9_-]", at: prop::sample::Index) {
            prop_assert!(check_name(&name).is_ok());
            let mut spoilt = name;
            spoilt.insert_str(at.index(spoilt.len() + 1), &odd);
            prop_assert!(check_name(&spoilt).is_err());
        }

        #[test]
        fn any_text_is_a_namespace_as_written_or_none(text in "[a-z0-9/@. -]{0,20}|.{0,20}") {
            if let Ok(namespace) = text.parse::<NamespacePath>() {
                prop_assert_eq!(namespace.to_string(), text);
                prop_assert!(!namespace.path().is_empty());
            }
        }
    }
}
