//! A card: all that the lab knows of a protocol beside its code.

use crate::property::Property;
use crate::protocol::{Pid, Protocol};
use crate::vocabulary::{Ask, Asked, Fact, Indicated};

/// A protocol that has a card.
pub trait Subject: Protocol<Request: Asked, Indication: Indicated> {
    /// Its card.
    const CARD: &'static Card;
    /// The states whose valences are drawn: of a binary consensus.
    const VALUATION: Option<&'static Valuation> = None;
}

/// The states of a binary consensus whose valences are found: the decisions that can be reached from each.
#[derive(Clone, Copy, Debug)]
pub struct Valuation {
    /// The model. Its runs need not end.
    pub model: Model,
    /// The model in words.
    pub says: &'static str,
    /// The initial configurations: what each process proposes, 0 (the [`Value`](crate::Value) `a`) or 1. The
    /// first bivalent one is drawn.
    pub configurations: &'static [&'static [(Pid, Ask)]],
    /// The adversary has at most so many messages under way at once: a step that makes them more is none.
    pub under_way_max: usize,
}

/// The families of protocols, in the order of the tour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// Links.
    Links,
    /// Failure detectors.
    Detectors,
    /// Broadcasts without an order.
    Broadcast,
    /// Causal order.
    Causal,
    /// Total order.
    Order,
    /// The toolkit of process groups.
    Isis,
    /// Consensus.
    Consensus,
    /// Other agreement problems: terminating broadcast, atomic commit.
    Agreement,
    /// Group membership.
    Groups,
    /// Registers.
    Registers,
    /// Byzantine broadcasts.
    Byzantine,
    /// The Paxos family.
    Paxos,
    /// Zab, and primary-backup order.
    Zab,
    /// Transactions.
    Transactions,
    /// lockstep itself, and services on its stream.
    Product,
    /// A user's own.
    Own,
}

/// A number of losses, timeouts or ticks that is never used up. A run has no end then: what a property
/// promises at the end of a run, it promises of each endless fair run in which nothing new is indicated.
pub const ENDLESS: u8 = u8::MAX;

/// What the links between processes do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// Messages may be lost, and arrive twice: at most so many in a run. A message that is under way already
    /// is not sent once more. With [`ENDLESS`] losses a message that is sent again and again still arrives
    /// again and again.
    FairLoss {
        /// Messages that may be lost.
        losses: u8,
        /// Messages that may arrive once more.
        duplicates: u8,
    },
    /// Between correct processes each message arrives once, at any time.
    Perfect,
    /// Perfect, and messages of one process to another arrive in the order of sending.
    Fifo,
    /// Messages of one process to another arrive in the order of sending, or are lost: up to so many in a
    /// run. A message that is under way already is not sent once more.
    LossyFifo {
        /// Messages that may be lost.
        losses: u8,
    },
}

impl Links {
    /// Whether messages of one process to another arrive in the order of sending.
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::Fifo | Self::LossyFifo { .. })
    }
}

/// The failure detector of the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detector {
    /// There is none.
    None,
    /// Perfect: every crash is detected in the end, and nothing else is.
    Perfect,
    /// Eventually perfect: up to so many suspicions are wrong, and taken back in the end.
    EventuallyPerfect {
        /// Wrong suspicions of one process by another.
        mistakes: u8,
    },
    /// Eventual leader: every process trusts the lowest correct process in the end. Up to so many changes of
    /// a process's leader are wrong before that.
    Leader {
        /// Wrong changes.
        mistakes: u8,
    },
}

/// How processes fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failures {
    /// They do not.
    None,
    /// Up to so many stop for ever.
    Stop {
        /// The number.
        crashes: u8,
        /// Whether a process that suspects another one never hears of it again: the input filter of ISIS
        /// (Birman and Joseph 1987, §4.1).
        filter: bool,
    },
    /// Up to so many crashes; each process comes back.
    Recovery {
        /// The number.
        crashes: u8,
        /// Whether what was stored is there then.
        stable: bool,
    },
    /// These are Byzantine: they send forgeries, up to so many each, and nothing else.
    Byzantine {
        /// The liars.
        liars: &'static [Pid],
        /// Messages of each of them; a message to all counts once for each receiver.
        lies: u8,
    },
}

/// What time means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// Nothing: a timer may be over at any moment. Each process has up to so many timeouts, or [`ENDLESS`].
    Asynchronous {
        /// Timeouts of each process.
        timeouts: u8,
    },
    /// Time goes in ticks, and a message arrives within `delay` of them.
    Synchronous {
        /// Ticks that a message may take.
        delay: u8,
        /// Ticks of a run, or [`ENDLESS`].
        ticks: u8,
    },
}

/// The model: what the system may do to a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Model {
    /// Processes.
    pub n: u8,
    /// Failures that the algorithm is configured for: [`Process::f`](crate::protocol::Process).
    pub f: u8,
    /// The links.
    pub links: Links,
    /// The failure detector.
    pub detector: Detector,
    /// Failures.
    pub failures: Failures,
    /// Time.
    pub time: Time,
}

impl Model {
    /// Three processes, perfect links, no detector, no failures, no time.
    pub const PLAIN: Self = Self {
        n: 3,
        f: 1,
        links: Links::Perfect,
        detector: Detector::None,
        failures: Failures::None,
        time: Time::Asynchronous { timeouts: 0 },
    };

    /// Processes that stop for ever, up to `crashes`.
    pub const fn stop(self, crashes: u8) -> Self {
        Self { failures: Failures::Stop { crashes, filter: false }, ..self }
    }

    /// With this detector.
    pub const fn detector(self, detector: Detector) -> Self {
        Self { detector, ..self }
    }

    /// With so many processes, of which the algorithm assumes that at most `f` fail.
    pub const fn of(self, n: u8, f: u8) -> Self {
        Self { n, f, ..self }
    }
}

/// How a story is searched.
#[derive(Clone, Copy, Debug)]
pub enum Search {
    /// All interleavings, breadth first: the shortest story.
    Breadth,
    /// So many steps of random walks, then made short: for deep stories.
    Walks(u64),
    /// An endless fair run in which no process indicates any of what `progress` names: every message is
    /// delivered, every timer is over in the end, and yet nothing is reached.
    Lasso {
        /// Whether a fact is the progress that must not be missing for ever.
        progress: fn(&Fact) -> bool,
    },
    /// An endless fair run in which what `nuisance` names happens again and again.
    Recurrence {
        /// Whether a fact is what must not happen for ever.
        nuisance: fn(&Fact) -> bool,
    },
}

/// A way in which a protocol breaks once an assumption is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Break {
    /// Its name, in a few words with hyphens.
    pub name: &'static str,
    /// The dropped assumption, in words, and how it goes wrong.
    pub says: &'static str,
    /// The model in which it is searched.
    pub model: Model,
    /// The requests, if not those of the card.
    pub asks: Option<&'static [(Pid, Ask)]>,
    /// The part of the algorithm that is left out: see [`Process::lacks`](crate::protocol::Process::lacks).
    pub dropped: Option<&'static str>,
    /// The property that is lost.
    pub loses: &'static Property,
    /// How its story is searched.
    pub search: Search,
    /// The story has at most so many steps.
    pub steps_max: usize,
    /// Whether this is no lesson of the texts but a mutation that was planted to prove the check.
    pub planted: bool,
}

/// What one request costs where nothing fails, as functions of the number of processes: asserted against what
/// is measured for 3, 5 and 7 of them.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    /// The requests of the measured run. Without any, it is the price of a crash of p1 from its detection on.
    pub asks: &'static [(Pid, Ask)],
    /// Message delays until the first process indicates it, until a majority has, and until all have.
    pub delays: [fn(u64) -> u64; 3],
    /// Datagrams sent, with a multicast counted once.
    pub multicast: fn(u64) -> u64,
    /// Datagrams sent, with a copy for each receiver.
    pub unicast: fn(u64) -> u64,
}

impl Price {
    /// The delay of what never happens: where not all processes have a result.
    pub const NEVER: u64 = u64::MAX;

    /// That of requests of which one process alone has a result.
    pub const fn of_one(
        asks: &'static [(Pid, Ask)],
        delay: fn(u64) -> u64,
        multicast: fn(u64) -> u64,
        unicast: fn(u64) -> u64,
    ) -> Self {
        Self { asks, delays: [delay, |_| Self::NEVER, |_| Self::NEVER], multicast, unicast }
    }

    /// Its formulas: those of the delays, and then of the datagrams.
    pub fn formulas(&self) -> [fn(u64) -> u64; 5] {
        let [first, most, all] = self.delays;
        [first, most, all, self.multicast, self.unicast]
    }

    /// The name of its kind of request.
    pub fn request(&self) -> &'static str {
        self.asks.first().map_or("crash", |(_, ask)| ask.name())
    }

    /// Whether it is that of a crash.
    pub fn is_of_a_crash(&self) -> bool {
        self.asks.is_empty()
    }
}

/// What requests to a protocol cost.
#[derive(Clone, Copy, Debug)]
pub enum Prices {
    /// Each kind of request has a price.
    Of(&'static [Price]),
    /// A price says nothing: why.
    None(&'static str),
}

impl Prices {
    /// All of them.
    pub fn all(&self) -> &'static [Price] {
        match self {
            Self::Of(prices) => prices,
            Self::None(_) => &[],
        }
    }
}

/// All that the lab knows of a protocol beside its code.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// Its name: lower case, with hyphens.
    pub name: &'static str,
    /// Its family.
    pub family: Family,
    /// The text and the section that it implements.
    pub source: &'static str,
    /// What it does and what it is for, in two or three sentences.
    pub says: &'static str,
    /// What each assumption buys: the assumption, and what would be lost without it.
    pub buys: &'static [(&'static str, &'static str)],
    /// The cards of the modules that it is made of.
    pub uses: &'static [&'static str],
    /// The model in which all properties hold.
    pub model: Model,
    /// The requests: those of each process in this order, at any time.
    pub asks: &'static [(Pid, Ask)],
    /// The properties that hold.
    pub properties: &'static [&'static Property],
    /// The number of states up to which the model is explored; all of them if it has fewer, which the check
    /// demands where `whole` is set.
    pub states_max: u64,
    /// Whether the space is explored whole.
    pub whole: bool,
    /// What its requests cost.
    pub prices: Prices,
    /// What breaks, and how.
    pub breaks: &'static [Break],
}
