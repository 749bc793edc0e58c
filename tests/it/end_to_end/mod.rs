//! What users do, from one end to the other, on the embedded server; or on a real one, when
//! `DJINN_API_SERVER` and `DJINN_TOKEN` name it.

mod djinn;
mod find;
mod list;
pub(crate) mod qemu;
mod reconcile;

use std::sync::atomic::{AtomicU32, Ordering};

use machine_images::djinn::{Client, Images};
use machine_images::testing::DjinnServer;

/// A real QCOW2 image.
pub(crate) const DISK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/disk.qcow2");

/// The server of one test.
struct Site {
    images: Images,
    /// `None` if the server is a real one.
    embedded: Option<DjinnServer>,
}

impl Site {
    fn new() -> Self {
        if std::env::var_os("DJINN_API_SERVER").is_some() {
            let images = Client::from_env().unwrap().images();
            return Self {
                images,
                embedded: None,
            };
        }
        let server = DjinnServer::start().unwrap();
        let client = Client::builder(server.url()).token(server.token());
        Self {
            images: client.build().unwrap().images(),
            embedded: Some(server),
        }
    }

    /// A name that no other test, nor an earlier run on a real server, uses.
    fn name(&self, what: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("test-{what}-{}-{count}", std::process::id())
    }
}

/// Reading the system's certificates takes longer than most calls.
pub(crate) fn without_certificates() -> reqwest::ClientBuilder {
    let http = reqwest::Client::builder();
    #[cfg(any(
        feature = "rustls",
        feature = "rustls-no-provider",
        feature = "native-tls"
    ))]
    let http = http.tls_certs_only([]);
    // The platform's library reads its own all the same.
    #[cfg(feature = "rustls")]
    let http = http.tls_backend_rustls();
    http
}
