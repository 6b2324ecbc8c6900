//! `lockstep gateway`: SoupBinTCP clients on the stream, until SIGTERM; and the file of their users.

mod run;
mod user;
mod verifier;

use super::Failure;
use super::args::ClusterArgs;
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Flags of `gateway`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct GatewayArgs {
    /// What to do beside running.
    #[command(subcommand)]
    pub command: Option<GatewayCommand>,
    /// Flags of a run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Flags of a running gateway.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The gateway's name, of its own among all gateways of the cluster
    #[arg(long, value_name = "NAME", env = "LOCKSTEP_GATEWAY", default_value = "1")]
    pub name: String,
    /// Where clients connect
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
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

/// Does what the arguments say.
pub fn run(args: &GatewayArgs) -> Result<u8, Failure> {
    match &args.command {
        Some(GatewayCommand::User(command)) => user::run(command),
        None => run::run(&args.run),
    }
}
