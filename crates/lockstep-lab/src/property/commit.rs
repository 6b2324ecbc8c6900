//! Properties of atomic commit (Guerraoui's course, "Non-blocking Atomic Commit").

use super::{History, Judged, Property, differing, p};
use crate::protocol::Pid;
use crate::vocabulary::{Ask, Fact};

/// The outcomes of a process.
fn outcomes<'a>(history: &History<'a>, pid: Pid) -> impl Iterator<Item = bool> + use<'a> {
    history.facts(pid).filter_map(|fact| match fact {
        Fact::Outcome(commits) => Some(*commits),
        _ => None,
    })
}

/// Uniform agreement of atomic commit.
pub static COMMIT_AGREEMENT: Property = Property {
    name: "AGREEMENT",
    promise: "no two processes decide differently, even if one fails then",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let all = history.honest().iter();
        match differing(all.flat_map(|pid| outcomes(history, pid).map(move |commits| (pid, commits)))) {
            Some(((one, _), (other, _))) => Err(format!("{} and {} decide differently", p(one), p(other))),
            None => Ok(()),
        }
    },
};

/// Commit validity and abort validity.
pub static COMMIT_VALIDITY: Property = Property {
    name: "VALIDITY",
    promise: "a process commits only if all voted yes, and aborts only if one voted no or failed",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let votes = |wanted: bool| {
            (0..history.n).filter(move |pid| history.asked(*pid).any(|ask| *ask == Ask::Vote(wanted))).count()
        };
        for pid in history.honest().iter() {
            for commits in outcomes(history, pid) {
                if commits && votes(true) < usize::from(history.n) {
                    return Err(format!("{} commits, and not all have voted yes", p(pid)));
                }
                if !commits && votes(false) == 0 && history.crashed.is_empty() {
                    return Err(format!("{} aborts, and nobody voted no or failed", p(pid)));
                }
            }
        }
        Ok(())
    },
};

/// Termination of atomic commit.
pub static COMMIT_TERMINATION: Property = Property {
    name: "TERMINATION",
    promise: "every correct process decides in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| match history.correct.iter().find(|pid| outcomes(history, *pid).next().is_none()) {
        Some(pid) => Err(format!("{} never decides", p(pid))),
        None => Ok(()),
    },
};

/// Integrity.
pub static COMMIT_INTEGRITY: Property = Property {
    name: "INTEGRITY",
    promise: "no process decides twice",
    judged: Judged::Always,
    real_time: false,
    holds: |history| match history.honest().iter().find(|pid| outcomes(history, *pid).count() > 1) {
        Some(pid) => Err(format!("{} decides twice", p(pid))),
        None => Ok(()),
    },
};
