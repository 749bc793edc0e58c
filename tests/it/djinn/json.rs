//! Any JSON is an image that is written as it was read, or an error.

use machine_images::djinn::Image;
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // With few digits: serde_json may read the last of many otherwise.
        any::<i16>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        "2026-1[0-9]-[0-3][0-9]T0[0-9]:00:00(\\.[0-9]{1,9})?(Z|[+-]0[0-9]:00)"
            .prop_map(Value::from),
        "(http|sftp|x)://[a-z:@]{0,8}/.{0,8}|.{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An image of the real server in which some fields are something else, or away.
fn nearly_an_image() -> impl Strategy<Value = Value> {
    let namespace = json!({
        "id": 3, "user_id": 1, "root_id": 3, "parent_id": null, "name": "lab", "path": "lab",
        "description": "", "visibility": "private", "user": null, "parent": null,
        "url": "http://127.0.0.1:8080/n/lab",
    });
    let download = json!({
        "source": "http://user:xxxxx@example.org/x", "error": null,
        "created_at": "2026-11-22T00:57:39.760155Z", "started_at": null, "finished_at": null,
    });
    let fields: Vec<String> = crate::support::image(1, "x")
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .chain(["new".to_owned()])
        .collect();
    let change = (prop::sample::select(fields), prop::option::of(any_json()));
    prop::collection::vec(change, 0..3).prop_map(move |changes| {
        let mut image = crate::support::image(7, "debian-12");
        image["namespace"] = namespace.clone();
        image["download"] = download.clone();
        let fields = image.as_object_mut().unwrap();
        for (name, value) in changes {
            match value {
                Some(value) => fields.insert(name, value),
                None => fields.remove(&name),
            };
        }
        image
    })
}

proptest! {
    #[test]
    fn what_is_read_is_written_and_read_the_same(value in prop_oneof![nearly_an_image(), any_json()]) {
        if let Ok(image) = serde_json::from_value::<Image>(value) {
            let written = serde_json::to_string(&image).unwrap();
            let again: Image = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(again, image);
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = serde_json::from_slice::<Image>(&bytes);
    }
}
