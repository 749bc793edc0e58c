use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The parameters of a query, parsed by Go's rules.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Parses a query. Drops pairs with an invalid escape or a semicolon.
    pub(super) fn parse(raw: &str) -> Self {
        let mut query = Self::default();
        for pair in raw.split('&').filter(|pair| is_valid(pair)) {
            for (name, value) in url::form_urlencoded::parse(pair.as_bytes()) {
                let values = query.0.entry(name.into_owned()).or_default();
                values.push(value.into_owned());
            }
        }
        query
    }

    /// Returns the first value of a parameter.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), vec![value]);
    }

    /// Returns the query sorted by name, escaped by Go's rules.
    pub(super) fn encode(&self) -> String {
        let pairs = self.0.iter().flat_map(|(name, values)| {
            values
                .iter()
                .map(|value| format!("{}={}", escape(name), escape(value)))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn is_valid(pair: &str) -> bool {
    let escapes = pair.split('%').skip(1);
    !pair.contains(';')
        && escapes
            .map(str::as_bytes)
            .all(|rest| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => escaped.push(byte.into()),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

/// Decodes the percent escapes of a path. Leaves invalid escapes as they are.
pub(super) fn unescape(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, tail),
                _ => (b'%', &rest[1..]),
            },
            _ => (*first, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}
