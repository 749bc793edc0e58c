//! Serves an embedded Djinn CI server and an embedded DevOps Service until it is interrupted, for
//! trying out the `images` program.
//!
//! `cargo run --example serve`, then in another shell the lines that it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Parser;
use machine_images::testing::{DevopsServer, DjinnServer};

/// Serves an embedded Djinn CI server and an embedded DevOps Service until Ctrl-C.
#[derive(Parser)]
#[command(name = "serve")]
struct Args {
    /// Port of the Djinn CI server; the DevOps Service has the next. Without, two free ports.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..65535))]
    port: Option<u16>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let Args { port } = Args::parse();
    let address = |offset| -> SocketAddr {
        let port = port.map_or(0, |port| port + offset);
        (Ipv4Addr::LOCALHOST, port).into()
    };
    let djinn = DjinnServer::builder().bind(address(0)).start()?;
    let (url, token) = (djinn.url(), djinn.token());
    println!("export DJINN_API_SERVER={url} DJINN_TOKEN={token}");
    let devops = DevopsServer::builder().bind(address(1)).start()?;
    let (url, (user, password)) = (devops.url(), devops.login());
    println!("export DEVOPS_SERVER={url} DEVOPS_USER={user} DEVOPS_PASSWORD={password}");
    eprintln!("serving until Ctrl-C");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
