//! A protocol without its types. What the laboratory does with a protocol (its space, graphs, timed runs,
//! valences, stories) works on these traits, so that it is compiled once and not for each protocol again.
//!
//! ```text
//!   P            ──▶ dyn Kind      what is of no process: starts, forgeries, numbers of rounds
//!   a state of P ──▶ dyn Machine   one process: its handlers
//!   P::Message   ──▶ Message       compared by its digest, printed, priced
//! ```

use crate::Subject;
use crate::card::{Card, Valuation};
use crate::protocol::{Detection, Effect, Out, Pid, Process, Protocol, Stored, Timer, Word};
use crate::vocabulary::{Ask, Asked, Fact, Indicated};
use lockstep_sim::explore::digest::Digest;
use postcard::ser_flavors::Size;
use std::any::Any;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::rc::Rc;

/// What a message can do, whatever its type.
trait AnyMessage: Any + Debug {
    fn digest(&self) -> u128;
    fn encoded_len(&self) -> usize;
}

impl<M: Word> AnyMessage for M {
    fn digest(&self) -> u128 {
        let mut digest = Digest::default();
        self.hash(&mut digest);
        digest.both()
    }

    fn encoded_len(&self) -> usize {
        postcard::serialize_with_flavor(self, Size::default()).unwrap_or(0)
    }
}

/// A message of some protocol.
#[derive(Clone)]
pub(crate) struct Message(Rc<dyn AnyMessage>);

impl Message {
    fn new(message: impl Word) -> Self {
        Self(Rc::new(message))
    }

    /// Its type is that of the protocol whose handlers made it.
    fn typed<M: Word>(&self) -> &M {
        let any: &dyn Any = &*self.0;
        any.downcast_ref().expect("a message of the same protocol")
    }

    /// Messages of one protocol and one digest are taken for one.
    pub fn digest(&self) -> u128 {
        self.0.digest()
    }

    /// Its bytes on the network.
    pub fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
}

impl Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An input of a process.
#[derive(Clone)]
pub(crate) enum Input {
    Start,
    Ask(Ask),
    Receive(Pid, Message),
    Detect(Detection),
    Timeout(Timer),
    /// The process is there again, with what it stored.
    Recover(Stored),
}

/// The state of a process.
pub(crate) trait Machine {
    fn boxed_clone(&self) -> Box<dyn Machine>;

    /// States of one digest are taken for one.
    fn hash_into(&self, digest: &mut Digest);

    /// One handler. What it does is added to `effects`; an indication that is no fact is left out.
    fn handle(&mut self, input: Input, effects: &mut Vec<Effect<Message, Fact>>);

    /// See [`Protocol::lowest_round`].
    fn lowest_round(&self) -> Option<u64>;

    /// See [`Protocol::renumber`].
    fn renumber(&mut self, by: u64);
}

/// A state of `P`.
struct StateOf<P>(P);

impl<P: Subject> Machine for StateOf<P> {
    fn boxed_clone(&self) -> Box<dyn Machine> {
        Box::new(Self(self.0.clone()))
    }

    fn hash_into(&self, digest: &mut Digest) {
        self.0.hash(digest);
    }

    fn handle(&mut self, input: Input, effects: &mut Vec<Effect<Message, Fact>>) {
        let mut out: Out<P> = Out::default();
        match input {
            Input::Start => self.0.start(&mut out),
            Input::Ask(ask) => {
                let Some(request) = P::Request::of(ask) else {
                    panic!("the card {} asks {ask:?}, which is no request of it", P::CARD.name);
                };
                self.0.request(request, &mut out);
            }
            Input::Receive(from, message) => {
                self.0.receive(from, message.typed::<P::Message>().clone(), &mut out)
            }
            Input::Detect(detection) => self.0.detect(detection, &mut out),
            Input::Timeout(timer) => self.0.timeout(timer, &mut out),
            Input::Recover(stored) => self.0.recover(&stored, &mut out),
        }
        erase(out.effects, effects);
    }

    fn lowest_round(&self) -> Option<u64> {
        self.0.lowest_round()
    }

    fn renumber(&mut self, by: u64) {
        self.0.renumber(by);
    }
}

fn erase<M: Word, I: Indicated>(typed: Vec<Effect<M, I>>, effects: &mut Vec<Effect<Message, Fact>>) {
    for effect in typed {
        effects.push(match effect {
            Effect::Send(to, message) => Effect::Send(to, Message::new(message)),
            Effect::All(message) => Effect::All(Message::new(message)),
            Effect::Indicate(indication) => match indication.fact() {
                Some(fact) => Effect::Indicate(fact),
                None => continue,
            },
            Effect::After(timer, ticks) => Effect::After(timer, ticks),
            Effect::Cancel(timer) => Effect::Cancel(timer),
            Effect::Store(record, value) => Effect::Store(record, value),
        });
    }
}

/// What a protocol is beside the states of its processes.
pub(crate) trait Kind: Sync {
    fn card(&self) -> &'static Card;

    fn valuation(&self) -> Option<&'static Valuation>;

    /// See [`Protocol::new`].
    fn machine(&self, process: &Process) -> Box<dyn Machine>;

    /// See [`Protocol::forgeries_of`]. Each piece of evidence stands in `evidence` once.
    fn forgeries_of(&self, liar: &Process, evidence: &[(Pid, Message)]) -> Vec<Message>;

    /// See [`Protocol::is_evidence`].
    fn is_evidence(&self, message: &Message) -> bool;

    /// See [`Protocol::heeds`].
    fn heeds(&self, to: Pid, forgery: &Message) -> bool;

    /// See [`Protocol::message_round`].
    fn message_round(&self, message: &Message) -> Option<u64>;

    /// See [`Protocol::renumber_message`].
    fn renumbered(&self, message: &Message, by: u64) -> Message;
}

/// The kind of the protocol `P`.
pub(crate) struct KindOf<P>(pub PhantomData<fn() -> P>);

impl<P: Subject> Kind for KindOf<P> {
    fn card(&self) -> &'static Card {
        P::CARD
    }

    fn valuation(&self) -> Option<&'static Valuation> {
        P::VALUATION
    }

    fn machine(&self, process: &Process) -> Box<dyn Machine> {
        Box::new(StateOf(<P as Protocol>::new(process)))
    }

    fn forgeries_of(&self, liar: &Process, evidence: &[(Pid, Message)]) -> Vec<Message> {
        let evidence = evidence.iter().map(|(from, message)| (*from, message.typed::<P::Message>().clone()));
        P::forgeries_of(liar, &evidence.collect()).into_iter().map(Message::new).collect()
    }

    fn is_evidence(&self, message: &Message) -> bool {
        P::is_evidence(message.typed())
    }

    fn heeds(&self, to: Pid, forgery: &Message) -> bool {
        P::heeds(to, forgery.typed())
    }

    fn message_round(&self, message: &Message) -> Option<u64> {
        P::message_round(message.typed())
    }

    fn renumbered(&self, message: &Message, by: u64) -> Message {
        let mut message = message.typed::<P::Message>().clone();
        P::renumber_message(&mut message, by);
        Message::new(message)
    }
}
