//! Properties: functions of what processes were asked and what they indicated, once for all protocols.
//!
//! A safety property is judged after every step. A liveness property is judged where a run is over: where
//! nothing that must happen is left. Of a run without an end it is judged once nothing new is indicated.

mod broadcast;
mod byzantine;
mod collection;
mod commit;
mod consensus;
mod detector;
mod groups;
mod link;
mod money;
mod order;
mod primary;
mod register;
mod result;
mod strength;
mod terminating;

pub use broadcast::{
    AGREEMENT, NO_CREATION, NO_DUPLICATION, RELIABLE_DELIVERY, STUBBORN_DELIVERY, UNIFORM_AGREEMENT, VALIDITY,
};
pub use byzantine::{BYZANTINE_CONSISTENCY, BYZANTINE_TOTALITY};
pub use collection::{COLLECTION, STABLE_COLLECTION};
pub use commit::{COMMIT_AGREEMENT, COMMIT_INTEGRITY, COMMIT_TERMINATION, COMMIT_VALIDITY};
pub use consensus::{
    AUXILIARIES_REST, CONSENSUS_AGREEMENT, CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY,
    PROPOSER_TERMINATION, UNIFORM_CONSENSUS,
};
pub use detector::{
    EVENTUAL_ACCURACY, LEADER_ACCURACY, LEADER_AGREEMENT, STRONG_ACCURACY, STRONG_COMPLETENESS,
};
pub use groups::{
    CRASHED_LEAVE, LAST_VIEW, NOTHING_AFTER_FAILURE, UNIFORM_VIEW_AGREEMENT, VIEW_ACCURACY, VIEW_AGREEMENT,
    VIEW_INCLUSION, VIEW_ORDER, VIEW_SYNCHRONY, VIEW_SYNCHRONY_OF_CORRECT,
};
pub use link::LINK_ORDER;
pub use money::{
    ALONE_COMMITS, AUDITS_CONSERVED, BALANCE_AT_START, BALANCE_MAX, EXTERNAL_CONSISTENCY, MONEY_CONSERVED,
    NO_OVERDRAFT, ONE_STATE_MACHINE, REPLICAS_AGREE, SERIALIZABLE, SNAPSHOT_ISOLATION, TRANSACTIONS_END,
    WRITES_FOLLOW_READS,
};
pub use order::{
    CAUSAL_ORDER, CONFLICT_ORDER, FIFO_ORDER, GAPLESS_TOTAL_ORDER, PAIRWISE_TOTAL_ORDER, TOTAL_ORDER,
    UNIFORM_TOTAL_ORDER, conflicts,
};
pub use primary::{PRIMARY_INTEGRITY, PRIMARY_ORDER, PRIMARY_PROGRESS};
pub use register::{LINEARIZABLE, REGISTER_TERMINATION, REGULAR, REPEATABLE_READ, SURVIVORS_LINEARIZABLE};
pub use result::{ONE_RESULT, RESULT_TERMINATION, RESULT_VALIDITY, UNIFORM_ONE_RESULT};
pub use strength::with_implied;
pub use terminating::{
    TRB_AGREEMENT, TRB_INTEGRITY, TRB_SENDER, TRB_TERMINATION, TRB_UNIFORM_AGREEMENT, TRB_VALIDITY,
};

use crate::protocol::{Pid, Pids};
use crate::vocabulary::{Ask, Event, Fact};

/// When a property is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// After every step: something bad never happens.
    Always,
    /// Where a run is over: something good has happened.
    AtTheEnd,
    /// Of an endless run: something good happens again and again. Such a property is judged on a history that
    /// has all requests, and only those facts that happen for ever. A run that ends has none.
    ForEver,
}

/// A property of runs.
#[derive(Clone, Copy)]
pub struct Property {
    /// Its name in the texts.
    pub name: &'static str,
    /// What it promises, in a sentence.
    pub promise: &'static str,
    /// When it is judged.
    pub judged: Judged,
    /// Whether it needs the order of events of all processes in real time. Where no property does, orders
    /// that no process can distinguish are one state.
    pub real_time: bool,
    /// Judges.
    pub holds: fn(&History<'_>) -> Result<(), String>,
}

impl std::fmt::Debug for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Property {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A run, as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The number of processes.
    pub n: u8,
    /// The events of each process, in its order. Of a liar: none.
    pub events: &'a [&'a [Event]],
    /// The process of each event in real time; empty where no property of the card needs it.
    pub order: &'a [Pid],
    /// Those that have not failed. What they promise at the end of a run, they promise for ever.
    pub correct: Pids,
    /// Those that have crashed and not returned.
    pub crashed: Pids,
    /// Those that are Byzantine.
    pub liars: Pids,
}

impl<'a> History<'a> {
    /// The facts of a process, in order.
    pub fn facts(&self, pid: Pid) -> impl Iterator<Item = &'a Fact> + use<'a> {
        self.events[usize::from(pid)].iter().filter_map(|event| match event {
            Event::Did(fact) => Some(fact),
            Event::Asked(_) => None,
        })
    }

    /// What was asked of a process, in order.
    pub fn asked(&self, pid: Pid) -> impl Iterator<Item = &'a Ask> {
        self.events[usize::from(pid)].iter().filter_map(|event| match event {
            Event::Asked(ask) => Some(ask),
            Event::Did(_) => None,
        })
    }

    /// The processes that are not liars: crashed ones too.
    pub fn honest(&self) -> Pids {
        Pids::first(self.n).without(self.liars)
    }

    /// Every fact of every honest process.
    pub fn all_facts(&self) -> impl Iterator<Item = (Pid, &'a Fact)> {
        self.honest().iter().flat_map(|pid| self.facts(pid).map(move |fact| (pid, fact)))
    }

    /// The events of all processes in real time. Only for a property whose `real_time` is set.
    pub fn in_real_time(&self) -> impl Iterator<Item = (Pid, &'a Event)> {
        let mut next = vec![0; self.events.len()];
        self.order.iter().map(move |&pid| {
            let at = &mut next[usize::from(pid)];
            *at += 1;
            (pid, &self.events[usize::from(pid)][*at - 1])
        })
    }
}

/// The first of these that is not equal to the very first, and that one.
pub(crate) fn differing<T: PartialEq>(
    mut all: impl Iterator<Item = (Pid, T)>,
) -> Option<((Pid, T), (Pid, T))> {
    let first = all.next()?;
    let other = all.find(|(_, value)| *value != first.1)?;
    Some((first, other))
}

/// A process, as properties name it.
pub(crate) fn p(pid: Pid) -> String {
    format!("p{}", pid + 1)
}
