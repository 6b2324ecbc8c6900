//! `lockstep membership`: who votes; and one joins, one leaves, or one takes the place of its former life.

use crate::cli::shared::flags::OperatorArgs;
use crate::cli::shared::operator::CommandClient;
use clap::{Args, Subcommand};
use lockstep_client::internal::{ListedMember, NodeStatus};
use lockstep_daemon::Failure;
use lockstep_operations::commands::{
    MemberAddition, add_member, check_successor, remove_member, replace_member, tolerates,
};
use lockstep_wire::Identity;
use serde_json::json;
use std::io::Write;
use std::net::SocketAddrV4;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.membership/1";

/// What `membership` does.
#[derive(Args, Debug)]
pub struct MembershipArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MembershipCommand,
}

/// The subcommands of `membership`.
#[derive(Subcommand, Debug)]
pub enum MembershipCommand {
    /// Lists the members
    Show(OperatorArgs),
    /// Adds an identity, once its sequencer runs and holds the stream
    Add(MembershipAddArgs),
    /// Removes an identity
    Remove(MembershipRemoveArgs),
    /// Puts the next life of a replica into the place of the one before, in one step
    Replace(MembershipReplaceArgs),
}

/// Flags of `membership add`.
#[derive(Args, Debug)]
pub struct MembershipAddArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// What its `format` printed, like 2:0a3f9c1
    #[arg(value_name = "IDENTITY")]
    pub identity: Identity,
    /// Its address; the default is that of its replica in the file
    #[arg(long, value_name = "IP:PORT")]
    pub address: Option<SocketAddrV4>,
    /// It votes and acknowledges, keeps only a ring, and never leads; the default is the role of its replica
    /// in the file
    #[arg(long)]
    pub witness: bool,
}

/// Flags of `membership replace`.
#[derive(Args, Debug)]
pub struct MembershipReplaceArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Which, as `membership show` prints it
    #[arg(value_name = "OLD")]
    pub old: Identity,
    /// What the `format` of the same replica printed last
    #[arg(value_name = "NEW")]
    pub new: Identity,
    /// The address of the new one; the default is that of the old one
    #[arg(long, value_name = "IP:PORT")]
    pub address: Option<SocketAddrV4>,
}

/// Flags of `membership remove`.
#[derive(Args, Debug)]
pub struct MembershipRemoveArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// Which, as `membership show` prints it
    #[arg(value_name = "IDENTITY")]
    pub identity: Identity,
}

/// Shows or changes the membership.
pub fn run(args: &MembershipArgs) -> Result<u8, Failure> {
    match &args.command {
        MembershipCommand::Show(args) => show(args),
        MembershipCommand::Add(args) => add(args),
        MembershipCommand::Remove(args) => remove(args),
        MembershipCommand::Replace(args) => replace(args),
    }
}

fn show(args: &OperatorArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.cluster, args.timeout)?;
    let leader = operator.leader()?;
    print(args.json, &leader)
}

fn add(args: &MembershipAddArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let identity = args.identity;
    let addition = MemberAddition { identity, address: args.address, is_witness: args.witness };
    let leader = add_member(&mut operator, &addition, &mut |notice| eprintln!("{notice}"))?;
    let (members, survives) = (leader.members.len(), tolerates(leader.members.len()));
    eprintln!("{identity} is a member now; of {members} members {survives} may crash");
    print(args.operator.json, &leader)
}

fn replace(args: &MembershipReplaceArgs) -> Result<u8, Failure> {
    let (old, new) = (args.old, args.new);
    check_successor(old, new)?;
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let print_notice = &mut |notice| eprintln!("{notice}");
    let leader = replace_member(&mut operator, (old, new), args.address, print_notice)?;
    eprintln!("{new} is a member in the place of {old}; never start {old} again");
    print(args.operator.json, &leader)
}

fn remove(args: &MembershipRemoveArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let leader = remove_member(&mut operator, args.identity)?;
    let (left, survives) = (leader.members.len(), tolerates(leader.members.len()));
    eprintln!("{left} members are left, {survives} of them may crash");
    print(args.operator.json, &leader)
}

fn print(is_json: bool, leader: &NodeStatus) -> Result<u8, Failure> {
    let mut out = std::io::stdout();
    if is_json {
        let members: Vec<_> = leader.members.iter().map(|listed| ListedMember::new(&listed.member)).collect();
        let value = json!({
            "schema": SCHEMA,
            "history": format!("{:016x}", leader.history),
            "membership_seq": leader.membership_seq,
            "committed": leader.is_stable(),
            "members": members,
            "may_crash": tolerates(leader.members.len()),
        });
        writeln!(out, "{value}")?;
        return Ok(0);
    }
    let state = if leader.is_stable() { "committed" } else { "not committed yet" };
    writeln!(out, "membership of seq {}, {state}", leader.membership_seq)?;
    for listed in &leader.members {
        let ListedMember { identity, role, address } = ListedMember::new(&listed.member);
        let leads = if listed.member.identity() == leader.identity { "  leads" } else { "" };
        writeln!(out, "{identity}  {role:<7}  {address}{leads}")?;
    }
    Ok(0)
}
