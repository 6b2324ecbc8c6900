//! A replicated counter: the program of the tutorial in `docs/APPLY.md`.
//!
//! ```text
//! cargo run --example counter -- NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY]]
//! ```

use lockstep_app::{AppSettings, CHANNELS, EVERYBODY, Input, InputEvent, Output, StateMachine, run};
use lockstep_client::Endpoint;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

/// Messages by their publisher.
#[derive(Default)]
struct Counter {
    counts: BTreeMap<u32, u64>,
}

impl Counter {
    fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// The channel that the counter publishes to.
const TOTALS: u32 = CHANNELS + 1;
/// The key of its one timer.
const QUIET: u64 = 1;

impl StateMachine for Counter {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        match input.event {
            InputEvent::Message { publisher, destination: EVERYBODY, .. } => {
                *self.counts.entry(publisher).or_default() += 1;
                output.publish(TOTALS, format!("total {}", self.total()).as_bytes());
                output.timer_after(QUIET, 2_000_000_000, b"");
            }
            InputEvent::Timer { key: QUIET, .. } => {
                output.publish(TOTALS, format!("quiet at {}", self.total()).as_bytes());
            }
            _ => {}
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.counts.iter().try_for_each(|(publisher, count)| writeln!(out, "{publisher} {count}"))
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let text = io::read_to_string(from)?;
        let row = |line: &str| {
            let (publisher, count) = line.split_once(' ')?;
            Some((publisher.parse().ok()?, count.parse().ok()?))
        };
        let counts = text.lines().map(row).collect::<Option<_>>();
        Ok(Self { counts: counts.ok_or(io::ErrorKind::InvalidData)? })
    }

    fn query(&self, _: &[u8], answer: &mut Vec<u8>) {
        answer.extend_from_slice(format!("total {}", self.total()).as_bytes());
    }
}

fn start() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let number = args.next().ok_or("usage: counter NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY]]")?.parse()?;
    let mut settings = AppSettings::new("counter", number, format!("counter-{number}"));
    settings.serve = args.next().map(|address| address.parse()).transpose()?;
    settings.snapshot_every = args.next().map_or(Ok(settings.snapshot_every), |every| every.parse())?;
    Ok(run(&Endpoint::from_env()?, settings, Counter::default)?)
}

fn main() -> std::process::ExitCode {
    lockstep_app::ended(start())
}
