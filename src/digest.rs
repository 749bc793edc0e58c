//! SHA-256 digests.

use std::fmt;
#[cfg(feature = "fs")]
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::operation::Operation;

/// A SHA-256 digest, written as 64 hexadecimal digits.
///
/// Parsing accepts upper and lower case; [`Display`](fmt::Display) and serde write lower case.
///
/// Hashing is slow in a build that is not optimized, about 12 MiB/s. `[profile.dev.package.sha2]` with
/// `opt-level = 3` in a program's `Cargo.toml` makes it fast there, too.
///
/// ```
/// use machine_images::Digest;
///
/// let digest: Digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?;
/// assert_eq!(digest, Digest::of(b""));
/// assert_eq!(digest.as_bytes()[0], 0xe3);
/// # Ok::<(), machine_images::Error>(())
/// ```
#[doc(alias = "checksum")]
#[doc(alias = "hash")]
#[doc(alias = "sha256")]
#[doc(alias = "verify")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Creates a digest from its 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Computes the digest of `bytes`.
    ///
    /// ```
    /// use machine_images::Digest;
    ///
    /// let digest = Digest::of("hello");
    /// assert!(digest.to_string().starts_with("2cf24dba"));
    /// ```
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Computes the digest of a regular file.
    ///
    /// Reads the file on a blocking thread of the tokio runtime, in chunks.
    ///
    /// ```
    /// use machine_images::Digest;
    ///
    /// # async fn example() -> machine_images::Result<()> {
    /// let digest = Digest::of_file("debian-12.qcow2").await?;
    /// println!("{digest}  debian-12.qcow2");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be read or is not a regular file.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the reading.
    #[cfg(feature = "fs")]
    pub async fn of_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let operation = Operation::new("hash file").on(path.display());
        let hashed = async {
            let hashed = file::hash(path).await;
            hashed.map_err(|error| Error::io("cannot read the file", error))
        };
        operation.run(hashed).await
    }

    /// Fails unless this is the expected digest.
    pub(crate) fn expect(self, expected: Self) -> Result<()> {
        match self == expected {
            true => Ok(()),
            false => {
                let message = format!("the SHA-256 is {self}, not {expected}");
                Err(Error::plain(ErrorKind::DigestMismatch, message))
            }
        }
    }

    /// Returns the 32 bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Computes a digest of bytes that come in pieces.
#[derive(Clone, Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// Returns the digest of all bytes so far.
    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(feature = "fs")]
mod file {
    use std::io::{self, Read as _};
    use std::path::PathBuf;
    use std::sync::Arc;

    use tokio::task::spawn_blocking;

    use super::{Digest, Hasher};
    use crate::file::open_regular;

    const BUFFER: usize = 256 * 1024;

    pub(super) async fn hash(path: PathBuf) -> io::Result<Digest> {
        // Dropped together with the future.
        let caller = Arc::new(());
        let waiting = Arc::downgrade(&caller);
        let hashed = spawn_blocking(move || {
            let mut file = open_regular(&path)?;
            let mut hasher = Hasher::default();
            let mut buffer = vec![0; BUFFER];
            while waiting.strong_count() > 0 {
                match file.read(&mut buffer) {
                    Ok(0) => return Ok(hasher.finish()),
                    Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Err(io::Error::other("the caller stopped waiting"))
        });
        hashed.await.map_err(io::Error::other)?
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<Digest> for [u8; 32] {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Parses 64 hexadecimal digits; anything else is an
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) error.
impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|message| {
            let error = Error::invalid(message);
            error.during(&Operation::new("parse digest"))
        })
    }
}

fn parse(text: &str) -> Result<Digest, String> {
    let invalid = || {
        let start: String = text.chars().take(80).collect();
        format!("{start:?} is not a SHA-256 digest of 64 hexadecimal digits")
    };
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(invalid());
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        let digits = text.get(at..at + 2).ok_or_else(invalid)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
    }
    Ok(Digest(bytes))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_64_hexadecimal_digits_are_a_digest() {
        let short = "0".repeat(63);
        for text in [
            "",
            &short,
            &format!("{short}g"),
            &format!("{short}00"),
            &"é".repeat(32),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        let mixed = "Ab".repeat(32);
        let digest: Digest = mixed.parse().unwrap();
        assert_eq!(digest.to_string(), mixed.to_lowercase());
    }

    #[test]
    fn bytes_in_pieces_have_the_digest_of_the_whole() {
        let mut hasher = Hasher::default();
        hasher.update(b"hel");
        hasher.update("lo");
        assert_eq!(hasher.finish(), Digest::of("hello"));
    }
}
