//! Serves an embedded Djinn CI server and an embedded DevOps Service until it is interrupted, for
//! trying out the `images` program.
//!
//! `cargo run --example serve`, then in another shell the lines that it prints.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to a person"
)]

use std::error::Error;

use machine_images::testing::{DevopsServer, DjinnServer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let djinn = DjinnServer::start()?;
    println!(
        "export DJINN_API_SERVER={} DJINN_TOKEN={}",
        djinn.url(),
        djinn.token()
    );
    let devops = DevopsServer::start()?;
    let (user, password) = devops.login();
    println!(
        "export DEVOPS_SERVER={} DEVOPS_USER={user} DEVOPS_PASSWORD={password}",
        devops.url()
    );
    eprintln!("serving until Ctrl-C");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
