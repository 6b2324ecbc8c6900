//! A protocol of one's own in the laboratory, with an error that `check` finds. Try:
//!
//! ```text
//! cargo run -p lockstep-lab --example own_protocol -- check
//! cargo run -p lockstep-lab --example own_protocol -- draw by-time violation > by-time.svg
//! cargo run -p lockstep-lab --example own_protocol -- compare
//! ```

use clap::Parser;
use lockstep_lab::card::{Family, Price};
use lockstep_lab::command::{LabArgs, run};
use lockstep_lab::property::{NO_CREATION, UNIFORM_TOTAL_ORDER, VALIDITY};
use lockstep_lab::{
    Ask, Broadcast, Card, Catalogue, Deliver, Entry, Model, Out, Pid, Prices, Process, Protocol, Subject,
    Value,
};

/// An order by the clock of Lamport: each message has a time, and is delivered in the order of times.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ByTime {
    time: u8,
}

impl Protocol for ByTime {
    type Request = Broadcast<Value>;
    type Indication = Deliver<Value>;
    type Message = (u8, Value);

    fn new(_process: &Process) -> Self {
        Self { time: 0 }
    }

    fn request(&mut self, Broadcast(value): Broadcast<Value>, out: &mut Out<Self>) {
        self.time += 1;
        out.all((self.time, value));
    }

    fn receive(&mut self, from: Pid, (time, message): (u8, Value), out: &mut Out<Self>) {
        self.time = self.time.max(time);
        // The error: a message with a lower time may still be under way.
        out.indicate(Deliver { from, message });
    }
}

impl Subject for ByTime {
    const CARD: &'static Card = &CARD;
}

static CARD: Card = Card {
    name: "by-time",
    family: Family::Own,
    source: "an example",
    says: "Delivers messages in the order of their times, as they come.",
    buys: &[(
        "all clocks are heard",
        "without that the order is the one of arrival: this protocol forgot it",
    )],
    uses: &[],
    model: Model::PLAIN,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))],
    properties: &[&VALIDITY, &NO_CREATION, &UNIFORM_TOTAL_ORDER],
    states_max: 100_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |_| 1,
        unicast: |n| n - 1,
    }]),
    breaks: &[],
};

/// What this program knows.
pub static OWN: Catalogue = Catalogue(&[&[Entry::of::<ByTime>()]]);

fn main() -> std::io::Result<std::process::ExitCode> {
    let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
    Ok(run(&OWN, &LabArgs::parse(), &mut out, &mut errors)?.into())
}
