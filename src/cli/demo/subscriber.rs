//! A subscriber of the demo: delivers all, checks each message against what was published, and tells how
//! long it took.

use super::PUBLISHERS;
use super::said::{Delivered, Latency, Said};
use crate::cli::Failure;
use crate::cli::args::DemoSubscriberArgs;
use crate::cli::failure::{FAILED, INTEGRITY};
use crate::cli::orders::{Order, OrderFlow};
use crate::client::{Delivery, Flow, Message, Start, StreamDigest, Subscriber, SubscriberEvent};
use crate::config::Config;
use crate::engine::counters::Counter;
use crate::io::clock::Clock;
use crate::io::cpu;
use crate::wire::{Destination, Epoch, Nanos, PublisherId, PublisherSeq, Seq};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most messages of one poll.
const BATCH: usize = 4096;
/// How often the demo is told how far we are.
const TELL_NS: Nanos = 100_000_000;
/// Longest latency that is told apart, and how exactly.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const LATENCY_DIGITS: u8 = 3;
/// Longest wait between two polls.
const PAUSE_NS: Nanos = 1_000_000;

/// Delivers until the demo says that it is over, and prints a summary.
pub fn run(args: &DemoSubscriberArgs) -> Result<u8, Failure> {
    let flow = OrderFlow::recorded().map_err(|error| Failure::new(FAILED, error))?;
    let endpoint = Config::load(Some(&args.client.config), &[])?.endpoint();
    if let Some(core) = args.client.core {
        cpu::pin(core);
    }
    cpu::short_slice();
    let over = over_with_stdin()?;
    let delivery = if args.stamped { Delivery::Stamped } else { Delivery::Committed };
    let mut subscriber = Subscriber::connect(&endpoint, delivery, Start::From(1))?;
    let mut waiter = endpoint.idle.waiter(&subscriber.net().sockets())?;
    Said::Ready.say()?;
    let all = args.client.messages;
    let mut seen = Seen::new(flow, *subscriber.clock(), args.stamped)?;
    let (mut told_at, mut has_reached) = (subscriber.clock().now(), false);
    while !over.load(Ordering::Acquire) {
        let work = subscriber.poll(BATCH, |event| seen.on_event(event));
        if let Some(failure) = seen.failed.take() {
            return Err(failure);
        }
        if !has_reached && seen.distinct() >= all && subscriber.commit_next() >= seen.next {
            has_reached = true;
            Said::Reached { next: seen.next }.say()?;
        }
        for said in seen.epochs.drain(..) {
            said.say()?;
        }
        let now = subscriber.clock().now();
        if !has_reached && now > told_at + TELL_NS {
            told_at = now;
            Said::Progress { messages: seen.distinct() }.say()?;
        }
        if work == 0 {
            waiter.wait(PAUSE_NS);
        }
    }
    let (counters, counts) = (subscriber.counters(), subscriber.net().counts());
    let summary = Delivered {
        stamped: args.stamped,
        messages: seen.digest.messages(),
        retracted: seen.retracted,
        lost: all.saturating_sub(seen.distinct()).max(seen.skipped),
        duplicated: seen.duplicated,
        out_of_order: seen.out_of_order,
        altered: seen.altered,
        publishers: seen.lines.len(),
        next: seen.next,
        digest: seen.digest.hex(),
        last_at: seen.last_at,
        gaps: counters.get(Counter::Gaps),
        repairs: counters.get(Counter::RepairsIn),
        datagrams_in: counts.datagrams_in,
        datagrams_out: counts.datagrams_out,
        dropped: counts.dropped,
        latency: Latency::of(&seen.latency),
    };
    Said::Delivered(summary).say()?;
    Ok(0)
}

/// A flag that is set when stdin ends: the demo is over, or gone.
fn over_with_stdin() -> Result<Arc<AtomicBool>, Failure> {
    let over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&over);
    let wait = move || {
        // An error is an end too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        flag.store(true, Ordering::Release);
    };
    let thread = std::thread::Builder::new().name("lockstep-stdin".into()).spawn(wait);
    thread.map_err(|error| {
        Failure::new(FAILED, format!("starting the thread that reads stdin failed: {error}"))
    })?;
    Ok(over)
}

/// One publisher, as seen from here.
struct Line {
    /// Which publisher of the demo it is.
    number: u16,
    /// The last message of it.
    last: PublisherSeq,
    /// Where its next message stands in the flow, or before it.
    next_index: u64,
}

/// What was delivered so far.
struct Seen {
    flow: OrderFlow,
    clock: Clock,
    digest: StreamDigest,
    latency: Histogram<u64>,
    lines: BTreeMap<PublisherId, Line>,
    next: Seq,
    last_at: Nanos,
    skipped: u64,
    duplicated: u64,
    out_of_order: u64,
    altered: u64,
    failed: Option<Failure>,
    /// Whether messages are told before they are final.
    stamped: bool,
    /// What was told and may still be taken back.
    pending: VecDeque<Told>,
    retracted: u64,
    /// The epoch that began with no message of it yet.
    begun: Option<Epoch>,
    /// Epochs to be told of.
    epochs: Vec<Said>,
}

/// A message that is not final yet.
struct Told {
    seq: Seq,
    publisher: PublisherId,
    publisher_seq: PublisherSeq,
    destination: Destination,
    timestamp: Nanos,
    payload: Vec<u8>,
}

impl Seen {
    fn new(flow: OrderFlow, clock: Clock, stamped: bool) -> Result<Self, Failure> {
        let latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS);
        Ok(Self {
            flow,
            clock,
            digest: StreamDigest::new(),
            latency: latency.map_err(|error| Failure::new(FAILED, format!("the histogram: {error}")))?,
            lines: BTreeMap::new(),
            next: 0,
            last_at: 0,
            skipped: 0,
            duplicated: 0,
            out_of_order: 0,
            altered: 0,
            failed: None,
            stamped,
            pending: VecDeque::new(),
            retracted: 0,
            begun: None,
            epochs: Vec::new(),
        })
    }

    /// Messages, each counted once.
    fn distinct(&self) -> u64 {
        self.digest.messages() - self.duplicated
    }

    fn on_event(&mut self, event: SubscriberEvent<'_>) -> Flow {
        match event {
            SubscriberEvent::Message(message) => self.on_told(&message),
            SubscriberEvent::Committed { next } => self.on_committed(next),
            SubscriberEvent::Epoch { epoch, .. } => self.begun = Some(epoch),
            SubscriberEvent::Abandoned { from, oldest, why } => {
                let what = format!(
                    "seq {from} is repaired by nobody ({}; the oldest is {oldest}): this subscriber found too \
                     seldom a core to run on, and fell behind what the tails remember; give a lower --rate",
                    why.name()
                );
                self.failed = Some(Failure::new(INTEGRITY, what));
            }
            SubscriberEvent::Diverged { seq } => {
                self.failed = Some(Failure::new(INTEGRITY, format!("the logs diverge at seq {seq}")));
            }
            SubscriberEvent::Retract { from } if self.stamped => self.on_retract(from),
            SubscriberEvent::Retract { from } => {
                let what = format!("messages from seq {from} on were taken back, and they were final");
                self.failed = Some(Failure::new(INTEGRITY, what));
            }
            _ => {}
        }
        if self.failed.is_some() { Flow::Stop } else { Flow::Continue }
    }

    /// A message is delivered: final, or to be judged when it is.
    fn on_told(&mut self, message: &Message<'_>) {
        let now = self.clock.now();
        if let Some(epoch) = self.begun.take().filter(|_| self.last_at > 0) {
            self.epochs.push(Said::Epoch { epoch: epoch.0, at: now, gap_ns: now - self.last_at });
        }
        self.last_at = now;
        if let Some(order) = Order::from_payload(message.payload) {
            self.latency.saturating_record(now.saturating_sub(order.sent_ns).max(1));
        }
        if !self.stamped {
            return self.on_message(message);
        }
        let Message { seq, publisher, publisher_seq, destination, timestamp, payload } = *message;
        let payload = payload.to_vec();
        self.pending.push_back(Told { seq, publisher, publisher_seq, destination, timestamp, payload });
    }

    /// What was told below `next` is final.
    fn on_committed(&mut self, next: Seq) {
        while self.pending.front().is_some_and(|told| told.seq < next)
            && let Some(told) = self.pending.pop_front()
        {
            let Told { seq, publisher, publisher_seq, destination, timestamp, ref payload } = told;
            self.on_message(&Message { seq, publisher, publisher_seq, destination, timestamp, payload });
        }
    }

    /// What was told from `from` on is taken back.
    fn on_retract(&mut self, from: Seq) {
        let kept = self.pending.partition_point(|told| told.seq < from);
        self.retracted += (self.pending.len() - kept) as u64;
        self.pending.truncate(kept);
    }

    /// A message that is final.
    fn on_message(&mut self, message: &Message<'_>) {
        self.digest.add(message);
        self.next = message.seq + 1;
        let Some(order) = Order::from_payload(message.payload) else {
            self.altered += 1;
            return;
        };
        let Self { flow, lines, .. } = self;
        let line = lines.entry(message.publisher).or_insert_with(|| Line {
            number: number_of(flow, &order),
            last: 0,
            next_index: 0,
        });
        // FIFO: the numbers of one publisher follow each other without a hole.
        if message.publisher_seq <= line.last {
            self.duplicated += 1;
            return;
        }
        let skipped = message.publisher_seq - line.last - 1;
        self.skipped += skipped;
        self.out_of_order += u64::from(skipped > 0);
        line.last = message.publisher_seq;
        // And they are that publisher's share of the flow, in its order.
        for _ in 0..=skipped {
            while flow.publisher(line.next_index, PUBLISHERS) != line.number {
                line.next_index += 1;
            }
            line.next_index += 1;
        }
        let published = Order { sent_ns: order.sent_ns, ..flow.message(line.next_index - 1) };
        self.altered += u64::from(published != order);
    }
}

/// Which publisher sends orders of this instrument.
fn number_of(flow: &OrderFlow, order: &Order) -> u16 {
    let mut day = 0..flow.len() as u64;
    let index = day.find(|&index| flow.message(index).instrument == order.instrument);
    index.map_or(PUBLISHERS, |index| flow.publisher(index, PUBLISHERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Message `publisher_seq` of publisher `number`, as it is published.
    fn order(flow: &OrderFlow, number: u16, publisher_seq: u64) -> Order {
        let share = (0..).filter(|&index| flow.publisher(index, PUBLISHERS) == number);
        flow.message(share.take(publisher_seq as usize).last().expect("counted from 1"))
    }

    fn seen(messages: &[(u16, u64, bool)]) -> Seen {
        let flow = OrderFlow::recorded().expect("the recorded day");
        let mut seen = Seen::new(flow.clone(), Clock::start(), false).expect("a histogram");
        for (index, &(number, publisher_seq, is_right)) in messages.iter().enumerate() {
            let mut order = order(&flow, number, publisher_seq);
            order.quantity += u32::from(!is_right);
            seen.on_event(SubscriberEvent::Message(Message {
                seq: index as u64 + 1,
                publisher: u32::from(number) + 7,
                publisher_seq,
                destination: 0,
                timestamp: 0,
                payload: bytemuck::bytes_of(&order),
            }));
        }
        seen
    }

    #[test]
    fn what_was_published_in_its_order_is_found_faultless() {
        let seen = seen(&[(0, 1, true), (1, 1, true), (1, 2, true), (0, 2, true), (1, 3, true)]);
        assert_eq!((seen.distinct(), seen.skipped, seen.duplicated, seen.altered), (5, 0, 0, 0));
    }

    #[test]
    fn a_hole_a_copy_and_an_altered_message_are_counted_and_the_rest_is_right() {
        let seen = seen(&[(0, 1, true), (0, 3, true), (0, 3, true), (1, 1, false), (0, 4, true)]);
        assert_eq!((seen.skipped, seen.out_of_order, seen.duplicated, seen.altered), (1, 1, 1, 1));
        assert_eq!(seen.distinct(), 4);
    }

    #[test]
    fn what_is_stamped_is_judged_when_it_is_final_and_what_is_taken_back_never() {
        let flow = OrderFlow::recorded().expect("the recorded day");
        let mut seen = Seen::new(flow.clone(), Clock::start(), true).expect("a histogram");
        let tell = |seen: &mut Seen, seq: Seq, publisher_seq: u64| {
            let order = order(&flow, 0, publisher_seq);
            let payload = bytemuck::bytes_of(&order);
            let event = Message { seq, publisher: 7, publisher_seq, destination: 0, timestamp: 0, payload };
            seen.on_event(SubscriberEvent::Message(event));
        };
        tell(&mut seen, 1, 1);
        tell(&mut seen, 2, 2);
        assert_eq!(seen.distinct(), 0);
        seen.on_event(SubscriberEvent::Committed { next: 2 });
        seen.on_event(SubscriberEvent::Retract { from: 2 });
        tell(&mut seen, 3, 2);
        seen.on_event(SubscriberEvent::Committed { next: 4 });
        assert_eq!((seen.distinct(), seen.retracted, seen.skipped, seen.duplicated), (2, 1, 0, 0));
    }
}
