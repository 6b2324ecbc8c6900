//! A timed run without failures: what a request costs. Each message takes one unit of time, so that the time
//! of an indication is its number of message delays.

use crate::Subject;
use crate::card::{Card, Price};
use crate::local::{Input, Local, Sent, encoded_len};
use crate::protocol::{Pid, Pids, Process};
use crate::vocabulary::{Ask, Event, Fact};
use std::collections::VecDeque;

/// What a run cost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Message delays until each process indicated something for the first time, ascending; shorter than `n`
    /// if some never did.
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
    /// Delays until the first process, a majority of `n` and all of them indicated something.
    pub fn delays_of(&self, n: u8) -> [Option<u64>; 3] {
        let n = usize::from(n);
        [1, n / 2 + 1, n].map(|count| self.delays.get(count - 1).copied())
    }
}

/// What the requests of a price cost among `n` processes. Fewer than a third of them may be liars.
pub(crate) fn cost_of<P: Subject>(price: &Price, n: u8) -> Cost {
    cost::<P>(n, (n - 1) / 3, price.asks)
}

/// Runs `asks` at time 0 among `n` processes until nothing is under way.
fn cost<P: Subject>(n: u8, f: u8, asks: &[(Pid, Ask)]) -> Cost {
    let mut locals: Vec<Local<P>> = (0..n).map(|pid| Local::new(Process::new(pid, n, f, None))).collect();
    let mut cost = Cost::default();
    let mut load = vec![0; usize::from(n)];
    let mut first: Vec<Option<u64>> = vec![None; usize::from(n)];
    // In the order of time, and of sending.
    let mut under_way: VecDeque<(u64, Pid, Input<P::Message>)> =
        (0..n).map(|pid| (0, pid, Input::Start)).collect();
    under_way.extend(asks.iter().filter(|(pid, _)| *pid < n).map(|(pid, ask)| (0, *pid, Input::Ask(*ask))));
    while let Some((now, pid, input)) = under_way.pop_front() {
        let at = usize::from(pid);
        load[at] += u64::from(matches!(input, Input::Receive(..)));
        let handled = locals[at].handle(input);
        if handled.events.iter().any(is_result) {
            first[at].get_or_insert(now);
        }
        for sent in handled.sent {
            let (to, message) = match sent {
                Sent::To(to, message) => (Pids::one(to), message),
                Sent::ToOthers(message) => (Pids::first(n).without(Pids::one(pid)), message),
            };
            let (copies, bytes) = (to.len() as u64, encoded_len(&message) as u64);
            cost.multicast += 1;
            cost.unicast += copies;
            cost.multicast_bytes += bytes;
            cost.unicast_bytes += bytes * copies;
            load[at] += 1;
            under_way.extend(to.iter().map(|to| (now + 1, to, Input::Receive(pid, message.clone()))));
        }
    }
    cost.delays = first.into_iter().flatten().collect();
    cost.delays.sort_unstable();
    cost.busiest = load.into_iter().max().unwrap_or(0);
    cost
}

/// Whether a process indicates something that was asked for: that a primary begins and broadcasts is none.
fn is_result(event: &Event) -> bool {
    !matches!(event, Event::Asked(_) | Event::Did(Fact::Primary { .. } | Fact::Sent { .. }))
}

/// The numbers of processes for which formulas of prices are compared with what is measured.
pub const SIZES: [u8; 3] = [3, 5, 7];

/// Where a card's formulas differ from what was measured, a line each.
pub(crate) fn wrong_prices<P: Subject>(card: &Card) -> Vec<String> {
    let Some(price) = &card.price else { return Vec::new() };
    let mut wrong = Vec::new();
    for n in SIZES {
        let cost = cost_of::<P>(price, n);
        let mut compare = |what: &str, promised: u64, measured: Option<u64>| {
            if measured != Some(promised) {
                let measured = measured.map_or_else(|| "never".to_owned(), |measured| measured.to_string());
                wrong.push(format!(
                    "{} of {n} processes: {what}: {promised} by its formula, {measured} measured",
                    card.name
                ));
            }
        };
        let names = ["delays to the first", "delays to a majority", "delays to all"];
        for ((name, formula), measured) in names.into_iter().zip(price.delays).zip(cost.delays_of(n)) {
            compare(name, formula(n.into()), measured);
        }
        compare("datagrams, multicast", (price.multicast)(n.into()), Some(cost.multicast));
        compare("datagrams, unicast", (price.unicast)(n.into()), Some(cost.unicast));
    }
    wrong
}
