//! `lockstep day`: stamps where a trading day begins and ends. Gateways and feeds turn the day at that entry.

use crate::cli::shared::flags::OperatorArgs;
use clap::{Args, Subcommand};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::failure::USAGE;
use lockstep_operations::commands::CommandSource;
use lockstep_operations::day::mark_day;
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

impl DayCommand {
    /// The cluster that it is about.
    pub fn cluster(&self) -> &ClusterArgs {
        match self {
            Self::Start(args) => &args.operator.cluster,
            Self::End(operator) => &operator.cluster,
        }
    }
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
    let signs = operator.cluster.signing_key(&config)?;
    let seq = mark_day(&config, signs.as_ref(), begins.then_some(name), operator.timeout)?;
    if operator.json {
        println!("{}", serde_json::json!({ "begins": begins, "day": name, "seq": seq }));
    } else if begins {
        println!("the trading day {name} begins at seq {seq}");
    } else {
        println!("the trading day ends at seq {seq}");
    }
    Ok(0)
}
