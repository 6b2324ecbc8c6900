//! Publishes a few messages and prints the place of each.
//!
//! ```text
//! cargo run --example publish -- lockstep.toml
//! ```
//! The configuration is that of a running cluster, e.g. `configs/demo.toml`, or what `lockstep demo --keep`
//! leaves.

use lockstep_client::{Endpoint, PublishError, Publisher, PublisherEvent};
use std::path::PathBuf;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: publish CONFIGURATION")?);
    // Variables like LOCKSTEP_LINES_1_INTERFACE are laid over the file, as for every command of lockstep.
    let endpoint = Endpoint::from_file(&file)?;
    let mut publisher = Publisher::connect(&endpoint)?;
    let orders = publisher.open("example", Duration::from_secs(5))?;
    let mut number = 0;
    while number < 100 || !publisher.is_drained() {
        // As many as the window takes: they leave in few datagrams, at the poll below.
        while number < 100 {
            match publisher.try_publish(orders, 0, format!("buy {number} at 42").as_bytes()) {
                Ok(_) => number += 1,
                Err(PublishError::Backpressure) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let work = publisher.poll(64, |event| match event {
            PublisherEvent::Committed { publisher_seq, seq, .. } => println!("{publisher_seq} is seq {seq}"),
            PublisherEvent::Fenced { .. } => println!("a newer process publishes as 'example' now"),
            _ => {}
        });
        if work == 0 {
            // Until a datagram comes or something is to be sent again. A program with a core to spare leaves
            // it out.
            publisher.wait(Duration::from_millis(100))?;
        }
    }
    Ok(())
}
