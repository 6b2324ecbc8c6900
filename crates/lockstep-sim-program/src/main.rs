//! # lockstep-sim: the judge as a program
//!
//! `lockstep sim` and `lockstep netsim` start it. Without a command it is `sim`:
//! `cargo run --release -p lockstep-sim-program -- --seeds 10000`.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a run is boxed by time, and uses threads")]

mod args;
mod failure;
mod netsim;
mod seeds;

use args::{SimCli, SimCommand};
use clap::Parser;
use failure::{SimFailure, USAGE};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    lockstep_io::choose_instructions();
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_none_or(|first| first.to_string_lossy().starts_with('-')) {
        args.insert(1.min(args.len()), "sim".into());
    }
    let command = match SimCli::try_parse_from(args) {
        Ok(cli) => cli.command,
        Err(asked) => {
            let _ = asked.print(); // nobody reads it: there is nothing left to say
            return ExitCode::from(u8::try_from(asked.exit_code()).unwrap_or(USAGE));
        }
    };
    let done = match command {
        SimCommand::Sim(args) => seeds::run(&args),
        SimCommand::Netsim(args) => netsim::run_table(&args),
    };
    ExitCode::from(done.unwrap_or_else(SimFailure::print))
}
