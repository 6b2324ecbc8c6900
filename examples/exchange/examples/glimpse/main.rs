//! # glimpse: the market for readers who come late
//!
//! ```text
//! cargo run --release -p lockstep-exchange --example glimpse -- NUMBER ADDRESS:PORT USERS [OPENING]
//! ```
//!
//! A replica of the exchange that publishes nothing, and a server of SoupBinTCP at ADDRESS:PORT in front of
//! it: a reader logs in, is sent the books as messages of ITCH 5.0, then GLIMPSE 5.0's `G` with the number of
//! the feed's next message, and the session ends. No replica that trades is asked, so that readers delay
//! nobody. USERS is the file of the gateway's users, who have the same passwords here; NUMBER is one that no
//! other replica has, and OPENING the file that the others have.

#![allow(clippy::disallowed_methods, reason = "a program with sockets, threads and a clock")]

#[path = "../support/founding.rs"]
mod founding;
mod serve;
mod session;

use lockstep_app::{App, AppSettings, Endpoint};
use lockstep_exchange::ExchangeMachine;
use lockstep_process::stop::Stop;
use serve::GlimpseServer;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The most for which an idle replica sleeps.
const PAUSE: Duration = Duration::from_millis(1);

/// Answers all who wait for a snapshot with the same one.
fn answer(app: &App<ExchangeMachine>, server: &GlimpseServer) -> usize {
    let waiting: Vec<_> = server.waiting().collect();
    if !waiting.is_empty() {
        let mut bytes = Vec::new();
        lockstep_app::StateMachine::query(app.replica().core.machine(), b"glimpse", &mut bytes);
        let snapshot: Arc<[u8]> = bytes.into();
        for to in &waiting {
            let _ = to.send(Arc::clone(&snapshot)); // its session may be over
        }
    }
    waiting.len()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: glimpse NUMBER ADDRESS:PORT USERS [OPENING]";
    let (Some(number), Some(address), Some(users)) = (args.next(), args.next(), args.next()) else {
        return Err(usage.into());
    };
    let stop = Stop::by_signals()?;
    let mut settings = AppSettings::new("exchange", number.parse()?, format!("exchange-{number}"));
    (settings.is_shadow, settings.digest_every) = (true, 10_000);
    let machine = founding::founded(args.next().as_deref())?;
    let endpoint = Endpoint::from_env()?;
    let mut app = App::connect(&endpoint, settings, move || machine.clone())?;
    let server = GlimpseServer::start(address.parse()?, users.into())?;
    println!("listening {}", server.address());
    let mut idle = endpoint.idle().waiter(&app.sockets())?;
    while !stop.flag().load(Ordering::Acquire) {
        let work = app.turn(|_, _| {})? + answer(&app, &server);
        if work == 0 {
            idle.on_progress(app.replica().next());
            idle.wait(app.due().min(PAUSE).as_nanos() as u64);
        }
    }
    Ok(())
}
