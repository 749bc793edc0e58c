use serde::Serialize;
use serde_json::{Map, Value};

/// An image, with its fields in the order of the service.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Image {
    pub(super) provider: String,
    pub(super) name: String,
    pub(super) remote_user: String,
    pub(super) bootstrap_template: Option<String>,
    pub(super) id: String,
}

impl Image {
    /// Reads a record, or returns a message about its errors. Drops unknown fields, and treats
    /// `null` as absent. Version 2 trims strings.
    pub(super) fn from_record(record: &Map<String, Value>, is_v2: bool) -> Result<Self, String> {
        let mut reader = Reader::new(record, is_v2);
        // The order of the fields is that of the names in messages.
        let image = Self {
            id: reader.required("id"),
            provider: reader.required("provider"),
            remote_user: reader.required("remote_user"),
            name: reader.string("name").unwrap_or_default(),
            bootstrap_template: reader.not_empty("bootstrap_template"),
        };
        reader.finish().map(|()| image)
    }

    /// Replaces the fields in the record, except for `id` and `provider`, as documented for
    /// version 3.
    pub(super) fn merge(&self, record: &Map<String, Value>) -> Result<Self, String> {
        let mut merged = Map::new();
        merged.insert("id".to_owned(), self.id.clone().into());
        merged.insert("provider".to_owned(), self.provider.clone().into());
        for (field, value) in [
            ("remote_user", self.remote_user.clone().into()),
            ("name", self.name.clone().into()),
            ("bootstrap_template", self.bootstrap_template.clone().into()),
        ] {
            let value = record.get(field).cloned().unwrap_or(value);
            merged.insert(field.to_owned(), value);
        }
        Self::from_record(&merged, false)
    }
}

/// Reads fields and collects their errors.
struct Reader<'a> {
    record: &'a Map<String, Value>,
    trims: bool,
    undefined: Vec<&'static str>,
    mistyped: Vec<&'static str>,
    empty: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn new(record: &'a Map<String, Value>, trims: bool) -> Self {
        Self {
            record,
            trims,
            undefined: Vec::new(),
            mistyped: Vec::new(),
            empty: Vec::new(),
        }
    }

    fn string(&mut self, field: &'static str) -> Option<String> {
        match self.record.get(field)? {
            Value::Null => None,
            Value::String(text) if !self.trims => Some(text.clone()),
            Value::String(text) => {
                let is_space = |c: char| matches!(c, '\t'..='\r' | ' ' | '\0');
                Some(text.trim_matches(is_space).to_owned())
            }
            _ => {
                self.mistyped.push(field);
                None
            }
        }
    }

    fn not_empty(&mut self, field: &'static str) -> Option<String> {
        let text = self.string(field)?;
        if text.is_empty() {
            self.empty.push(field);
        }
        Some(text)
    }

    fn required(&mut self, field: &'static str) -> String {
        if self.record.get(field).is_none_or(Value::is_null) {
            self.undefined.push(field);
        }
        self.not_empty(field).unwrap_or_default()
    }

    /// Reports the first kind of error, for all fields that have it.
    fn finish(self) -> Result<(), String> {
        for (fields, problem) in [
            (self.undefined, "can not be undefined"),
            (self.mistyped, "have invalid type(s)"),
            (self.empty, "can not be empty"),
        ] {
            if !fields.is_empty() {
                return Err(format!("Parameter(s) '{}' {problem}", fields.join("', '")));
            }
        }
        Ok(())
    }
}
