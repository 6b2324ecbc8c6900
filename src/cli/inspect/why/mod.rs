//! `lockstep why` and `lockstep fix`: what stands behind the first line of `status`.
//!
//! ```text
//!  answers of all nodes ─▶ causes ─▶ who sees whom ─▶ steps: a command with the real names, and what it does
//!                                                       │ why: prints them
//!                                                       └ fix: does those that can be done here, asking before each
//! ```
//!
//! Both judge as `status` does ([`Look`]). A step is a command that an operator could have typed: `fix`
//! starts this program with it, so that nothing is done in another way than by hand.

pub mod steps;

use crate::cli::shared::operator::suspicion;
use crate::cli::shared::operator::{Look, age, code_of};
use clap::Args;
use lockstep_client::internal::HealthCause;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::failure::{DEGRADED, FAILED, USAGE};
use lockstep_wire::{LOST_ROUNDS, WayRow};
use std::io::{BufRead, IsTerminal, Write};
use std::process::Command;
use std::time::Duration;
use steps::{MendStep, StepHost, steps, write_step};

/// Flags of `why`.
#[derive(Args, Debug)]
pub struct WhyArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How long to look for a leader; a takeover lasts some milliseconds
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = config::duration)]
    pub timeout: Duration,
}

/// Flags of `fix`.
#[derive(Args, Debug)]
pub struct FixArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The name of a cause, as `lockstep why` prints it: `silent`, `blank`, `disk_full`, …
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Prints the steps and does none
    #[arg(long)]
    pub dry_run: bool,
    /// Does each step without a question
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// How long to look for a leader; a takeover lasts some milliseconds
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = config::duration)]
    pub timeout: Duration,
}

fn steps_of(look: &Look, cause: &HealthCause) -> Vec<MendStep> {
    let mut all: Vec<MendStep> = Vec::new();
    for step in cause.reasons.iter().flat_map(|reason| steps(reason, look.leader())) {
        // What several reasons need comes behind what each of them needs.
        all.retain(|one| *one != step);
        all.push(step);
    }
    all
}

/// Prints each cause with its evidence and its steps. Exits as `status` does.
pub fn run(args: &WhyArgs) -> Result<u8, Failure> {
    let look = Look::take(&args.cluster, args.timeout)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", look.health)?;
    for step in steps::without_leader(&look.health) {
        write_step(&mut out, &step)?;
    }
    for cause in look.health.causes() {
        writeln!(out, "\n{}: {cause}", cause.name())?;
        if let Some(advice) = cause.reasons[0].advice() {
            writeln!(out, "  {advice}")?;
        }
        for step in steps_of(&look, &cause) {
            write_step(&mut out, &step)?;
        }
    }
    writeln!(out, "\nwho sees whom")?;
    for line in evidence(&look) {
        writeln!(out, "  {line}")?;
    }
    Ok(code_of(look.health.health))
}

/// What each node says of the others.
fn evidence(look: &Look) -> Vec<String> {
    let mut lines = Vec::new();
    for node in &look.asked {
        let Some(status) = &node.status else {
            let name =
                node.number.map_or_else(|| "a member".to_owned(), |number| format!("replica {number}"));
            lines.push(format!("{name} at {} does not answer this host", node.address));
            continue;
        };
        let follows = match status.leader {
            Some(leader) if leader == status.identity => "leads".to_owned(),
            Some(leader) => format!("follows {leader}"),
            None => "follows no leader".to_owned(),
        };
        lines.push(format!(
            "{} {follows}, epoch {}, its log ends before seq {}, committed before {}",
            status.identity, status.accepted, status.accept_next, status.commit_next
        ));
        if let Some(suspected) = status.suspected {
            let (whom, ago, why) = (suspected.identity, age(suspected.ago), suspicion(suspected.why));
            lines.push(format!("  it missed {whom} {ago} ago: {why}"));
        }
        lines.extend(status.ways.iter().map(way_line));
        for listed in &status.members {
            if let Some(ago) = listed.last_contact {
                let (who, acked) = (listed.member.identity(), listed.acked_next);
                lines.push(format!(
                    "  it received from {who} {} ago, which has acknowledged below {acked}",
                    age(ago)
                ));
            }
        }
    }
    lines
}

/// What a node gets from another one. Of one that is down a round without an answer says nothing about the
/// path, and is not counted.
fn way_line(row: &WayRow) -> String {
    if row.unanswered == 0 && !row.asks() {
        return format!("  of {}: no sign of life: neither answers nor questions arrive", row.peer);
    }
    let way = |rounds: u8| match rounds {
        0 => "ok".to_owned(),
        rounds if rounds < LOST_ROUNDS => format!("missed {rounds}"),
        rounds => format!("LOST ({rounds})"),
    };
    let asked = if row.asks() { "its questions arrive" } else { "none of its questions arrives" };
    let WayRow { peer, unanswered, large, replay, .. } = *row;
    format!(
        "  of {peer}: answers {}, of full size {}, replay port {}; {asked}",
        way(unanswered),
        way(large),
        way(replay)
    )
}

/// Does the steps of one cause.
pub fn fix(args: &FixArgs) -> Result<u8, Failure> {
    let look = Look::take(&args.cluster, args.timeout)?;
    let causes = look.health.causes();
    let Some(cause) = causes.iter().find(|cause| cause.name() == args.name) else {
        let names: Vec<_> = causes.iter().map(|cause| cause.name()).collect();
        let holds = if names.is_empty() {
            "there is no problem".to_owned()
        } else {
            format!("these hold: {}", names.join(", "))
        };
        return Err(Failure::new(USAGE, format!("there is no '{}' now; {holds}", args.name)));
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {cause}", cause.name())?;
    let mut left_to_others = 0;
    for step in steps_of(&look, cause) {
        write_step(&mut out, &step)?;
        match (&step.host, step.arguments()) {
            (StepHost::Here, Some(arguments)) if !args.dry_run => {
                if args.yes || asked(&step)? {
                    start(&args.cluster, &arguments)?;
                } else {
                    writeln!(out, "  not done")?;
                    return Ok(DEGRADED);
                }
            }
            (StepHost::Here, Some(_)) => {}
            _ => left_to_others += 1,
        }
    }
    if left_to_others > 0 {
        let what = match left_to_others {
            1 => "1 of these is yours: it is done elsewhere, or needs what only you know".to_owned(),
            many => format!("{many} of these are yours: they are done elsewhere, or need what only you know"),
        };
        writeln!(out, "{what}")?;
    }
    if args.dry_run {
        return Ok(0);
    }
    Ok(code_of(Look::take(&args.cluster, args.timeout)?.health.health))
}

/// Whether whoever sits at the terminal wants this step.
fn asked(step: &MendStep) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let what = "there is no terminal at which to ask: --yes does each step, --dry-run prints them";
        return Err(Failure::new(USAGE, what));
    }
    eprint!("do `{step}`? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

/// Starts this program with the step's arguments, for the same cluster.
fn start(cluster: &ClusterArgs, arguments: &[&str]) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(arguments).args(cluster.passed_on());
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    let what = format!("`lockstep {}` ended with {status}; nothing more is done", arguments.join(" "));
    Err(Failure::new(FAILED, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::ASKED_NEVER;

    /// Found by hand: twenty seconds behind its death the answers of a replica were said to be ok.
    #[test]
    fn a_node_that_is_down_is_not_said_to_answer() {
        let well =
            WayRow { peer: 3, unanswered: 0, large: 0, replay: 0, answered: 7, reserved: 0, asked_ms: 20 };
        let line = |row: WayRow| way_line(&row);
        assert_eq!(line(well), "  of 3: answers ok, of full size ok, replay port ok; its questions arrive");
        let down = "  of 3: no sign of life: neither answers nor questions arrive";
        for asked_ms in [1_100, 50_000, ASKED_NEVER] {
            assert_eq!(line(WayRow { asked_ms, ..well }), down);
        }
        // A path that is lost is another matter: it lives.
        let cut = line(WayRow { unanswered: 3, asked_ms: ASKED_NEVER, ..well });
        assert!(
            cut.starts_with("  of 3: answers LOST (3)") && cut.ends_with("none of its questions arrives")
        );
    }
}
