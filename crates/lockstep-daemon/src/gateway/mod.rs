//! `lockstep gateway`: SoupBinTCP and FIX clients on the stream, until SIGTERM; and the file of their users.

mod arrivals;
mod limits;
mod link;
mod listeners;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod run;
#[cfg(feature = "tls")]
mod tls;
pub mod user;
#[cfg(feature = "tls")]
mod validity;
mod verifier;

#[cfg(not(feature = "tls"))]
use no_tls as tls;

use crate::Failure;
use crate::args::ClusterArgs;
use crate::failure::USAGE;
use clap::{Args, Subcommand};
use lockstep_io::private;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Flags of `gateway`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct GatewayArgs {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<GatewayCommand>,
    /// Flags of a run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Flags of a running gateway.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The cluster's file.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The gateway's name, of its own among all gateways of the cluster; this host's name and the port where
    /// clients connect if it is not given
    #[arg(long, value_name = "NAME", env = "LOCKSTEP_GATEWAY")]
    pub name: Option<String>,
    /// Where clients of SoupBinTCP connect in the clear; 127.0.0.1:9000 if neither this nor --listen-tls nor
    /// --fix is given
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where clients of SoupBinTCP connect by TLS, with gateway.tls_certificate and gateway.tls_key
    #[arg(long, value_name = "IP:PORT")]
    pub listen_tls: Option<SocketAddr>,
    /// Where clients of FIX 4.2, 4.4 and FIXT 1.1 connect, in the clear; their orders are OUCH 5.0 in the
    /// stream
    #[arg(long, value_name = "IP:PORT")]
    pub fix: Option<SocketAddr>,
    /// The CompID of the FIX sessions' own side: the same at all gateways of a cluster
    #[arg(long, value_name = "ID", default_value = "LOCKSTEP", value_parser = comp_id)]
    pub fix_comp_id: String,
    /// File of the users (gateway.users)
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
    /// Ends when stdin does: for whoever starts it as a child
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

/// The subcommands of `gateway`.
#[derive(Subcommand, Debug)]
pub enum GatewayCommand {
    /// Changes the file of the users; a running gateway reads it again at SIGHUP
    #[command(subcommand)]
    User(user::UserCommand),
}

/// A CompID: printable characters without blanks.
fn comp_id(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a CompID is 1 to 32 printable characters without blanks".into())
    }
}

/// Runs the command that the arguments select.
pub fn run(args: &GatewayArgs) -> Result<u8, Failure> {
    match &args.command {
        Some(GatewayCommand::User(command)) => user::run(command),
        None => run::run(&args.run),
    }
}

/// The largest file of secrets that is read: of a million users.
const SECRET_LEN_MAX: u64 = 1 << 29;

/// Reads a file of secrets, which only its owner may read; `hint` names the command that makes it.
fn read_private(path: &Path, hint: &str) -> Result<Zeroizing<String>, Failure> {
    let wrong = |what: String| Failure::new(USAGE, format!("{}: {what}", path.display()));
    fs::metadata(path).map_err(|error| wrong(format!("{error}; {hint}")))?;
    private::read(path, &path.display().to_string(), "", SECRET_LEN_MAX)
        .map_err(|error| Failure::new(USAGE, error))
}
