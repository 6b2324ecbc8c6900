//! The acknowledging application beside a scene, and what it received.

use lockstep_app::{App, Endpoint, InputEvent};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// What it received.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// Every message of a client, in order: its user and its payload.
    pub orders: Vec<(String, Vec<u8>)>,
    /// Connects and disconnects, in order, as text.
    pub clients: Vec<String>,
}

/// The stream is over for an application that shall stop when nothing came for so long.
const QUIET: Duration = Duration::from_millis(300);

/// Acknowledges until `stop` and a quiet moment, from the stream's beginning.
pub fn acknowledge(endpoint: &Endpoint, stop: &AtomicBool) -> Received {
    // Copies at the same time have numbers of their own.
    static COPIES: AtomicU8 = AtomicU8::new(0);
    let number = COPIES.fetch_add(1, Ordering::Relaxed) % 200 + 1;
    let mut exchange = App::acknowledging(endpoint, number).unwrap_or_else(|error| panic!("{error}"));
    let (mut received, mut moved) = (Received::default(), Instant::now());
    while !stop.load(Ordering::Acquire) || moved.elapsed() < QUIET || !exchange.is_drained() {
        let turn = exchange.turn(|input, _| match input.event {
            InputEvent::Message { user: Some(user), payload, .. } => {
                moved = Instant::now();
                received.orders.push((user.to_owned(), payload.to_vec()));
            }
            InputEvent::Connected { user, .. } => {
                moved = Instant::now();
                received.clients.push(format!("{user} connected"));
            }
            InputEvent::Disconnected { user, reason, cancels, .. } => {
                moved = Instant::now();
                let cancels = if cancels { ", cancel" } else { "" };
                received.clients.push(format!("{user} disconnected: {reason}{cancels}"));
            }
            _ => {}
        });
        if turn.unwrap_or_else(|error| panic!("{error}")) == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    received
}
