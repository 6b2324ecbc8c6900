//! The exchange with its handles: [`lockstep_gateway::exchange`] over a publisher and a subscriber.

use super::Failure;
use super::ended::ended;
use super::failure::{FAILED, INTEGRITY};
use lockstep_client::{
    Delivery, Endpoint, OutputsEnd, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use lockstep_gateway::exchange::{Exchange as Core, NONCE};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use lockstep_gateway::exchange::{ACKNOWLEDGED, ExchangeEvent};

/// How long its name may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Most messages of one turn.
const BATCH: usize = 256;
/// Answers that may wait for the window: then no more is read until it moves.
const ANSWERS_MAX: usize = 4_096;

/// The application, at the stream's beginning or further.
pub struct DemoApplication {
    publisher: Publisher,
    subscriber: Subscriber,
    core: Core,
}

impl DemoApplication {
    /// Opens its name, and begins with the stream's first entry.
    ///
    /// # Errors
    /// The device cannot be opened, or no leader answers.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, Failure> {
        let mut publisher = Publisher::connect(endpoint)?;
        let subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1))?;
        let mut core = Core::default();
        publisher.open_outputs(&mut core.answers, NONCE, OPEN_TIMEOUT)?;
        Ok(Self { publisher, subscriber, core })
    }

    /// Reads on, and publishes what is to be said to it. Never waits. Returns the work done.
    ///
    /// # Errors
    /// The stream cannot be read on, or its name is somebody else's.
    pub fn turn(&mut self, mut on_event: impl FnMut(ExchangeEvent<'_>)) -> Result<usize, Failure> {
        let Self { subscriber, core, publisher } = self;
        let mut failed = None;
        let limit = if core.answers.backlog() < ANSWERS_MAX { BATCH } else { 0 };
        let mut work = subscriber.poll(limit, |event| {
            failed = failed.take().or_else(|| failure_of(&event));
            if let Err(other) = core.on_event(&event, &mut on_event) {
                failed = failed.take().or(Some(Failure::new(INTEGRITY, other)));
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(failure) = failed {
            return Err(failure);
        }
        let mut is_lost = false;
        work += publisher.poll(BATCH, |event| {
            is_lost |= event == PublisherEvent::OutcomesUnknown;
            core.answers.on_publisher(&event);
        });
        let ended = match core.answers.end() {
            _ if is_lost => Some("it fell further behind than any replica remembers: start it again"),
            Some(OutputsEnd::Fenced) => Some("its name was opened by another application"),
            Some(OutputsEnd::Closed) => Some("its name was closed by somebody else"),
            Some(_) => Some("its name is lost"),
            None => None,
        };
        if let Some(why) = ended {
            return Err(Failure::new(FAILED, format!("the exchange cannot answer any more: {why}")));
        }
        let handed_in = publisher.hand_in(&mut core.answers);
        work += handed_in
            .map_err(|error| Failure::new(FAILED, format!("the exchange cannot answer: {error}")))?;
        Ok(work)
    }

    /// Answers that stand in the stream.
    pub fn answered(&self) -> u64 {
        self.core.answers.count()
    }

    /// Whether every answer is committed.
    pub fn is_drained(&self) -> bool {
        self.core.answers.is_drained() && self.publisher.is_drained()
    }

    /// What brings it something: for whoever waits.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        let published = self.publisher.net().sockets();
        published.into_iter().chain(self.subscriber.net().sockets()).collect()
    }
}

/// Why it cannot know all of the stream, if an event says so.
fn failure_of(event: &SubscriberEvent<'_>) -> Option<Failure> {
    match *event {
        SubscriberEvent::Abandoned { from, oldest, why } => {
            let why = why.name();
            let what = format!("the exchange cannot have seq {from} ({why}; the oldest is {oldest})");
            Some(Failure::new(INTEGRITY, format!("{what}: its answers are a function of all of the stream")))
        }
        _ => ended(event),
    }
}
