//! The load of the measure: one thread that publishes each message when it is due, and tells in it which
//! window it belongs to.

use super::write_window;
use crate::load::{Publishing, on_time};
use crate::worker::Worker;
use lockstep_client::Endpoint;
use lockstep_trial::load::PacedPublisher;
use lockstep_wire::Nanos;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// How long the last messages may take to be committed.
const DRAIN_NS: Nanos = 20_000_000_000;
/// Longest wait between two polls.
const PAUSE_NS: Nanos = 1_000_000;

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
        let publishing = Publishing::open(endpoint, rate, size)?;
        let shared = Arc::new(Shared::default());
        let (theirs, endpoint) = (Arc::clone(&shared), endpoint.clone());
        let work = move |ending: &AtomicBool| run((&theirs, ending), publishing, &endpoint);
        Ok(Self { worker: Worker::start("load", work)?, shared })
    }

    /// A message published from now on belongs to this window.
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
    mut publishing: Publishing,
    endpoint: &Endpoint,
) -> Result<Published, String> {
    on_time();
    let clock = *publishing.paced.publisher().clock();
    let sockets = publishing.paced.publisher().net().sockets();
    let mut waiter = endpoint.idle().waiter(&sockets).map_err(|error| error.to_string())?;
    publishing.paced.begin(clock.now());
    let mut ending_at = None;
    loop {
        let now = clock.now();
        let ending = ending.load(Ordering::Acquire);
        let mark = |payload: &mut [u8]| write_window(payload, shared.window.load(Ordering::Relaxed));
        let taken = if ending { 0 } else { publishing.publish(now, mark)? };
        let received = publishing.poll()?;
        let PacedPublisher { published, committed, backpressure, late_ns, .. } = publishing.paced;
        shared.published.store(published, Ordering::Release);
        if ending {
            if committed == published {
                let resends = publishing.paced.resends();
                return Ok(Published { messages: published, resends, backpressure, late_ns });
            }
            if now > *ending_at.get_or_insert(now) + DRAIN_NS {
                return Err(format!("{committed} of {published} messages were committed"));
            }
        }
        if taken + received == 0 {
            waiter.on_progress(published + committed);
            waiter.wait(publishing.paced.due().saturating_sub(clock.now()).min(PAUSE_NS));
        }
    }
}
