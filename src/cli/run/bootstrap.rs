//! `lockstep bootstrap`: entry 1 of a history, the list of its members. Once, and on one node.
//!
//! A member is an identity, which `format` drew at random. So this node must learn those of the others:
//! from flags, or from the others themselves if their sequencers run already, blank, and wait.

use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::config::NodeConfig;
use lockstep_operations::acting;
use lockstep_operations::bootstrap::{BootstrapOrder, Bootstrapped, bootstrap};
use lockstep_wire::Identity;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.bootstrap/1";

/// Flags of `bootstrap`.
#[derive(Args, Debug)]
pub struct BootstrapArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which replica of the configuration this is; its sequencer must not run
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA")]
    pub replica: u32,
    /// What `format` printed for another replica, like 2:0a3f9c1; repeatable. Those not given are asked
    /// over the network, and so must run already
    #[arg(long, value_name = "IDENTITY")]
    pub identity: Vec<Identity>,
    /// The version in which the log begins; the newest of this release, unless a node has an older one
    #[arg(long, value_name = "VERSION")]
    pub log_version: Option<u8>,
    /// How long to ask the others
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the history and its members.
pub fn run(args: &BootstrapArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    acting::not_as_root(&config)?;
    let settings = config.node(args.replica)?;
    let order = BootstrapOrder {
        config: &config,
        settings: &settings,
        identities: &args.identity,
        version: args.log_version,
        timeout: args.timeout,
    };
    let Bootstrapped { history, members } = bootstrap(&order)?;
    let mut out = std::io::stdout();
    if args.json {
        let list: Vec<_> = members
            .iter()
            .map(|member| json!({ "identity": member.identity().to_string(), "address": member.address() }))
            .collect();
        let history = format!("{history:016x}");
        writeln!(out, "{}", json!({ "schema": SCHEMA, "history": history, "members": list }))?;
        return Ok(0);
    }
    writeln!(out, "history {history:016x}")?;
    for member in members {
        let address = member.address().map_or_else(String::new, |address| address.to_string());
        writeln!(out, "member {} {address}", member.identity())?;
    }
    Ok(0)
}
