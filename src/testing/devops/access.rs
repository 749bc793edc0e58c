use hyper::header::AUTHORIZATION;

use super::answer::Refusal;
use crate::testing::message::Request;

/// A permission of a login, which the service's documentation calls a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessPolicy {
    /// `read_images`: lists and shows images, providers, filters and templates.
    ReadImages,
    /// `create_image`: creates and updates images, and changes filters.
    CreateImage,
    /// `delete_image`: deletes images.
    DeleteImage,
}

impl AccessPolicy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::ReadImages, Self::CreateImage, Self::DeleteImage];
}

/// A user or a token, and its policies.
#[derive(Clone, Debug)]
pub(super) struct Login {
    name: String,
    scheme: &'static str,
    credentials: String,
    policies: Vec<AccessPolicy>,
}

impl Login {
    pub(super) fn basic(user: &str, password: &str, policies: &[AccessPolicy]) -> Self {
        Self {
            name: user.to_owned(),
            scheme: "Basic",
            credentials: base64(format!("{user}:{password}").as_bytes()),
            policies: policies.to_vec(),
        }
    }

    pub(super) fn bearer(token: &str, policies: &[AccessPolicy]) -> Self {
        Self {
            name: "token".to_owned(),
            scheme: "Bearer",
            credentials: token.to_owned(),
            policies: policies.to_vec(),
        }
    }

    /// Refuses a login without the policy.
    pub(super) fn check(&self, policy: AccessPolicy) -> Result<(), Refusal> {
        if self.policies.contains(&policy) {
            return Ok(());
        }
        Err(Refusal::AccessDenied(self.name.clone()))
    }
}

/// Finds the request's login. Version 2 supports the scheme `Basic` only.
pub(super) fn log_in<'a>(
    logins: &'a [Login],
    request: &Request,
    is_v2: bool,
) -> Result<&'a Login, Refusal> {
    let given = request.header(AUTHORIZATION).unwrap_or_default();
    let (scheme, credentials) = given.split_once(' ').unwrap_or((given, ""));
    if is_v2 && !scheme.is_empty() && !scheme.eq_ignore_ascii_case("Basic") {
        return Err(Refusal::UnknownScheme);
    }
    let is_given = |login: &&Login| {
        scheme.eq_ignore_ascii_case(login.scheme) && credentials == login.credentials
    };
    logins.iter().find(is_given).ok_or(Refusal::NoLogin)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > group.len() {
                '='
            } else {
                digit.into()
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("gordon.freeman:secret", "Z29yZG9uLmZyZWVtYW46c2VjcmV0"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
