//! The application behind the gateway, on handles of its own: it answers each message of a client to that
//! client, and times the stream itself by messages of its own, from when each is due to its delivery as
//! committed.

use crate::check::{due, write_message};
use crate::load::on_time;
use crate::stats::Latencies;
use crate::taps::SIZE_MIN;
use crate::worker::Worker;
use lockstep_client::{
    Delivery, Endpoint, PublishError, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use lockstep_core::engine::clients::Clients;
use lockstep_wire::{Nanos, PublisherId};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Between two messages of its own.
const INTERVAL_NS: Nanos = 1_000_000;
/// How long its name may take to be opened.
const OPEN: Duration = Duration::from_secs(10);

/// The running application.
pub struct Market {
    worker: Worker<Vec<Latencies>>,
    window: Arc<AtomicUsize>,
}

impl Market {
    /// Starts it; it keeps the latencies of so many windows apart.
    ///
    /// # Errors
    /// In words, what could not be opened.
    pub fn start(endpoint: &Endpoint, windows: usize) -> Result<Self, String> {
        let fails = |error: lockstep_io::IoError| error.to_string();
        let subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1)).map_err(fails)?;
        let mut publisher = Publisher::connect(endpoint).map_err(fails)?;
        let id = publisher.open("market", OPEN).map_err(|error| error.to_string())?;
        let window = Arc::new(AtomicUsize::new(0));
        let (theirs, endpoint) = (Arc::clone(&window), endpoint.clone());
        let latencies = (0..windows).map(|_| Latencies::new()).collect::<Result<Vec<_>, _>>()?;
        let work = move |ending: &AtomicBool| {
            run((&theirs, ending), &endpoint, publisher, subscriber, id, latencies)
        };
        Ok(Self { worker: Worker::start("market", work)?, window })
    }

    /// A message that is delivered from now on belongs to this window.
    pub fn set_window(&self, window: usize) {
        self.window.store(window, Ordering::Release);
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.worker.has_ended()
    }

    /// Ends it: the stream's own latencies by window.
    ///
    /// # Errors
    /// In words, what went wrong.
    pub fn end(self) -> Result<Vec<Latencies>, String> {
        self.worker.end()
    }
}

fn run(
    (window, ending): (&AtomicUsize, &AtomicBool),
    endpoint: &Endpoint,
    mut publisher: Publisher,
    mut subscriber: Subscriber,
    id: PublisherId,
    mut latencies: Vec<Latencies>,
) -> Result<Vec<Latencies>, String> {
    on_time();
    let clock = *publisher.clock();
    let sockets = publisher.net().sockets().into_iter().chain(subscriber.net().sockets());
    let mut waiter =
        endpoint.idle().waiter(&sockets.collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    let mut clients = Clients::default();
    let mut answers: VecDeque<(PublisherId, Vec<u8>)> = VecDeque::new();
    let (mut message, mut due_at, mut number) = ([0; SIZE_MIN], clock.now(), 0);
    while !ending.load(Ordering::Acquire) {
        let window = window.load(Ordering::Acquire);
        let mut work = subscriber.poll(256, |event| {
            clients.on_event(&event);
            if let SubscriberEvent::Message(message) = event {
                if message.publisher == id && message.destination == 0 {
                    if let Some(latencies) = latencies.get_mut(window) {
                        latencies.record(clock.now().saturating_sub(due(message.payload)));
                    }
                } else if clients.get(message.publisher).is_some() {
                    answers.push_back((message.publisher, message.payload.to_vec()));
                }
            }
            ControlFlow::Continue(())
        });
        let now = clock.now();
        if now >= due_at {
            write_message(&mut message, number, due_at);
            match publisher.try_publish(id, 0, &message) {
                Ok(_) => (number, due_at) = (number + 1, due_at + INTERVAL_NS),
                Err(PublishError::Backpressure) => {}
                Err(error) => return Err(format!("a message of the application: {error}")),
            }
        }
        while let Some((to, answer)) = answers.front() {
            match publisher.try_publish(id, *to, answer) {
                Ok(_) => drop(answers.pop_front()),
                Err(PublishError::Backpressure) => break,
                Err(error) => return Err(format!("an answer of the application: {error}")),
            }
        }
        let mut is_lost = false;
        work += publisher.poll(256, |event| is_lost |= event == PublisherEvent::OutcomesUnknown);
        if is_lost {
            return Err(String::from("the application fell so far behind that its fates are unknown"));
        }
        if work == 0 {
            waiter.on_progress(subscriber.deliver_next());
            waiter.wait(due_at.saturating_sub(clock.now()));
        }
    }
    Ok(latencies)
}
