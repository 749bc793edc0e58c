//! Calls outside of a tokio runtime.

use machine_images::djinn::Client;

/// What needs a runtime panics without one, as in the next test.
#[test]
fn building_needs_no_runtime() {
    assert!(tokio::runtime::Handle::try_current().is_err());
    let client = Client::builder("http://127.0.0.1:1").build().unwrap();
    let _list = client.images().list().search("x");
}

#[test]
#[should_panic(expected = "there is no reactor running")]
fn the_first_request_panics_with_tokios_message() {
    let client = Client::builder("http://127.0.0.1:1").build().unwrap();
    let _ = futures::executor::block_on(client.images().get(1).send());
}
