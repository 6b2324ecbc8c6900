//! # cli: one file per subcommand
//!
//! ```text
//!  argv ─ args ─▶ settings: flag > LOCKSTEP_… > file > default ─▶ one subcommand ─▶ exit code
//!                                                                  │ stdout: data
//!                                                                  └ stderr: everything else
//! ```
//!
//! Each subcommand is a function of its arguments and answers with `Ok` or a [`Failure`], which knows
//! its exit code and says what, where, and what to do instead. Nothing below `main` ends the process.

pub mod check;

mod ack;
mod args;
mod audit;
mod backup;
mod beside;
mod bootstrap;
mod bundle;
mod captured;
mod completions;
mod counters;
mod day;
mod declare_dead;
mod doctor;
mod drill;
mod events;
mod explain;
mod filter;
mod format;
mod handover;
mod health;
mod input;
mod journal;
mod keys;
mod losses;
mod membership;
mod metrics;
mod new;
mod operator;
mod prove;
mod publish;
mod recover;
mod reload;
mod remote;
mod restore;
mod rolling;
mod schema;
mod shown;
mod status;
mod subscribe;
mod text;
mod time;
mod top;
mod upgrade;
mod wait;
mod waiting;
mod web;
mod whole;
mod why;

pub use lockstep_daemon::Failure;

use args::{Cli, Command};
use beside::{BRIDGE, DEMO, LABORATORY, SIMULATOR};
use clap::{CommandFactory, Parser};
use lockstep_daemon::{
    archiver, ended, expiry, failure, feed, gateway, has_color, log, notary, secret, sequencer, signals,
    watch,
};
use lockstep_io::output;
#[cfg(test)]
use lockstep_operations::samples;
use lockstep_process::stop;
use std::ffi::OsString;
use std::io::Write;

/// The definition of all commands, for manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the arguments say (the first is the program's name) and returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    lockstep_io::choose_instructions();
    lockstep_io::links::at_stranded(|why| {
        tracing::error!("{why}: this process ends with exit code 1");
        stop::end_for_cause();
    });
    let args: Vec<OsString> = args.into_iter().collect();
    let is_health = args.get(1).is_some_and(|name| name == "health");
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(asked) if is_health && asked.use_stderr() => return health::refuse_usage(&asked),
        Err(asked) => {
            // Help and version are asked for too: clap knows the stream and the code of each.
            let _ = asked.print(); // nobody reads it: there is nothing left to say
            return u8::try_from(asked.exit_code()).unwrap_or(2);
        }
    };
    let code = cli.command.run().unwrap_or_else(|failure| {
        failure.print();
        failure.code()
    });
    output::flush();
    stop::exit_code(code)
}

impl Command {
    fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Format(args) => format::run(&args),
            Self::Recover(args) => recover::run(&args),
            Self::Bootstrap(args) => bootstrap::run(&args),
            Self::Journal(args) => journal::run(&args),
            Self::Backup(args) => backup::run(&args),
            Self::Restore(args) => restore::run(&args),
            Self::Bundle(args) => bundle::run(&args),
            Self::Sequencer(args) => sequencer::run(&args),
            Self::Archiver(args) => archiver::run(&args),
            Self::Feed(args) => feed::run(&args),
            Self::Gateway(args) => gateway::run(&args),
            Self::Watch(args) => watch::run(&args),
            Self::Publish(args) => publish::run(&args),
            Self::Subscribe(args) => subscribe::run(&args),
            Self::Status(args) => status::run(&args),
            Self::Why(args) => why::run(&args),
            Self::Fix(args) => why::fix(&args),
            Self::Health(args) => health::run(&args),
            Self::Wait(args) => wait::run(&args),
            Self::Doctor(args) => doctor::run(&args),
            Self::Rolling(args) => rolling::run(&args),
            Self::Drill(args) => drill::run(&args),
            Self::Top(args) => top::run(&args),
            Self::Web(args) => web::run(&args),
            Self::Losses(args) => losses::run(&args),
            Self::Counters(args) => counters::run(&args),
            Self::Events(args) => events::run(&args),
            Self::Reload(args) => reload::run(&args),
            Self::Schema(args) => schema::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Completions(args) => completions::run(&args),
            Self::Metrics(args) => metrics::run(&args),
            Self::Membership(args) => membership::run(&args),
            Self::Keys(args) => keys::run(&args),
            Self::Day(args) => day::run(&args),
            Self::Audit(args) => audit::run(&args),
            Self::Notary(args) => notary::run(&args),
            Self::Prove(args) => prove::run(&args),
            Self::Ack(args) => ack::run(&args),
            Self::Handover(args) => handover::run(&args),
            Self::Upgrade(args) => upgrade::run(&args),
            Self::Time(args) => time::run(&args),
            Self::DeclareDead(args) => declare_dead::run(&args),
            Self::Check(args) => checked(&args),
            Self::Sim(args) => SIMULATOR.exec(&["sim"], &args),
            Self::Netsim(args) => SIMULATOR.exec(&["netsim"], &args),
            Self::Bridge(args) => BRIDGE.exec(&[], &args),
            Self::Lab(args) => LABORATORY.exec(&[], &args),
            Self::Demo(args) => DEMO.exec(&["demo"], &args),
            Self::Dev(args) => DEMO.exec(&["dev"], &args),
            Self::New(args) => new::run(&args),
            Self::ExitCodes => {
                writeln!(std::io::stdout(), "{}", failure::exit_codes())?;
                Ok(0)
            }
        }
    }
}

fn checked(args: &args::CheckArgs) -> Result<u8, Failure> {
    if let [old, new] = &args.diff[..] {
        return check::diff([old, new], args.json, &mut std::io::stdout().lock());
    }
    let path = args.file.as_deref().unwrap_or(&args.cluster.config);
    let (overrides, out) = (args.cluster.overrides(&[])?, std::io::stdout().lock());
    let color = has_color(&out);
    let mut out = std::io::BufWriter::new(out);
    if let Some(what) = log::left_out() {
        eprintln!("{what}");
    }
    let code = check::run(Some(path), &overrides, args.effective, args.json, color, &mut out)?;
    out.flush()?;
    Ok(code)
}
