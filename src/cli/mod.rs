//! # cli: one file per subcommand, in rooms
//!
//! ```text
//!  argv ─ args ─▶ settings: flag > LOCKSTEP_… > file > default ─▶ one subcommand ─▶ exit code
//!                                                                  │ stdout: data
//!                                                                  └ stderr: everything else
//! ```
//!
//! Each subcommand is a function of its arguments and answers with `Ok` or a [`Failure`], which knows
//! its exit code and says what, where, and what to do instead. Nothing below `main` ends the process.
//!
//! The rooms are the headings of `docs/COMMANDS.md`: `run`, `store`, `operate`, `inspect`, `develop`; what
//! several commands have is in `shared`. A command reads its flags, asks, and prints: what it does is a
//! function of `lockstep_operations`, or of the crate whose work it is.

mod args;
mod develop;
mod inspect;
mod operate;
mod run;
mod sets;
mod shared;
mod store;

pub use inspect::check;
pub use lockstep_daemon::Failure;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use develop::beside::{BRIDGE, DEMO, LABORATORY, SIMULATOR};
use lockstep_daemon::{archiver, coordinator, failure, feed, gateway, notary, sequencer, watch};
use lockstep_io::output;
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
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(asked) if is_health && asked.use_stderr() => return inspect::health::refuse_usage(&asked),
        Err(asked) => {
            // Help and version are asked for too: clap knows the stream and the code of each.
            let _ = asked.print(); // nobody reads it: there is nothing left to say
            return u8::try_from(asked.exit_code()).unwrap_or(2);
        }
    };
    let done = sets::run(&cli.command, &args).unwrap_or_else(|| cli.command.run());
    let code = done.unwrap_or_else(|failure| {
        failure.print();
        failure.code()
    });
    output::flush();
    stop::exit_code(code)
}

impl Command {
    fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Format(args) => run::format::run(&args),
            Self::Recover(args) => store::recover::run(&args),
            Self::Bootstrap(args) => run::bootstrap::run(&args),
            Self::Journal(args) => store::journal::run(&args),
            Self::Backup(args) => store::backup::run(&args),
            Self::Restore(args) => store::restore::run(&args),
            Self::Bundle(args) => inspect::bundle::run(&args),
            Self::Sequencer(args) => sequencer::run(&args),
            Self::Archiver(args) => archiver::run(&args),
            Self::Feed(args) => feed::run(&args),
            Self::Gateway(args) => gateway::run(&args),
            Self::Watch(args) => watch::run(&args),
            Self::Publish(args) => run::publish::run(&args),
            Self::Subscribe(args) => run::subscribe::run(&args),
            Self::Status(args) => inspect::status::run(&args),
            Self::Why(args) => inspect::why::run(&args),
            Self::Fix(args) => inspect::why::fix(&args),
            Self::Health(args) => inspect::health::run(&args),
            Self::Wait(args) => inspect::wait::run(&args),
            Self::Doctor(args) => inspect::doctor::run(&args),
            Self::Rolling(args) => operate::rolling::run(&args),
            Self::Drill(args) => operate::drill::run(&args),
            Self::Top(args) => inspect::top::run(&args),
            Self::Web(args) => inspect::web::run(&args),
            Self::Losses(args) => inspect::losses::run(&args),
            Self::Counters(args) => inspect::counters::run(&args),
            Self::Events(args) => inspect::events::run(&args),
            Self::Reload(args) => operate::reload::run(&args),
            Self::Schema(args) => develop::schema::run(&args),
            Self::Explain(args) => inspect::explain::run(&args),
            Self::Completions(args) => develop::completions::run(&args),
            Self::Metrics(args) => inspect::metrics::run(&args),
            Self::Membership(args) => operate::membership::run(&args),
            Self::Keys(args) => operate::keys::run(&args),
            Self::Day(args) => operate::day::run(&args),
            Self::Audit(args) => inspect::audit::run(&args),
            Self::Notary(args) => notary::run(&args),
            Self::Coordinator(args) => coordinator::run(&args),
            Self::Streams(args) => operate::streams::run(&args),
            Self::Prove(args) => inspect::prove::run(&args),
            Self::Ack(args) => operate::ack::run(&args),
            Self::Handover(args) => operate::handover::run(&args),
            Self::Upgrade(args) => operate::upgrade::run(&args),
            Self::Time(args) => operate::time::run(&args),
            Self::DeclareDead(args) => operate::declare_dead::run(&args),
            Self::Check(args) => check::of_args(&args),
            Self::Sim(args) => SIMULATOR.exec(&["sim"], &args),
            Self::Netsim(args) => SIMULATOR.exec(&["netsim"], &args),
            Self::Bridge(args) => BRIDGE.exec(&[], &args),
            Self::Lab(args) => LABORATORY.exec(&[], &args),
            Self::Demo(args) => DEMO.exec(&["demo"], &args),
            Self::Dev(args) => DEMO.exec(&["dev"], &args),
            Self::New(args) => develop::new::run(&args),
            Self::ExitCodes => {
                writeln!(std::io::stdout(), "{}", failure::exit_codes())?;
                Ok(0)
            }
        }
    }
}
