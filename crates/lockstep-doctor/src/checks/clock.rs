//! Clocks: the clock source of the kernel, and whether a daemon synchronises it.

use super::time;
use crate::facts::Host;
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::scope::Scope;

/// Clock sources that programs read without a system call.
const FAST: [&str; 5] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource"];
/// A reading that takes longer is a system call or a slow device.
const READ_NS_MAX: u64 = 150;
/// A clock whose estimated error is greater is not synchronised.
const ERROR_US_MAX: u64 = 100_000;

pub fn check(_scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    [source(host), state(host)].into_iter().flatten().collect()
}

fn source(host: &Host) -> Option<Finding> {
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let current = format!("{folder}/current_clocksource");
    let source = host.text(&current)?;
    let measured = host.measured.clock_read_ns;
    let is_slow = measured.map_or(!FAST.contains(&source), |ns| ns > READ_NS_MAX);
    let available = host.text(&format!("{folder}/available_clocksource")).unwrap_or_default();
    let better = available.split_whitespace().find(|name| FAST.contains(name));
    let mend = match better.filter(|name| *name != source) {
        Some(name) => Remedy::write([current.clone()], name, false),
        None => Remedy::by_hand(
            "`dmesg | grep -i tsc` says why the kernel does not trust the TSC; its firmware, or tsc=reliable",
        ),
    };
    let why = "each turn of a hot thread reads the clock: with a slow source that costs more than its work";
    let found = Finding::new("clock.source", "", source)
        .warn_if(is_slow, format!("one that is read within {READ_NS_MAX} ns, such as tsc"), why)
        .measured(measured.map(|ns| format!("one reading takes {}", time(ns))));
    Some(found.mend(mend))
}

/// The state of the synchronisation. The order of the stream does not depend on it; stamps of entries and
/// times in logs do.
fn state(host: &Host) -> Option<Finding> {
    let Some(state) = host.clock else {
        let found = Finding::new("clock.synchronised", "", "the kernel does not report it");
        return Some(found.level(FindingLevel::Unknown, "synchronised", ""));
    };
    let now = if state.is_synchronised {
        format!("synchronised, error at most {}", time(state.error_max_us * 1_000))
    } else {
        "no daemon synchronises it".to_owned()
    };
    let is_wrong = !state.is_synchronised || state.error_max_us > ERROR_US_MAX;
    let why = "timestamps of the stream, of logs and of trading days drift from those of other hosts; after a takeover from a \
               clock that is ahead, stamps stand still until the new leader's clock is there";
    let mend = Remedy::by_hand(
        "chronyd, systemd-timesyncd, or ptp4l with phc2sys; `chronyc tracking`, `timedatectl` show the state",
    );
    let wanted = format!("synchronised, error below {}", time(ERROR_US_MAX * 1_000));
    Some(Finding::new("clock.synchronised", "", now).warn_if(is_wrong, wanted, why).mend(mend))
}
