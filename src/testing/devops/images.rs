use serde_json::{Map, Value};

/// The images of a service, in the order of their creation.
#[derive(Debug, Default)]
pub(super) struct Images {
    rows: Vec<Value>,
    used: Vec<String>,
}

impl Images {
    pub(super) fn all(&self) -> &[Value] {
        &self.rows
    }

    pub(super) fn of_provider(&self, provider: &str) -> Vec<&Value> {
        let is_meant = |row: &&Value| row["provider"] == provider;
        self.rows.iter().filter(is_meant).collect()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Value> {
        self.rows.iter().find(|row| row["id"] == id)
    }

    /// Adds an image, in place of one with the same id.
    pub(super) fn put(&mut self, image: Value) {
        self.rows.retain(|row| row["id"] != image["id"]);
        self.rows.push(image);
    }

    pub(super) fn mark_in_use(&mut self, id: &str) {
        self.used.push(id.to_owned());
    }

    /// Adds an image from a record, or says what is wrong with it.
    pub(super) fn create(
        &mut self,
        record: &Map<String, Value>,
        providers: &[String],
    ) -> Result<String, String> {
        let id = required(record, "id")?;
        let provider = required(record, "provider")?;
        if !providers.iter().any(|known| known == provider) {
            return Err(format!("Invalid provider '{provider}'"));
        }
        let mut row = serde_json::json!({
            "bootstrap_template": optional(record, "bootstrap_template")?,
            "id": id,
            "name": "",
            "provider": provider,
            "remote_user": required(record, "remote_user")?,
        });
        change(&mut row, record)?;
        if self.get(id).is_some() {
            return Err(format!("Duplicate key error: image '{id}' exists already"));
        }
        self.rows.push(row);
        Ok(id.to_owned())
    }

    /// Changes what a record has of `remote_user`, `name` and `bootstrap_template`; `None` if
    /// there is no such image.
    pub(super) fn update(
        &mut self,
        id: &str,
        record: &Map<String, Value>,
    ) -> Option<Result<Value, String>> {
        let row = self.rows.iter_mut().find(|row| row["id"] == id)?;
        let mut changed = row.clone();
        Some(change(&mut changed, record).map(|()| {
            row.clone_from(&changed);
            changed
        }))
    }

    /// Deletes an image that is not in use; `None` if there is no such image.
    pub(super) fn delete(&mut self, id: &str) -> Option<Result<(), String>> {
        self.get(id)?;
        if self.used.iter().any(|used| used == id) {
            let problem = format!("Deleting is forbidden: Image is used in '{id}'");
            return Some(Err(problem));
        }
        self.rows.retain(|row| row["id"] != id);
        Some(Ok(()))
    }
}

fn change(row: &mut Value, record: &Map<String, Value>) -> Result<(), String> {
    if record.contains_key("remote_user") {
        row["remote_user"] = required(record, "remote_user")?.into();
    }
    match record.get("name") {
        None => {}
        Some(name @ Value::String(_)) => row["name"] = name.clone(),
        Some(_) => return Err("Parameter 'name' must be a string".to_owned()),
    }
    if record.contains_key("bootstrap_template") {
        row["bootstrap_template"] = optional(record, "bootstrap_template")?.into();
    }
    Ok(())
}

/// A string that has to be there and may not be empty.
fn required<'a>(record: &'a Map<String, Value>, field: &str) -> Result<&'a str, String> {
    match record.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(format!("Parameter '{field}' must be a not empty string")),
    }
}

fn optional<'a>(record: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, String> {
    match record.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("Parameter '{field}' must be a string or null")),
    }
}
