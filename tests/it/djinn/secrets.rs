//! A server that repeats a secret does not get it into an error.

use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{TOKEN, builder, everything, images, json_answer};

async fn serve(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_token_in_the_servers_words_is_redacted() {
    let echo = format!("bad header Authorization: Bearer {TOKEN}!");
    let text = ResponseTemplate::new(400).set_body_raw(echo.clone(), "text/plain");
    for answer in [
        json_answer(400, &json!({"message": echo})),
        json_answer(400, &json!({"name": [echo]})),
        text,
    ] {
        let server = serve(answer).await;
        let error = images(&server).get(42).send().await.unwrap_err();
        let shown = everything(&error);
        assert!(!shown.contains(TOKEN), "{shown}");
        assert!(shown.contains("Bearer [redacted]!"), "{shown}");
    }
}

#[tokio::test]
async fn a_token_elsewhere_in_an_answer_is_not_shown_either() {
    let image = json!({"id": TOKEN, "name": 5});
    for answer in [
        json_answer(200, &image),
        json_answer(400, &json!({ TOKEN: [TOKEN] })),
        ResponseTemplate::new(200).set_body_raw("x", &format!("text/{TOKEN}")),
        ResponseTemplate::new(303).insert_header("Location", &*format!("/login/{TOKEN}")),
        ResponseTemplate::new(302).insert_header("Location", &*format!("http://h/{TOKEN}")),
        ResponseTemplate::new(302).insert_header("Location", &*format!("http://{TOKEN}.org/")),
    ] {
        let server = serve(answer).await;
        let error = images(&server).get(42).send().await.unwrap_err();
        let shown = everything(&error);
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}

#[tokio::test]
async fn a_password_of_a_download_url_is_redacted_however_it_is_written() {
    for url in [
        "http://user:S%C3%A9cret%21Pw@h/x",
        "sftp://user:S%C3%A9cret%21Pw@h/x",
    ] {
        let echo = "cannot parse S%C3%A9cret%21Pw, which is Sécret!Pw";
        let server = serve(json_answer(500, &json!({"message": echo}))).await;
        let create = images(&server).create_download("x", url.parse().unwrap());
        let error = create.send().await.unwrap_err();
        let shown = everything(&error);
        assert!(!shown.contains("cret"), "{shown}");
        let message = "cannot parse [redacted], which is [redacted]";
        assert_eq!(error.message(), Some(message));
    }
}

#[tokio::test]
async fn the_query_of_a_download_url_is_not_shown_however_short_it_is() {
    for (url, echo) in [
        (
            "http://h/y?sig=abc1234",
            "parse \"http://h/y?sig=abc1234\": no",
        ),
        ("http://h/y?SHORT", "parse \"http://h/y?short\": no"),
        ("http://h/y?1", "parse \"http://h/y?1\": no"),
        ("http://h/y?LONGSECRET", "the query longsecret, no"),
    ] {
        let server = serve(json_answer(500, &json!({"message": echo}))).await;
        let create = images(&server).create_download("x", url.parse().unwrap());
        let error = create.send().await.unwrap_err();
        let query = url.split_once('?').unwrap().1;
        let message = echo.replacen(&query.to_lowercase(), "[redacted]", 1);
        assert_eq!(
            error.message().unwrap(),
            message.replace(query, "[redacted]")
        );
    }
}

#[tokio::test]
async fn a_url_in_an_error_has_no_query() {
    let server = serve(json_answer(400, &json!({"message": "no"}))).await;
    let list = images(&server).list().query("token", "s3cr3t");
    assert!(!format!("{list:?}").contains("s3cr3t"));
    let error = list.page(1).await.unwrap_err();
    assert!(!everything(&error).contains("s3cr3t"));
    assert_eq!(error.url().unwrap(), format!("{}/api/images", server.uri()));
}

#[tokio::test]
async fn short_secrets_garble_nothing_and_are_not_shown_by_what_is_left() {
    let said = |token: &str, text: &str| {
        let (token, text) = (token.to_owned(), text.to_owned());
        async move {
            let server = serve(json_answer(403, &json!({"message": text}))).await;
            let client = builder(&server).token(token).build().unwrap();
            let error = client.images().get(42).send().await.unwrap_err();
            (everything(&error), error.message().unwrap().to_owned())
        }
    };
    for (token, text) in [
        ("t", "that is not a thing to do"),
        ("image", "imagery of 42 images"),
        ("redacted", "nothing to see"),
    ] {
        let (all, message) = said(token, text).await;
        assert_eq!(message, text);
        assert!(
            all.contains("/api/images/42") && !all.contains("[redac"),
            "{all}"
        );
    }
    for (token, text) in [
        ("t", "no such token: t"),
        ("image", "Bearer image is unknown"),
    ] {
        let (all, message) = said(token, text).await;
        assert_eq!(message, "[withheld: it has the credentials in it]");
        assert!(!all.contains(text), "{all}");
    }
    let (_, message) = said("0123456789", "x0123456789y").await;
    assert_eq!(message, "x[redacted]y");
}
