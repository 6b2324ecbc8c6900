//! A replica of the exchange on a cluster. Start it as often as you like, each with a number of its own.
//!
//! ```text
//! cargo run --release -p lockstep-exchange --example exchange -- NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY [OPENING]]]
//! ```
//!
//! OPENING is a file of operators' commands, a line each, that are carried out at the first entry of the
//! stream: the same for each replica. Without it there are ABC and XYZ, in continuous trading.

#[path = "support/founding.rs"]
mod founding;

use lockstep_app::{AppSettings, Endpoint, run};

fn start() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let number =
        args.next().ok_or("usage: exchange NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY [OPENING]]]")?.parse()?;
    let mut settings = AppSettings::new("exchange", number, format!("exchange-{number}"));
    settings.serve = args.next().map(|address| address.parse()).transpose()?;
    settings.snapshot_every = args.next().map_or(Ok(settings.snapshot_every), |every| every.parse())?;
    settings.digest_every = 10_000;
    let machine = founding::founded(args.next().as_deref())?;
    Ok(run(&Endpoint::from_env()?, settings, move || machine.clone())?)
}

fn main() -> std::process::ExitCode {
    lockstep_app::ended(start())
}
