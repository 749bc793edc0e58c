//! Any delivery of a webhook, unsigned and signed.

#![no_main]

use hmac::{Hmac, Mac};
use libfuzzer_sys::fuzz_target;
use machine_images::ErrorKind;
use machine_images::djinn::webhook::{Event, verify};
use sha2::Sha256;

fuzz_target!(|input: (&str, &[u8])| {
    let (claimed, body) = input;
    let mac = Hmac::<Sha256>::new_from_slice(b"s3cr3t").expect("a key of any length");
    let signature = mac.chain_update(body).finalize().into_bytes();
    let signature = format!("sha256={signature:x}");

    let verified = verify(&["s3cr3t"], &signature, body);
    match verify(&["s3cr3t"], claimed, body).map_err(|error| error.kind()) {
        Err(ErrorKind::SignatureMissing) => assert!(claimed.is_empty()),
        Err(ErrorKind::SignatureMismatch) => assert_ne!(claimed, signature),
        result => {
            assert!(claimed.eq_ignore_ascii_case(&signature));
            assert_eq!(result.is_ok(), verified.is_ok());
        }
    }
    match verified {
        Ok(event) => {
            let written = serde_json::to_vec(&event).expect("what was read is written");
            let again: Event = serde_json::from_slice(&written).expect("what was written is read");
            assert_eq!(again, event);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Decode),
    }
});
