//! The `Link` header (RFC 8288), as far as paging needs it.

/// The targets of the links to the next and the previous page: absolute or relative URLs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) next: Option<String>,
    pub(crate) previous: Option<String>,
    /// A part of the header is not a link.
    pub(crate) unreadable: bool,
}

impl Links {
    /// Parses any number of header lines; the first link of a relation wins. Text that is not a link
    /// is skipped and noted, since it may have been the link to the next page.
    pub(crate) fn parse<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Self {
        let mut links = Self::default();
        for line in lines {
            let mut rest = next(line.as_ref());
            while !rest.is_empty() {
                let Some((target, relations, after)) = link(rest) else {
                    links.unreadable = true;
                    // Go on with what may be the next link, unless this was one without a `>`.
                    let next = rest.find('<').filter(|&at| at > 0);
                    rest = next.map_or("", |at| &rest[at..]);
                    continue;
                };
                for relation in relations.split_ascii_whitespace() {
                    let place = match relation.to_ascii_lowercase().as_str() {
                        "next" => &mut links.next,
                        "prev" | "previous" => &mut links.previous,
                        _ => continue,
                    };
                    place.get_or_insert_with(|| target.to_owned());
                }
                rest = next(after);
            }
        }
        links
    }
}

/// Skips the text between two links.
fn next(text: &str) -> &str {
    text.trim_start_matches([',', ' ', '\t'])
}

/// Splits off the first link: its target, its relations, and the rest. Commas and semicolons inside
/// of `<>` and quotes do not count.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (target, mut rest) = text.strip_prefix('<')?.split_once('>')?;
    let mut relations = "";
    loop {
        rest = rest.trim_start();
        let Some(parameter) = rest.strip_prefix(';') else {
            break;
        };
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let (name, after) = parameter.split_at(end);
        let value;
        (value, rest) = match after.strip_prefix('=') {
            Some(after) => parameter_value(after.trim_start()),
            None => ("", after),
        };
        if name.trim().eq_ignore_ascii_case("rel") && relations.is_empty() {
            relations = value;
        }
    }
    Some((target.trim(), relations, rest))
}

/// Splits off a quoted string, without its quotes, or a token. Escapes do not occur in relations.
fn parameter_value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim(), rest);
    };
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return (&quoted[..at], &quoted[at + 1..]),
            _ => {}
        }
    }
    (quoted, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(lines: &[&str]) -> (Option<String>, Option<String>) {
        let links = Links::parse(lines);
        (links.previous, links.next)
    }

    fn both(previous: &str, next: &str) -> (Option<String>, Option<String>) {
        (Some(previous.into()), Some(next.into()))
    }

    #[test]
    fn the_real_servers_line() {
        let line = r#"</api/images?page=1>; rel="prev", </api/images?page=2>; rel="next""#;
        assert_eq!(
            parsed(&[line]),
            both("/api/images?page=1", "/api/images?page=2")
        );
    }

    #[test]
    fn several_lines_and_the_documented_absolute_form() {
        assert_eq!(
            parsed(&[
                r#"<https://example.org/images?page=1>; rel="prev","#,
                r#"<https://example.org/images?page=3>; rel="next""#
            ]),
            both(
                "https://example.org/images?page=1",
                "https://example.org/images?page=3"
            )
        );
    }

    #[test]
    fn commas_and_semicolons_inside_urls_and_quotes() {
        let line =
            r#"</i?a=1,2;b>; title="x, <y>; rel=\"next\""; rel=prev, </i?page=2,3>;rel="x next""#;
        assert_eq!(parsed(&[line]), both("/i?a=1,2;b", "/i?page=2,3"));
    }

    #[test]
    fn odd_spelling_and_the_first_of_two() {
        let line = r#"< /a > ; REL = NEXT , </b>; rel=next, </c>; rel=previous; rel=next"#;
        assert_eq!(parsed(&[line]), both("/c", "/a"));
    }

    #[test]
    fn a_link_is_found_behind_any_text() {
        for before in ["x", "é", "😀 é, ", ">", "\""] {
            let line = format!("{before}<b>; rel=next");
            assert_eq!(parsed(&[&line]).1.as_deref(), Some("b"), "{line}");
        }
    }

    #[test]
    fn links_without_a_relation_are_passed_over() {
        for line in [
            "",
            " ,, ",
            "<a>",
            "<a>; rel",
            "<a>; rel=first",
            "<a>; rel=\"nex",
        ] {
            assert_eq!(Links::parse([line]), Links::default(), "{line}");
        }
    }

    #[test]
    fn what_is_no_link_is_not_forgotten() {
        for line in [
            "<",
            "<a",
            "garbage",
            "a; rel=next",
            "<a>; rel=prev, b>; rel=next",
            "<a> x",
        ] {
            assert!(Links::parse([line]).unreadable, "{line}");
        }
    }

    /// Milliseconds each. What is quadratic takes minutes.
    #[test]
    fn a_long_line_takes_no_longer_than_its_length_does() {
        for piece in [
            "<",
            "<a",
            "<,",
            "<a>",
            "<a> ",
            "<a>;",
            "<a>,",
            "<a>x",
            "<a>;rel",
            "<a>;rel=next",
            "<a>;rel=\"",
            "<a>;rel=\"\\\"",
            ";",
            ",",
            "\"",
            "=",
            " ",
            "> <",
            "<>;=\"<",
        ] {
            let line = piece.repeat((1 << 20) / piece.len());
            for line in [format!("<a>;rel=\"next{line}"), format!("<a>;{line}"), line] {
                let began = std::time::Instant::now();
                Links::parse([&line]);
                let took = began.elapsed();
                assert!(took.as_secs() < 5, "{piece:?} takes {took:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(lines in prop::collection::vec(".{0,60}", 0..4)) {
            Links::parse(lines);
        }

        #[test]
        fn what_is_written_is_read(
            next in "[!-;=?-~]{0,30}",
            previous in "[!-;=?-~]{0,30}",
            title in "[ !#-\\[\\]-~]{0,20}",
            before in "[a-z0-9;,=\" ]{0,20}",
        ) {
            let links = format!(
                "<{previous}>; title=\"{title}\"; rel=\"first prev\" ,<{next}> ;rel=next;x"
            );
            let read = Links::parse([before.as_str(), links.as_str()]);
            prop_assert_eq!(read.next, Some(next));
            prop_assert_eq!(read.previous, Some(previous));
        }
    }
}
