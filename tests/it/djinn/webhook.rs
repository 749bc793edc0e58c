//! Deliveries of the real server's webhook, as they were captured.

use fastrand::Rng;
use hmac::{Hmac, Mac};
use machine_images::djinn::webhook::{Action, Event, MAX_BODY, from_headers, verify};
use machine_images::http::{HeaderMap, HeaderName};
use machine_images::{ErrorKind, Result};
use sha2::Sha256;

const CAPTURED: &str = include_str!("../../data/wire/webhooks.txt");
const SECRET: &str = "s3cr3t";

struct Delivery {
    headers: HeaderMap,
    body: String,
}

impl Delivery {
    /// Parses the lines of a request, of which only the last of the body is left.
    fn parse(text: &str) -> Self {
        let (head, rest) = text.split_once("\n\n").unwrap();
        let body = rest.lines().next().unwrap();
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        Self {
            headers: headers.collect(),
            body: format!("{body}\n"),
        }
    }

    fn signature(&self) -> &str {
        let signature = &self.headers["X-Djinn-CI-Signature"];
        signature.to_str().unwrap()
    }

    fn verify(&self) -> Result<Event> {
        from_headers(&[SECRET], &self.headers, self.body.as_bytes())
    }
}

fn deliveries() -> Vec<Delivery> {
    let deliveries = CAPTURED.split("\n--- ").map(Delivery::parse);
    let deliveries: Vec<_> = deliveries.collect();
    assert_eq!(deliveries.len(), 3);
    deliveries
}

fn kind(result: Result<Event>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn every_captured_delivery_verifies() {
    let events: Vec<Event> = deliveries().iter().map(|d| d.verify().unwrap()).collect();
    let events = events.iter().map(|event| {
        let hook = event.hook_id.unwrap().get();
        (event.action.as_str(), event.image.id.get(), hook)
    });
    let expected = [("created", 41, 1), ("deleted", 41, 1), ("created", 42, 1)];
    assert_eq!(events.collect::<Vec<_>>(), expected);
    let deleted = deliveries()[1].verify().unwrap();
    assert_eq!(deleted.image.name, "hooked3");
    assert_eq!(deleted.image.namespace.unwrap().path, "blackmesa");
}

#[test]
fn no_captured_delivery_verifies_with_one_bit_changed() {
    for delivery in deliveries() {
        let (signature, body) = (delivery.signature(), delivery.body.as_bytes());
        verify(&[SECRET], signature, body).unwrap();
        for bit in 0..body.len() * 8 {
            let mut body = body.to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            let result = verify(&[SECRET], signature, &body);
            assert_eq!(kind(result), ErrorKind::SignatureMismatch, "bit {bit}");
        }
        for at in 0..signature.len() {
            // The eighth makes it no text.
            for bit in 0..7 {
                let mut changed = signature.as_bytes().to_vec();
                changed[at] ^= 1 << bit;
                let changed = String::from_utf8(changed).unwrap();
                // The case of a digit is no part of it.
                if changed.eq_ignore_ascii_case(signature) && at >= "sha256=".len() {
                    continue;
                }
                let result = verify(&[SECRET], &changed, body);
                assert_eq!(kind(result), ErrorKind::SignatureMismatch, "{changed}");
            }
        }
    }
}

#[test]
fn the_newline_at_the_end_counts() {
    let delivery = &deliveries()[0];
    let signature = delivery.signature();
    for body in [
        delivery.body.trim_end().to_owned(),
        format!("{}\n", delivery.body),
        delivery.body.replace('\n', "\r\n"),
        String::new(),
    ] {
        let result = verify(&[SECRET], signature, body.as_bytes());
        assert_eq!(kind(result), ErrorKind::SignatureMismatch);
    }
}

#[test]
fn any_of_several_secrets_verifies() {
    let delivery = &deliveries()[0];
    let with = |secrets: &[&str]| verify(secrets, delivery.signature(), delivery.body.as_bytes());
    for secrets in [&[SECRET, "new"][..], &["new", SECRET], &["a", "b", SECRET]] {
        assert_eq!(with(secrets).unwrap().action, Action::Created);
    }
    for secrets in [&["new"][..], &["s3cr3T"], &["s3cr3t\n"], &["a", "b"]] {
        assert_eq!(kind(with(secrets)), ErrorKind::SignatureMismatch);
    }
    // Anyone could sign with those.
    for secrets in [&[][..], &[""], &[SECRET, ""]] {
        assert_eq!(kind(with(secrets)), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_missing_signature_is_an_error_of_its_own() {
    let mut delivery = deliveries().remove(0);
    delivery.headers.remove("X-Djinn-CI-Signature");
    let error = delivery.verify().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SignatureMissing);
    let text = "verify webhook: the delivery has no signature: does the webhook have a secret?";
    assert_eq!(error.to_string(), text);
    let result = verify(&[SECRET], "", delivery.body.as_bytes());
    assert_eq!(kind(result), ErrorKind::SignatureMissing);
}

#[test]
fn other_forms_of_a_signature_are_refused() {
    let delivery = &deliveries()[0];
    let digits = delivery.signature().strip_prefix("sha256=").unwrap();
    for signature in [
        digits.to_owned(),
        format!("sha1={digits}"),
        format!("SHA256={digits}"),
        format!("sha256= {digits}"),
        format!("sha256={digits}0"),
        format!("sha256={}", &digits[..62]),
        "sha256=".to_owned(),
        format!("sha256={}", "é".repeat(32)),
    ] {
        let result = verify(&[SECRET], &signature, delivery.body.as_bytes());
        assert_eq!(kind(result), ErrorKind::SignatureMismatch, "{signature}");
    }
}

#[test]
fn a_body_that_is_too_long_is_not_hashed() {
    let delivery = &deliveries()[0];
    let result = verify(&[SECRET], delivery.signature(), &vec![b' '; MAX_BODY + 1]);
    assert_eq!(kind(result), ErrorKind::Limit);
    let result = verify(&[SECRET], delivery.signature(), &vec![b' '; MAX_BODY]);
    assert_eq!(kind(result), ErrorKind::SignatureMismatch);
}

#[test]
fn a_delivery_of_another_event_is_told_apart() {
    let mut delivery = deliveries().remove(0);
    let event = "X-Djinn-CI-Event";
    delivery.headers.insert(event, "builds".parse().unwrap());
    let error = delivery.verify().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedContent);
    assert!(error.to_string().contains("\"builds\""), "{error}");
    delivery.headers.remove(event);
    delivery.headers.remove("X-Djinn-CI-Hook-ID");
    assert_eq!(delivery.verify().unwrap().hook_id, None);
    // Nor is it taken from the body.
    let body = delivery.body.replacen('{', r#"{"hook_id":7,"#, 1);
    let event = verify(&["s"], &sign("s", body.as_bytes()), body.as_bytes()).unwrap();
    assert_eq!(event.hook_id, None);
}

#[test]
fn an_action_that_is_not_known_survives() {
    let body = &deliveries()[0].body;
    let body = body.replace(r#""action":"created""#, r#""action":"renamed","by":7"#);
    let event: Event = serde_json::from_str(&body).unwrap();
    assert_eq!(event.action, Action::Other("renamed".to_owned()));
    assert_eq!(event.extra["by"], 7);
    let written = serde_json::to_value(&event).unwrap();
    let read: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(written["action"], read["action"]);
    assert_eq!(serde_json::from_value::<Event>(written).unwrap(), event);
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let signature = mac.chain_update(body).finalize().into_bytes();
    format!("sha256={signature:x}")
}

/// Changes some bytes, or cuts the end off.
fn damage(bytes: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..bytes.len());
        match random.u8(..8) {
            0 => bytes.truncate(at + 1),
            1 => bytes.insert(at, random.u8(..)),
            _ => bytes[at] = *random.choice(br#""{}[]:,0a"#).unwrap(),
        }
    }
    bytes
}

#[test]
fn of_100_000_random_deliveries_none_is_a_panic_and_only_signed_ones_are_decoded() {
    const EVENT: &[u8] = br#"{"action":"created","image":{"id":1,"author_id":1,"user_id":1,"name":"x","created_at":"2026-11-22T01:00:23Z","url":"http://h/1"}}"#;
    let mut random = Rng::with_seed(15);
    let mut decoded = 0;
    for _ in 0..50_000 {
        let body = damage(EVENT, &mut random);
        let signature = sign(SECRET, &body);
        match verify(&[SECRET], &signature, &body) {
            Ok(_) => decoded += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Decode),
        }
        let damaged = damage(signature.as_bytes(), &mut random);
        let damaged = String::from_utf8_lossy(&damaged);
        let result = verify(&[SECRET], &damaged, &body);
        let is_refused = result.is_err_and(|error| error.kind() == ErrorKind::SignatureMismatch);
        // Damage may write what was there.
        assert_eq!(is_refused, damaged != signature, "{damaged}");
    }
    assert!((1_000..49_000).contains(&decoded), "{decoded}");
}
