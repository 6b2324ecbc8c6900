//! Properties of terminating reliable broadcast (Guerraoui's course, "Terminating Reliable Broadcast"). All
//! know who the sender is; each process delivers its one message, or that it has failed.

use super::{History, Judged, Property, differing, p};
use crate::protocol::{Pid, Pids};
use crate::vocabulary::{Ask, Fact, Value};

/// The sender, which all know.
pub const TRB_SENDER: Pid = 0;

/// What a process delivers of a sender, in order: a value, or none for its failure.
fn delivered(history: &History<'_>, pid: Pid) -> Vec<(Pid, Option<Value>)> {
    let deliveries = history.facts(pid).filter_map(|fact| match fact {
        Fact::Deliver { from, value } => Some((*from, Some(*value))),
        Fact::SenderFailed(sender) => Some((*sender, None)),
        _ => None,
    });
    deliveries.collect()
}

/// A delivery in words.
fn words(value: Option<Value>) -> String {
    value.map_or_else(|| "that the sender has failed".to_owned(), |value| format!("{value:?}"))
}

/// Whether two of `among` deliver different things of one sender.
fn agree(history: &History<'_>, among: Pids) -> Result<(), String> {
    let all = among.iter().flat_map(|pid| delivered(history, pid).into_iter().map(move |what| (pid, what)));
    match differing(all) {
        Some(((one, (_, first)), (other, (_, second)))) => {
            let [first, second] = [first, second].map(words);
            Err(format!("{} delivers {first}, {} delivers {second}", p(one), p(other)))
        }
        None => Ok(()),
    }
}

/// Integrity.
pub static TRB_INTEGRITY: Property = Property {
    name: "INTEGRITY",
    promise: "what is delivered was broadcast by the sender, or is that it has failed; and it is one thing",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for pid in history.honest().iter() {
            let all = delivered(history, pid);
            if all.len() > 1 {
                return Err(format!("{} delivers twice", p(pid)));
            }
            for (sender, value) in all {
                let is_sent = |value| history.asked(TRB_SENDER).any(|ask| *ask == Ask::Broadcast(value));
                if sender != TRB_SENDER || !value.is_none_or(is_sent) {
                    let words = words(value);
                    return Err(format!("{} delivers {words}, which the sender never sent", p(pid)));
                }
            }
        }
        Ok(())
    },
};

/// Validity.
pub static TRB_VALIDITY: Property = Property {
    name: "VALIDITY",
    promise: "what a correct sender broadcasts, it delivers itself in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        if !history.correct.has(TRB_SENDER) {
            return Ok(());
        }
        for ask in history.asked(TRB_SENDER) {
            if let Ask::Broadcast(value) = *ask
                && !delivered(history, TRB_SENDER).contains(&(TRB_SENDER, Some(value)))
            {
                return Err(format!("the sender broadcast {value:?} and never delivers it"));
            }
        }
        Ok(())
    },
};

/// Agreement of correct processes.
pub static TRB_AGREEMENT: Property = Property {
    name: "AGREEMENT",
    promise: "no two correct processes deliver different things, the sender's failure included",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| agree(history, history.correct),
};

/// Uniform agreement.
pub static TRB_UNIFORM_AGREEMENT: Property = Property {
    name: "UNIFORM AGREEMENT",
    promise: "no two processes deliver different things, even if one fails then",
    judged: Judged::Always,
    real_time: false,
    holds: |history| agree(history, history.honest()),
};

/// Termination. With integrity it is exactly one thing that is delivered.
pub static TRB_TERMINATION: Property = Property {
    name: "TERMINATION",
    promise: "every correct process delivers something in the end, whatever becomes of the sender",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| match history.correct.iter().find(|pid| delivered(history, *pid).is_empty()) {
        Some(pid) => Err(format!("{} never delivers anything", p(pid))),
        None => Ok(()),
    },
};
