//! The command line, as `clap` reads it.

use std::num::NonZeroUsize;

use clap::error::ErrorKind;
use clap::{ArgGroup, CommandFactory, Parser, Subcommand};
use machine_images::Digest;
use machine_images::djinn::NamespacePath;
use url::Url;

/// Machine images on Djinn CI servers and DevOps Services.
#[derive(Parser)]
#[command(name = "images", version)]
pub(crate) struct Args {
    /// Print one JSON object a line instead of tables and bars, and errors as JSON, too.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) service: Service,
}

#[derive(Subcommand)]
pub(crate) enum Service {
    /// Images of a Djinn CI server.
    Djinn(Djinn),
    /// Images of a DevOps Service.
    Devops(Devops),
    /// Show what a local file is, and whether it can be trusted.
    Inspect {
        /// File to inspect.
        file: String,
    },
}

#[derive(clap::Args)]
pub(crate) struct Djinn {
    /// Base URL of the API, such as https://api.djinn-ci.com.
    #[arg(
        long,
        value_name = "URL",
        env = "DJINN_API_SERVER",
        hide_env_values = true
    )]
    pub(crate) server: Option<String>,
    /// Token of the user.
    #[arg(long, env = "DJINN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Run the command on an embedded server with a few images, gone when the command ends.
    #[arg(long)]
    pub(crate) demo: bool,
    #[command(subcommand)]
    pub(crate) command: DjinnCommand,
}

#[derive(Subcommand)]
pub(crate) enum DjinnCommand {
    /// List every image, over all pages.
    List(List),
    /// Show one image.
    Get {
        /// Id of the image.
        id: i64,
    },
    /// Find an image by its exact name.
    Find {
        /// Name of the image.
        name: String,
        /// Namespace it is in, as PATH or PATH@OWNER; without, it is in none.
        #[arg(long, value_name = "NS")]
        namespace: Option<NamespacePath>,
    },
    /// Create an image by upload.
    Upload(Upload),
    /// Create an image by a download that the server makes.
    Download {
        /// Name of the new image.
        name: String,
        /// Where the server downloads it from.
        url: Url,
        /// Namespace to put it in, as PATH or PATH@OWNER.
        #[arg(long, value_name = "NS")]
        namespace: Option<NamespacePath>,
        /// Wait until the server has it, at most this long.
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
    },
    /// Wait until the server has downloaded an image.
    Wait {
        /// Id of the image.
        id: i64,
        /// Wait at most this long.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        timeout: u64,
    },
    /// Fetch the contents of an image.
    Content(Content),
    /// Compute the SHA-256 of the contents of an image, without a file.
    Digest {
        /// Id of the image.
        id: i64,
    },
    /// Show the QCOW2 header of a remote image, without fetching the image.
    Inspect {
        /// Id of the image.
        id: i64,
    },
    /// Write bytes of the guest's disk inside an image to standard output.
    #[cfg(feature = "disk")]
    Read(Read),
    /// Show what of the guest's disk inside an image is data, in bytes.
    #[cfg(feature = "disk")]
    Map {
        /// Id of the image.
        id: i64,
    },
    /// Create the same image on another server, through this machine, without a file.
    Copy(Copy),
    /// Delete an image.
    Delete {
        /// Id of the image.
        id: i64,
    },
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// List images whose name contains this text, and without --namespace all of the user's own.
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// List at most this many images.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Ask for this many pages ahead.
    #[arg(long, value_name = "PAGES", default_value_t = 0)]
    pub(crate) prefetch: usize,
    /// List the images of this namespace only; PATH@USER, as in other commands, is taken, too.
    #[arg(long, value_name = "USER/PATH", value_parser = user_and_path)]
    pub(crate) namespace: Option<NamespacePath>,
}

fn user_and_path(text: &str) -> Result<NamespacePath, String> {
    let namespace: Result<NamespacePath, _> = match text.split_once('/') {
        _ if text.contains('@') => text.parse(),
        Some((user, path)) => format!("{path}@{user}").parse(),
        None => return Err("it is not a user and a path, as in gordon/lab".into()),
    };
    namespace.map_err(|error| error.to_string())
}

#[derive(clap::Args)]
pub(crate) struct Upload {
    /// Name of the new image.
    pub(crate) name: String,
    /// File to send, or - for standard input.
    pub(crate) file: String,
    /// Namespace to put it in, as PATH or PATH@OWNER.
    #[arg(long, value_name = "NS")]
    pub(crate) namespace: Option<NamespacePath>,
    /// Send the file whatever it is.
    #[arg(long)]
    pub(crate) no_inspect: bool,
    /// If the answer is lost, find out what came of the upload, and send it again if nothing did.
    #[arg(long)]
    pub(crate) reconcile: bool,
    /// SHA-256 of the bytes sent, which an image found by --reconcile must have.
    #[arg(long, value_name = "HEX", requires = "reconcile")]
    pub(crate) sha256: Option<Digest>,
    #[cfg(feature = "disk")]
    #[command(flatten)]
    pub(crate) raw: Raw,
}

#[cfg(feature = "disk")]
#[derive(clap::Args)]
pub(crate) struct Raw {
    /// Take FILE, a file or block device, for a raw disk, and send it as a QCOW2 image.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Compress the image that is made of a raw disk.
    #[arg(long, value_name = "TYPE", requires = "raw")]
    pub(crate) compress: Option<Compress>,
}

#[cfg(feature = "disk")]
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Compress {
    /// Read by every QEMU.
    Zlib,
    /// Faster; read by QEMU 5.1 and newer.
    Zstd,
}

#[derive(clap::Args)]
pub(crate) struct Content {
    /// Id of the image.
    pub(crate) id: i64,
    /// File to save to, or - for standard output.
    pub(crate) file: String,
    /// Fetch with up to this many connections, instead of as many as bring more.
    #[arg(long, value_name = "N")]
    pub(crate) connections: Option<NonZeroUsize>,
    /// Begin anew, and leave nothing behind that could be resumed.
    #[arg(long)]
    pub(crate) no_resume: bool,
    /// Transfer nothing if FILE is still what the server has.
    #[arg(long)]
    pub(crate) refresh: bool,
    /// SHA-256 that the content must have.
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<Digest>,
    /// Make FILE, a file or block device, the guest's disk as a raw disk.
    #[cfg(feature = "disk")]
    #[arg(long)]
    pub(crate) raw: bool,
}

#[cfg(feature = "disk")]
#[derive(clap::Args)]
pub(crate) struct Read {
    /// Id of the image.
    pub(crate) id: i64,
    /// First byte to read.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Number of bytes to read, instead of all up to the end.
    #[arg(long, value_name = "N")]
    pub(crate) length: Option<u64>,
}

#[derive(clap::Args)]
pub(crate) struct Copy {
    /// Id of the image.
    pub(crate) id: i64,
    /// Base URL of the server to copy to.
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// Token for that server.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) to_token: Option<String>,
    /// Name of the new image, instead of the same.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Namespace to put it in, as PATH or PATH@OWNER.
    #[arg(long, value_name = "NS")]
    pub(crate) namespace: Option<NamespacePath>,
    /// SHA-256 that the content must have.
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<Digest>,
}

#[derive(clap::Args)]
pub(crate) struct Devops {
    /// Base URL of the service.
    #[arg(
        long,
        value_name = "URL",
        env = "DEVOPS_SERVER",
        hide_env_values = true
    )]
    pub(crate) server: Option<String>,
    // The variables are looked at after all arguments: a user that is named goes before a token of
    // the environment.
    /// User to log in as [env: DEVOPS_USER].
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Password of the user; it may be empty [env: DEVOPS_PASSWORD].
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Token to log in with, instead of a user and a password [env: DEVOPS_TOKEN].
    #[arg(long, conflicts_with_all = ["user", "password"])]
    pub(crate) token: Option<String>,
    /// Run the command on an embedded service with a few images, gone when the command ends.
    #[arg(long)]
    pub(crate) demo: bool,
    #[command(subcommand)]
    pub(crate) command: DevopsCommand,
}

#[derive(Subcommand)]
pub(crate) enum DevopsCommand {
    /// List every image.
    List {
        /// List the images of this provider only.
        #[arg(long)]
        provider: Option<String>,
    },
    /// Show one image.
    Get {
        /// Id of the image.
        id: String,
    },
    /// Register a provider's existing image.
    Create {
        /// Id that the provider has given the image.
        id: String,
        /// Provider that has the image, such as ec2.
        #[arg(long)]
        provider: String,
        /// User to log in to its instances as.
        #[arg(long)]
        remote_user: String,
        /// Name of the image.
        #[arg(long)]
        name: String,
    },
    /// Change the remote user, the name or both.
    #[command(group(ArgGroup::new("change").required(true).multiple(true)))]
    Update {
        /// Id of the image.
        id: String,
        /// User to log in to its instances as, from now on.
        #[arg(long, group = "change")]
        remote_user: Option<String>,
        /// New name of the image.
        #[arg(long, group = "change")]
        name: Option<String>,
    },
    /// Delete an image.
    Delete {
        /// Id of the image.
        id: String,
    },
}

/// Ends the program as clap does for wrong usage, with status 2.
pub(crate) fn wrong_usage(message: impl std::fmt::Display) -> ! {
    Args::command()
        .error(ErrorKind::ValueValidation, message)
        .exit()
}

/// Ends the program because there is no server to talk to.
pub(crate) fn no_server(variable: &str) -> ! {
    wrong_usage(format!(
        "no server: set --server or {variable}, or add --demo to try the command on an embedded one"
    ))
}
