//! SHA-256 digests.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::operation::Operation;

/// A SHA-256 digest, written as 64 hexadecimal digits.
///
/// ```
/// use machine_images::Digest;
///
/// let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// let digest: Digest = text.parse()?;
/// assert_eq!(digest.to_string(), text);
/// # Ok::<(), machine_images::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            let error = Error::invalid("a SHA-256 has 64 hexadecimal digits");
            error.during(&Operation::new("parse digest"))
        };
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            let digits = text.get(at..at + 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
        }
        Ok(Self(digest))
    }
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
}
