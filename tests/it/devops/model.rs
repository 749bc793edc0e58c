//! What was read is written again.

use std::fmt::Debug;

use machine_images::devops::{Created, Image, ImageId, NewImage, Updated};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn assert_round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &Value) {
    let read: T = serde_json::from_value(json.clone()).unwrap();
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(&written, json);
    assert_eq!(serde_json::from_value::<T>(written).unwrap(), read);
}

#[test]
fn models_round_trip_with_fields_of_newer_servers() {
    let image = json!({
        "id": "a/b", "provider": "rackspace", "remote_user": "root", "name": "",
        "bootstrap_template": null, "arch": {"bits": [64, null]},
    });
    assert_round_trip::<Image>(&image);
    let mut with_template = image.clone();
    with_template["bootstrap_template"] = json!("omnibus");
    assert_round_trip::<Image>(&with_template);
    assert_round_trip::<NewImage>(&with_template);
    assert_round_trip::<Created>(&json!({"id": "a", "message": "Created", "at": 1}));
    assert_round_trip::<Updated>(&json!({"image": image, "message": "Updated", "at": 1}));
}

#[test]
fn answers_may_lack_anything_but_an_object() {
    let created: Created = serde_json::from_str(r#"{"id":"a"}"#).unwrap();
    assert_eq!((created.id.as_str(), created.message), ("a", None));
    let updated: Updated = serde_json::from_str(r#"{"image":null,"message":null}"#).unwrap();
    assert_eq!(updated, Updated::default());
    assert!(serde_json::from_str::<Updated>(r#"[null, "Updated"]"#).is_err());
}

#[test]
fn an_id_is_what_it_is_made_of() {
    let id = ImageId::from("a/b");
    assert_eq!(id, ImageId::from("a/b".to_owned()));
    assert_eq!(id, ImageId::from(&id));
    assert_eq!(Ok(&id), "a/b".parse().as_ref());
    assert_eq!(id, ImageId::new("a/b"));
    assert_eq!((id.to_string(), id.as_str()), ("a/b".to_owned(), "a/b"));
    assert_eq!(format!("{id:>5}|"), "  a/b|");
    assert_eq!(String::from(id), "a/b");
}
