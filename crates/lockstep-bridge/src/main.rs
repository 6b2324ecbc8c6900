//! # lockstep-bridge: the stream in systems that firms already run
//!
//! ```text
//!  cluster ─ committed subscriber ─ batch ─ append… commit ─▶ target
//!                 ▲                                             │
//!                 └──────────── position ───────────────────────┘
//! ```
//!
//! A bridge stores no state: at each start and after each failure it asks the target for the last message
//! that is there, and reads the stream from there. `docs/BRIDGES.md` has the guarantee of each target.

#![forbid(unsafe_code)]

/// Writes a line on stderr, and waits for nobody who reads it.
macro_rules! say {
    ($($words:tt)*) => {
        lockstep_io::output::write_line(lockstep_io::output::OutputStream::Err, format_args!($($words)*))
    };
}

mod batch;
mod clock;
mod failure;
mod file;
#[cfg(any(feature = "nats", feature = "kafka"))]
mod headers;
mod influx;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
mod outage;
mod postgres;
mod reader;
mod record;
mod remote;
mod report;
mod run;
mod target;

use clap::{Args, Parser, Subcommand};
use failure::{BridgeFailure, FAILED, USAGE};
use lockstep_client::{Config, Destination, Endpoint};
use reader::{BridgeEnd, From};
use run::BridgeSettings;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use target::Target;

/// How long the end is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Copies the stream of a lockstep cluster into another system, and goes on where that ends
///
/// A bridge stores no state: it reads the target's last message and continues behind it. A target that is
/// down, slow or full is tried again, and the stream goes on meanwhile. SIGTERM ends a bridge at a commit.
#[derive(Parser, Debug)]
#[command(name = "lockstep-bridge", version)]
struct BridgeArgs {
    #[command(subcommand)]
    target: TargetArgs,
}

/// The targets.
#[derive(Subcommand, Debug)]
enum TargetArgs {
    Postgres {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        postgres: postgres::PostgresArgs,
    },
    #[cfg(feature = "nats")]
    Nats {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        nats: nats::NatsArgs,
    },
    #[cfg(feature = "kafka")]
    Kafka {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        kafka: kafka::KafkaArgs,
    },
    Influx {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        influx: influx::InfluxArgs,
    },
    /// Writes the stream into files: CSV, length-prefixed, BinaryFILE, pcap, pcapng, Parquet
    ///
    /// Files end with a day, a number of messages or a size, and are complete or not there: manifest.json
    /// lists them. The same part of the stream gives the same bytes. With --until-end or --to the last file
    /// is completed too.
    File {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        file: file::FileTargetArgs,
    },
    /// A target that this build does not have, or that there is none of.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Targets whose clients compile C; each is a feature of its name.
const OF_FEATURES: [&str; 2] = ["kafka", "nats"];

/// Why `name` is no target of this build.
fn missing(name: &str) -> BridgeFailure {
    let what = match OF_FEATURES.contains(&name) {
        true => format!(
            "{name}: this build has no such target, as its client compiles C: \
             `cargo build --release -p lockstep-bridge --features {name}` makes one that has it"
        ),
        false => format!("{name}: no target; choose from file, influx, kafka, nats, postgres"),
    };
    BridgeFailure::new(USAGE, what)
}

/// Arguments of all targets.
#[derive(Args, Debug)]
#[command(next_help_heading = "Stream")]
struct CommonArgs {
    /// The cluster's configuration
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_CONFIG", default_value = "/etc/lockstep/lockstep.toml")]
    config: PathBuf,
    /// Where an empty target begins: oldest, or a seq. A target that has messages is continued behind them
    #[arg(long, value_name = "oldest|SEQ", default_value = "oldest", value_parser = parse_from)]
    from: From,
    /// Only messages to this destination; repeatable. 0 is everybody
    #[arg(long, value_name = "NUMBER")]
    destination: Vec<Destination>,
    /// Ends at the end of the stream as it is at the start
    #[arg(long, conflicts_with = "to")]
    until_end: bool,
    /// Ends behind this seq
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// Bytes of a commit, about
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = parse_size)]
    batch_bytes: usize,
    /// A target that does not answer for so long counts as stalled; its connection is made anew
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    target_timeout: Duration,
    /// Leaves out the message of this seq, which the target does not take; repeatable
    #[arg(long, value_name = "SEQ")]
    skip: Vec<u64>,
    /// Prints the counters on stderr so often
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    report: Option<Duration>,
}

fn parse_from(text: &str) -> Result<From, String> {
    match text.parse() {
        _ if text == "oldest" => Ok(From::Oldest),
        Ok(seq) if seq > 0 => Ok(From::Seq(seq)),
        _ => Err("write oldest, or a seq from 1 on".to_owned()),
    }
}

/// A size as the configuration file spells it, of at least a byte.
fn parse_size(text: &str) -> Result<usize, String> {
    let size = usize::try_from(lockstep_config::size(text)?).ok().filter(|size| *size > 0);
    size.ok_or_else(|| "write a size above nothing, such as 1MiB".to_owned())
}

/// A time as the configuration file spells it, of at least a millisecond.
fn parse_time(text: &str) -> Result<Duration, String> {
    let time = lockstep_config::duration(text)?;
    match time >= Duration::from_millis(1) {
        true => Ok(time),
        false => Err("write a time of 1ms or more, such as 10s".to_owned()),
    }
}

impl CommonArgs {
    /// A target that has lost its position goes on where the operator says.
    #[cfg(any(feature = "nats", feature = "kafka"))]
    fn check_purge(&self, after_purge: bool) -> Result<(), BridgeFailure> {
        match after_purge && self.from == From::Oldest {
            true => Err(BridgeFailure::new(USAGE, "--after-purge: say with --from SEQ where to go on")),
            false => Ok(()),
        }
    }

    /// Runs the bridge into `target`.
    fn run(&self, target: &mut dyn Target, stop: &AtomicBool) -> Result<(), BridgeFailure> {
        let config = Config::load(Some(&self.config), &[])?;
        let endpoint = Endpoint::from_config(&config)?;
        let end = match self.to {
            Some(seq) => Some(BridgeEnd { next: seq.saturating_add(1), history: None }),
            None if self.until_end => Some(BridgeEnd::of_stream(&endpoint, END_TIMEOUT)?),
            None => None,
        };
        let settings = BridgeSettings {
            from: self.from,
            end,
            destinations: self.destination.clone(),
            batch_bytes: self.batch_bytes,
            report: self.report,
            skip: self.skip.clone(),
        };
        run::run(&endpoint, target, &settings, stop)
    }
}

fn start() -> Result<(), BridgeFailure> {
    let args = BridgeArgs::try_parse().unwrap_or_else(|asked| asked.exit());
    // It is a daemon: whoever reads its stderr may hang, and delays nothing.
    lockstep_io::output::hold();
    lockstep_io::output::start();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let listening = signal_hook::flag::register(signal, Arc::clone(&stop));
        listening.map_err(|error| BridgeFailure::new(FAILED, format!("listen to signals: {error}")))?;
    }
    match args.target {
        TargetArgs::Postgres { common, postgres } => {
            let mut target = postgres::Postgres::new(&postgres, common.target_timeout, Arc::clone(&stop))?;
            common.run(&mut target, &stop)
        }
        #[cfg(feature = "nats")]
        TargetArgs::Nats { common, nats } => {
            common.check_purge(nats.after_purge)?;
            let mut target = nats::Nats::new(&nats, common.target_timeout, Arc::clone(&stop))?;
            common.run(&mut target, &stop)
        }
        #[cfg(feature = "kafka")]
        TargetArgs::Kafka { common, kafka } if kafka.input.is_input => {
            let config = Config::load(Some(&common.config), &[])?;
            let settings = kafka::input::KafkaInputSettings {
                destinations: common.destination,
                until_end: common.until_end,
                timeout: common.target_timeout,
                report: common.report,
            };
            kafka::input::run(&Endpoint::from_config(&config)?, &kafka, &settings, &stop)
        }
        #[cfg(feature = "kafka")]
        TargetArgs::Kafka { common, kafka } => {
            common.check_purge(kafka.after_purge)?;
            let mut target = kafka::Kafka::new(&kafka, common.target_timeout, Arc::clone(&stop))?;
            common.run(&mut target, &stop)
        }
        TargetArgs::Influx { common, influx } => {
            let mut target = influx::Influx::new(&influx, common.target_timeout)?;
            common.run(&mut target, &stop)
        }
        TargetArgs::File { common, file } => {
            let mut target = file.target(&common.destination)?;
            common.run(&mut target, &stop)
        }
        TargetArgs::Other(words) => {
            Err(missing(&words.first().map(|word| word.to_string_lossy()).unwrap_or_default()))
        }
    }
}

fn main() -> ExitCode {
    let code = match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say!("lockstep-bridge: {failure}");
            ExitCode::from(failure.code)
        }
    };
    lockstep_io::output::flush();
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_beginnings_are_read_and_others_refused() {
        assert_eq!(parse_time("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "10", "s", "0s", "999us", "1m", "99999999999999999999s"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        for wrong in ["", "0B", "1048576", "1MB", "99999999999999999999GiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!((parse_from("oldest"), parse_from("7")), (Ok(From::Oldest), Ok(From::Seq(7))));
        assert!(parse_from("0").is_err());
    }
}
