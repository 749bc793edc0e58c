//! Serves an embedded Djinn CI server until it is interrupted, for trying out the `images`
//! program.
//!
//! `cargo run --example serve [PORT]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to a person"
)]

use std::error::Error;

use machine_images::testing::DjinnServer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;
    let server = DjinnServer::builder()
        .bind(([127, 0, 0, 1], port))
        .start()?;
    println!(
        "export DJINN_API_SERVER={} DJINN_TOKEN={}",
        server.url(),
        server.token()
    );
    eprintln!("serving until Ctrl-C");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
