//! `lockstep bootstrap`: entry 1 of a history, the list of its members. Once, and on one node.
//!
//! A member is an identity, which `format` drew at random. So this node must learn those of the others:
//! from flags, or from the others themselves if their sequencers run already, blank, and wait.

use clap::Args;
use lockstep_client::Endpoint;
use lockstep_client::internal::QueryClient;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::config::NodeConfig;
use lockstep_daemon::config::{Config, Role};
use lockstep_daemon::failure::{NOT_READY, USAGE};
use lockstep_operations::acting;
use lockstep_wire::{Identity, MemberBody, VERSION};
use serde_json::json;
use std::collections::BTreeMap;
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
    let mut known = identities_of_args(args, &config)?;
    let own = lockstep_node::identity(&settings)?;
    if let Some(other) = known.insert(args.replica, own).filter(|other| *other != own) {
        let what = format!(
            "--identity {other} is not what the journal of replica {} in {} says: it is {own}; leave the \
             flag out, as the node itself knows",
            args.replica,
            settings.journal.display()
        );
        return Err(Failure::new(USAGE, what));
    }
    ask(args, &config, &mut known)?;
    let members: Vec<MemberBody> = config
        .replicas
        .iter()
        .filter_map(|replica| {
            let identity = *known.get(&replica.id)?;
            Some(match replica.role {
                Role::Full => MemberBody::full(identity, replica.unicast),
                Role::Witness => MemberBody::witness(identity, replica.unicast),
            })
        })
        .collect();
    if members.iter().all(MemberBody::is_witness) {
        let what = "every replica is a witness, and those never lead; write role = \"full\" for one at least";
        return Err(Failure::new(USAGE, what));
    }
    let version = args.log_version.unwrap_or(VERSION);
    let history = lockstep_node::bootstrap_version(&settings, &members, version)?;
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

/// Identities from the flags, by replica.
fn identities_of_args(args: &BootstrapArgs, config: &Config) -> Result<BTreeMap<u32, Identity>, Failure> {
    let mut known = BTreeMap::new();
    for &identity in &args.identity {
        config.replica(identity.replica)?;
        if let Some(other) = known.insert(identity.replica, identity) {
            let what = format!(
                "--identity {other} and --identity {identity}: one replica twice; give the \
                 one that its `format` printed last"
            );
            return Err(Failure::new(USAGE, what));
        }
    }
    Ok(known)
}

/// Asks the replicas that are not known yet.
fn ask(args: &BootstrapArgs, config: &Config, known: &mut BTreeMap<u32, Identity>) -> Result<(), Failure> {
    let unknown: Vec<_> = config.replicas.iter().filter(|replica| !known.contains_key(&replica.id)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let addresses: Vec<_> = unknown.iter().map(|replica| replica.unicast).collect();
    let answers = QueryClient::open(&Endpoint::for_operator(config)?)?.nodes(&addresses, args.timeout);
    let mut silent = Vec::new();
    for (replica, answer) in unknown.iter().zip(answers) {
        let (id, address) = (replica.id, replica.unicast);
        let Some(state) = answer else {
            silent.push(format!("{id} ({address})"));
            continue;
        };
        if state.identity.replica != id {
            let what = format!(
                "replica {} answered at {address}, the address of replica {id}: two processes were started \
                 with each other's --replica, or the file differs between machines",
                state.identity.replica
            );
            return Err(Failure::new(USAGE, what));
        }
        if state.history != 0 {
            let what = format!(
                "replica {id} at {address} holds history {:016x} already: a history is started once; if \
                 this node lost its journal, `format` it and let it join later",
                state.history
            );
            return Err(Failure::new(USAGE, what));
        }
        known.insert(id, state.identity);
    }
    if !silent.is_empty() {
        let what = format!(
            "no answer within {:?} from replica {}: start its sequencer, or give --identity as its `format` \
             printed it",
            args.timeout,
            silent.join(", ")
        );
        return Err(Failure::new(NOT_READY, what));
    }
    Ok(())
}
