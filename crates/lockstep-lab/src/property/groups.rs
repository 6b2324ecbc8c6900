//! Properties of groups (Birman and Joseph 1987, §3.1, §4.2; Guerraoui's course, "Group Membership", "View
//! Synchrony").
//!
//! A process that does not ask to join is a founder: it has the view 0 at the start, with all founders, and
//! need not indicate it. No process returns from a crash.

use super::broadcast::delivered_in;
use super::{History, Judged, Property, p};
use crate::protocol::{Pid, Pids};
use crate::vocabulary::{Ask, Event, Fact, Value};
use std::collections::{BTreeMap, BTreeSet};

type NumberedView = (u32, Pids);

fn view_of(event: &Event) -> Option<NumberedView> {
    match event {
        Event::Did(Fact::View { number, members }) => Some((*number, *members)),
        _ => None,
    }
}

/// The views that a process installs, in order.
fn views(history: &History<'_>, pid: Pid) -> Vec<NumberedView> {
    history.events[usize::from(pid)].iter().filter_map(view_of).collect()
}

fn has_asked(history: &History<'_>, pid: Pid, what: Ask) -> bool {
    history.asked(pid).any(|ask| *ask == what)
}

fn founders(history: &History<'_>) -> Pids {
    (0..history.n).filter(|pid| !has_asked(history, *pid, Ask::Join)).collect()
}

/// The last view of a process, or view 0; `None` of one that asked to join and never did.
fn last_view(history: &History<'_>, pid: Pid) -> Option<NumberedView> {
    let founders = founders(history);
    views(history, pid).last().copied().or(founders.has(pid).then_some((0, founders)))
}

/// The view with the highest number that a correct process has.
fn latest_view(history: &History<'_>) -> Option<(Pid, NumberedView)> {
    let last = history.correct.iter().filter_map(|pid| Some((pid, last_view(history, pid)?)));
    last.max_by_key(|(_, (number, _))| *number)
}

/// Whether two of `among` install different views with one number.
fn agree(history: &History<'_>, among: Pids) -> Result<(), String> {
    let founders = founders(history);
    let mut first: BTreeMap<u32, (Pid, Pids)> = BTreeMap::new();
    for pid in among.iter() {
        let at_start = founders.has(pid).then_some((0, founders));
        for (number, members) in at_start.into_iter().chain(views(history, pid)) {
            let (other, theirs) = *first.entry(number).or_insert((pid, members));
            if theirs != members {
                let [other, pid] = [other, pid].map(p);
                return Err(format!("view {number} is {theirs:?} at {other} and {members:?} at {pid}"));
            }
        }
    }
    Ok(())
}

/// Agreement on views, of correct processes.
pub static VIEW_AGREEMENT: Property = Property {
    name: "VIEW AGREEMENT",
    promise: "no two correct processes install different views with one number",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| agree(history, history.correct),
};

/// Uniform agreement on views.
pub static UNIFORM_VIEW_AGREEMENT: Property = Property {
    name: "UNIFORM VIEW AGREEMENT",
    promise: "no two processes, those too that fail then, install different views with one number",
    judged: Judged::Always,
    real_time: false,
    holds: |history| agree(history, history.honest()),
};

/// Views in order. With agreement: all processes go through the same sequence of views.
pub static VIEW_ORDER: Property = Property {
    name: "VIEW ORDER",
    promise: "a process installs views in the order of their numbers without a gap, and is in each of them",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for pid in history.honest().iter() {
            let mut before = (!has_asked(history, pid, Ask::Join)).then_some(0);
            for (index, (number, members)) in views(history, pid).into_iter().enumerate() {
                let is_next = match before {
                    Some(before) => number == before + 1 || index == 0 && number == 0,
                    None => true,
                };
                if !is_next {
                    let before = before.unwrap_or(0);
                    return Err(format!("{} installs view {number} after view {before}", p(pid)));
                }
                if !members.has(pid) {
                    return Err(format!("{} installs view {number}, and is not in it", p(pid)));
                }
                before = Some(number);
            }
        }
        Ok(())
    },
};

/// Completeness of views: failures.
pub static CRASHED_LEAVE: Property = Property {
    name: "CRASHED LEAVE",
    promise: "a process that crashes is not in the last view",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let Some((pid, (number, members))) = latest_view(history) else { return Ok(()) };
        match members.and(history.crashed).lowest() {
            Some(other) => {
                Err(format!("{} crashed, and stays in view {number}, the last one of {}", p(other), p(pid)))
            }
            None => Ok(()),
        }
    },
};

/// Completeness of views: all members learn the last one.
pub static LAST_VIEW: Property = Property {
    name: "LAST VIEW",
    promise: "every correct process in the last view installs it",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let Some((_, (number, members))) = latest_view(history) else { return Ok(()) };
        for pid in members.and(history.correct).iter() {
            if last_view(history, pid).is_none_or(|(last, _)| last != number) {
                return Err(format!("{} never installs view {number}, the last one", p(pid)));
            }
        }
        Ok(())
    },
};

/// Accuracy of views.
pub static VIEW_ACCURACY: Property = Property {
    name: "VIEW ACCURACY",
    promise: "a member that has not crashed and not asked to leave is in every later view",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let mut by_number: BTreeMap<u32, Vec<(Pid, Pids)>> = BTreeMap::new();
        for pid in history.honest().iter() {
            for (number, members) in views(history, pid) {
                by_number.entry(number).or_default().push((pid, members));
            }
        }
        let leavers: Pids = (0..history.n).filter(|pid| has_asked(history, *pid, Ask::Leave)).collect();
        let mut members_so_far = founders(history);
        for (number, installed) in by_number {
            for (pid, members) in &installed {
                let absent = members_so_far.without(*members).without(history.crashed).without(leavers);
                if let Some(other) = absent.lowest() {
                    return Err(format!(
                        "view {number} of {} is without {}, which is alive",
                        p(*pid),
                        p(other)
                    ));
                }
            }
            installed.iter().flat_map(|(_, members)| members.iter()).for_each(|pid| {
                members_so_far.add(pid);
            });
        }
        Ok(())
    },
};

/// No message of a process after its failure (Birman and Joseph 1987, §3.1).
pub static NOTHING_AFTER_FAILURE: Property = Property {
    name: "NOTHING AFTER FAILURE",
    promise: "no process delivers a message of a process after a view without it",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for pid in history.honest().iter() {
            let mut view = None;
            for event in history.events[usize::from(pid)] {
                view = view_of(event).or(view);
                if let (Event::Did(Fact::Deliver { from, value }), Some((number, members))) = (event, view)
                    && !members.has(*from)
                {
                    let [pid, from] = [pid, *from].map(p);
                    return Err(format!(
                        "{pid} delivers {value:?} of {from} in view {number}, without {from}"
                    ));
                }
            }
        }
        Ok(())
    },
};

/// What a process delivers in each view that it leaves for the next one.
fn left(history: &History<'_>, pid: Pid) -> BTreeMap<u32, BTreeSet<(Pid, Value)>> {
    let mut left = BTreeMap::new();
    let mut view = (!has_asked(history, pid, Ask::Join)).then_some(0);
    let mut from = 0;
    let events = history.events[usize::from(pid)];
    for (at, event) in events.iter().enumerate() {
        let Some((number, _)) = view_of(event) else { continue };
        if let Some(view) = view.filter(|view| *view != number) {
            left.insert(view, delivered_in(&events[from..at]).into_iter().collect());
        }
        (view, from) = (Some(number), at + 1);
    }
    left
}

/// Whether two of `among` leave a view with different messages.
fn synchronous(history: &History<'_>, among: Pids) -> Result<(), String> {
    let mut first: BTreeMap<u32, (Pid, BTreeSet<(Pid, Value)>)> = BTreeMap::new();
    for pid in among.iter() {
        for (number, ours) in left(history, pid) {
            let (other, theirs) = first.entry(number).or_insert((pid, ours.clone()));
            if let Some((from, value)) = ours.symmetric_difference(theirs).next() {
                let (has, lacks) =
                    if ours.contains(&(*from, *value)) { (pid, *other) } else { (*other, pid) };
                return Err(format!(
                    "{} delivers {value:?} of {} in view {number}, {} leaves that view without it",
                    p(has),
                    p(*from),
                    p(lacks)
                ));
            }
        }
    }
    Ok(())
}

/// View synchrony: the order of deliveries and views is the same at all processes that go through both views.
pub static VIEW_SYNCHRONY: Property = Property {
    name: "VIEW SYNCHRONY",
    promise: "processes that go from one view to the next have delivered the same messages in the first",
    judged: Judged::Always,
    real_time: false,
    holds: |history| synchronous(history, history.honest()),
};

/// View synchrony of those that do not fail.
pub static VIEW_SYNCHRONY_OF_CORRECT: Property = Property {
    name: "VIEW SYNCHRONY OF CORRECT PROCESSES",
    promise: "correct processes that go from one view to the next have delivered the same messages in the first",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| synchronous(history, history.correct),
};

/// View inclusion: a sender delivers its own message in the view in which it broadcasts it.
pub static VIEW_INCLUSION: Property = Property {
    name: "VIEW INCLUSION",
    promise: "a message is delivered in one view everywhere, of which its sender is a member",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let founders = founders(history);
        let mut first: BTreeMap<(Pid, Value), (Pid, u32)> = BTreeMap::new();
        for pid in history.honest().iter() {
            let mut view = (0, founders);
            for event in history.events[usize::from(pid)] {
                view = view_of(event).unwrap_or(view);
                let Event::Did(Fact::Deliver { from, value }) = event else { continue };
                let (other, number) = *first.entry((*from, *value)).or_insert((pid, view.0));
                if number != view.0 || !view.1.has(*from) {
                    let [pid, from, other] = [pid, *from, other].map(p);
                    return Err(format!(
                        "{pid} delivers {value:?} of {from} in view {}, {other} in view {number}",
                        view.0
                    ));
                }
            }
        }
        Ok(())
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    fn view(number: u32, members: &[Pid]) -> Event {
        Event::Did(Fact::View { number, members: members.iter().copied().collect() })
    }

    fn deliver(from: Pid, value: u8) -> Event {
        Event::Did(Fact::Deliver { from, value: Value(value) })
    }

    /// Whether `property` holds of three processes with these events, of which `crashed` have crashed.
    fn holds(property: &Property, crashed: &[Pid], events: [&[Event]; 3]) -> bool {
        let crashed: Pids = crashed.iter().copied().collect();
        let history = History {
            n: 3,
            events: &events,
            order: &[],
            correct: Pids::first(3).without(crashed),
            crashed,
            liars: Pids::default(),
        };
        (property.holds)(&history).is_ok()
    }

    #[test]
    fn views_with_one_number_are_one_view() {
        let [both, alone] = [[view(1, &[0, 1])], [view(1, &[1])]];
        for property in [&VIEW_AGREEMENT, &UNIFORM_VIEW_AGREEMENT] {
            assert!(holds(property, &[2], [&both, &both, &[]]));
            assert!(!holds(property, &[2], [&both, &alone, &[]]));
            assert!(!holds(property, &[2], [&[view(0, &[0, 1])], &[], &[]]), "view 0 has all founders");
        }
        // One that fails then counts where agreement is uniform.
        assert!(holds(&VIEW_AGREEMENT, &[0], [&both, &alone, &[]]));
        assert!(!holds(&UNIFORM_VIEW_AGREEMENT, &[0], [&both, &alone, &[]]));
    }

    #[test]
    fn views_are_in_order_without_a_gap_and_of_members_only() {
        let [zero, one, two] = [view(0, &[0, 1, 2]), view(1, &[0, 1]), view(2, &[0])];
        let is_in_order = |events: &[Event]| holds(&VIEW_ORDER, &[], [events, &[], &[]]);
        assert!(is_in_order(&[zero, one.clone(), two.clone()]));
        assert!(is_in_order(&[one.clone(), two.clone()]));
        assert!(!is_in_order(std::slice::from_ref(&two)) && !is_in_order(&[one.clone(), one.clone()]));
        assert!(!is_in_order(&[one, view(2, &[1])]), "it is not in its view");
        assert!(is_in_order(&[Event::Asked(Ask::Join), two]), "it joined at view 2");
    }

    #[test]
    fn the_crashed_are_out_of_the_last_view_and_all_in_it_have_it() {
        let one = [view(1, &[0, 1])];
        for property in [&CRASHED_LEAVE, &LAST_VIEW] {
            assert!(holds(property, &[2], [&one, &one, &[]]));
        }
        assert!(!holds(&CRASHED_LEAVE, &[2], [&[], &[], &[]]));
        assert!(!holds(&CRASHED_LEAVE, &[1], [&one, &[], &[]]));
        assert!(!holds(&LAST_VIEW, &[2], [&one, &[], &[]]));
        assert!(holds(&LAST_VIEW, &[1], [&one, &[], &[]]));
    }

    #[test]
    fn only_the_crashed_leave() {
        let one = [view(1, &[0, 1])];
        assert!(holds(&VIEW_ACCURACY, &[2], [&one, &one, &[]]));
        assert!(!holds(&VIEW_ACCURACY, &[], [&one, &[], &[]]));
        assert!(holds(&VIEW_ACCURACY, &[], [&one, &[], &[Event::Asked(Ask::Leave)]]));
    }

    #[test]
    fn nothing_comes_after_a_failure() {
        let one = view(1, &[0, 1]);
        assert!(holds(
            &NOTHING_AFTER_FAILURE,
            &[2],
            [&[deliver(2, 0), one.clone(), deliver(1, 1)], &[], &[]]
        ));
        assert!(!holds(&NOTHING_AFTER_FAILURE, &[2], [&[one, deliver(2, 0)], &[], &[]]));
    }

    #[test]
    fn a_view_is_left_with_the_same_messages() {
        let (message, one) = (deliver(2, 0), view(1, &[0, 1]));
        let [before, after] = [[message.clone(), one.clone()], [one, message]];
        assert!(holds(&VIEW_SYNCHRONY, &[2], [&before, &before, &[]]));
        assert!(holds(&VIEW_SYNCHRONY, &[2], [&before, &[], &[]]), "p2 has not left view 0");
        assert!(!holds(&VIEW_SYNCHRONY, &[2], [&before, &after, &[]]));
        // One that fails then counts where it is uniform.
        assert!(!holds(&VIEW_SYNCHRONY, &[0], [&before, &after, &[]]));
        assert!(holds(&VIEW_SYNCHRONY_OF_CORRECT, &[0], [&before, &after, &[]]));
        assert!(!holds(&VIEW_SYNCHRONY_OF_CORRECT, &[2], [&before, &after, &[]]));
    }

    #[test]
    fn a_message_is_delivered_in_one_view() {
        let (message, one) = (deliver(1, 0), view(1, &[0, 1]));
        let [before, after] = [[message.clone(), one.clone()], [one, message.clone()]];
        assert!(holds(&VIEW_INCLUSION, &[2], [&before, &before, &[]]));
        assert!(holds(&VIEW_INCLUSION, &[2], [&after, &after, &[]]));
        assert!(!holds(&VIEW_INCLUSION, &[2], [&before, &after, &[]]));
        let without = [view(1, &[0, 2]), message];
        assert!(!holds(&VIEW_INCLUSION, &[1], [&without, &[], &[]]), "its sender is out");
    }
}
