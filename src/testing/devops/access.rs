use crate::testing::message::Request;

/// What a login may do; the names are those of the service's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// `read_images`: list and show.
    ReadImages,
    /// `create_image`: create and update.
    CreateImage,
    /// `delete_image`: delete.
    DeleteImage,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::ReadImages, Self::CreateImage, Self::DeleteImage];
}

/// Who may do what: the value of an `Authorization` header, and policies.
#[derive(Clone, Debug)]
pub(super) struct Login {
    authorization: String,
    policies: Vec<Policy>,
}

impl Login {
    pub(super) fn basic(user: &str, password: &str, policies: &[Policy]) -> Self {
        Self {
            authorization: format!("Basic {}", base64(format!("{user}:{password}").as_bytes())),
            policies: policies.to_vec(),
        }
    }

    pub(super) fn bearer(token: &str, policies: &[Policy]) -> Self {
        Self {
            authorization: format!("Bearer {token}"),
            policies: policies.to_vec(),
        }
    }
}

/// Whether one of the logins is the request's and has the policy.
pub(super) fn is_allowed(logins: &[Login], request: &Request, policy: Policy) -> bool {
    let given = request.header(hyper::header::AUTHORIZATION);
    logins
        .iter()
        .any(|login| given == Some(&login.authorization) && login.policies.contains(&policy))
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
