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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Pids;
    use crate::vocabulary::Event;

    const YES: Event = Event::Asked(Ask::Vote(true));
    const NO: Event = Event::Asked(Ask::Vote(false));
    const COMMIT: Event = Event::Did(Fact::Outcome(true));
    const ABORT: Event = Event::Did(Fact::Outcome(false));

    /// Whether `property` holds of two processes with these events, of which `crashed` have crashed.
    fn holds(property: &Property, crashed: Pids, events: [&[Event]; 2]) -> bool {
        let correct = Pids::first(2).without(crashed);
        let liars = Pids::default();
        (property.holds)(&History { n: 2, events: &events, order: &[], correct, crashed, liars }).is_ok()
    }

    #[test]
    fn nobody_decides_twice_or_differently() {
        let none = Pids::default();
        assert!(holds(&COMMIT_INTEGRITY, none, [&[YES, COMMIT], &[YES, COMMIT]]));
        assert!(!holds(&COMMIT_INTEGRITY, none, [&[YES, COMMIT, COMMIT], &[YES]]));
        assert!(holds(&COMMIT_AGREEMENT, none, [&[YES, COMMIT], &[YES, COMMIT]]));
        assert!(!holds(&COMMIT_AGREEMENT, Pids::one(0), [&[YES, COMMIT], &[NO, ABORT]]));
    }

    #[test]
    fn an_outcome_needs_its_votes_or_a_failure() {
        let none = Pids::default();
        assert!(holds(&COMMIT_VALIDITY, none, [&[YES, COMMIT], &[YES]]));
        assert!(!holds(&COMMIT_VALIDITY, none, [&[YES, COMMIT], &[]]));
        assert!(!holds(&COMMIT_VALIDITY, none, [&[YES, ABORT], &[YES]]));
        assert!(holds(&COMMIT_VALIDITY, none, [&[YES, ABORT], &[NO]]));
        assert!(holds(&COMMIT_VALIDITY, Pids::one(1), [&[YES, ABORT], &[YES]]));
    }

    #[test]
    fn a_correct_process_decides_in_the_end() {
        assert!(holds(&COMMIT_TERMINATION, Pids::one(1), [&[YES, ABORT], &[YES]]));
        assert!(!holds(&COMMIT_TERMINATION, Pids::default(), [&[YES, COMMIT], &[YES]]));
    }
}
