/// A pattern of SQL's `LIKE` that matches anywhere in a name, ignoring case.
#[derive(Debug)]
pub(super) struct SearchPattern(Vec<char>);

impl SearchPattern {
    /// Returns the pattern of a search. An empty search matches everything.
    pub(super) fn new(search: &str) -> Self {
        Self(format!("%{}%", search.to_lowercase()).chars().collect())
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.to_lowercase().chars().collect();
        matches(&self.0, &name)
    }
}

/// Backtracks to the last `%` on a mismatch, which then matches one more letter.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut back = None;
    loop {
        let step = match pattern[at..] {
            ['%', ..] => {
                back = Some((at + 1, seen));
                at += 1;
                continue;
            }
            [] if seen == text.len() => return true,
            ['_', ..] => (seen < text.len()).then_some(1),
            ['\\', letter, ..] => (text.get(seen) == Some(&letter)).then_some(2),
            [letter, ..] => (text.get(seen) == Some(&letter)).then_some(1),
            [] => None,
        };
        match (step, back) {
            (Some(step), _) => (at, seen) = (at + step, seen + 1),
            (None, Some((after, from))) if from < text.len() => {
                back = Some((after, from + 1));
                (at, seen) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SearchPattern;

    #[test]
    fn wildcards_match_as_in_sql() {
        for (search, name, expected) in [
            ("", "", true),
            ("", "abc", true),
            ("b", "abc", true),
            ("B", "abc", true),
            ("b", "aBc", true),
            ("d", "abc", false),
            ("_", "", false),
            ("_", "a", true),
            ("a_c", "xabcx", true),
            ("a_c", "xacx", false),
            ("a%c", "xacx", true),
            ("a%c", "xabbcx", true),
            ("c%a", "abc", false),
            ("%", "abc", true),
            (r"\_", "a_b", true),
            (r"\_", "a-b", false),
            ("abab_c", "abababxc", true),
        ] {
            assert_eq!(
                SearchPattern::new(search).matches(name),
                expected,
                "{search} {name}"
            );
        }
    }
}
