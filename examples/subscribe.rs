//! Prints the stream from a seq on, as `committed`, until it has caught up.
//!
//! ```text
//! cargo run --example subscribe -- lockstep.toml 1
//! ```
//! The configuration is that of a running cluster, e.g. `configs/demo.toml`.

use lockstep::client::{Delivery, Flow, Start, Subscriber, SubscriberEvent};
use lockstep::config::Config;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let file = PathBuf::from(args.next().ok_or("usage: subscribe CONFIGURATION [SEQ]")?);
    let seq = args.next().map_or(Ok(1), |seq| seq.to_string_lossy().parse())?;
    let endpoint = Config::load(Some(&file), &[])?.endpoint();
    let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, Start::From(seq))?;
    let mut has_caught_up = false;
    while !has_caught_up && !subscriber.is_ended() {
        let work = subscriber.poll(64, |event| {
            match event {
                SubscriberEvent::Message(message) => {
                    println!("{} {}", message.seq, String::from_utf8_lossy(message.payload));
                }
                SubscriberEvent::Abandoned { oldest, .. } => {
                    eprintln!("begin at seq {oldest}: no replica has older ones")
                }
                SubscriberEvent::CaughtUp { .. } => has_caught_up = true,
                _ => {}
            }
            Flow::Continue
        });
        if work == 0 {
            std::thread::yield_now();
        }
    }
    Ok(())
}
