//! JSON that is nested deeper than any stack is read into an error.

use std::thread;

use machine_images::ErrorKind;
use machine_images::djinn::Image;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{builder, image};

/// The stack of a thread, and of a worker of tokio's.
const STACK: usize = 2 << 20;

fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::Builder::new().stack_size(STACK).spawn(work);
    thread.unwrap().join().unwrap()
}

/// The JSON of an image in a namespace that has so many above it, each with a `build` or with an
/// unknown field that is arrays in arrays.
fn nested(parents: usize, field: &str, arrays: usize) -> String {
    let mut image = image(1, "x");
    image["namespace"] = Value::from("there");
    let namespace = json!({ "id": 3, "user_id": 1, "name": "lab", "path": "lab" }).to_string();
    let namespace = namespace.trim_end_matches('}');
    let value = format!(r#""{field}":{}{}"#, "[".repeat(arrays), "]".repeat(arrays));
    let parent = format!(r#"{namespace},{value},"parent":"#).repeat(parents);
    let chain = format!("{parent}{namespace},{value}}}{}", "}".repeat(parents));
    image.to_string().replace(r#""there""#, &chain)
}

/// Does everything that goes down into an image.
fn exercise(json: &str) -> Result<Image, serde_json::Error> {
    let image: Image = serde_json::from_str(json)?;
    let again: Image = serde_json::from_value(serde_json::to_value(&image)?)?;
    assert!(again == image && again.clone() == image);
    assert_eq!(
        format!("{again:?} {again:#?}"),
        format!("{image:?} {image:#?}")
    );
    Ok(image)
}

fn depth(image: &Image) -> usize {
    let first = image.namespace.as_deref().unwrap();
    let path = std::iter::successors(Some(first), |below| below.parent.as_deref());
    path.count() - 1
}

#[test]
fn parents_are_read_as_deep_as_a_server_has_them_and_no_deeper() {
    for parents in [0, 1, 20, 24] {
        let json = nested(parents, "build", 1);
        let read = on_a_small_stack(move || exercise(&json)).unwrap();
        assert_eq!(depth(&read), parents);
    }
    for parents in [25, 50, 100, 120, 130, 1000, 100_000] {
        let json = nested(parents, "build", 1);
        let error = on_a_small_stack(move || exercise(&json)).unwrap_err();
        let error = error.to_string();
        let why = ["too deep", "recursion limit"];
        assert!(why.iter().any(|why| error.contains(why)), "{error}");
    }
}

#[test]
fn fields_of_any_shape_are_read_as_deep_as_json_goes() {
    let mut read = 0;
    for parents in [0, 1, 12, 24] {
        for arrays in [10, 80, 100, 110, 120, 122, 124, 126, 128, 1000, 100_000] {
            for field in ["build", "unknown"] {
                let json = nested(parents, field, arrays);
                let result = on_a_small_stack(move || exercise(&json));
                read += usize::from(result.is_ok());
            }
        }
    }
    assert!(read > 30, "{read} were read");
}

#[test]
fn a_nested_answer_is_a_decode_error() {
    let (kind, message) = on_a_small_stack(|| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let server = MockServer::start().await;
            let answer = ResponseTemplate::new(200);
            let answer = answer.set_body_raw(nested(100, "build", 1), "application/json");
            Mock::given(any()).respond_with(answer).mount(&server).await;
            let images = builder(&server).build().unwrap().images();
            let error = images.get(1).send().await.unwrap_err();
            (error.kind(), format!("{error:?}"))
        })
    });
    assert_eq!(kind, ErrorKind::Decode);
    assert!(message.contains("too deep"), "{message}");
}
