//! What `expected.tsv` says to call.

/// A call of the client, as words: what to call, and with what.
pub(crate) struct Call {
    words: Vec<String>,
}

impl Call {
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim_start_matches('~');
        let words = text.split(' ').map(str::to_owned).collect();
        Self { words }
    }

    pub(crate) fn word(&self) -> &str {
        &self.words[0]
    }

    /// The argument at this place, with `n*5000` for a name of 5000 letters.
    pub(crate) fn argument(&self, at: usize) -> String {
        let word = &self.words[at];
        match word.split_once('*') {
            Some((letter, count)) => letter.repeat(count.parse().unwrap()),
            None => word.clone(),
        }
    }

    /// Whether there is an argument at this place.
    pub(crate) fn has_argument(&self, at: usize) -> bool {
        self.words.len() > at
    }

    pub(crate) fn id(&self) -> i64 {
        self.words[1].parse().unwrap()
    }

    /// The word after this one.
    pub(crate) fn after(&self, word: &str) -> Option<&str> {
        let at = self.words.iter().position(|known| known == word)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// What follows this prefix in one of the words.
    pub(crate) fn option(&self, prefix: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(prefix))
    }
}
