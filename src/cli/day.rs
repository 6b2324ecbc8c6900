//! `lockstep day`: stamps where a trading day begins and ends. Gateways and feeds turn the day at that entry.
//!
//! Days are marked by one publisher, in turns: its odd numbers begin a day and its even ones end one. So its last
//! number tells whether a day is open, whoever asks, and a mark that is repeated is stamped once.

use super::Failure;
use super::args::OperatorArgs;
use super::failure::{NOT_READY, USAGE};
use crate::client::{OpenError, Publisher, PublisherEvent};
use crate::io::clock::{Clock, random_u64};
use crate::wire::{DAY_LEN_MAX, DayMark};
use clap::{Args, Subcommand};

/// The name of who marks days.
const CALENDAR: &str = "lockstep/day";

/// What `day` does.
#[derive(Args, Debug)]
pub struct DayArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DayCommand,
}

/// The subcommands of `day`.
#[derive(Subcommand, Debug)]
pub enum DayCommand {
    /// Begins a trading day: sequences begin anew at 1, under this name as their session
    Start(StartArgs),
    /// Ends the open trading day: clients and feeds are told that the session is over
    End(OperatorArgs),
}

/// Flags of `day start`.
#[derive(Args, Debug)]
pub struct StartArgs {
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// The day's name: 1 to 10 letters and digits
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Marks the day, and prints where.
pub fn run(args: &DayArgs) -> Result<u8, Failure> {
    let (begins, name, operator) = match &args.command {
        DayCommand::Start(args) => (true, args.name.as_str(), &args.operator),
        DayCommand::End(operator) => (false, "", operator),
    };
    if begins && !DayMark::is_name(name) {
        let what = format!("'{name}' is no day's name: 1 to {DAY_LEN_MAX} letters and digits");
        return Err(Failure::new(USAGE, what));
    }
    let config = operator.cluster.load(&[])?;
    let mut publisher = Publisher::connect(&config.endpoint())?;
    let clock = Clock::start();
    let deadline = clock.now() + operator.timeout.as_nanos() as u64;
    let late = || OpenError::TimedOut(CALENDAR.to_owned(), operator.timeout);
    let nonce = [random_u64()?, random_u64()?];
    publisher.begin_open(CALENDAR, nonce).ok_or_else(|| OpenError::Name(CALENDAR.to_owned()))?;
    let (mut opened, mut committed, mut fenced) = (None, None, false);
    let mut marked = None;
    while committed.is_none() {
        if clock.now() > deadline {
            return Err(Failure::from(late()).explained(NOT_READY, || "the day was not marked".to_owned()));
        }
        let work = publisher.poll(64, |event| match event {
            PublisherEvent::Opened { publisher, last, .. } => opened = Some((publisher, last)),
            PublisherEvent::Committed { publisher_seq, seq, .. } if Some(publisher_seq) == marked => {
                committed = Some(seq);
            }
            PublisherEvent::Fenced { .. } | PublisherEvent::Lost => fenced = true,
            _ => {}
        });
        if fenced {
            let what = "another operator marks a day at this moment: see what it did, and try again";
            return Err(Failure::new(super::failure::FENCED, what));
        }
        if let Some((id, last)) = opened
            && marked.is_none()
        {
            let is_open = last % 2 == 1;
            if is_open == begins {
                let state =
                    if begins { "a trading day is open: end it first" } else { "no trading day is open" };
                return Err(Failure::new(USAGE, state));
            }
            let mark = DayMark { begins, name };
            marked = publisher.try_day(id, mark).ok();
        }
        if work == 0 {
            publisher.wait(operator.timeout)?;
        }
    }
    let seq = committed.unwrap_or_default();
    if operator.json {
        println!("{}", serde_json::json!({ "begins": begins, "day": name, "seq": seq }));
    } else if begins {
        println!("the trading day {name} begins at seq {seq}");
    } else {
        println!("the trading day ends at seq {seq}");
    }
    Ok(0)
}
