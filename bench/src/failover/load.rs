//! The load: one thread that publishes each message when it is due and reads the stream twice, as stamped
//! and as committed. What it sees it hands over in pieces, so that whoever reads them never wakes it or
//! makes it wait.

use crate::check::{Checker, Faults, Kept, Optimist, compare, due, write_message};
use crate::worker::Worker;
use lockstep_client::{
    Delivery, Endpoint, Flow, PublishError, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use lockstep_core::engine::counters::Counter;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::{Epoch, Nanos, PublisherId, PublisherSeq, Seq};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How often what was seen is handed over.
const HAND_OVER_NS: Nanos = 5_000_000;
/// How long the name may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last messages may take to be delivered everywhere.
const DRAIN_NS: Nanos = 10_000_000_000;
/// A copy that comes so long after the last message is still seen.
const LINGER_NS: Nanos = 100_000_000;

/// What is due comes every 50 us.
const SLACK_NS: u64 = 1_000;

/// One poll of the `committed` subscriber that delivered something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivered {
    /// When.
    pub at: Nanos,
    /// When the oldest of its messages was due to be published.
    pub due: Nanos,
}

/// An epoch's start, as the `stamped` subscriber saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochSeen {
    /// When.
    pub at: Nanos,
    /// Which.
    pub epoch: Epoch,
}

/// How things stand.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Messages handed to the publisher.
    pub published: u64,
    /// Of them with the fate `Committed`.
    pub committed: u64,
    /// Fates that were told twice, or out of order.
    pub fates_wrong: u64,
    /// Messages delivered to the two subscribers that are final.
    pub delivered: [u64; 2],
    /// What was wrong with them.
    pub faults: Faults,
    /// Messages that both subscribers have, with equal digests.
    pub equal: u64,
    /// Messages that the `stamped` reader was told and that were taken back.
    pub retracted: u64,
    /// Datagrams that the publisher sent again.
    pub resends: u64,
    /// Times that its window was full.
    pub backpressure: u64,
    /// Gaps that the two subscribers had repaired.
    pub gaps: u64,
}

/// What was seen since the last piece.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    /// Deliveries of committed messages, in their order.
    pub delivered: Vec<Delivered>,
    /// Epochs, in their order.
    pub epochs: Vec<EpochSeen>,
    /// How things stand now.
    pub totals: Totals,
}

/// The load's end.
#[derive(Debug)]
pub struct Ended {
    /// All in all.
    pub totals: Totals,
    /// The digests of both subscribers.
    pub digests: [String; 2],
    /// The seq behind the last message.
    pub next: Seq,
}

/// One turn of a subscriber that nobody listens to yet: whether everything that is stamped from now on will be
/// delivered to it. That it has heard the stream is not enough: an ack tells how far the stream is stamped, and
/// a live subscription begins only where the leader says that the log ends.
fn has_begun(subscriber: &mut Subscriber) -> bool {
    subscriber.poll(usize::MAX, |_| Flow::Continue);
    subscriber.has_begun()
}

/// The running load.
pub struct Load {
    worker: Worker<Ended>,
    seen: Receiver<Seen>,
}

impl Load {
    /// Begins to publish `rate` messages a second, and to read the stream from `start` on. Returns once the name is
    /// open and both subscriptions have begun.
    ///
    /// # Errors
    /// In words, what could not be opened.
    pub fn start(
        endpoint: &Endpoint,
        start: Start,
        clock: Clock,
        rate: u64,
        size: usize,
    ) -> Result<Self, String> {
        let fails = |error: lockstep_io::IoError| error.to_string();
        let mut committed = Subscriber::connect(endpoint, Delivery::Committed, start).map_err(fails)?;
        let mut stamped = Subscriber::connect(endpoint, Delivery::Stamped, start).map_err(fails)?;
        let mut publisher = Publisher::connect(endpoint).map_err(fails)?;
        let id = publisher.open("load", OPEN_TIMEOUT).map_err(|error| error.to_string())?;
        if start == Start::Live {
            let began = Instant::now();
            // Nothing of ours is in the stream yet.
            while [&mut committed, &mut stamped].map(has_begun).contains(&false) {
                if began.elapsed() > OPEN_TIMEOUT {
                    return Err(format!("the stream was not heard within {OPEN_TIMEOUT:?}"));
                }
                std::thread::yield_now();
            }
        }
        let (to, seen) = channel();
        let desk = Desk {
            clock,
            publisher,
            id,
            payload: vec![0x5a; size],
            interval_ns: 1_000_000_000 / rate,
            began: clock.now(),
            committed,
            stamped,
            checker: Checker::default(),
            optimist: Optimist::default(),
            seen: Seen::default(),
            wrong: None,
            fate_next: None,
            to,
            idle: endpoint.idle,
        };
        Ok(Self { worker: Worker::start("load", move |ending| desk.run(ending))?, seen })
    }

    /// What was seen since the last call; `None` if the load has ended by itself: [`Load::end`] tells why.
    pub fn take(&mut self) -> Option<Seen> {
        let mut all = Seen::default();
        for more in self.seen.try_iter() {
            all.delivered.extend(more.delivered);
            all.epochs.extend(more.epochs);
            all.totals = more.totals;
        }
        (!self.worker.has_ended()).then_some(all)
    }

    /// Publishes no more, waits until everything is delivered everywhere, and returns how it all ended.
    ///
    /// # Errors
    /// In words, what went wrong: a stream that contradicts itself, or a subscription that ended.
    pub fn end(self) -> Result<Ended, String> {
        self.worker.end()
    }
}

struct Desk {
    clock: Clock,
    publisher: Publisher,
    id: PublisherId,
    payload: Vec<u8>,
    interval_ns: Nanos,
    began: Nanos,
    committed: Subscriber,
    stamped: Subscriber,
    checker: Checker,
    optimist: Optimist,
    seen: Seen,
    wrong: Option<String>,
    /// The number whose fate is told next, once one was told.
    fate_next: Option<PublisherSeq>,
    to: Sender<Seen>,
    idle: Idle,
}

impl Desk {
    fn run(mut self, ending: &AtomicBool) -> Result<Ended, String> {
        cpu::timer_slack(SLACK_NS);
        cpu::short_slice();
        let mut sockets = self.publisher.net().sockets().to_vec();
        sockets.extend(self.committed.net().sockets());
        sockets.extend(self.stamped.net().sockets());
        let mut waiter = self.idle.waiter(&sockets).map_err(|error| error.to_string())?;
        let mut handed_over = self.clock.now();
        let (mut ended_at, mut whole_at) = (None, None);
        loop {
            let now = self.clock.now();
            let ending = ending.load(Ordering::Acquire);
            let taken = if ending { 0 } else { self.publish(now)? };
            let work = taken + self.read() + self.hear();
            if let Some(wrong) = self.wrong.take() {
                return Err(wrong);
            }
            if now >= handed_over + HAND_OVER_NS {
                handed_over = now;
                self.settle()?;
                // Nobody listens any more when the bench is about to end.
                let piece = Seen { totals: self.seen.totals, ..Seen::default() };
                let _ = self.to.send(std::mem::replace(&mut self.seen, piece));
            }
            if ending {
                let since = *ended_at.get_or_insert(now);
                let whole = self.is_whole();
                let quiet = *whole_at.get_or_insert(now);
                if !whole {
                    whole_at = None;
                } else if now > quiet + LINGER_NS {
                    break;
                }
                if now > since + DRAIN_NS {
                    break;
                }
            }
            if work == 0 {
                let due = self.began + self.seen.totals.published * self.interval_ns;
                waiter.wait(due.saturating_sub(self.clock.now()).min(HAND_OVER_NS));
            }
        }
        self.settle()?;
        let next = self.checker.seq_next().max(self.optimist.checker.seq_next());
        Ok(Ended {
            totals: self.seen.totals,
            digests: [self.checker.digest(), self.optimist.checker.digest()],
            next,
        })
    }

    /// Hands over what is due; a full window makes it late, never skipped.
    fn publish(&mut self, now: Nanos) -> Result<usize, String> {
        let mut taken = 0;
        loop {
            let number = self.seen.totals.published;
            let due = self.began + number * self.interval_ns;
            if due > now {
                break;
            }
            write_message(&mut self.payload, number, due);
            match self.publisher.try_publish(self.id, 0, &self.payload) {
                Ok(_) => {
                    self.seen.totals.published += 1;
                    taken += 1;
                }
                Err(PublishError::Backpressure) => {
                    self.seen.totals.backpressure += 1;
                    break;
                }
                Err(error) => return Err(format!("message {number} was not taken: {error}")),
            }
        }
        if taken > 0 {
            self.publisher.flush();
        }
        Ok(taken)
    }

    /// One turn of both subscribers.
    fn read(&mut self) -> usize {
        let Self { clock, committed, stamped, checker, optimist, seen, wrong, id, .. } = self;
        let mut first = None;
        let mut work = committed.poll(usize::MAX, |event| {
            match event {
                // Somebody else's, in a cluster that we attach to.
                SubscriberEvent::Message(message) if message.publisher != *id => {}
                SubscriberEvent::Message(message) => {
                    first.get_or_insert_with(|| Delivered { at: clock.now(), due: due(message.payload) });
                    checker.take(&Kept::of(&message));
                }
                SubscriberEvent::Retract { from } => {
                    *wrong = Some(format!("a committed reader was told to take back from seq {from} on"));
                }
                event => *wrong = wrong.take().or_else(|| end_of(&event)),
            }
            Flow::Continue
        });
        seen.delivered.extend(first);
        work += stamped.poll(usize::MAX, |event| {
            match event {
                SubscriberEvent::Message(message) if message.publisher != *id => {}
                SubscriberEvent::Message(message) => {
                    *wrong = wrong.take().or(optimist.on_message(Kept::of(&message)).err());
                }
                SubscriberEvent::Retract { from } => optimist.on_retract(from),
                SubscriberEvent::Committed { next } => optimist.on_committed(next),
                SubscriberEvent::Epoch { epoch, .. } => {
                    seen.epochs.push(EpochSeen { at: clock.now(), epoch });
                }
                event => *wrong = wrong.take().or_else(|| end_of(&event)),
            }
            Flow::Continue
        });
        work
    }

    /// One turn of the publisher: each message has one fate, and they come in its order.
    fn hear(&mut self) -> usize {
        let Self { publisher, seen, wrong, fate_next, .. } = self;
        let totals = &mut seen.totals;
        publisher.poll(usize::MAX, |event| match event {
            PublisherEvent::Committed { publisher_seq, .. } => {
                // A name that was open before goes on with its numbers.
                let expected = *fate_next.get_or_insert(publisher_seq);
                totals.fates_wrong += u64::from(publisher_seq != expected);
                *fate_next = Some(publisher_seq + 1);
                totals.committed += 1;
            }
            PublisherEvent::Fenced { .. } | PublisherEvent::Closed { .. } | PublisherEvent::Lost => {
                *wrong = Some(format!("the publisher was told {event:?}"));
            }
            _ => {}
        })
    }

    /// Compares the two streams, and counts.
    fn settle(&mut self) -> Result<(), String> {
        let totals = &mut self.seen.totals;
        totals.equal += compare(&mut self.checker, &mut self.optimist.checker, totals.equal)?;
        totals.delivered = [self.checker.messages(), self.optimist.checker.messages()];
        totals.faults = self.checker.faults().plus(self.optimist.checker.faults());
        totals.retracted = self.optimist.retracted;
        totals.resends = self.publisher.counters().get(Counter::Resends);
        let gaps = [self.committed.counters(), self.stamped.counters()];
        totals.gaps = gaps.iter().map(|counters| counters.get(Counter::Gaps)).sum();
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let published = self.seen.totals.published;
        self.publisher.is_drained()
            && self.checker.messages() >= published
            && self.optimist.checker.messages() >= published
    }
}

/// Why a subscription ends with `event`, if it does.
fn end_of(event: &SubscriberEvent<'_>) -> Option<String> {
    match event {
        SubscriberEvent::Abandoned { from, oldest, .. } => {
            Some(format!("seq {from} cannot be repaired any more, the oldest is {oldest}"))
        }
        SubscriberEvent::Refused { why, next } => Some(format!("seq {next} cannot be replayed: {why:?}")),
        SubscriberEvent::Diverged { seq } => Some(format!("the logs diverge at seq {seq}")),
        _ => None,
    }
}
