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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Event;

    fn suspect(pid: Pid) -> Event {
        Event::Did(Fact::Suspect(pid))
    }

    fn restore(pid: Pid) -> Event {
        Event::Did(Fact::Restore(pid))
    }

    fn leader(pid: Pid) -> Event {
        Event::Did(Fact::Leader(pid))
    }

    /// Whether `property` holds of three processes with these events, of which `crashed` have crashed.
    fn holds(property: &Property, crashed: Pids, events: [&[Event]; 3]) -> bool {
        let correct = Pids::first(3).without(crashed);
        let liars = Pids::default();
        (property.holds)(&History { n: 3, events: &events, order: &[], correct, crashed, liars }).is_ok()
    }

    #[test]
    fn every_correct_process_suspects_each_crashed_one_for_ever() {
        let third = Pids::one(2);
        let complete = |events: [&[Event]; 3]| holds(&STRONG_COMPLETENESS, third, events);
        assert!(complete([&[suspect(2)], &[suspect(2)], &[]]));
        assert!(!complete([&[suspect(2)], &[], &[]]), "one never suspects it");
        assert!(!complete([&[suspect(2)], &[suspect(0)], &[]]), "one suspects another one");
        assert!(!complete([&[suspect(2)], &[suspect(2), restore(2)], &[]]), "one trusts it again");
        assert!(complete([&[suspect(2)], &[suspect(2), restore(2), suspect(2)], &[]]));
        assert!(holds(&STRONG_COMPLETENESS, Pids::default(), [&[], &[], &[]]), "nobody has crashed");
    }

    #[test]
    fn accuracy_is_strong_if_nobody_is_suspected_who_has_not_crashed() {
        assert!(holds(&STRONG_ACCURACY, Pids::one(2), [&[suspect(2)], &[], &[]]));
        assert!(!holds(&STRONG_ACCURACY, Pids::one(2), [&[suspect(1)], &[], &[]]));
        assert!(!holds(&STRONG_ACCURACY, Pids::default(), [&[suspect(1), restore(1)], &[], &[]]));
        let of_the_dead = [&[][..], &[], &[suspect(1)]];
        assert!(!holds(&STRONG_ACCURACY, Pids::one(2), of_the_dead), "one that crashed later is judged too");
    }

    #[test]
    fn accuracy_is_eventual_if_each_mistake_is_taken_back() {
        let none = Pids::default();
        assert!(holds(&EVENTUAL_ACCURACY, none, [&[suspect(1), restore(1)], &[], &[]]));
        assert!(!holds(&EVENTUAL_ACCURACY, none, [&[suspect(1)], &[], &[]]));
        assert!(!holds(&EVENTUAL_ACCURACY, none, [&[suspect(1), restore(1), suspect(1)], &[], &[]]));
        assert!(holds(&EVENTUAL_ACCURACY, Pids::one(1), [&[suspect(1)], &[suspect(0)], &[]]));
    }

    #[test]
    fn leaders_are_correct_and_the_same_in_the_end() {
        let first = Pids::one(0);
        let both = |events: [&[Event]; 3]| {
            [&LEADER_ACCURACY, &LEADER_AGREEMENT].map(|property| holds(property, first, events))
        };
        assert_eq!(both([&[leader(0)], &[leader(0), leader(1)], &[leader(1)]]), [true; 2]);
        assert_eq!(both([&[], &[leader(1)], &[leader(2)]]), [true, false], "two leaders");
        assert_eq!(both([&[], &[leader(0)], &[leader(0)]]), [false, true], "a leader that has crashed");
        assert_eq!(both([&[], &[leader(1)], &[leader(1), leader(0)]]), [false; 2], "the last one counts");
        assert_eq!(both([&[], &[leader(1)], &[]]), [false, true], "one trusts nobody");
    }
}
