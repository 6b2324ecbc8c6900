//! What an engine puts out, collected.

use lockstep_exchange::{MarketEvent, OperatorRefusal, OrderReport, Sink};

/// One output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Out {
    Report(OrderReport),
    Market(MarketEvent),
    Refusal(OperatorRefusal),
    Timer { key: u64, at_ns: u64 },
    CancelTimer { key: u64 },
}

/// A sink that collects.
#[derive(Clone, Default, Debug)]
pub struct Collected(pub Vec<Out>);

impl Sink for Collected {
    fn report(&mut self, report: OrderReport) {
        self.0.push(Out::Report(report));
    }

    fn market(&mut self, event: MarketEvent) {
        self.0.push(Out::Market(event));
    }

    fn refuse(&mut self, reason: OperatorRefusal) {
        self.0.push(Out::Refusal(reason));
    }

    fn timer(&mut self, key: u64, at_ns: u64) {
        self.0.push(Out::Timer { key, at_ns });
    }

    fn cancel_timer(&mut self, key: u64) {
        self.0.push(Out::CancelTimer { key });
    }
}
