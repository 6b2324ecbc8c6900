//! The interface of a protocol: events in, effects out. No clock, no chance, no IO.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::hash::Hash;

/// A process, from 0 on; written p1, p2, …
pub type Pid = u8;

/// What requests, indications and messages are: comparable, printable, and encoded in bytes, which are their
/// price on the network.
pub trait Word: Clone + Ord + Hash + Debug + Serialize + 'static {}
impl<T: Clone + Ord + Hash + Debug + Serialize + 'static> Word for T {}

/// A set of processes, by bit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Pids(pub u32);

impl Pids {
    /// The processes 0 to `n - 1`.
    pub fn first(n: u8) -> Self {
        Self((1 << n) - 1)
    }

    /// A set of one.
    pub fn one(pid: Pid) -> Self {
        Self(1 << pid)
    }

    /// Whether it has `pid`.
    pub fn has(self, pid: Pid) -> bool {
        self.0 >> pid & 1 == 1
    }

    /// Adds `pid`. Returns whether it is new.
    pub fn add(&mut self, pid: Pid) -> bool {
        let new = !self.has(pid);
        self.0 |= 1 << pid;
        new
    }

    /// Removes `pid`.
    pub fn remove(&mut self, pid: Pid) {
        self.0 &= !(1 << pid);
    }

    /// What a detector indicates, taken over into a set of those that it suspects.
    pub fn follow(&mut self, detection: Detection) {
        match detection {
            Detection::Suspect(pid) => drop(self.add(pid)),
            Detection::Restore(pid) => self.remove(pid),
            Detection::Leader(_) => {}
        }
    }

    /// Those of `self` that are not in `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that are in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `other` has all of them.
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// How many.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest.
    pub fn lowest(self) -> Option<Pid> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as Pid)
    }

    /// All of them, ascending.
    pub fn iter(self) -> impl Iterator<Item = Pid> {
        (0..32).filter(move |pid| self.has(*pid))
    }
}

impl FromIterator<Pid> for Pids {
    fn from_iter<I: IntoIterator<Item = Pid>>(pids: I) -> Self {
        pids.into_iter().fold(Self::default(), |mut all, pid| {
            all.add(pid);
            all
        })
    }
}

impl Debug for Pids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(|pid| format!("p{}", pid + 1)).collect();
        write!(f, "{{{}}}", names.join(","))
    }
}

/// What a process knows of the system when it starts. Only the lab makes them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Process {
    /// This process.
    pub me: Pid,
    /// All processes are 0 to `n - 1`.
    pub n: u8,
    /// At most so many fail, as the algorithm assumes.
    pub f: u8,
    dropped: Option<&'static str>,
}

impl Process {
    pub(crate) fn new(me: Pid, n: u8, f: u8, dropped: Option<&'static str>) -> Self {
        Self { me, n, f, dropped }
    }

    /// All processes.
    pub fn all(&self) -> Pids {
        Pids::first(self.n)
    }

    /// All but this one.
    pub fn others(&self) -> Pids {
        self.all().without(Pids::one(self.me))
    }

    /// The fewest that are more than half.
    pub fn majority(&self) -> usize {
        usize::from(self.n) / 2 + 1
    }

    /// The fewest of which any two sets share a correct process where `f` lie: more than (n + f) / 2.
    pub fn byzantine_quorum(&self) -> usize {
        (usize::from(self.n) + usize::from(self.f)) / 2 + 1
    }

    /// Whether the part of the algorithm of this name is left out: a card's break by a change of the
    /// algorithm, not of its model.
    pub fn lacks(&self, part: &str) -> bool {
        self.dropped == Some(part)
    }

    /// Signs `what` as this process.
    pub fn sign<T: Word>(&self, what: T) -> Signed<T> {
        Signed { by: self.me, what }
    }
}

/// What a process signed. Only that process can make one: a liar has its own signatures, and nobody else's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Signed<T> {
    by: Pid,
    what: T,
}

impl<T> Signed<T> {
    /// The process that signed it.
    pub fn by(&self) -> Pid {
        self.by
    }

    /// What it signed.
    pub fn what(&self) -> &T {
        &self.what
    }
}

impl<T: Debug> Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} signed by p{}", self.what, self.by + 1)
    }
}

/// A timer of a process, by a number of its own.
pub type Timer = u8;

/// What a failure detector indicates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum Detection {
    /// This process is suspected to have crashed.
    Suspect(Pid),
    /// It is suspected no more.
    Restore(Pid),
    /// This process is trusted to lead.
    Leader(Pid),
}

/// What a process has on stable storage, by the name of each record.
pub type Stored = BTreeMap<&'static str, u64>;

/// An algorithm at one process.
pub trait Protocol: Clone + Eq + Hash + Debug + Sized + 'static {
    /// Requests: `Broadcast(m)`, `Propose(v)`, …
    type Request: Word;
    /// Indications: `Deliver { from, message }`, `Decide(v)`, …
    type Indication: Word;
    /// Messages between processes.
    type Message: Word;

    /// The state of a process that starts. What it does at once is in [`start`](Self::start).
    fn new(process: &Process) -> Self;

    /// The process starts: timers, first messages.
    fn start(&mut self, _out: &mut Out<Self>) {}

    /// A request.
    fn request(&mut self, request: Self::Request, out: &mut Out<Self>);

    /// A message arrives. Those of a process to itself arrive at once.
    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>);

    /// The failure detector of the model has something.
    fn detect(&mut self, _detection: Detection, _out: &mut Out<Self>) {}

    /// A timer that was started with [`Out::after`] is over.
    fn timeout(&mut self, _timer: Timer, _out: &mut Out<Self>) {}

    /// The process starts again after a crash, in the state that [`new`](Self::new) returns. Only where the
    /// model has recovery.
    fn recover(&mut self, _stored: &Stored, _out: &mut Out<Self>) {}

    /// All that a Byzantine process may send, to each process at most once each.
    fn forgeries(_process: &Process) -> Vec<Self::Message> {
        Vec::new()
    }

    /// Whether a Byzantine process that receives this message can make others of it, as a signature in it
    /// is of another process.
    fn is_evidence(_message: &Self::Message) -> bool {
        false
    }

    /// As [`forgeries`](Self::forgeries), made of the evidence that it has received, by sender, too. A liar
    /// receives at once, which is the worst that it can do; two liars do not share what they received.
    fn forgeries_of(process: &Process, _evidence: &BTreeSet<(Pid, Self::Message)>) -> Vec<Self::Message> {
        Self::forgeries(process)
    }

    /// Whether `to` takes any notice of a forgery. A lie that no state of its receiver heeds only makes more
    /// states: where a liar has few lies, those are left out.
    fn heeds(_to: Pid, _forgery: &Self::Message) -> bool {
        true
    }

    /// The lowest number of a round (or ballot) that this process still compares with others, if the protocol
    /// counts rounds without an end. Two states that differ only by such a number are one in the search for
    /// endless runs. Renumbered rounds from n on stay there: what is lower can mean "none".
    fn lowest_round(&self) -> Option<u64> {
        None
    }

    /// All numbers of rounds become lower by `by`.
    fn renumber(&mut self, _by: u64) {}

    /// As [`lowest_round`](Self::lowest_round), of a message.
    fn message_round(_message: &Self::Message) -> Option<u64> {
        None
    }

    /// As [`renumber`](Self::renumber), of a message.
    fn renumber_message(_message: &mut Self::Message, _by: u64) {}
}

/// An effect of a handler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Effect<M, I> {
    Send(Pid, M),
    /// To all, the sender included: one multicast, or a copy for each of the others.
    All(M),
    Indicate(I),
    After(Timer, u64),
    Cancel(Timer),
    Store(&'static str, u64),
}

/// What a handler does: collected in order, and done when it returns.
pub struct Out<P: Protocol> {
    pub(crate) effects: Vec<Effect<P::Message, P::Indication>>,
}

impl<P: Protocol> Default for Out<P> {
    fn default() -> Self {
        Self { effects: Vec::new() }
    }
}

impl<P: Protocol> Out<P> {
    /// Sends a message to one process, which may be this one.
    pub fn send(&mut self, to: Pid, message: P::Message) {
        self.effects.push(Effect::Send(to, message));
    }

    /// Sends a message to all processes, this one included. Priced as one multicast, and as a copy for each
    /// other process.
    pub fn all(&mut self, message: P::Message) {
        self.effects.push(Effect::All(message));
    }

    /// Sends a message to each of `to`.
    pub fn each(&mut self, to: Pids, message: &P::Message) {
        to.iter().for_each(|to| self.send(to, message.clone()));
    }

    /// Indicates something to the layer above.
    pub fn indicate(&mut self, indication: P::Indication) {
        self.effects.push(Effect::Indicate(indication));
    }

    /// Starts a timer, or starts it again. `ticks` counts where the model has time; where it has none, the
    /// timer is over at any moment.
    pub fn after(&mut self, timer: Timer, ticks: u64) {
        self.effects.push(Effect::After(timer, ticks));
    }

    /// Stops a timer.
    pub fn cancel(&mut self, timer: Timer) {
        self.effects.push(Effect::Cancel(timer));
    }

    /// Writes a record to stable storage, before anything that follows is sent.
    pub fn store(&mut self, record: &'static str, value: u64) {
        self.effects.push(Effect::Store(record, value));
    }

    /// Calls a module below: `call` is one of its handlers, and `wrap` makes its messages messages of this
    /// protocol. Returns what the module indicates, in order.
    pub fn below<L: Protocol>(
        &mut self,
        lower: &mut L,
        wrap: impl Fn(L::Message) -> P::Message,
        call: impl FnOnce(&mut L, &mut Out<L>),
    ) -> Vec<L::Indication> {
        let mut out = Out::default();
        call(lower, &mut out);
        let effects = out.effects.into_iter();
        effects
            .filter_map(|effect| {
                self.effects.push(match effect {
                    Effect::Send(to, message) => Effect::Send(to, wrap(message)),
                    Effect::All(message) => Effect::All(wrap(message)),
                    Effect::After(timer, ticks) => Effect::After(timer, ticks),
                    Effect::Cancel(timer) => Effect::Cancel(timer),
                    Effect::Store(record, value) => Effect::Store(record, value),
                    Effect::Indicate(indication) => return Some(indication),
                });
                None
            })
            .collect()
    }

    /// As [`below`](Self::below), of a module whose messages go on as they are.
    pub fn through<L: Protocol<Message = P::Message>>(
        &mut self,
        lower: &mut L,
        call: impl FnOnce(&mut L, &mut Out<L>),
    ) -> Vec<L::Indication> {
        self.below(lower, |message| message, call)
    }

    /// Calls a module above this protocol: `call` is one of its handlers, its indications are indicated, and
    /// its timers are numbered from `first_timer` on. Returns what it sends, a copy for each receiver; what
    /// it sends to all goes to each of `all`.
    pub fn above<U: Protocol<Indication = P::Indication>>(
        &mut self,
        upper: &mut U,
        all: Pids,
        first_timer: Timer,
        call: impl FnOnce(&mut U, &mut Out<U>),
    ) -> Vec<(Pid, U::Message)> {
        let mut out = Out::default();
        call(upper, &mut out);
        let mut sent = Vec::new();
        for effect in out.effects {
            match effect {
                Effect::Send(to, message) => sent.push((to, message)),
                Effect::All(message) => sent.extend(all.iter().map(|to| (to, message.clone()))),
                Effect::Indicate(indication) => self.indicate(indication),
                Effect::After(timer, ticks) => self.after(first_timer + timer, ticks),
                Effect::Cancel(timer) => self.cancel(first_timer + timer),
                Effect::Store(record, value) => self.store(record, value),
            }
        }
        sent
    }
}
