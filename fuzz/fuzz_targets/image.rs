//! Any JSON as an image of either service, and as a list of them.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use machine_images::{devops, djinn};
use serde::{Serialize, de::DeserializeOwned};

fn what_is_read_is_written<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else {
        return;
    };
    let written = serde_json::to_vec(&read).expect("what was read is written");
    let again: T = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, read);
}

fuzz_target!(|bytes: &[u8]| {
    what_is_read_is_written::<djinn::Image>(bytes);
    what_is_read_is_written::<Vec<djinn::Image>>(bytes);
    what_is_read_is_written::<devops::Image>(bytes);
    what_is_read_is_written::<Vec<devops::Image>>(bytes);
    if let Ok(download) = serde_json::from_slice::<djinn::Download>(bytes) {
        let failed = download.state() == djinn::DownloadState::Failed;
        assert_eq!(
            failed,
            download.error.is_some_and(|error| !error.is_empty())
        );
    }
});
