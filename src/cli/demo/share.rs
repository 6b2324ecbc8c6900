//! One publisher's share of the order flow, each order when it is due.

use super::PUBLISHERS;
use crate::cli::Failure;
use crate::cli::failure::FAILED;
use crate::cli::orders::{Order, OrderFlow};
use lockstep_wire::Nanos;

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
}

impl Share {
    /// The share of `publisher` in a flow of so many messages at this rate.
    pub fn new(messages: u64, rate: u64, publisher: u16) -> Result<Self, Failure> {
        let flow = OrderFlow::recorded().map_err(|error| Failure::new(FAILED, error))?;
        let mut share = Self { flow, messages, rate, publisher, began: None, index: 0, taken: 0 };
        share.skip();
        Ok(share)
    }

    /// Order 0 of the flow is due at `at`.
    pub fn begin(&mut self, at: Nanos) {
        self.began = Some(at);
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
        // In 128 bits: a long run's index times a thousand million does not fit in 64.
        let after = (u128::from(self.index) * 1_000_000_000).checked_div(u128::from(self.rate));
        self.began.map_or(Nanos::MAX, |began| began.saturating_add(after.unwrap_or(0) as Nanos))
    }

    /// The next order, if it is due.
    pub fn next(&self, now: Nanos) -> Option<Order> {
        let due = self.due();
        (!self.is_over() && now >= due).then(|| {
            let sent_ns = if self.rate == 0 { now } else { due };
            Order { sent_ns, ..self.flow.message(self.index) }
        })
    }

    /// The next order is taken: the one behind it comes next.
    pub fn take(&mut self) {
        self.index += 1;
        self.taken += 1;
        self.skip();
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
        shares.iter_mut().for_each(|share| share.begin(5));
        let mut due = Vec::new();
        for share in &mut shares {
            while !share.is_over() {
                assert_eq!(share.next(share.due() - 1), None);
                let order = share.next(share.due()).expect("it is due");
                due.push(order.sent_ns);
                share.take();
            }
            assert_eq!(share.next(Nanos::MAX - 1), None);
        }
        assert_eq!(shares.iter().map(|share| share.number() - 1).sum::<u64>(), 1_000);
        due.sort_unstable();
        assert_eq!(due, (0..1_000).map(|index| 5 + index * 1_000_000).collect::<Vec<_>>());
    }
}
