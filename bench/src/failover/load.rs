//! The load: one thread that publishes each message when it is due and reads the stream twice, as stamped
//! and as committed. What it sees it hands over in pieces, so that whoever reads them never wakes it or
//! makes it wait.

use crate::check::{Checker, Faults, Optimist, compare, due, end_of, end_of_committed};
use crate::load::{OPEN_TIMEOUT, Publishing, on_time};
use crate::stats::Latencies;
use crate::worker::Worker;
use lockstep_client::{Delivery, Endpoint, Start, StreamDigest, Subscriber, SubscriberEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_wire::{Epoch, Nanos, Seq};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// How often what was seen is handed over.
const HAND_OVER_NS: Nanos = 5_000_000;
/// How long the last messages may take to be delivered everywhere.
const DRAIN_NS: Nanos = 10_000_000_000;
/// A copy that comes so long after the last message is still seen.
const LINGER_NS: Nanos = 100_000_000;

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
    pub outcomes_wrong: u64,
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

impl Totals {
    /// Messages that no subscriber has, or not all, or whose publisher was never told.
    pub fn lost(&self) -> u64 {
        let short = |have: u64| self.published.saturating_sub(have);
        let behind: u64 = self.delivered.iter().map(|delivered| short(*delivered)).sum();
        (self.faults.missing + behind).max(short(self.committed))
    }
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

/// The digest of all that a subscriber was delivered, whoever published it, and how many messages that is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WholeDigest {
    /// As hexadecimal digits.
    pub hex: String,
    /// Messages.
    pub messages: u64,
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
    /// The digest of all that the `committed` subscriber was delivered, where that is recorded.
    pub whole: Option<WholeDigest>,
}

/// One turn of a subscriber that nobody listens to yet: whether everything that is stamped from now on will
/// be delivered to it. That it has heard the stream is not enough: an ack tells how far the stream is
/// stamped, and a live subscription begins only where the leader says that the log ends.
fn has_begun(subscriber: &mut Subscriber) -> bool {
    subscriber.poll(usize::MAX, |_| ControlFlow::Continue(()));
    subscriber.has_begun()
}

/// The running load.
pub struct Load {
    worker: Worker<Ended>,
    seen: Receiver<Seen>,
    /// Of a load that records: asks for the latencies so far, and brings them.
    cuts: Option<(Sender<()>, Receiver<Latencies>)>,
}

/// The record beside the gaps, where that is asked for.
struct Recorded {
    /// Of each message, from when it was due until it was delivered as committed.
    latencies: Latencies,
    /// Of all messages of the stream.
    whole: StreamDigest,
    cuts: Receiver<()>,
    to: Sender<Latencies>,
}

impl Load {
    /// Begins to publish `rate` messages a second, and to read the stream from `start` on. Returns once the
    /// name is open and both subscriptions have begun.
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
        Self::open(endpoint, start, clock, (rate, size), None)
    }

    /// The same from the stream's first message on, with the latency of each message and a digest of the
    /// whole stream.
    ///
    /// # Errors
    /// As for [`Load::start`].
    pub fn recording(endpoint: &Endpoint, clock: Clock, rate: u64, size: usize) -> Result<Self, String> {
        let ((ask, cuts), (to, latencies)) = (channel(), channel());
        let recorded = Recorded { latencies: Latencies::new()?, whole: StreamDigest::new(), cuts, to };
        let load = Self::open(endpoint, Start::From(1), clock, (rate, size), Some(recorded))?;
        Ok(Self { cuts: Some((ask, latencies)), ..load })
    }

    /// Of a load that records, the latencies since the last cut.
    ///
    /// # Errors
    /// It records none, or has ended.
    pub fn cut(&self) -> Result<Latencies, String> {
        let (ask, latencies) = self.cuts.as_ref().ok_or("this load records no latencies")?;
        let ended = "the load has ended, or stands still";
        ask.send(()).map_err(|_| ended)?;
        latencies.recv_timeout(OPEN_TIMEOUT).map_err(|_| ended.to_owned())
    }

    fn open(
        endpoint: &Endpoint,
        start: Start,
        clock: Clock,
        (rate, size): (u64, usize),
        recorded: Option<Recorded>,
    ) -> Result<Self, String> {
        let fails = |error: lockstep_io::IoError| error.to_string();
        let mut committed = Subscriber::connect(endpoint, Delivery::Committed, start).map_err(fails)?;
        let mut stamped = Subscriber::connect(endpoint, Delivery::Stamped, start).map_err(fails)?;
        let mut publishing = Publishing::open(endpoint, rate, size)?;
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
        publishing.paced.begin(clock.now());
        let (to, seen) = channel();
        let desk = Desk {
            clock,
            publishing,
            committed,
            stamped,
            checker: Checker::default(),
            optimist: Optimist::default(),
            seen: Seen::default(),
            wrong: None,
            to,
            idle: endpoint.idle(),
            recorded,
        };
        Ok(Self { worker: Worker::start("load", move |ending| desk.run(ending))?, seen, cuts: None })
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
    publishing: Publishing,
    committed: Subscriber,
    stamped: Subscriber,
    checker: Checker,
    optimist: Optimist,
    seen: Seen,
    wrong: Option<String>,
    to: Sender<Seen>,
    idle: Idle,
    recorded: Option<Recorded>,
}

impl Desk {
    fn run(mut self, ending: &AtomicBool) -> Result<Ended, String> {
        on_time();
        let mut sockets = self.publishing.paced.publisher().net().sockets().to_vec();
        sockets.extend(self.committed.net().sockets());
        sockets.extend(self.stamped.net().sockets());
        let mut waiter = self.idle.waiter(&sockets).map_err(|error| error.to_string())?;
        let mut handed_over = self.clock.now();
        let (mut ended_at, mut whole_at) = (None, None);
        loop {
            let now = self.clock.now();
            let ending = ending.load(Ordering::Acquire);
            let taken = if ending { 0 } else { self.publishing.publish(now, |_| {})? };
            let work = taken + self.read() + self.publishing.poll()?;
            if let Some(wrong) = self.wrong.take() {
                return Err(wrong);
            }
            if now >= handed_over + HAND_OVER_NS {
                handed_over = now;
                self.settle()?;
                // Nobody listens any more when the bench is about to end.
                let piece = Seen { totals: self.seen.totals, ..Seen::default() };
                let _ = self.to.send(std::mem::replace(&mut self.seen, piece));
                self.hand_over_latencies()?;
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
                let due = self.publishing.paced.due();
                waiter.on_progress(self.checker.messages());
                waiter.wait(due.saturating_sub(self.clock.now()).min(HAND_OVER_NS));
            }
        }
        self.settle()?;
        let next = self.checker.seq_next().max(self.optimist.checker.seq_next());
        let whole = self.recorded.as_ref().map(|recorded| &recorded.whole);
        Ok(Ended {
            totals: self.seen.totals,
            digests: [self.checker.digest(), self.optimist.checker.digest()],
            next,
            whole: whole.map(|digest| WholeDigest { hex: digest.hex(), messages: digest.messages() }),
        })
    }

    /// Hands over the latencies so far, if that was asked for.
    fn hand_over_latencies(&mut self) -> Result<(), String> {
        if let Some(Recorded { latencies, cuts, to, .. }) = &mut self.recorded
            && cuts.try_recv().is_ok()
        {
            let _ = to.send(std::mem::replace(latencies, Latencies::new()?)); // the bench may be ending
        }
        Ok(())
    }

    /// One turn of both subscribers.
    fn read(&mut self) -> usize {
        let Self { clock, committed, stamped, checker, optimist, seen, wrong, recorded, .. } = self;
        let id = self.publishing.paced.id;
        let mut first = None;
        let mut work = committed.poll(usize::MAX, |event| {
            if let (Some(recorded), SubscriberEvent::Message(message)) = (&mut *recorded, &event) {
                recorded.whole.add(message);
                if message.publisher == id {
                    recorded.latencies.record(clock.now().saturating_sub(due(message.payload)));
                }
            }
            match event {
                // Somebody else's, in a cluster that we attach to.
                SubscriberEvent::Message(message) if message.publisher != id => {}
                SubscriberEvent::Message(message) => {
                    first.get_or_insert_with(|| Delivered { at: clock.now(), due: due(message.payload) });
                    checker.take(&message);
                }
                event => *wrong = wrong.take().or_else(|| end_of_committed(&event)),
            }
            ControlFlow::Continue(())
        });
        seen.delivered.extend(first);
        work += stamped.poll(usize::MAX, |event| {
            match event {
                SubscriberEvent::Message(message) if message.publisher != id => {}
                SubscriberEvent::Message(message) => {
                    *wrong = wrong.take().or(optimist.on_message(&message).err());
                }
                SubscriberEvent::Retract { from } => optimist.on_retract(from),
                SubscriberEvent::Committed { next } => optimist.on_committed(next),
                SubscriberEvent::Epoch { epoch, .. } => {
                    seen.epochs.push(EpochSeen { at: clock.now(), epoch });
                }
                event => *wrong = wrong.take().or_else(|| end_of(&event)),
            }
            ControlFlow::Continue(())
        });
        work
    }

    /// Compares the two streams, and counts.
    fn settle(&mut self) -> Result<(), String> {
        let (totals, publishing) = (&mut self.seen.totals, &self.publishing.paced);
        totals.published = publishing.published;
        totals.committed = publishing.committed;
        totals.outcomes_wrong = publishing.disordered;
        totals.backpressure = publishing.backpressure;
        totals.equal += compare(&mut self.checker, &mut self.optimist.checker, totals.equal)?;
        totals.delivered = [self.checker.messages(), self.optimist.checker.messages()];
        totals.faults = self.checker.faults().plus(self.optimist.checker.faults());
        totals.retracted = self.optimist.retracted();
        totals.resends = publishing.resends();
        let gaps = [self.committed.counters(), self.stamped.counters()];
        totals.gaps = gaps.iter().map(|counters| counters.get(Counter::Gaps)).sum();
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let published = self.publishing.paced.published;
        self.publishing.paced.publisher().is_drained()
            && self.checker.messages() >= published
            && self.optimist.checker.messages() >= published
    }
}
