//! A service of locks, registers and elections: replicas of [`LockTable`] on a running cluster.
//!
//! ```text
//! cargo run --example locks -- 1 127.0.0.1:9701      # with LOCKSTEP_CONFIG; a second one with 2
//! ```
//! Requests are messages to channel 9, `lock NAME` and the other ones of [`LockTable`]; the answer comes to
//! their publisher. `curl -d 'holder NAME' http://127.0.0.1:9701/query` reads without an entry.

use lockstep_app::{AppSettings, CHANNELS, LockTable, run};
use lockstep_client::Endpoint;

fn start() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let number = args.next().ok_or("usage: locks NUMBER [ADDRESS:PORT]")?.parse()?;
    let mut settings = AppSettings::new("locks", number, format!("locks-{number}"));
    settings.serve = args.next().map(|address| address.parse()).transpose()?;
    Ok(run(&Endpoint::from_env()?, settings, || LockTable::new(CHANNELS + 9))?)
}

fn main() -> std::process::ExitCode {
    lockstep_app::ended(start())
}
