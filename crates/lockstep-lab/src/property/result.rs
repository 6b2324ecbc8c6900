//! Properties of a request that one process of a group executes for all (Birman and Joseph 1987, §5.2).
//!
//! A request is `Ask::Broadcast(request)`, each request once. `Fact::Deliver { from, value }` is the use of a
//! result: `from` has executed the request `value`. An execution need not be deterministic, so that two
//! executions are two results.

use super::broadcast::delivered;
use super::{History, Judged, Property, p};
use crate::protocol::{Pid, Pids};
use crate::vocabulary::{Ask, Value};
use std::collections::BTreeMap;

/// Whether `among` use results of different executions of one request, or one of them uses two.
fn one_result(history: &History<'_>, among: Pids) -> Result<(), String> {
    let mut first: BTreeMap<Value, (Pid, Pid)> = BTreeMap::new();
    for pid in among.iter() {
        for (coordinator, request) in delivered(history, pid) {
            let (other, theirs) = *first.entry(request).or_insert((pid, coordinator));
            if theirs != coordinator {
                return Err(format!(
                    "of {request:?} {} uses the result of {}, and {} uses that of {}",
                    p(other),
                    p(theirs),
                    p(pid),
                    p(coordinator)
                ));
            }
        }
    }
    Ok(())
}

/// All requests, with the processes that asked.
fn requests(history: &History<'_>) -> Vec<(Pid, Value)> {
    let all = history.honest().iter().flat_map(|pid| {
        history.asked(pid).filter_map(move |ask| match ask {
            Ask::Broadcast(value) => Some((pid, *value)),
            _ => None,
        })
    });
    all.collect()
}

/// One result of those that have not failed.
pub static ONE_RESULT: Property = Property {
    name: "ONE RESULT",
    promise: "of a request all processes that have not failed use the result of one execution",
    judged: Judged::Always,
    real_time: false,
    holds: |history| one_result(history, history.correct),
};

/// One result of all.
pub static UNIFORM_ONE_RESULT: Property = Property {
    name: "UNIFORM ONE RESULT",
    promise: "of a request all processes, those too that fail then, use the result of one execution",
    judged: Judged::Always,
    real_time: false,
    holds: |history| one_result(history, history.honest()),
};

/// Nothing is executed that was not asked for.
pub static RESULT_VALIDITY: Property = Property {
    name: "RESULT VALIDITY",
    promise: "a result is used of what was asked only",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let requests = requests(history);
        for pid in history.honest().iter() {
            for (_, value) in delivered(history, pid) {
                if !requests.iter().any(|(_, request)| *request == value) {
                    return Err(format!("{} uses a result of {value:?}, which nobody asked for", p(pid)));
                }
            }
        }
        Ok(())
    },
};

/// Termination of requests.
pub static RESULT_TERMINATION: Property = Property {
    name: "TERMINATION",
    promise: "what a correct process asks, or has a result of, every correct process has a result of in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let has_result = |pid: Pid, request: Value| {
            delivered(history, pid).iter().any(|(_, executed)| *executed == request)
        };
        for (client, request) in requests(history) {
            let must =
                history.correct.has(client) || history.correct.iter().any(|pid| has_result(pid, request));
            let lacking = history.correct.iter().find(|pid| must && !has_result(*pid, request));
            if let Some(pid) = lacking {
                return Err(format!("{} never has a result of {request:?} of {}", p(pid), p(client)));
            }
        }
        Ok(())
    },
};
