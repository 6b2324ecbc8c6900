//! Properties of consensus (Guerraoui's course, "Consensus").

use super::{History, Judged, Property, differing, p};
use crate::protocol::{Pid, Pids};
use crate::vocabulary::{Ask, Fact, Value};
use std::collections::BTreeSet;

/// The decisions of a process, in order.
fn decided(history: &History<'_>, pid: Pid) -> Vec<Value> {
    let decisions = history.facts(pid).filter_map(|fact| match fact {
        Fact::Decide(value) => Some(*value),
        _ => None,
    });
    decisions.collect()
}

/// Whether two of `among` decide differently.
fn agree(history: &History<'_>, among: Pids) -> Result<(), String> {
    let all = among.iter().flat_map(|pid| decided(history, pid).into_iter().map(move |value| (pid, value)));
    match differing(all) {
        Some(((one, decision), (other, value))) => {
            Err(format!("{} decides {decision:?}, {} decides {value:?}", p(one), p(other)))
        }
        None => Ok(()),
    }
}

/// Termination.
pub static CONSENSUS_TERMINATION: Property = Property {
    name: "TERMINATION",
    promise: "every correct process decides in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| match history.correct.iter().find(|pid| decided(history, *pid).is_empty()) {
        Some(pid) => Err(format!("{} never decides", p(pid))),
        None => Ok(()),
    },
};

/// Termination of those that propose: where other processes only store what is accepted.
pub static PROPOSER_TERMINATION: Property = Property {
    name: "TERMINATION",
    promise: "every correct process that proposes decides in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let proposes = |pid: &Pid| history.asked(*pid).any(|ask| matches!(ask, Ask::Propose(_)));
        let mut proposers = history.correct.iter().filter(proposes);
        match proposers.find(|pid| decided(history, *pid).is_empty()) {
            Some(pid) => Err(format!("{} proposes and never decides", p(pid))),
            None => Ok(()),
        }
    },
};

/// Rest of auxiliaries, of Cheap Paxos: all processes behind the first f + 1 of 2f + 1. What they indicate
/// is that they take part.
pub static AUXILIARIES_REST: Property = Property {
    name: "AUXILIARIES REST",
    promise: "an auxiliary takes part only after a main process has failed",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let mains = Pids::first(history.n / 2 + 1);
        let mut auxiliaries = history.honest().without(mains).iter();
        match auxiliaries.find(|pid| history.facts(*pid).next().is_some()) {
            Some(pid) if history.crashed.and(mains).is_empty() => {
                Err(format!("{} takes part, and no main process has failed", p(pid)))
            }
            _ => Ok(()),
        }
    },
};

/// Validity of consensus.
pub static CONSENSUS_VALIDITY: Property = Property {
    name: "VALIDITY",
    promise: "what is decided was proposed",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let proposed: BTreeSet<Value> = (0..history.n)
            .flat_map(|pid| history.asked(pid))
            .filter_map(|ask| if let Ask::Propose(value) = ask { Some(*value) } else { None })
            .collect();
        for pid in history.honest().iter() {
            for value in decided(history, pid) {
                if !proposed.contains(&value) {
                    return Err(format!("{} decides {value:?}, which nobody proposed", p(pid)));
                }
            }
        }
        Ok(())
    },
};

/// Integrity.
pub static CONSENSUS_INTEGRITY: Property = Property {
    name: "INTEGRITY",
    promise: "no process decides twice",
    judged: Judged::Always,
    real_time: false,
    holds: |history| match history.honest().iter().find(|pid| decided(history, *pid).len() > 1) {
        Some(pid) => Err(format!("{} decides twice", p(pid))),
        None => Ok(()),
    },
};

/// Agreement of those that do not fail in the run.
pub static CONSENSUS_AGREEMENT: Property = Property {
    name: "AGREEMENT",
    promise: "no two correct processes decide differently",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| agree(history, history.correct),
};

/// Uniform agreement.
pub static UNIFORM_CONSENSUS: Property = Property {
    name: "UNIFORM AGREEMENT",
    promise: "no two processes decide differently, even if one fails then",
    judged: Judged::Always,
    real_time: false,
    holds: |history| agree(history, history.honest()),
};
