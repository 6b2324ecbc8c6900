//! Memory: huge pages, swap, free memory.

use super::bytes;
use crate::facts::Host;
use crate::finding::{Finding, Remedy};
use crate::parse;
use crate::scope::Scope;

/// With a greater value the kernel swaps out idle pages rather than drop cached files.
const SWAPPINESS_MAX: i64 = 10;
/// Memory that other processes need.
const SPARE: u64 = 512 << 20;

pub fn check(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    let all = [huge_pages(host), swap(scope, host), numa(host), room(scope, host)];
    all.into_iter().flatten().collect()
}

fn huge_pages(host: &Host) -> Option<Finding> {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let word = parse::chosen(host.text(path)?).to_owned();
    let why = "the kernel joins pages of every process in the background; a thread that touches one meanwhile waits \
               while 2 MiB are copied, some 0.1 ms";
    let found = Finding::new("memory.huge_pages", "transparent huge pages", word.clone());
    Some(found.warn_if(word == "always", "madvise", why).mend(Remedy::write(
        [path.to_owned()],
        "madvise",
        true,
    )))
}

fn swap(scope: &Scope<'_>, host: &Host) -> Option<Finding> {
    let areas = host.text("/proc/swaps")?.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
    let is_locked = scope.config.runtime.mlock;
    let swappiness = host.sysctl("vm.swappiness");
    let now = match (areas, swappiness) {
        (0, _) => "no swap".to_owned(),
        (areas, Some(value)) => format!("{areas} swap areas, vm.swappiness {value}"),
        (areas, None) => format!("{areas} swap areas"),
    };
    let is_wrong = areas > 0 && (!is_locked || swappiness.is_some_and(|value| value > SWAPPINESS_MAX));
    let why = if is_locked {
        "nodes lock their memory, but programs that publish and read do not: theirs is paged out while they are idle"
    } else {
        "memory of an idle node is paged out (runtime.mlock is false); the next message then waits for the disk"
    };
    let found = Finding::new("memory.swap", "", now);
    Some(
        found
            .warn_if(is_wrong, format!("none, or vm.swappiness of {SWAPPINESS_MAX} at most"), why)
            .mend(Remedy::sysctl("vm.swappiness", 1)),
    )
}

fn numa(host: &Host) -> Option<Finding> {
    let is_on = host.sysctl("kernel.numa_balancing")? != 0;
    let now = if is_on { "on" } else { "off" };
    let why = "the kernel unmaps pages of running threads to see which node they use: each costs a fault of some microseconds";
    let found = Finding::new("memory.numa_balancing", "kernel.numa_balancing", now);
    Some(found.warn_if(is_on, "off", why).mend(Remedy::sysctl("kernel.numa_balancing", 0)))
}

/// Whether there is memory for the tails that do not exist yet.
fn room(scope: &Scope<'_>, host: &Host) -> Option<Finding> {
    let available = parse::meminfo(host.text("/proc/meminfo")?, "MemAvailable")?;
    let missing = |(path, len): &(std::path::PathBuf, u64)| {
        len.saturating_sub(host.file_bytes.get(path).copied().unwrap_or(0))
    };
    let needed: u64 = scope.nodes.iter().flat_map(|node| &node.memory).map(missing).sum();
    if needed == 0 {
        return None;
    }
    let wanted = format!("{} for the memory files of this host's nodes, and some for others", bytes(needed));
    let why = "the node does not start, or the kernel ends a process for want of memory";
    Some(
        Finding::new("memory.room", "", format!("{} available", bytes(available)))
            .fail_if(available < needed + SPARE, wanted, why)
            .mend(Remedy::by_hand(
                "a smaller journal.tail_size, or more memory; `ps --sort=-rss aux | head` shows who has it",
            )),
    )
}
