//! A consensus for each view.

use crate::cards::consensus::{RoundMessage, UniformHierarchical};
use crate::{Decide, Detection, Out, Pid, Pids, Process, Propose, Protocol, Word};
use std::collections::BTreeMap;

/// A message of the consensus that decides the view of this number.
pub(super) type OfView<V> = (u32, RoundMessage<V>);

/// The consensus on each view that is not decided here. One that is decided here is over: this process has
/// sent the decision to all.
///
/// The decision of a view can come before that of the view in front of it, as links do not keep an order. It
/// waits for its turn; the algorithm of the course does not say so.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct PerView<V: Word> {
    process: Process,
    suspected: Pids,
    /// The last view whose decision had its turn.
    last: u32,
    decided: BTreeMap<u32, V>,
    undecided: BTreeMap<u32, UniformHierarchical<V>>,
}

impl<V: Word> PerView<V> {
    pub fn new(process: &Process) -> Self {
        Self {
            process: *process,
            suspected: Pids::default(),
            last: 0,
            decided: BTreeMap::new(),
            undecided: BTreeMap::new(),
        }
    }

    /// Calls the consensus on view `number`, which knows all suspicions from its start.
    fn call<P: Protocol>(
        &mut self,
        number: u32,
        out: &mut Out<P>,
        wrap: impl Fn(OfView<V>) -> P::Message,
        call: impl FnOnce(&mut UniformHierarchical<V>, &mut Out<UniformHierarchical<V>>),
    ) {
        if number <= self.last || self.decided.contains_key(&number) {
            return;
        }
        let (process, suspected) = (self.process, self.suspected);
        let consensus = self.undecided.entry(number).or_insert_with(|| UniformHierarchical::new(&process));
        let wrap = |message| wrap((number, message));
        let done = out.below(consensus, wrap, |below, out| {
            suspected.iter().for_each(|pid| below.detect(Detection::Suspect(pid), out));
            call(below, out);
        });
        if let Some(Decide(value)) = done.into_iter().next() {
            self.undecided.remove(&number);
            self.decided.insert(number, value);
        }
    }

    pub fn propose<P: Protocol>(
        &mut self,
        number: u32,
        value: V,
        out: &mut Out<P>,
        wrap: impl Fn(OfView<V>) -> P::Message,
    ) {
        self.call(number, out, wrap, |below, out| below.request(Propose(value), out));
    }

    pub fn receive<P: Protocol>(
        &mut self,
        from: Pid,
        (number, message): OfView<V>,
        out: &mut Out<P>,
        wrap: impl Fn(OfView<V>) -> P::Message,
    ) {
        self.call(number, out, wrap, |below, out| below.receive(from, message, out));
    }

    /// A process is suspected, in all of them.
    pub fn suspect<P: Protocol>(
        &mut self,
        pid: Pid,
        out: &mut Out<P>,
        wrap: impl Fn(OfView<V>) -> P::Message + Copy,
    ) {
        self.suspected.add(pid);
        let numbers: Vec<_> = self.undecided.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.call(number, out, wrap, |_, _| {}));
    }

    /// The next decision that has its turn.
    pub fn next(&mut self) -> Option<(u32, V)> {
        let (number, _) = self.decided.first_key_value()?;
        let is_next = *number == self.last + 1 || self.process.lacks("decisions in turn");
        let (number, value) = is_next.then(|| self.decided.pop_first())??;
        self.last = number;
        Some((number, value))
    }
}
