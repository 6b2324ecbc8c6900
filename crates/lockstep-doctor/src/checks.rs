//! The checks: each is a function of facts and configuration.
//!
//! A check is silent about what a host does not have (a governor in most virtual machines). It reports
//! [`FindingLevel::Unknown`] if the host has it and this process may not read it.

mod card;
mod clock;
mod cores;
mod daemons;
mod memory;
mod multicast;
mod scheduling;
mod sockets;
mod storage;
#[cfg(test)]
mod tests;

use crate::facts::Host;
use crate::finding::{Finding, FindingLevel, Findings, Remedy};
use crate::scope::Scope;
use lockstep_config::grouped;

/// The order of the report.
const CHECKS: &[fn(&Scope<'_>, &Host) -> Vec<Finding>] = &[
    nodes,
    cores::check,
    scheduling::check,
    memory::check,
    storage::check,
    sockets::check,
    card::check,
    multicast::check,
    clock::check,
    daemons::check,
];

/// Judges a host.
pub fn judge(scope: &Scope<'_>, host: &Host) -> Findings {
    Findings(CHECKS.iter().flat_map(|check| check(scope, host)).collect())
}

/// Which nodes of the file this host is.
fn nodes(scope: &Scope<'_>, _host: &Host) -> Vec<Finding> {
    let names: Vec<_> = scope.nodes.iter().map(|node| node.name.as_str()).collect();
    if !names.is_empty() {
        return vec![Finding::new("file.nodes", "", format!("this host is {}", names.join(" and ")))];
    }
    let now = "no address of the file's nodes is one of this host: cores, memory and disk are not checked";
    let why =
        "a host that only publishes or reads needs no node; a replica with another address cannot bind it";
    let mend = Remedy::by_hand(
        "on a node's host: `ip address` shows its addresses, or name it: --replica N, --archiver N",
    );
    vec![
        Finding::new("file.nodes", "", now)
            .level(FindingLevel::Unknown, "an address of a node", why)
            .mend(mend),
    ]
}

/// A number of bytes for people.
pub(crate) fn bytes(number: u64) -> String {
    const GIB: f64 = (1_u64 << 30) as f64;
    const MIB: f64 = (1_u64 << 20) as f64;
    match number {
        0..16_777_216 => format!("{} bytes", grouped(number)),
        16_777_216..1_073_741_824 => format!("{:.0} MiB", number as f64 / MIB),
        _ => format!("{:.1} GiB", number as f64 / GIB),
    }
}

/// A time for people.
pub(crate) fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..10_000 => format!("{:.1} us", ns as f64 / 1e3),
        10_000..10_000_000 => format!("{} us", grouped(ns / 1_000)),
        10_000_000..10_000_000_000 => format!("{} ms", grouped(ns / 1_000_000)),
        _ => format!("{} s", grouped(ns / 1_000_000_000)),
    }
}
