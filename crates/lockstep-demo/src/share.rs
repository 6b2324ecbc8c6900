//! One publisher's share of the order flow, each order when it is due.

use crate::PUBLISHERS;
use crate::orders::{Order, OrderFlow};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::FAILED;
use lockstep_wire::Nanos;

/// Orders of a second while the stream is quiet.
pub const QUIET_RATE: u64 = 500;
/// Most orders at that rate: two seconds, and enough of them for a p99.
const QUIET_ORDERS_MAX: u64 = 1_000;
/// The part of the flow that is quiet at most.
const QUIET_PART: u64 = 20;

/// The last part of the flow, which thins out while leaders or gateways are still to be taken away.
const THIN_PART: u64 = 4;
/// Its last part, which thins out further.
const LAST_PART: u64 = 40;
/// How long a thinned rest would take at the rate of its first moment.
const THIN_NS: Nanos = 8_000_000_000;
/// As [`THIN_NS`], in the last part. The flow never stops: a takeover is over, and a client is served, with
/// the first message behind it.
const LAST_NS: Nanos = 200_000_000_000;

/// The first orders of a flow are sent at a low rate, so that the latency of a quiet stream stands beside
/// that of the loaded one. None where the flow is hardly faster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuietPart {
    /// How many orders.
    pub orders: u64,
    /// How long they take.
    pub lasts_ns: Nanos,
}

impl QuietPart {
    /// That of so many messages at this rate; 0 is as fast as possible.
    pub fn of(messages: u64, rate: u64) -> Self {
        let is_slow = (1..=2 * QUIET_RATE).contains(&rate);
        let orders = if is_slow { 0 } else { (messages / QUIET_PART).min(QUIET_ORDERS_MAX) };
        Self { orders, lasts_ns: orders * 1_000_000_000 / QUIET_RATE }
    }
}

/// What one publisher, or one client, sends.
pub struct Share {
    flow: OrderFlow,
    /// Orders of the whole flow.
    messages: u64,
    /// A second's; 0 is as fast as possible.
    rate: u64,
    publisher: u16,
    /// When order 0 of the flow is due; none before anything may be sent.
    began: Option<Nanos>,
    /// The next order of the flow, whoever sends it.
    index: u64,
    /// Orders of ours before it.
    taken: u64,
    /// Whether somebody is still to be taken away while orders flow.
    lasts: bool,
    /// The last of our orders in the flow: it waits for [`Share::finish`].
    last: u64,
    /// While it lasts, the next order is not due before.
    waits_until: Nanos,
}

impl Share {
    /// The share of `publisher` in a flow of so many messages at this rate.
    pub fn new(messages: u64, rate: u64, publisher: u16) -> Result<Self, Failure> {
        let flow = OrderFlow::recorded().map_err(|error| Failure::new(FAILED, error))?;
        let is_ours = |index: &u64| flow.publisher(*index, PUBLISHERS) == publisher;
        let last = (0..messages).rev().find(is_ours).unwrap_or(0);
        let (began, index, taken, lasts, waits_until) = (None, 0, 0, false, 0);
        let mut share =
            Self { flow, messages, rate, publisher, began, index, taken, lasts, last, waits_until };
        share.skip();
        Ok(share)
    }

    /// Order 0 of the flow is due at `at`. A flow that `lasts` thins out towards its end, and does not end
    /// before [`Share::finish`]: what happens meanwhile happens while orders flow, on a slow machine too.
    pub fn begin(&mut self, at: Nanos, lasts: bool) {
        (self.began, self.lasts) = (Some(at), lasts);
    }

    /// The rest is due as its rate says.
    pub fn finish(&mut self) {
        self.lasts = false;
    }

    /// Everything that is not due yet is due so much later.
    pub fn delay(&mut self, by: Nanos) {
        self.began = self.began.map(|began| began.saturating_add(by));
    }

    /// Whether all of it was taken.
    pub fn is_over(&self) -> bool {
        self.index >= self.messages
    }

    /// Number of the next order, from 1.
    pub fn number(&self) -> u64 {
        self.taken + 1
    }

    /// When the next order is due; at rate 0 at once.
    pub fn due(&self) -> Nanos {
        match self.lasts {
            true if self.index >= self.last => Nanos::MAX,
            true => self.due_by_rate().max(self.waits_until),
            false => self.due_by_rate(),
        }
    }

    fn due_by_rate(&self) -> Nanos {
        let quiet = QuietPart::of(self.messages, self.rate);
        let after = if self.index < quiet.orders {
            self.index * 1_000_000_000 / QUIET_RATE
        } else {
            // In 128 bits: a long run's index times a thousand million does not fit in 64.
            let loaded = u128::from(self.index - quiet.orders) * 1_000_000_000;
            quiet.lasts_ns + loaded.checked_div(u128::from(self.rate)).unwrap_or(0) as Nanos
        };
        self.began.map_or(Nanos::MAX, |began| began.saturating_add(after))
    }

    /// The next order, if it is due.
    pub fn next(&self, now: Nanos) -> Option<Order> {
        let due = self.due();
        (!self.is_over() && now >= due).then(|| {
            let is_quiet = self.index < QuietPart::of(self.messages, self.rate).orders;
            let sent_ns = if self.rate == 0 && !is_quiet { now } else { due };
            Order { sent_ns, ..self.flow.message(self.index) }
        })
    }

    /// The next order is taken: the one behind it comes next.
    pub fn take(&mut self, now: Nanos) {
        self.index += 1;
        self.taken += 1;
        self.skip();
        if self.lasts && self.left() <= self.messages / THIN_PART {
            let thinned = now + THIN_NS / self.left().max(1);
            self.delay(thinned.saturating_sub(self.due_by_rate()));
        }
        if self.lasts && self.left() <= self.messages / LAST_PART {
            self.waits_until = now + LAST_NS / self.left().max(1);
        }
    }

    /// Orders of the flow from the next one on.
    fn left(&self) -> u64 {
        self.messages.saturating_sub(self.index)
    }

    /// Passes over what the other publisher sends.
    fn skip(&mut self) {
        while !self.is_over() && self.flow.publisher(self.index, PUBLISHERS) != self.publisher {
            self.index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_shares_are_the_flow_and_nothing_is_taken_before_it_is_due() {
        let mut shares: Vec<_> =
            (0..PUBLISHERS).map(|publisher| Share::new(1_000, 1_000, publisher).expect("a day")).collect();
        assert!(shares.iter().all(|share| share.next(Nanos::MAX - 1).is_none()), "nothing has begun");
        shares.iter_mut().for_each(|share| share.begin(5, false));
        let mut due = Vec::new();
        for share in &mut shares {
            while !share.is_over() {
                assert_eq!(share.next(share.due() - 1), None);
                let order = share.next(share.due()).expect("it is due");
                due.push(order.sent_ns);
                share.take(order.sent_ns);
            }
            assert_eq!(share.next(Nanos::MAX - 1), None);
        }
        assert_eq!(shares.iter().map(|share| share.number() - 1).sum::<u64>(), 1_000);
        due.sort_unstable();
        assert_eq!(due, (0..1_000).map(|index| 5 + index * 1_000_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_flow_that_lasts_thins_out_and_ends_only_when_it_is_finished() {
        for rate in [0, 1_000] {
            let mut share = Share::new(1_000, rate, 0).expect("a day");
            share.begin(5, true);
            let mut due = Vec::new();
            while share.due() < Nanos::MAX {
                due.push(share.next(share.due()).expect("it is due").sent_ns);
                share.take(share.due());
            }
            assert!(!share.is_over() && share.next(Nanos::MAX - 1).is_none(), "the rest waits");
            let gaps: Vec<_> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(gaps[gaps.len() - 10..].iter().all(|gap| *gap > 30_000_000), "{gaps:?}");
            let last = due[due.len() - 1];
            let (early, late) = (due[due.len() * 39 / 40], last);
            assert!(early > 3_000_000_000, "the last quarter takes seconds: {early}");
            assert!(late > 60_000_000_000, "the last part takes a minute: {late}");
            assert!(gaps.iter().all(|gap| *gap < 100_000_000_000), "it never stops: {gaps:?}");
            share.finish();
            while !share.is_over() {
                assert!(share.due() < last + 5_000_000_000, "the rest comes as its rate says");
                share.take(share.due());
            }
        }
    }

    #[test]
    fn the_first_orders_of_a_fast_flow_are_quiet() {
        assert_eq!(QuietPart::of(100_000, 1_000), QuietPart { orders: 0, lasts_ns: 0 }, "hardly faster");
        let quiet = QuietPart { orders: 1_000, lasts_ns: 2_000_000_000 };
        assert_eq!([QuietPart::of(100_000, 0), QuietPart::of(1 << 40, 50_000)], [quiet; 2]);
        let mut due = Vec::new();
        for publisher in 0..PUBLISHERS {
            let mut share = Share::new(200, 100_000, publisher).expect("a day");
            share.begin(5, false);
            while !share.is_over() {
                due.push(share.next(share.due()).expect("it is due").sent_ns);
                share.take(share.due());
            }
        }
        due.sort_unstable();
        let loaded = (0..190).map(|index| 20_000_005 + index * 10_000);
        assert_eq!(due, (0..10).map(|index| 5 + index * 2_000_000).chain(loaded).collect::<Vec<_>>());
    }
}
