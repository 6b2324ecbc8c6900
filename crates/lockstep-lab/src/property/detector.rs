//! Properties of failure detectors (Guerraoui's course, "Failure Detection"), and of leader detectors
//! (Cachin, Guerraoui, Rodrigues, section 2.6).

use super::{History, Judged, Property, differing, p};
use crate::protocol::{Pid, Pids};
use crate::vocabulary::Fact;

/// The processes that `pid` suspects now.
fn suspected(history: &History<'_>, pid: Pid) -> Pids {
    let mut suspected = Pids::default();
    for fact in history.facts(pid) {
        match fact {
            Fact::Suspect(other) => drop(suspected.add(*other)),
            Fact::Restore(other) => suspected.remove(*other),
            _ => {}
        }
    }
    suspected
}

/// The process that `pid` trusts now.
fn trusted(history: &History<'_>, pid: Pid) -> Option<Pid> {
    let leaders = history.facts(pid).filter_map(|fact| match fact {
        Fact::Leader(leader) => Some(*leader),
        _ => None,
    });
    leaders.last()
}

/// Strong completeness.
pub static STRONG_COMPLETENESS: Property = Property {
    name: "STRONG COMPLETENESS",
    promise: "every process that crashes is suspected by every correct process in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        for pid in history.correct.iter() {
            if let Some(other) = history.crashed.without(suspected(history, pid)).lowest() {
                return Err(format!("{} crashed, and {} never suspects it", p(other), p(pid)));
            }
        }
        Ok(())
    },
};

/// Strong accuracy.
pub static STRONG_ACCURACY: Property = Property {
    name: "STRONG ACCURACY",
    promise: "no process is suspected before it crashes",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for (pid, fact) in history.all_facts() {
            if let Fact::Suspect(other) = fact
                && !history.crashed.has(*other)
            {
                return Err(format!("{} suspects {}, which has not crashed", p(pid), p(*other)));
            }
        }
        Ok(())
    },
};

/// Eventual strong accuracy.
pub static EVENTUAL_ACCURACY: Property = Property {
    name: "EVENTUAL STRONG ACCURACY",
    promise: "in the end no correct process is suspected",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        for pid in history.correct.iter() {
            if let Some(other) = history.correct.and(suspected(history, pid)).lowest() {
                return Err(format!("{} suspects {} for ever, which is correct", p(pid), p(other)));
            }
        }
        Ok(())
    },
};

/// Eventual accuracy of a leader detector.
pub static LEADER_ACCURACY: Property = Property {
    name: "EVENTUAL LEADER ACCURACY",
    promise: "in the end every correct process trusts a correct process",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        for pid in history.correct.iter() {
            match trusted(history, pid) {
                None => return Err(format!("{} trusts nobody", p(pid))),
                Some(leader) if !history.correct.has(leader) => {
                    return Err(format!("{} trusts {} for ever, which is not correct", p(pid), p(leader)));
                }
                Some(_) => {}
            }
        }
        Ok(())
    },
};

/// Eventual agreement of a leader detector.
pub static LEADER_AGREEMENT: Property = Property {
    name: "EVENTUAL LEADER AGREEMENT",
    promise: "in the end no two correct processes trust different processes",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let leaders = history.correct.iter().filter_map(|pid| Some((pid, trusted(history, pid)?)));
        match differing(leaders) {
            Some(((one, its), (other, others))) => {
                Err(format!("{} trusts {}, {} trusts {}, for ever", p(one), p(its), p(other), p(others)))
            }
            None => Ok(()),
        }
    },
};
