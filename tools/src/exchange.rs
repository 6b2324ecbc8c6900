//! The simplest application behind a gateway: it acknowledges each message of a client to that client.

use lockstep::client::{
    Delivery, Endpoint, Flow, PublishError, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use lockstep::edge::gateway::clients::{ClientEvent, Clients};
use lockstep::wire::PublisherId;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What it heard.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// Every message of a client, in order: its user and what it said.
    pub orders: Vec<(String, Vec<u8>)>,
    /// Connects and disconnects, in order, as text.
    pub clients: Vec<String>,
}

/// The stream is over for an application that was told to stop when nothing came for so long.
const QUIET: Duration = Duration::from_millis(300);

/// Acknowledges until `stop` and a quiet moment, from the stream's beginning. An answer is the word `ack` and what it answers.
/// Copies that run at the same time publish the same answers under one nonce, and each is stamped once.
pub fn acknowledge(endpoint: &Endpoint, stop: &AtomicBool) -> Heard {
    let mut publisher = Publisher::connect(endpoint).unwrap_or_else(|error| panic!("{error}"));
    let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1))
        .unwrap_or_else(|error| panic!("{error}"));
    let own = publisher
        .open_as("exchange", [7, 7], Duration::from_secs(20))
        .unwrap_or_else(|error| panic!("{error}"));
    let (mut clients, mut heard) = (Clients::default(), Heard::default());
    let mut answers: VecDeque<(PublisherId, Vec<u8>)> = VecDeque::new();
    let mut moved = Instant::now();
    while !stop.load(Ordering::Acquire) || moved.elapsed() < QUIET || !publisher.is_drained() {
        let mut work = subscriber.poll(256, |event| {
            let told = clients.on_event(&event);
            if told.is_some() {
                moved = Instant::now();
            }
            match told {
                Some(ClientEvent::Connected { user, .. }) => heard.clients.push(format!("{user} connected")),
                Some(ClientEvent::Disconnected { user, reason, cancels, .. }) => {
                    let cancels = if cancels { ", cancel" } else { "" };
                    heard.clients.push(format!("{user} disconnected: {reason}{cancels}"));
                }
                None => {}
            }
            if let SubscriberEvent::Message(message) = event
                && let Some(client) = clients.get(message.publisher)
            {
                moved = Instant::now();
                heard.orders.push((client.user.clone(), message.payload.to_vec()));
                answers.push_back((message.publisher, [b"ack ", message.payload].concat()));
            }
            Flow::Continue
        });
        while let Some((to, answer)) = answers.front() {
            match publisher.try_publish(own, *to, answer) {
                Ok(_) => drop(answers.pop_front()),
                Err(PublishError::Backpressure) => break,
                Err(error) => panic!("{error}"),
            }
        }
        work += publisher.poll(256, |event| assert_ne!(event, PublisherEvent::Lost));
        if work == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    heard
}
