//! Removing secrets from texts that a server sent.

use secrecy::{ExposeSecret, SecretString};

/// Replaces a secret.
const REDACTED: &str = "[redacted]";
/// Replaces a text that a secret cannot be removed from.
const WITHHELD: &str = "[withheld: it has the credentials in it]";
/// A shorter secret occurs in many texts by chance, and the rest of the text would reveal it.
const LONG: usize = 8;

/// Removes long secrets, and those of URLs, from a text; withholds a text in which a short one is a
/// word.
pub(super) fn redact<'a>(
    text: String,
    secrets: impl Iterator<Item = &'a SecretString> + Clone,
) -> String {
    let text = without_those_of_urls(&redact_long(text, secrets.clone()));
    let mut short = secrets.map(ExposeSecret::expose_secret);
    match short.any(|secret| (1..LONG).contains(&secret.len()) && has_word(&text, secret)) {
        true => WITHHELD.to_owned(),
        false => text,
    }
}

/// Removes long secrets from a text.
pub(super) fn redact_long<'a>(
    text: String,
    secrets: impl Iterator<Item = &'a SecretString>,
) -> String {
    let secrets = secrets.map(ExposeSecret::expose_secret);
    let mut long: Vec<&str> = secrets.filter(|secret| secret.len() >= LONG).collect();
    if long.is_empty() {
        return text;
    }
    // One secret may contain another.
    long.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    without(&text, &long)
}

/// Replaces secrets, in letters of either case, in one pass, so that replacements are not searched.
fn without(text: &str, secrets: &[&str]) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let is_next = |secret: &&&str| {
            let next = rest.as_bytes().get(..secret.len());
            next.is_some_and(|next| next.eq_ignore_ascii_case(secret.as_bytes()))
        };
        match secrets.iter().find(is_next) {
            Some(secret) => {
                redacted.push_str(REDACTED);
                rest = &rest[secret.len()..];
            }
            None => {
                redacted.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    redacted
}

/// Takes the login and the query out of each URL, whatever they are: the server may write them in
/// other letters, and short ones cannot be found in a text.
fn without_those_of_urls(text: &str) -> String {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some((before, url)) = rest.split_once("://") {
        // URLs are sent with these escaped.
        let is_behind = |c: char| c.is_whitespace() || "\"<>".contains(c);
        // Another URL may follow at once, or be in the path. Nothing is looked at again and again.
        let next = url.find("://").unwrap_or(url.len());
        let end = match url[..next].find(|c| c == '?' || is_behind(c)) {
            Some(query) if url[query..].starts_with('?') => {
                let length = url[query..].find(is_behind);
                length.map_or(url.len(), |length| query + length)
            }
            end => end.unwrap_or(next),
        };
        let (url, behind) = url.split_at(end);
        let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
        redacted += before;
        redacted += "://";
        match authority.rsplit_once('@') {
            Some((_, host)) => redacted.extend([REDACTED, "@", host]),
            None => redacted += authority,
        }
        match path.split_once('?') {
            Some((path, _)) => redacted.extend([path, "?", REDACTED]),
            None => redacted += path,
        }
        rest = behind;
    }
    redacted + rest
}

fn has_word(text: &str, word: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '-');
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        let begins = is_escaped(before) || !before.ends_with(is_inner);
        begins && !after.starts_with(is_inner)
    })
}

/// Returns `true` if a text ends with a percent-encoded byte.
fn is_escaped(text: &str) -> bool {
    match text.as_bytes() {
        [.., b'%', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str, secrets: &[&str]) -> String {
        let secrets: Vec<SecretString> = secrets.iter().map(|&secret| secret.into()).collect();
        redact(text.to_owned(), secrets.iter())
    }

    #[test]
    fn a_long_secret_is_taken_out_wherever_it_stands() {
        let secrets = ["0123456789", "1234567890123", "redacted]"];
        for (text, shown) in [
            ("a0123456789b", "a[redacted]b"),
            ("x1234567890123 0123456789", "x[redacted] [redacted]"),
            ("nothing", "nothing"),
            ("[REDACTED]: rEdacted]x", "[[redacted]: [redacted]x"),
            ("é0123456789é", "é[redacted]é"),
        ] {
            assert_eq!(redacted(text, &secrets), shown);
        }
    }

    #[test]
    fn a_url_keeps_its_scheme_host_and_path() {
        for (text, shown) in [
            (
                "Get \"http://h:1/e?e\": eee",
                "Get \"http://h:1/e?[redacted]\": eee",
            ),
            (
                "no sftp://u:p%40@h/x and HTTPS://h?A=b#c d?e",
                "no sftp://[redacted]@h/x and HTTPS://h?[redacted] d?e",
            ),
            ("é://é@é?é", "é://[redacted]@é?[redacted]"),
            (
                "http://a,http://u:p@b/ http://c/http://u:p@h/x",
                "http://a,http://[redacted]@b/ http://c/http://[redacted]@h/x",
            ),
            (
                "sftp://u:it's@h?a'b ftp://h?at=http://u@h?b",
                "sftp://[redacted]@h?[redacted] ftp://h?[redacted]",
            ),
            ("what? 5 :// 6 ://", "what? 5 :// 6 ://"),
        ] {
            assert_eq!(redacted(text, &[]), shown);
        }
        assert_eq!(
            redacted("Get http://h?page=1: no", &["1"]),
            "Get http://h?[redacted] no"
        );
        // In no time, which counts the characters once.
        for part in ["://", "a://b ", "://?", "\"://", "://u@"] {
            assert!(redacted(&part.repeat(1 << 17), &[]).starts_with(&part[..3]));
        }
        let secret = ["secret://x?y"];
        assert_eq!(redacted("a secret://x?y z", &secret), "a [redacted] z");
    }

    #[test]
    fn a_short_secret_spoils_no_text_and_is_not_shown_by_what_is_left() {
        for (text, secret) in [
            ("Name doesn't match: images and a test", "t"),
            ("GET /images/42: imagery", "image"),
            ("the id 1234 of 5", "123"),
            ("web-1: no such image", "web"),
            ("no such image", "Image"),
        ] {
            assert_eq!(redacted(text, &[secret]), text);
        }
        for (text, secret) in [
            ("bad token t", "t"),
            ("Bearer \"image\" is unknown", "image"),
            ("u:p", "p"),
            ("dTpw", "dTpw"),
            ("x=tokA_y", "tokA"),
            ("Bearer%20toka", "toka"),
        ] {
            assert_eq!(redacted(text, &[secret, "0123456789"]), WITHHELD, "{text}");
        }
    }
}
