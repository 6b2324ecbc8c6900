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
