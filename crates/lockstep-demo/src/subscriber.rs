//! A subscriber of the demo: delivers all, checks each message against what was published, and tells how
//! long it took.

use crate::PUBLISHERS;
use crate::args::DemoSubscriberArgs;
use crate::orders::{Order, OrderFlow};
use crate::report_lines::{ChildCommand, ChildReport, Delivered, Latency, abandoned};
use hdrhistogram::Histogram;
use lockstep_app::Acknowledger;
use lockstep_client::{
    Delivery, Endpoint, Message, ReplayEndReason, Start, StreamDigest, Subscriber, SubscriberEvent,
};
use lockstep_core::engine::counters::Counter;
use lockstep_daemon::Failure;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::{FAILED, INTEGRITY};
use lockstep_io::clock::Clock;
use lockstep_process::cpu;
use lockstep_trial::checks::{NumberArrival, NumberCheck, PendingMessages};
use lockstep_wire::{Epoch, Nanos, Seq};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::TryRecvError;

/// Most messages of one poll.
const BATCH: usize = 4096;
/// How often a report of progress goes to the demo.
const REPORT_NS: Nanos = 100_000_000;
/// Longest latency that the histogram records, and its precision.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const LATENCY_DIGITS: u8 = 3;
/// Longest wait between two polls.
const PAUSE_NS: Nanos = 1_000_000;

/// A histogram of latencies in nanoseconds.
pub fn latencies() -> Result<Histogram<u64>, Failure> {
    let latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS);
    latencies.map_err(|error| Failure::new(FAILED, format!("the histogram: {error}")))
}

/// Delivers until the demo says where the stream ends, and prints a summary.
pub fn run(args: &DemoSubscriberArgs) -> Result<u8, Failure> {
    let flow = OrderFlow::recorded().map_err(|error| Failure::new(FAILED, error))?;
    let endpoint = Endpoint::from_config(&Config::load(Some(&args.child.config), &[])?)?;
    if let Some(core) = args.child.core {
        cpu::pin(core);
    }
    let commands = ChildCommand::listen()?;
    let delivery = if args.stamped { Delivery::Stamped } else { Delivery::Committed };
    let mut subscriber = Subscriber::connect(&endpoint, delivery, Start::From(1))?;
    let mut waiter = endpoint.idle().waiter(&subscriber.net().sockets())?;
    ChildReport::Ready.say()?;
    let mut seen = Seen::new(flow, *subscriber.clock(), args.stamped, args.quiet)?;
    let (mut reported_at, mut end) = (subscriber.clock().now(), Seq::MAX);
    while subscriber.deliver_next() < end || subscriber.commit_next() < end || !seen.pending.is_empty() {
        let work = subscriber.poll(BATCH, |event| seen.on_event(event));
        if let Some(failure) = seen.failed.take() {
            return Err(failure);
        }
        for report in seen.epochs.drain(..) {
            report.say()?;
        }
        let now = subscriber.clock().now();
        if now > reported_at + REPORT_NS {
            reported_at = now;
            ChildReport::Progress { orders: seen.orders.count }.say()?;
        }
        match commands.try_recv() {
            Ok(ChildCommand::End { next }) => end = next,
            Err(TryRecvError::Disconnected) => return Err(abandoned()),
            _ if work == 0 => {
                waiter.on_progress(subscriber.deliver_next());
                waiter.wait(PAUSE_NS);
            }
            _ => {}
        }
    }
    let (counters, counts) = (subscriber.counters(), subscriber.net().counts());
    let (orders, answers) = (&seen.orders, &seen.answers);
    let all = args.child.messages;
    let answers_all = if args.answered { all } else { 0 };
    let lost = |all: u64, part: &Lines| all.saturating_sub(part.count).max(part.skipped);
    let summary = Delivered {
        stamped: args.stamped,
        messages: seen.digest.messages(),
        orders: orders.count,
        answers: answers.count,
        retracted: seen.pending.retracted(),
        lost: lost(all, orders) + lost(answers_all, answers),
        duplicated: orders.duplicated + answers.duplicated,
        out_of_order: orders.out_of_order + answers.out_of_order,
        altered: orders.altered + answers.altered + seen.unexpected,
        publishers: orders.lines.len(),
        next: end,
        digest: seen.digest.hex(),
        last_at: seen.last_order_at,
        gaps: counters.get(Counter::Gaps),
        repairs: counters.get(Counter::RepairsIn),
        datagrams_in: counts.datagrams_in,
        datagrams_out: counts.datagrams_out,
        dropped: counts.dropped,
        latency: Latency::of(&seen.latency),
        quiet_latency: (args.quiet > 0).then(|| Latency::of(&seen.quiet_latency)),
    };
    ChildReport::Delivered(summary).say()?;
    Ok(0)
}

/// One publisher's orders, or the answers to one client, as seen from here.
struct Line {
    /// Which publisher of the demo it is.
    publisher: u16,
    /// The numbers of its orders, from 0.
    numbers: NumberCheck,
    /// Where its next order stands in the flow, or before it.
    next_index: u64,
}

/// Orders, or answers: how many, and what was wrong with them.
#[derive(Default)]
struct Lines {
    lines: BTreeMap<u32, Line>,
    /// Each counted once.
    count: u64,
    skipped: u64,
    duplicated: u64,
    out_of_order: u64,
    altered: u64,
}

impl Lines {
    /// The next one of whoever is `id`.
    fn take(&mut self, flow: &OrderFlow, id: u32, (number, order): (u64, Order)) {
        let line = self.lines.entry(id).or_insert_with(|| Line {
            publisher: publisher_of(flow, &order),
            numbers: NumberCheck::default(),
            next_index: 0,
        });
        // FIFO: the numbers of one publisher follow each other without a hole.
        let skipped = match number.checked_sub(1).map(|number| line.numbers.take(number)) {
            Some(NumberArrival::Next) => 0,
            Some(NumberArrival::Ahead(skipped)) => skipped,
            Some(NumberArrival::Late | NumberArrival::Again) | None => {
                self.duplicated += 1;
                return;
            }
        };
        self.count += 1;
        self.skipped += skipped;
        self.out_of_order += u64::from(skipped > 0);
        // And they are that publisher's share of the flow, in its order.
        for _ in 0..=skipped {
            while flow.publisher(line.next_index, PUBLISHERS) != line.publisher {
                line.next_index += 1;
            }
            line.next_index += 1;
        }
        let published = Order { sent_ns: order.sent_ns, ..flow.message(line.next_index - 1) };
        self.altered += u64::from(published != order);
    }
}

/// What was delivered so far.
struct Seen {
    flow: OrderFlow,
    clock: Clock,
    digest: StreamDigest,
    latency: Histogram<u64>,
    /// Of the orders of the quiet part, which come first; and how many of them are still to come.
    quiet_latency: Histogram<u64>,
    quiet_left: u64,
    /// By publisher.
    orders: Lines,
    /// By destination.
    answers: Lines,
    /// Messages that are neither order nor answer nor a gateway's heartbeat.
    unexpected: u64,
    last_at: Nanos,
    last_order_at: Nanos,
    failed: Option<Failure>,
    /// Whether messages are delivered before they are final.
    stamped: bool,
    /// Delivered messages that may still be retracted.
    pending: PendingMessages,
    /// The epoch that began with no message of it yet.
    begun: Option<Epoch>,
    /// Epochs to be reported.
    epochs: Vec<ChildReport>,
}

impl Seen {
    fn new(flow: OrderFlow, clock: Clock, stamped: bool, quiet: u64) -> Result<Self, Failure> {
        Ok(Self {
            flow,
            clock,
            digest: StreamDigest::new(),
            latency: latencies()?,
            quiet_latency: latencies()?,
            quiet_left: quiet,
            orders: Lines::default(),
            answers: Lines::default(),
            unexpected: 0,
            last_at: 0,
            last_order_at: 0,
            failed: None,
            stamped,
            pending: PendingMessages::default(),
            begun: None,
            epochs: Vec::new(),
        })
    }

    fn on_event(&mut self, event: SubscriberEvent<'_>) -> ControlFlow<()> {
        match event {
            SubscriberEvent::Message(message) => self.on_delivered(&message),
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
            SubscriberEvent::Refused { why, next } => {
                let why = why.map_or("no journal can be reached", ReplayEndReason::name);
                self.failed = Some(Failure::new(INTEGRITY, format!("seq {next} cannot be replayed: {why}")));
            }
            SubscriberEvent::Diverged { seq } => {
                self.failed = Some(Failure::new(INTEGRITY, format!("the logs diverge at seq {seq}")));
            }
            SubscriberEvent::Retract { from } if self.stamped => self.pending.retract(from),
            SubscriberEvent::Retract { from } => {
                let what = format!("messages from seq {from} on were taken back, and they were final");
                self.failed = Some(Failure::new(INTEGRITY, what));
            }
            _ => {}
        }
        if self.failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// A message is delivered: final, or to be judged when it is.
    fn on_delivered(&mut self, message: &Message<'_>) {
        let now = self.clock.now();
        if let Some(epoch) = self.begun.take().filter(|_| self.last_at > 0) {
            self.epochs.push(ChildReport::Epoch { epoch: epoch.0, at: now, gap_ns: now - self.last_at });
        }
        self.last_at = now;
        if let Some((_, order)) = Order::from_numbered(message.payload) {
            self.last_order_at = now;
            let latency = if self.quiet_left > 0 { &mut self.quiet_latency } else { &mut self.latency };
            latency.saturating_record(now.saturating_sub(order.sent_ns).max(1));
            self.quiet_left = self.quiet_left.saturating_sub(1);
        }
        if !self.stamped {
            return self.on_message(message);
        }
        if let Err(wrong) = self.pending.stamp(message) {
            self.failed = Some(Failure::new(INTEGRITY, wrong));
        }
    }

    /// Messages below `next` are final.
    fn on_committed(&mut self, next: Seq) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.commit(next, |message| self.on_message(message));
        self.pending = pending;
    }

    /// A message that is final.
    fn on_message(&mut self, message: &Message<'_>) {
        self.digest.add(message);
        let Self { flow, orders, answers, unexpected: strange, .. } = self;
        let answered = message.payload.strip_prefix(Acknowledger::PREFIX).and_then(Order::from_numbered);
        match (Order::from_numbered(message.payload), answered) {
            (Some(order), _) => orders.take(flow, message.publisher, order),
            (None, Some(order)) => answers.take(flow, message.destination, order),
            (None, None) => *strange += 1,
        }
    }
}

/// Which publisher sends orders of this instrument.
fn publisher_of(flow: &OrderFlow, order: &Order) -> u16 {
    let mut day = 0..flow.len() as u64;
    let index = day.find(|&index| flow.message(index).instrument == order.instrument);
    index.map_or(PUBLISHERS, |index| flow.publisher(index, PUBLISHERS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::{Destination, PublisherId};

    /// Order `number` of `publisher`.
    fn order(flow: &OrderFlow, publisher: u16, number: u64) -> Order {
        let share = (0..).filter(|&index| flow.publisher(index, PUBLISHERS) == publisher);
        flow.message(share.take(number as usize).last().expect("counted from 1"))
    }

    fn tell(seen: &mut Seen, seq: Seq, publisher: PublisherId, destination: Destination, payload: &[u8]) {
        let publisher_seq = seq;
        let message = Message { seq, publisher, publisher_seq, destination, timestamp: 0, payload };
        let _ = seen.on_event(SubscriberEvent::Message(message));
    }

    /// Orders by publisher and number, and whether they are right; each is answered.
    fn seen(orders: &[(u16, u64, bool)]) -> Seen {
        let flow = OrderFlow::recorded().expect("the recorded day");
        let mut seen = Seen::new(flow.clone(), Clock::start(), false, 0).expect("a histogram");
        for (index, &(publisher, number, is_right)) in orders.iter().enumerate() {
            let mut order = order(&flow, publisher, number);
            order.quantity += u32::from(!is_right);
            let (message, id, seq) = (order.numbered(number), u32::from(publisher) + 7, 2 * index as u64);
            tell(&mut seen, seq + 1, id, 0, &message);
            tell(&mut seen, seq + 2, 99, id, &[Acknowledger::PREFIX, &message].concat());
        }
        seen
    }

    fn judged(part: &Lines) -> [u64; 5] {
        [part.count, part.skipped, part.out_of_order, part.duplicated, part.altered]
    }

    #[test]
    fn what_was_published_in_its_order_is_found_faultless() {
        let mut seen = seen(&[(0, 1, true), (1, 1, true), (1, 2, true), (0, 2, true), (1, 3, true)]);
        let (timestamp, payload) = (0, &[][..]);
        let _ =
            seen.on_event(SubscriberEvent::GatewayHeartbeat { seq: 11, timestamp, publisher: 5, payload });
        assert_eq!(judged(&seen.orders), [5, 0, 0, 0, 0]);
        assert_eq!((judged(&seen.answers), seen.unexpected), ([5, 0, 0, 0, 0], 0));
    }

    #[test]
    fn a_hole_a_copy_and_an_altered_message_are_counted_and_the_rest_is_right() {
        let mut seen = seen(&[(0, 1, true), (0, 3, true), (0, 3, true), (1, 1, false), (0, 4, true)]);
        tell(&mut seen, 11, 5, 0, b"nobody's");
        assert_eq!(judged(&seen.orders), [4, 1, 1, 1, 1]);
        assert_eq!((judged(&seen.answers), seen.unexpected), ([4, 1, 1, 1, 1], 1));
    }

    #[test]
    fn what_is_stamped_is_judged_when_it_is_final_and_what_is_taken_back_never() {
        let flow = OrderFlow::recorded().expect("the recorded day");
        let mut seen = Seen::new(flow.clone(), Clock::start(), true, 0).expect("a histogram");
        let tell = |seen: &mut Seen, seq: Seq, number: u64| {
            tell(seen, seq, 7, 0, &order(&flow, 0, number).numbered(number));
        };
        tell(&mut seen, 1, 1);
        tell(&mut seen, 2, 2);
        assert_eq!(seen.orders.count, 0);
        let _ = seen.on_event(SubscriberEvent::Committed { next: 2 });
        let _ = seen.on_event(SubscriberEvent::Retract { from: 2 });
        tell(&mut seen, 3, 2);
        let _ = seen.on_event(SubscriberEvent::Committed { next: 4 });
        assert_eq!((judged(&seen.orders), seen.pending.retracted()), ([2, 0, 0, 0, 0], 1));
    }
}
