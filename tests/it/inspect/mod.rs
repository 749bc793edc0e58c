//! Images inspected before anyone trusts them: where they are, on their way there and back.

#[cfg(feature = "fs")]
mod fetch;
mod missing;
mod reader;
mod remote;
mod upload;
mod wait;

use std::time::Duration;

use machine_images::djinn::{Client, Images};
use machine_images::testing::{DjinnServer, DjinnServerBuilder, Received, empty_qcow2};

fn site() -> (DjinnServer, Images) {
    site_of(DjinnServer::builder().download_delay(Duration::ZERO))
}

fn site_of(builder: DjinnServerBuilder) -> (DjinnServer, Images) {
    let server = builder.start().unwrap();
    let client = Client::builder(server.url()).token(server.token());
    (server, client.build().unwrap().images())
}

/// An image without fault.
fn good() -> Vec<u8> {
    empty_qcow2(10 << 30)
}

/// An image that makes QEMU read a file of its host.
fn bad() -> Vec<u8> {
    let mut image = good();
    let name = b"/etc/passwd";
    image[8..16].copy_from_slice(&512_u64.to_be_bytes());
    image[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
    image[512..512 + name.len()].copy_from_slice(name);
    image
}

/// An image with bytes that tell where they are, after the tables.
fn patterned(length: usize) -> Vec<u8> {
    let mut image = good();
    let rest = image.len()..length;
    image.extend(rest.map(|at| (at / 7 + at / 4096) as u8));
    image
}

/// The bytes of contents that a server has sent.
fn sent(requests: &[Received]) -> u64 {
    requests.iter().map(|request| request.body_sent).sum()
}
