//! The load of the measure: one thread that publishes each message when it is due, and tells in it which window
//! it belongs to.

use super::write_window;
use crate::check::write_message;
use crate::worker::Worker;
use lockstep_client::{Endpoint, PublishError, Publisher, PublisherEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_process::cpu;
use lockstep_wire::{Nanos, PublisherId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How long the name may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last messages may take to be committed.
const DRAIN_NS: Nanos = 20_000_000_000;
/// Longest wait between two polls.
const PAUSE_NS: Nanos = 1_000_000;
/// What is due comes every 10 us.
const SLACK_NS: u64 = 1_000;

/// What the load's thread and its owner know of each other.
#[derive(Default)]
struct Shared {
    window: AtomicUsize,
    published: AtomicU64,
}

/// What it has published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Published {
    /// Messages, all of them committed.
    pub messages: u64,
    /// Datagrams that were sent again.
    pub resends: u64,
    /// Times that the window was full.
    pub backpressure: u64,
    /// The latest that a message was handed over behind its time, but for a full window.
    pub late_ns: Nanos,
}

/// The running load.
pub(super) struct Load {
    worker: Worker<Published>,
    shared: Arc<Shared>,
}

impl Load {
    /// Begins to publish `rate` messages of `size` bytes a second, in window 0.
    pub fn start(endpoint: &Endpoint, rate: u64, size: usize) -> Result<Self, String> {
        let mut publisher = Publisher::connect(endpoint).map_err(|error| error.to_string())?;
        let id = publisher.open("load", OPEN_TIMEOUT).map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared::default());
        let (theirs, endpoint, interval_ns) = (Arc::clone(&shared), endpoint.clone(), 1_000_000_000 / rate);
        let work = move |ending: &AtomicBool| {
            run((&theirs, ending), publisher, id, &endpoint, interval_ns, vec![0x5a; size])
        };
        Ok(Self { worker: Worker::start("load", work)?, shared })
    }

    /// What is published from now on belongs to this window.
    pub fn set_window(&self, window: usize) {
        self.shared.window.store(window, Ordering::Release);
    }

    /// Messages published so far.
    pub fn published(&self) -> u64 {
        self.shared.published.load(Ordering::Acquire)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.worker.has_ended()
    }

    /// Publishes no more, and waits until everything is committed.
    pub fn end(self) -> Result<Published, String> {
        self.worker.end()
    }
}

fn run(
    (shared, ending): (&Shared, &AtomicBool),
    mut publisher: Publisher,
    id: PublisherId,
    endpoint: &Endpoint,
    interval_ns: Nanos,
    mut payload: Vec<u8>,
) -> Result<Published, String> {
    cpu::timer_slack(SLACK_NS);
    cpu::short_slice();
    let clock = *publisher.clock();
    let mut waiter = endpoint.idle.waiter(&publisher.net().sockets()).map_err(|error| error.to_string())?;
    let (began, mut number, mut committed) = (clock.now(), 0, 0);
    let (mut backpressure, mut late_ns, mut full) = (0, 0, false);
    let mut ending_at = None;
    loop {
        let now = clock.now();
        let ending = ending.load(Ordering::Acquire);
        let mut taken = 0;
        while !ending && began + number * interval_ns <= now {
            let due = began + number * interval_ns;
            write_message(&mut payload, number, due);
            write_window(&mut payload, shared.window.load(Ordering::Relaxed));
            match publisher.try_publish(id, 0, &payload) {
                Ok(_) => {
                    late_ns = if full { late_ns } else { late_ns.max(now - due) };
                    number += 1;
                    taken += 1;
                }
                Err(PublishError::Backpressure) => {
                    (backpressure, full) = (backpressure + 1, true);
                    break;
                }
                Err(error) => return Err(format!("message {number} was not taken: {error}")),
            }
        }
        // What was held up by a full window is late for that reason until it has caught up.
        full &= began + number * interval_ns + interval_ns < now;
        if taken > 0 {
            publisher.flush();
            shared.published.store(number, Ordering::Release);
        }
        let mut wrong = None;
        let heard = publisher.poll(usize::MAX, |event| match event {
            PublisherEvent::Committed { .. } => committed += 1,
            PublisherEvent::Fenced { .. } | PublisherEvent::Closed { .. } | PublisherEvent::Lost => {
                wrong = Some(format!("the publisher was told {event:?}"));
            }
            _ => {}
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        if ending {
            if committed == number {
                let resends = publisher.counters().get(Counter::Resends);
                return Ok(Published { messages: number, resends, backpressure, late_ns });
            }
            if now > *ending_at.get_or_insert(now) + DRAIN_NS {
                return Err(format!("{committed} of {number} messages were committed"));
            }
        }
        if taken + heard == 0 {
            let due = began + number * interval_ns;
            waiter.wait(due.saturating_sub(clock.now()).min(PAUSE_NS));
        }
    }
}
