//! `lockstep wait`: for scripts that go on when something holds: a replica leads, a quorum is there, members
//! have caught up, a seq is committed, a trading day has begun.
//!
//! Days are marks in the stream, so that waiting for one reads the stream: its newest part first, as the day
//! has mostly begun just now, then more and more of it, from its oldest entry at last. Everything else is
//! asked of the replicas, again and again with a pause between.

use crate::cli::shared::flags::OperatorArgs;
use crate::cli::shared::operator::CommandClient;
use crate::cli::shared::waiting;
use clap::Args;
use lockstep_client::internal::leader_of;
use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_daemon::Failure;
use lockstep_daemon::ended::{Again, abandoned, ended};
use lockstep_daemon::failure::{NOT_READY, USAGE};
use lockstep_io::idle::Idle;
use lockstep_operations::goals::{WaitGoal, await_goal};
use lockstep_wire::{DayMark, Nanos, Seq};
use serde_json::json;
use std::io::Write;
use std::ops::ControlFlow;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.wait/1";
/// Longest sleep between two polls of the stream: a request for missing frames may be due.
const PAUSE_NS: Nanos = 1_000_000;
/// Events between two looks at the clock.
const BATCH: usize = 4_096;

/// So many of the newest entries are read first for a day, ...
const DAY_READ_FIRST: Seq = 1 << 16;
/// ... and then so many times as many.
const DAY_READ_MORE: Seq = 16;

/// Flags of `wait`.
#[derive(Args, Debug)]
pub struct WaitArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// leader; quorum: a leader and a quorum of members; caught-up: every member has what is committed;
    /// seq=N: committed up to and with N; day=NAME: this trading day has begun
    #[arg(long = "for", value_name = "WHAT")]
    pub goal: WaitGoal,
    /// With caught-up and seq=N: of this replica or archiver alone
    #[arg(long, value_name = "N")]
    pub replica: Option<u32>,
}

/// Prints what holds; or exits 4 and names what is missing.
pub fn run(args: &WaitArgs) -> Result<u8, Failure> {
    let (goal, timeout) = (&args.goal, args.operator.timeout);
    if args.replica.is_some() && !matches!(goal, WaitGoal::CaughtUp | WaitGoal::Seq(_)) {
        let what = format!("--replica goes with --for caught-up and --for seq=N, and not with {goal}");
        return Err(Failure::new(USAGE, what));
    }
    let outcome = match goal {
        WaitGoal::Day(name) => wait_for_day(args, name)?,
        _ => {
            let mut operator = CommandClient::open(&args.operator.cluster, timeout)?;
            await_goal(&mut operator, goal, args.replica)?
        }
    };
    let mut out = std::io::stdout();
    if args.operator.json {
        let (holds, what) = (outcome.is_ok(), outcome.as_ref().unwrap_or_else(|missing| missing));
        let goal = goal.to_string();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "for": goal, "holds": holds, "what": what }))?;
    } else if let Ok(what) = &outcome {
        writeln!(out, "{what}")?;
    }
    match outcome {
        Ok(_) => Ok(0),
        Err(missing) => {
            let what = format!("waited {timeout:?} for {goal} in vain: {missing}");
            Err(Failure::new(NOT_READY, what))
        }
    }
}

/// The trading days that the stream was seen to begin.
#[derive(Default)]
struct Days {
    /// The first entry that was read.
    first: Option<Seq>,
    /// Where the wanted one begins.
    begins: Option<Seq>,
    last: Option<(Seq, String)>,
    /// The stream was read up to there.
    next: Seq,
}

impl Days {
    fn on_event(&mut self, event: &SubscriberEvent<'_>, wanted: &str) {
        self.first = self.first.or(event.seq());
        if let SubscriberEvent::Day { seq, mark: DayMark { is_start: true, name }, .. } = *event {
            self.last = Some((seq, name.to_owned()));
            if name == wanted {
                self.begins = Some(seq);
            }
        }
    }

    /// The days that were found instead of the wanted one.
    fn missing(&self) -> String {
        let Some(first) = self.first else { return "nothing of the stream was read".to_owned() };
        let last = self.next.saturating_sub(1);
        let other = self.last.as_ref().map_or_else(
            || "no day begins there".to_owned(),
            |(seq, name)| format!("the last day that begins there is {name}, at seq {seq}"),
        );
        format!("the stream was read from seq {first} to {last}, and {other}")
    }
}

/// Where the stream is read from for a day, pass after pass, where it was committed below `end` at first.
fn day_starts(end: Seq) -> impl Iterator<Item = Start> {
    let reads = std::iter::successors(Some(DAY_READ_FIRST), |read| Some(read.saturating_mul(DAY_READ_MORE)));
    reads
        .map_while(move |read| end.checked_sub(read).filter(|from| *from > 1))
        .map(Start::From)
        .chain([Start::Oldest])
}

/// Reads the stream, its newest part first, until the day begins, or the time is over.
fn wait_for_day(args: &WaitArgs, name: &str) -> Result<Result<String, String>, Failure> {
    let config = args.operator.cluster.load(&[])?;
    let endpoint = Endpoint::for_operator(&config)?;
    let mut operator = CommandClient::open(&args.operator.cluster, args.operator.timeout)?;
    let end = leader_of(&operator.look()).map_or(1, |leader| leader.commit_next);
    for start in day_starts(end) {
        if let Some(days) = read_days(&endpoint, (start, end), name, &operator)? {
            return Ok(match days.begins {
                Some(seq) => Ok(format!("the trading day {name} begins at seq {seq}")),
                None => Err(format!("{}; {}", days.missing(), waiting::explain(&config, &endpoint))),
            });
        }
    }
    unreachable!("the last pass ends with the day or the time")
}

/// What one pass finds: `None` where it does not find the day below `end`, and another one reads more.
fn read_days(
    endpoint: &Endpoint,
    (start, end): (Start, Seq),
    name: &str,
    operator: &CommandClient,
) -> Result<Option<Days>, Failure> {
    let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, start)?;
    let mut waiter = Idle::Park.waiter(&subscriber.net().sockets())?;
    let (mut days, is_last) = (Days::default(), start == Start::Oldest);
    loop {
        let (mut failure, mut is_gone) = (None, false);
        let work = subscriber.poll(BATCH, |event| {
            days.on_event(&event, name);
            failure = match event {
                SubscriberEvent::Abandoned { .. } if !is_last => {
                    is_gone = true;
                    return ControlFlow::Break(());
                }
                SubscriberEvent::Abandoned { from, oldest, why } => {
                    Some(abandoned(from, oldest, why, "run an archiver that keeps more"))
                }
                event => ended(&event, Again::Start),
            };
            if failure.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        days.next = subscriber.deliver_next();
        if days.begins.is_some() || operator.left().is_zero() {
            return Ok(Some(days));
        }
        if is_gone || !is_last && days.next >= end {
            return Ok(None);
        }
        if work == 0 {
            waiter.wait(PAUSE_NS);
        }
    }
}

#[cfg(test)]
mod tests;
