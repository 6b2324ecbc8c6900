//! `lockstep upgrade`: what each node speaks, and the end of an upgrade that was made node by node.
//!
//! ```text
//!   all nodes of the old release ─▶ one after another of the new one ─▶ `upgrade --finish`: the log rises
//!   log of version n−1 ............................................... │ log of version n
//!   any node may go back to the old release                            │ none may
//! ```

use crate::cli::shared::flags::OperatorArgs;
use crate::cli::shared::operator::CommandClient;
use clap::Args;
use lockstep_client::internal::NodeRelease;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::NOT_READY;
use lockstep_operations::commands::{ClusterVersions, NodeVersions, Upgradable, finish_upgrade};
use serde_json::{Value, json};
use std::io::Write;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.upgrade/1";

/// Flags of `upgrade`.
#[derive(Args, Debug)]
pub struct UpgradeArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Ends the upgrade: the log rises to the newest version that every node speaks. Older releases read it
    /// no further from there on
    #[arg(long)]
    pub finish: bool,
    /// Shows what each node speaks and whether the upgrade can be ended; so does no flag
    #[arg(long, conflicts_with = "finish")]
    pub check: bool,
    /// The version to which the log is to rise; the default is the newest that every node speaks
    #[arg(long, value_name = "VERSION", requires = "finish")]
    pub to: Option<u8>,
}

/// Prints what the nodes speak, or ends the upgrade.
pub fn run(args: &UpgradeArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let versions = ClusterVersions::ask(&mut operator)?;
    if args.finish {
        return finish(args, &mut operator, &versions);
    }
    let ClusterVersions { nodes, in_force, upgradable, .. } = &versions;
    let mut out = std::io::stdout();
    if args.operator.json {
        writeln!(out, "{}", as_json(nodes, *in_force, upgradable))?;
    } else {
        as_text(&mut out, nodes, *in_force, upgradable)?;
    }
    Ok(if matches!(upgradable, Upgradable::Hindered(..)) { NOT_READY } else { 0 })
}

fn finish(
    args: &UpgradeArgs,
    operator: &mut CommandClient,
    versions: &ClusterVersions,
) -> Result<u8, Failure> {
    let (to, next) = finish_upgrade(operator, versions, args.to)?;
    let mut out = std::io::stdout();
    if args.operator.json {
        writeln!(out, "{}", json!({ "schema": SCHEMA, "version": to, "committed_next": next }))?;
    } else {
        writeln!(out, "the log is of version {to}, committed up to seq {}", next - 1)?;
    }
    eprintln!(
        "a release that speaks version {} at most reads it no further, and no node can go back to one",
        versions.in_force
    );
    Ok(0)
}

fn as_text(
    out: &mut impl Write,
    nodes: &[NodeVersions],
    in_force: u8,
    upgradable: &Upgradable,
) -> std::io::Result<()> {
    writeln!(out, "log is of version {in_force}\n")?;
    writeln!(out, "{:<21} {:<12} {:<8} log", "node", "release", "speaks")?;
    for NodeVersions { name, answers, release } in nodes {
        match release {
            Some(NodeRelease { oldest, newest, in_force, release }) => {
                let log = in_force.map_or_else(|| "empty".to_owned(), |version| version.to_string());
                writeln!(out, "{name:<21} {release:<12} {:<8} {log}", format!("{oldest} to {newest}"))?;
            }
            None if *answers => {
                writeln!(out, "{name:<21} does not report its release: it speaks version 3 at most")?
            }
            None => writeln!(out, "{name:<21} does not answer")?,
        }
    }
    writeln!(out)?;
    match upgradable {
        Upgradable::Done => writeln!(out, "no node speaks a newer version than the log has: nothing to end"),
        Upgradable::Ready(version) => writeln!(
            out,
            "every node speaks version {version}: `lockstep upgrade --finish` lets the log rise to it"
        ),
        Upgradable::Hindered(version, reasons) => {
            writeln!(out, "the log cannot rise to version {version} yet:")?;
            reasons.iter().try_for_each(|reason| writeln!(out, "  {reason}"))
        }
    }
}

fn as_json(nodes: &[NodeVersions], in_force: u8, upgradable: &Upgradable) -> Value {
    let rows: Vec<_> = nodes.iter().map(node_json).collect();
    let (ready, to, reasons) = match upgradable {
        Upgradable::Done => (false, None, &[][..]),
        Upgradable::Ready(version) => (true, Some(*version), &[][..]),
        Upgradable::Hindered(version, reasons) => (false, Some(*version), &reasons[..]),
    };
    json!({ "schema": SCHEMA, "version": in_force, "ready": ready, "to": to, "reasons": reasons, "nodes": rows })
}

fn node_json(node: &NodeVersions) -> Value {
    let release = node.release.as_ref();
    json!({
        "node": node.name,
        "answers": node.answers,
        "release": release.map(|release| release.release.as_str()),
        "oldest": release.map(|release| release.oldest),
        "newest": release.map(|release| release.newest),
        "version": release.and_then(|release| release.in_force),
    })
}
