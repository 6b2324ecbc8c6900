//! `lockstep day`: stamps where a trading day begins and ends. Gateways and feeds turn the day at that entry.

use super::Failure;
use super::args::OperatorArgs;
use super::failure::{FAILED, NOT_READY, USAGE};
use super::operator::signing_key;
use clap::{Args, Subcommand};
use lockstep_client::Endpoint;
use lockstep_client::{OpenError, Publisher};
use lockstep_gateway::calendar::{CALENDAR, DayMarkRequest, Marked};
use lockstep_io::clock::{Clock, random_u64};
use lockstep_wire::{DAY_LEN_MAX, DayMark};

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
    /// Ends the open trading day: clients and feeds receive the end of the session
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
    let (signs, number) = (signing_key(&config)?, random_u64()?);
    let mut publisher = Publisher::connect(&Endpoint::for_operator(&config)?)?;
    let clock = Clock::start();
    let deadline = clock.now() + operator.timeout.as_nanos() as u64;
    let late = || OpenError::TimedOut(CALENDAR.to_owned(), operator.timeout);
    let nonce = [random_u64()?, random_u64()?];
    let order = DayMarkRequest::begin(publisher.core_mut(), begins.then_some(name), nonce);
    let mut order = order.ok_or_else(|| OpenError::Name(CALENDAR.to_owned()))?;
    let seq = loop {
        if clock.now() > deadline {
            return Err(Failure::from(late()).explained(NOT_READY, || "the day was not marked".to_owned()));
        }
        let work = publisher.poll(64, |event| order.on_publisher(&event));
        match order.turn(publisher.core_mut(), signs.as_ref().map(|key| (key, number))) {
            Some(Marked::At(seq)) => break seq,
            Some(Marked::Already) => {
                let state = match begins {
                    true => "a trading day is open: run `lockstep day end` first",
                    false => "no trading day is open",
                };
                return Err(Failure::new(FAILED, state));
            }
            Some(Marked::Unknown) => {
                let what = "another operator marks a day at this moment: see what it did, and try again";
                return Err(Failure::new(super::failure::FENCED, what));
            }
            Some(Marked::NotAllowed) => {
                let what = "the leader refused it: the key of this host does not allow it, or its operator's signature does not hold; \
                            `lockstep keys show` on a replica's host lists what each key allows, and its public key";
                return Err(Failure::new(FAILED, what));
            }
            None if work == 0 => _ = publisher.wait(operator.timeout)?,
            None => {}
        }
    };
    if operator.json {
        println!("{}", serde_json::json!({ "begins": begins, "day": name, "seq": seq }));
    } else if begins {
        println!("the trading day {name} begins at seq {seq}");
    } else {
        println!("the trading day ends at seq {seq}");
    }
    Ok(0)
}
