//! The command line, as `clap` reads it.

use clap::{Args as _, Parser, Subcommand};
use machine_images::Digest;
use machine_images::djinn::NamespacePath;
use url::Url;

/// Machine images on Djinn CI servers and DevOps Services.
#[derive(Parser)]
#[command(name = "images", version)]
pub(crate) struct Args {
    /// One JSON object a line instead of tables and bars.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) service: Service,
}

#[derive(Subcommand)]
pub(crate) enum Service {
    /// Images of a Djinn CI server; without a server, of an embedded one.
    Djinn(Djinn),
    /// Images of a DevOps Service; without a server, of an embedded one.
    Devops(Devops),
    /// What a local file is, and whether it can be trusted.
    Inspect { file: String },
}

#[derive(clap::Args)]
pub(crate) struct Djinn {
    /// The base URL of the API.
    #[arg(long, env = "DJINN_API_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    #[arg(long, env = "DJINN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    #[command(subcommand)]
    pub(crate) command: DjinnCommand,
}

#[derive(Subcommand)]
pub(crate) enum DjinnCommand {
    /// Every image, over all pages.
    List {
        #[arg(long)]
        search: Option<String>,
        /// At most this many images.
        #[arg(long)]
        limit: Option<u64>,
        /// Ask for this many pages ahead.
        #[arg(long, value_name = "PAGES", default_value_t = 0)]
        prefetch: usize,
    },
    /// One image.
    Get { id: i64 },
    /// Create by upload.
    Upload {
        name: String,
        /// A file, or - for standard input.
        file: String,
        #[arg(long)]
        namespace: Option<NamespacePath>,
        /// Send it whatever it is.
        #[arg(long)]
        no_inspect: bool,
    },
    /// Create by a download that the server makes.
    Download {
        name: String,
        url: Url,
        #[arg(long)]
        namespace: Option<NamespacePath>,
        /// Wait until the server has it, at most this long.
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
    },
    /// Wait until the server has downloaded an image.
    Wait {
        id: i64,
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        timeout: u64,
    },
    /// Fetch the contents.
    Content(Content),
    /// The QCOW2 header of a remote image, without fetching the image.
    Inspect { id: i64 },
    /// Delete.
    Delete { id: i64 },
}

#[derive(clap::Args)]
pub(crate) struct Content {
    pub(crate) id: i64,
    /// A file, or - for standard output.
    pub(crate) file: String,
    /// Fetch with up to this many connections.
    #[arg(long, default_value_t = 1)]
    pub(crate) connections: usize,
    /// Begin anew, and leave nothing behind that could be resumed.
    #[arg(long)]
    pub(crate) no_resume: bool,
    /// The digest that the contents must have.
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<Digest>,
}

#[derive(clap::Args)]
pub(crate) struct Devops {
    /// The base URL of the service.
    #[arg(long, env = "DEVOPS_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    #[arg(long, env = "DEVOPS_USER", hide_env_values = true)]
    pub(crate) user: Option<String>,
    #[arg(long, env = "DEVOPS_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// Instead of a user and a password.
    #[arg(long, env = "DEVOPS_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    #[command(subcommand)]
    pub(crate) command: DevopsCommand,
}

#[derive(Subcommand)]
pub(crate) enum DevopsCommand {
    /// Every image.
    List {
        #[arg(long)]
        provider: Option<String>,
    },
    /// One image.
    Get { id: String },
    /// Create.
    Create {
        id: String,
        #[arg(long)]
        provider: String,
        #[arg(long)]
        remote_user: String,
        #[arg(long)]
        name: String,
    },
    /// Change the remote user, the name or both.
    #[command(arg_required_else_help = true)]
    Update {
        id: String,
        #[arg(long)]
        remote_user: Option<String>,
        #[arg(long)]
        name: Option<String>,
    },
    /// Delete.
    Delete { id: String },
}

/// Ends the program as clap does for wrong usage, with status 2.
pub(crate) fn wrong_usage(message: &str) -> ! {
    let command = Djinn::augment_args(clap::Command::new("images"));
    command
        .clone()
        .error(clap::error::ErrorKind::ValueValidation, message)
        .exit()
}
