//! A protocol of one's own gets all commands, and its error is found: an order by the clock of Lamport that
//! forgets to wait until it has heard from everybody.

use clap::Parser;
use lockstep_lab::card::Family;
use lockstep_lab::command::{FAILED_CHECK, LabArgs, NO_SUCH_CARD, run};
use lockstep_lab::property::{UNIFORM_TOTAL_ORDER, VALIDITY};
use lockstep_lab::{
    Ask, Broadcast, Card, Catalogue, Deliver, Entry, Model, Out, Pid, Process, Protocol, Subject, Value,
};

/// A message has a time; messages are delivered in the order of time and sender, as they come.
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

    fn receive(&mut self, from: Pid, (time, value): (u8, Value), out: &mut Out<Self>) {
        self.time = self.time.max(time);
        // The error: a message with a lower time may still be under way.
        out.indicate(Deliver { from, message: value });
    }
}

impl Subject for ByTime {
    const CARD: &'static Card = &CARD;
}

static CARD: Card = Card {
    name: "by-time",
    family: Family::Own,
    source: "a test",
    says: "Delivers by time.",
    buys: &[],
    uses: &[],
    model: Model::PLAIN,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))],
    properties: &[&VALIDITY, &UNIFORM_TOTAL_ORDER],
    states_max: 100_000,
    whole: true,
    price: None,
    breaks: &[],
};

static OWN: Catalogue = Catalogue(&[&[Entry::of::<ByTime>()]]);

fn output(args: &[&str]) -> (u8, String) {
    let args = LabArgs::parse_from(std::iter::once(&"lab").chain(args));
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = run(&OWN, &args, &mut out, &mut errors).expect("a vector takes everything");
    assert!(out.is_empty() || errors.is_empty());
    (code, String::from_utf8(out).expect("text") + &String::from_utf8(errors).expect("text"))
}

#[test]
fn the_error_of_a_protocol_of_ones_own_is_found_with_its_shortest_story() {
    let (code, text) = output(&["check"]);
    assert_eq!(code, FAILED_CHECK, "{text}");
    assert!(text.contains("UNIFORM TOTAL ORDER: p1 delivers a where p2 delivers b"), "{text}");
    assert!(text.contains("   2  p2 is asked: Broadcast(b)") && !text.contains("   3  "), "{text}");
}

#[test]
fn a_name_that_is_not_there_is_answered_with_those_that_are() {
    let (code, text) = output(&["explain", "by-clock"]);
    assert_eq!((code, text.as_str()), (NO_SUCH_CARD, "there is no card \"by-clock\"; there are: by-time\n"));
    assert_eq!(output(&["draw", "by-time", "nothing"]).0, NO_SUCH_CARD);
    assert_eq!(output(&["list"]).0, 0);
}
