//! Prints the first messages of the stream, as `committed`; or as `stamped`, and then what a takeover takes
//! back of them.
//!
//! ```text
//! cargo run --example subscribe -- lockstep.toml 100
//! cargo run --example subscribe -- lockstep.toml 100 stamped
//! ```
//! The configuration is that of a running cluster, e.g. `configs/demo.toml`.

use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let file = PathBuf::from(args.next().ok_or("usage: subscribe CONFIGURATION [COUNT] [stamped]")?);
    let count = args.next().map_or(Ok(u64::MAX), |count| count.to_string_lossy().parse())?;
    let stamped = args.next().is_some_and(|mode| mode == "stamped");
    let delivery = if stamped { Delivery::Stamped } else { Delivery::Committed };
    let endpoint = Endpoint::from_file(&file)?;
    let mut subscriber = Subscriber::connect(&endpoint, delivery, Start::From(1))?;
    let mut printed = 0;
    // What may still be taken back: a real application keeps what it needs to undo these.
    let mut open = Vec::new();
    while printed < count && !subscriber.is_ended() {
        let work = subscriber.poll(64, |event| {
            match event {
                SubscriberEvent::Message(message) => {
                    println!("{} {}", message.seq, String::from_utf8_lossy(message.payload));
                    printed += 1;
                    if stamped {
                        open.push(message.seq);
                    }
                }
                SubscriberEvent::Committed { next } => open.retain(|seq| *seq >= next),
                SubscriberEvent::Retract { from } => {
                    let before = open.len();
                    open.retain(|seq| *seq < from);
                    printed -= (before - open.len()) as u64;
                    println!("{} messages from seq {from} on did not survive", before - open.len());
                }
                SubscriberEvent::Epoch { epoch, seq } => println!("seq {seq}: {epoch:?} leads"),
                SubscriberEvent::Abandoned { oldest, .. } => {
                    eprintln!("no replica remembers the first messages: begin with Start::From({oldest})");
                }
                _ => {}
            }
            // The rest comes with the next poll.
            if printed < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if work == 0 {
            subscriber.wait(Duration::from_millis(100))?;
        }
    }
    Ok(())
}
