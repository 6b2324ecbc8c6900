//! Publishes one message and waits until it is committed and delivered: README.md has the same lines.
//!
//! ```text
//! LOCKSTEP_CONFIG=lockstep.toml cargo run --example hello
//! ```
//! The configuration is that of a running cluster.

use lockstep_client::{
    Delivery, EVERYBODY, Endpoint, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use std::ops::ControlFlow;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = Endpoint::from_env()?; // the cluster's file: LOCKSTEP_CONFIG names it
    // From the stream's first message on, so a second run prints those of the first as well.
    let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1))?;
    let mut publisher = Publisher::connect(&endpoint)?;
    let orders = publisher.open("hello", Duration::from_secs(5))?;
    let number = publisher.try_publish(orders, EVERYBODY, b"buy 100 at 42")?;
    let (mut committed, mut delivered) = (false, false);
    while !(committed && delivered) {
        publisher.poll(64, |event| committed |= matches!(event, PublisherEvent::Committed { .. }));
        subscriber.poll(64, |event| {
            if let SubscriberEvent::Message(message) = event {
                println!("seq {}: {}", message.seq, String::from_utf8_lossy(message.payload));
                delivered |= (message.publisher, message.publisher_seq) == (orders, number);
            }
            ControlFlow::Continue(())
        });
    }
    Ok(())
}
