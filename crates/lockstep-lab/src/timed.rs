//! Timed runs: what a request costs on a network. Without failures, and where each message takes one unit of
//! time, the time of an indication is its number of message delays.

mod run;

use crate::card::{Card, Price};
use crate::protocol::{Pid, Pids};
use crate::story::Story;
use crate::vocabulary::{Ask, Event, Fact};
use lockstep_sim::wire::NetworkModel;
pub(crate) use run::run;

/// What a run cost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Time until each process indicated something for the first time, ascending; shorter than `n` if some
    /// never did. On a [network of units](Timing::of_price): message delays.
    pub delays: Vec<u64>,
    /// Datagrams, a multicast counted once.
    pub multicast: u64,
    /// Datagrams, a copy for each receiver.
    pub unicast: u64,
    /// Bytes of messages, a multicast counted once.
    pub multicast_bytes: u64,
    /// Bytes of messages, a copy for each receiver.
    pub unicast_bytes: u64,
    /// Datagrams that the busiest process sends and receives, a multicast counted once where it is sent.
    pub busiest: u64,
}

impl Cost {
    /// One more datagram: a copy of so many bytes for each of `to`.
    pub(crate) fn add(&mut self, from: Pid, to: Pids, bytes: u64, load: &mut Load) {
        let copies = to.len() as u64;
        self.multicast += 1;
        self.unicast += copies;
        self.multicast_bytes += bytes;
        self.unicast_bytes += bytes * copies;
        load.0[usize::from(from)] += 1;
        to.iter().for_each(|to| load.0[usize::from(to)] += 1);
    }

    /// The run is over: `first` has the time at which each process indicated something.
    pub(crate) fn finish(mut self, first: Vec<Option<u64>>, load: &Load) -> Self {
        self.delays = first.into_iter().flatten().collect();
        self.delays.sort_unstable();
        self.busiest = load.0.iter().copied().max().unwrap_or(0);
        self
    }

    /// Delays until the first process, a majority of `n` and all of them indicated something.
    pub fn delays_of(&self, n: u8) -> [Option<u64>; 3] {
        let n = usize::from(n);
        [1, n / 2 + 1, n].map(|count| self.delays.get(count - 1).copied())
    }
}

/// Datagrams that each process sends and receives.
pub(crate) struct Load(Vec<u64>);

impl Load {
    pub(crate) fn of(n: u8) -> Self {
        Self(vec![0; usize::from(n)])
    }
}

/// The requests of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requests {
    /// All at once: those of a price.
    AtOnce(&'static [(Pid, Ask)]),
    /// Those of different processes at once, those of one process one after the other: those of a card.
    InTurn(&'static [(Pid, Ask)]),
}

/// How a timed run goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Processes.
    pub n: u8,
    /// Of which the algorithm assumes that so many may fail.
    pub f: u8,
    /// The requests.
    pub requests: Requests,
    /// The network.
    pub network: NetworkModel,
    /// The seed of its random numbers.
    pub seed: u64,
    /// Whether p1 crashes before it does anything. Its requests are left out or, if there are no others, made
    /// by p2; failure detectors have it after [`DETECTED_AFTER`] message delays.
    pub leader_dies: bool,
    /// Whether time is counted from that detection on.
    pub from_detection: bool,
    /// Whether timers run that may be over at any moment, up to [`HORIZON`] message delays. Where the model
    /// has time, timers run up to there in any case, and those of the production engines always do.
    pub has_timers: bool,
    /// Whether the run becomes a story.
    pub has_story: bool,
}

/// Message delays from a crash until failure detectors have it.
pub const DETECTED_AFTER: u64 = 10;
/// Message delays up to which timers run.
pub const HORIZON: u64 = 400;
/// The time of one message delay on a network of units.
const UNIT: NetworkModel =
    NetworkModel { loss: 0, duplication: 0, lateness: 0, late_ns: 0, delay_ns: 1, corruption: 0 };
/// A network in one room: 10 µs and up to a quarter more, and one copy in a hundred is late by some 40 µs.
pub const LAN: NetworkModel = NetworkModel { lateness: 10_000, late_ns: 40_000, delay_ns: 10_000, ..UNIT };

impl Timing {
    /// The requests of a price, or its crash, among `n` processes where nothing else fails and each message
    /// takes one unit.
    pub fn of_price(price: &Price, n: u8) -> Self {
        let is_crash = price.is_of_a_crash();
        Self { leader_dies: is_crash, from_detection: is_crash, ..Self::at_once(price.asks, n) }
    }

    /// These requests, in the same way.
    pub(crate) fn at_once(asks: &'static [(Pid, Ask)], n: u8) -> Self {
        Self {
            n,
            f: liars_max(n),
            requests: Requests::AtOnce(asks),
            network: UNIT,
            seed: 1,
            leader_dies: false,
            from_detection: false,
            has_timers: false,
            has_story: false,
        }
    }

    /// The same, and p1 crashes.
    pub fn without_leader(price: &Price, n: u8) -> Self {
        Self { leader_dies: true, from_detection: false, has_timers: true, ..Self::of_price(price, n) }
    }

    /// The requests of a price on a network whose delays vary.
    pub fn on_lan(price: &Price, n: u8, seed: u64) -> Self {
        Self { network: LAN, seed, ..Self::of_price(price, n) }
    }

    /// The requests of `card` in its own model, with the story.
    pub fn of_card(card: &Card) -> Self {
        Self {
            f: card.model.f,
            requests: Requests::InTurn(card.asks),
            has_timers: true,
            has_story: true,
            ..Self::at_once(&[], card.model.n)
        }
    }

    /// The same among `n` processes. A card's requests are made for the processes of its model: among others
    /// run those of its first price that has any.
    pub fn of_card_among(card: &Card, n: u8) -> Self {
        let asks = card.prices.all().iter().map(|price| price.asks).find(|asks| !asks.is_empty());
        let asks = asks.filter(|_| n != card.model.n).unwrap_or(card.asks);
        Self { n, f: liars_max(n), requests: Requests::InTurn(asks), ..Self::of_card(card) }
    }
}

/// Fewer than a third of `n` processes may be liars.
fn liars_max(n: u8) -> u8 {
    (n - 1) / 3
}

/// What a timed run found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TimedRun {
    /// What it cost.
    pub cost: Cost,
    /// Its story, if it was asked for.
    pub story: Option<Story>,
    /// Properties of the card that do not hold in it, a line each.
    pub wrong: Vec<String>,
}

/// Whether a process indicates something that was asked for. That a primary begins and broadcasts is none,
/// and neither is that an account changes: the answer to a transfer is whether it is committed.
pub(crate) fn is_result(event: &Event) -> bool {
    !matches!(
        event,
        Event::Asked(_) | Event::Did(Fact::Primary { .. } | Fact::Sent { .. } | Fact::Balance { .. })
    )
}

/// The numbers of processes for which formulas of prices are compared with what is measured.
pub const SIZES: [u8; 3] = [3, 5, 7];

/// Where a card's formulas differ from what `cost_of` measures among so many processes, a line each.
pub(crate) fn wrong_prices(card: &Card, cost_of: impl Fn(&Price, u8) -> Option<Cost>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (price, n) in card.prices.all().iter().flat_map(|price| SIZES.map(|n| (price, n))) {
        let what = format!("{} of {n} processes: {}", card.name, price.request());
        match cost_of(price, n) {
            Some(cost) => wrong.extend(differences(price, n, &cost).map(|it| format!("{what}: {it}"))),
            None => wrong.push(format!("{what}: it has a price, and no run that is measured")),
        }
    }
    wrong
}

/// The figures of a price, in the order of its formulas.
pub(crate) const PRICE_FIGURES: [&str; 5] = [
    "delays to the first",
    "delays to a majority",
    "delays to all",
    "datagrams, multicast",
    "datagrams, unicast",
];

/// Where the formulas of a price differ from what was measured.
fn differences(price: &Price, n: u8, cost: &Cost) -> impl Iterator<Item = String> {
    let [first, most, all] = cost.delays_of(n).map(|delay| delay.unwrap_or(Price::NEVER));
    let measured = [first, most, all, cost.multicast, cost.unicast];
    let promised = price.formulas().map(|formula| formula(n.into()));
    let figures = PRICE_FIGURES.into_iter().zip(promised).zip(measured);
    figures.filter(|((_, promised), measured)| promised != measured).map(|((name, promised), measured)| {
        let [promised, measured] = [promised, measured].map(in_words);
        format!("{name}: {promised} by its formula, {measured} measured")
    })
}

/// A figure of a price; "never" where it is none.
pub(crate) fn in_words(figure: u64) -> String {
    if figure == Price::NEVER { "never".to_owned() } else { figure.to_string() }
}
