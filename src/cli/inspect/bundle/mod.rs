//! # bundle: what somebody who helps wants to see, as one file
//!
//! ```text
//!  commands of this program ─┐
//!  pages of metrics ─────────┼─▶ cut ─▶ secrets removed ─▶ manifest and parts ─▶ FILE.tar.gz ─▶ show
//!  host, logs ───────────────┘    └─ what is missing: a line of the manifest with its reason
//! ```
//!
//! A part is what a command of this program prints, and no second way to know it: `gather` starts them, each
//! with bounds of bytes and time. The configuration is part by the values of its known keys, and
//! never as a file. `secrets` knows the secrets of this host and removes them from all that is gathered.

mod gather;
mod manifest;
mod secrets;
mod show;

use clap::{Args, Subcommand};
use flate2::Compression;
use flate2::write::GzEncoder;
use gather::gathered;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::failure::FAILED;
use lockstep_io::clock::Utc;
use lockstep_operations::new_file::write_new;
use lockstep_operations::tar::{BLOCK, header, padding};
use manifest::{BundleManifest, MANIFEST};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What `bundle` does.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BundleArgs {
    /// What to do beside making one.
    #[command(subcommand)]
    pub command: Option<BundleCommand>,
    /// Flags of a bundle that is made.
    #[command(flatten)]
    pub make: BundleMakeArgs,
}

/// The subcommands of `bundle`.
#[derive(Subcommand, Debug)]
pub enum BundleCommand {
    /// Prints the summary of a bundle, or one of its parts, and writes nothing
    Show(BundleShowArgs),
}

/// Flags of a bundle that is made.
#[derive(Args, Debug)]
pub struct BundleMakeArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The new file; by default lockstep-bundle-CLUSTER-TIME.tar.gz in this folder
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A log whose last lines are to be part of it, beside those that processes of this host write;
    /// repeatable
    #[arg(long, value_name = "FILE")]
    pub log: Vec<PathBuf>,
    /// How long all of it may take: what is not there by then is missing in it
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = config::duration)]
    pub timeout: Duration,
}

/// Flags of `bundle show`.
#[derive(Args, Debug)]
pub struct BundleShowArgs {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Prints this part alone, as the summary lists it
    #[arg(long, value_name = "NAME")]
    pub part: Option<String>,
    /// So many of the newest events
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub events: usize,
}

/// A bundle: its manifest, and the bytes of the parts that this lists, in its order.
pub struct Bundle {
    /// Its parts by name, and those that it lacks.
    pub manifest: BundleManifest,
    /// The bytes of each part.
    pub parts: Vec<Vec<u8>>,
}

/// Makes one, or shows one.
pub fn run(args: &BundleArgs) -> Result<u8, Failure> {
    match &args.command {
        Some(BundleCommand::Show(args)) => show::run(args),
        None => make(&args.make),
    }
}

fn make(args: &BundleMakeArgs) -> Result<u8, Failure> {
    let bundle = gathered(args);
    let manifest = &bundle.manifest;
    let path = args.output.clone().unwrap_or_else(|| {
        let cluster = manifest.cluster.map_or_else(|| "unknown".to_owned(), |cluster| cluster.to_string());
        let time: String = manifest.made.chars().take_while(|char| *char != '.').collect();
        format!("lockstep-bundle-{cluster}-{}Z.tar.gz", time.replace(['-', ':'], "")).into()
    });
    write_new(&path, |out| write(&bundle, out))?;
    writeln!(std::io::stdout(), "{}", path.display())?;
    let bytes: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
    eprintln!(
        "{} parts with {bytes} bytes, {} missing; `lockstep bundle show {}` lists them",
        manifest.parts.len(),
        manifest.missing.len(),
        path.display()
    );
    Ok(0)
}

/// Writes a bundle as a compressed archive.
fn write(bundle: &Bundle, out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(FAILED, format!("writing the bundle: {error}"));
    let mut out = GzEncoder::new(out, Compression::default());
    let time_s = Utc::now().0 / 1_000_000_000;
    let text = bundle.manifest.text()?;
    let parts = bundle.manifest.parts.iter().zip(&bundle.parts);
    let all = std::iter::once((MANIFEST, text.as_bytes()));
    for (name, bytes) in all.chain(parts.map(|(part, bytes)| (&*part.name, &**bytes))) {
        let len = bytes.len() as u64;
        let header = header(name, len, time_s)
            .ok_or_else(|| Failure::new(FAILED, format!("{name} has no place in an archive")))?;
        let written = out.write_all(&header).and_then(|()| out.write_all(bytes));
        written.and_then(|()| out.write_all(&padding(len))).map_err(failed)?;
    }
    out.write_all(&[0; 2 * BLOCK]).and_then(|()| out.finish().map(drop)).map_err(failed)
}
