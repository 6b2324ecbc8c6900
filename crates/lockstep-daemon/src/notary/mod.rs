//! `lockstep notary`: signs the committed stream, and publishes the signatures into it.

mod run;

pub use run::NotaryCounts;

use crate::Failure;
use crate::args::ClusterArgs;
use crate::config::{self, Config};
use crate::secret::NOTARY;
use clap::{Args, Subcommand};
use lockstep_notary::NotaryKey;
use std::path::PathBuf;
use std::time::Duration;

/// Flags of `notary`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct NotaryArgs {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<NotaryCommand>,
    /// Flags of a run.
    #[command(flatten)]
    pub run: NotaryRunArgs,
}

/// The subcommands of `notary`.
#[derive(Subcommand, Debug)]
pub enum NotaryCommand {
    /// Makes the key of a notary: NAME.notary in security.keys, and its public key as a line of the file
    /// `notaries` there
    Key(KeyArgs),
}

/// Flags of `notary key`.
#[derive(Args, Debug)]
pub struct KeyArgs {
    /// The cluster's file.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The notary's name: at most 16 letters, digits, `-`, `_`, `.`
    #[arg(value_name = "NAME", value_parser = notary_name)]
    pub name: String,
}

/// Flags of a running notary.
#[derive(Args, Debug)]
pub struct NotaryRunArgs {
    /// The cluster's file.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The notary's name: its key is NAME.notary in security.keys
    #[arg(long, value_name = "NAME", default_value = "notary", value_parser = notary_name, env = "LOCKSTEP_NOTARY")]
    pub name: String,
    /// Where it writes how far it has signed, /var/lib/lockstep/NAME.cursor by default; a notary without it
    /// begins with the oldest entry
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_NOTARY_CURSOR")]
    pub cursor: Option<PathBuf>,
    /// How long an entry waits for its signature
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = config::duration)]
    pub interval: Duration,
    /// Ends when stdin does: for whoever starts it as a child
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

/// A name of a notary, which is that of a file, and a part of a publisher's name.
fn notary_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || text.len() > 16 || text.starts_with('.') || !text.bytes().all(is_plain) {
        return Err("a notary's name is at most 16 letters, digits, '-', '_' and '.'".to_owned());
    }
    Ok(text.to_owned())
}

/// Runs the command that the arguments select.
pub fn run(args: &NotaryArgs) -> Result<u8, Failure> {
    match &args.command {
        Some(NotaryCommand::Key(args)) => make_key(args),
        None => run::run(&args.run),
    }
}

fn make_key(args: &KeyArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    let public = NOTARY.make(&config, &args.name)?;
    println!("{public}");
    eprintln!(
        "{0} signs: it stays on the notary's host. {1} lists the public key: copy it to hosts that check signatures; \
         `lockstep notary --name {2} --cursor FILE` runs the notary",
        NOTARY.secret_path(&config, &args.name).display(),
        NOTARY.list_path(&config).display(),
        args.name
    );
    Ok(0)
}

/// The public keys that this host trusts.
///
/// # Errors
/// As [`crate::secret::Owner::public_keys`].
pub fn notaries(config: &Config) -> Result<Vec<NotaryKey>, Failure> {
    Ok(NOTARY.public_keys(config)?.into_iter().map(|(key, _)| key).collect())
}
