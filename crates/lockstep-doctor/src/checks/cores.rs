//! The cores of pinned threads: whether they exist, and whether other threads run on them.

use super::time;
use crate::facts::Host;
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::measure::{Jitter, STUMBLE_NS};
use crate::parse;
use crate::scope::{LocalNode, Scope};
use lockstep_config::{Idle, Profile};
use std::collections::BTreeMap;

/// The wake-up from an idle state with a longer exit latency takes longer than a datagram's path.
const WAKE_US_MAX: i64 = 20;
/// A longer interruption of an isolated core comes from a hypervisor or firmware, not from the scheduler.
const TAKEN_NS_MIN: u64 = 1_000_000;
/// Names of foreign threads that a finding lists.
const NAMED_MAX: usize = 4;

const CPU: &str = "/sys/devices/system/cpu";

pub fn check(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    let online = host.cores(&format!("{CPU}/online"));
    findings.extend(pinning(scope));
    findings.extend(several_nodes(scope));
    let mut by_core: BTreeMap<usize, &LocalNode> = BTreeMap::new();
    for (core, node) in scope.cores() {
        by_core.entry(core).or_insert(node);
    }
    for (core, node) in by_core {
        let about = format!("core {core} of {}", node.name);
        if !online.contains(&core) {
            let mend = format!("choose a core of {} as {}.core", parse::list_text(&online), node.table);
            let found = Finding::new(
                "core.exists",
                about,
                format!("this host has cores {}", parse::list_text(&online)),
            );
            let why = "the thread is not pinned: it runs wherever the scheduler puts it, beside other work";
            findings.push(found.fail_if(true, format!("core {core}"), why).mend(Remedy::by_hand(mend)));
            continue;
        }
        findings.push(Finding::new("core.exists", about.clone(), "online"));
        findings.extend(isolated(scope, host, core, &about));
        findings.extend(tickless(scope, host, core, &about));
        findings.extend(governor(host, core, &about));
        findings.extend(sleep(scope, host, core, &about));
        findings.extend(siblings(scope, host, core, &about));
        findings.extend(others(host, core, &about));
        findings.extend(cpuset(host, core, node, &about));
    }
    findings.extend(quota(host));
    findings
}

/// Whether each production node has a core of its own.
fn pinning(scope: &Scope<'_>) -> Vec<Finding> {
    let spins = scope.config.runtime.idle == Idle::Spin;
    let unpinned = scope.nodes.iter().filter(|node| node.core.is_none() && spins);
    let finding = |node: &LocalNode| {
        let mend = Remedy::by_hand(format!("{}.core = N, of a core that `isolcpus=` keeps free", node.table));
        let why = "a thread that spins without a core of its own is moved between cores and shares them with all others";
        Finding::new("core.pinned", node.name.clone(), "not pinned, and runtime.idle is spin")
            .warn_if(true, "a core of its own", why)
            .mend(mend)
    };
    unpinned.map(finding).collect()
}

fn several_nodes(scope: &Scope<'_>) -> Vec<Finding> {
    let mut nodes: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for (core, node) in scope.cores() {
        nodes.entry(core).or_default().push(&node.name);
    }
    let shared = nodes.into_iter().filter(|(_, names)| names.len() > 1);
    let finding = |(core, names): (usize, Vec<&str>)| {
        let why = "two pinned threads on one core take turns of milliseconds";
        Finding::new("core.own", format!("core {core}"), format!("it is that of {}", names.join(" and ")))
            .warn_if(true, "a core for each pinned thread", why)
            .mend(Remedy::by_hand("give each node of this host a core of its own in the file"))
    };
    shared.map(finding).collect()
}

fn jitter_text(jitter: &Jitter) -> String {
    let share = jitter.lost_ns as f64 * 100.0 / jitter.watched_ns.max(1) as f64;
    format!(
        "a thread that spun there for {} was interrupted {} times for more than {}, {share:.2} % of its \
         time, once for {}",
        time(jitter.watched_ns),
        jitter.stumbles,
        time(STUMBLE_NS),
        time(jitter.longest_ns)
    )
}

fn isolated(scope: &Scope<'_>, host: &Host, core: usize, about: &str) -> Vec<Finding> {
    let isolated = host.cores(&format!("{CPU}/isolated"));
    let is_isolated = isolated.contains(&core);
    let now = if is_isolated { "isolated" } else { "the scheduler may put any thread there" };
    let is_wrong = !is_isolated && scope.config.profile == Profile::Production;
    let mend = format!(
        "add isolcpus=managed_irq,domain,{core} to the kernel's command line (GRUB_CMDLINE_LINUX in /etc/default/grub), \
         then update-grub and reboot"
    );
    let why = "each other thread that runs there stops the stream for as long as it runs, up to a scheduler's slice";
    let jitter = host.measured.jitter.get(&core);
    let measured = jitter.map(jitter_text);
    let is_taken = is_isolated && jitter.is_some_and(|jitter| jitter.longest_ns > TAKEN_NS_MIN);
    let found = Finding::new("core.isolated", about, now).measured(measured);
    let finding = if is_taken {
        let why = "something below the scheduler takes the core away: the hypervisor, or firmware";
        let mend =
            "steal in /proc/stat shows a hypervisor; else power saving and SMI in the firmware's settings";
        found.warn_if(true, "no interruption of a millisecond", why).mend(Remedy::by_hand(mend))
    } else {
        found.warn_if(is_wrong, "isolated from the scheduler", why).mend(Remedy::by_hand(mend))
    };
    vec![finding]
}

fn tickless(scope: &Scope<'_>, host: &Host, core: usize, about: &str) -> Vec<Finding> {
    if scope.config.profile != Profile::Production || scope.config.runtime.idle != Idle::Spin {
        return Vec::new();
    }
    let line = host.text("/proc/cmdline").unwrap_or_default();
    let is_tickless = host.cores(&format!("{CPU}/nohz_full")).contains(&core);
    let callbacks = parse::parameter(line, "rcu_nocbs").map(parse::list).unwrap_or_default();
    // the kernel offloads the callbacks of tickless cores by itself
    let is_free =
        is_tickless || callbacks.contains(&core) || parse::parameter(line, "rcu_nocbs") == Some("all");
    let add =
        |name: &str| Remedy::by_hand(format!("add {name}={core} to the kernel's command line, then reboot"));
    let tick = Finding::new(
        "core.tickless",
        about,
        if is_tickless { "no tick" } else { "interrupted by each tick" },
    )
    .warn_if(
        !is_tickless,
        "no scheduler's tick while one thread runs there",
        "100 to 1,000 interrupts a second, each of some microseconds",
    )
    .mend(add("nohz_full"));
    let now = if is_free { "on other cores" } else { "callbacks of RCU run there" };
    let rcu = Finding::new("core.rcu", about, now)
        .warn_if(
            !is_free,
            "callbacks of RCU on other cores",
            "the kernel frees other threads' memory there, in batches of some ten microseconds",
        )
        .mend(add("rcu_nocbs"));
    vec![tick, rcu]
}

fn governor(host: &Host, core: usize, about: &str) -> Vec<Finding> {
    let path = format!("{CPU}/cpu{core}/cpufreq/scaling_governor");
    // a virtual machine has no governor: its host decides
    let Some(governor) = host.text(&path) else { return Vec::new() };
    let why = "the core clocks down while little happens, and needs up to some milliseconds to clock up";
    let finding = Finding::new("core.governor", about, governor)
        .warn_if(governor != "performance", "performance", why)
        .mend(Remedy::write([path], "performance", false));
    vec![finding]
}

/// Deep idle states matter where the thread parks: a thread that spins never sleeps.
fn sleep(scope: &Scope<'_>, host: &Host, core: usize, about: &str) -> Vec<Finding> {
    let folder = format!("{CPU}/cpu{core}/cpuidle");
    let states = host.names_in(&folder);
    if scope.config.runtime.idle != Idle::Park || states.is_empty() {
        return Vec::new();
    }
    let read = |state: &str, file: &str| host.number(&format!("{folder}/{state}/{file}"));
    let is_deep = |state: &&String| {
        read(state, "latency").is_some_and(|us| us > WAKE_US_MAX) && read(state, "disable") == Some(0)
    };
    let deep: Vec<_> = states.iter().filter(is_deep).collect();
    let worst = deep.iter().filter_map(|state| read(state, "latency")).max().unwrap_or(0);
    let now = if deep.is_empty() {
        "no deep sleep".to_owned()
    } else {
        format!("it may sleep so deep that waking takes {worst} us")
    };
    let files = deep.iter().map(|state| format!("{folder}/{state}/disable"));
    let why = format!("a parked thread receives its datagram {worst} us later than it arrives");
    let finding = Finding::new("core.sleep", about, now)
        .warn_if(!deep.is_empty(), format!("sleeps that end within {WAKE_US_MAX} us"), why)
        .mend(Remedy::write(files, "1", false));
    vec![finding]
}

fn siblings(scope: &Scope<'_>, host: &Host, core: usize, about: &str) -> Vec<Finding> {
    let all = host.cores(&format!("{CPU}/cpu{core}/topology/thread_siblings_list"));
    let online = host.cores(&format!("{CPU}/online"));
    let siblings: Vec<_> = all.into_iter().filter(|one| *one != core && online.contains(one)).collect();
    if siblings.is_empty() {
        return vec![Finding::new("core.sibling", about, "no hyper-thread shares it")];
    }
    let isolated = host.cores(&format!("{CPU}/isolated"));
    let configured = scope.cores().find(|(other, _)| siblings.contains(other));
    let open = siblings.iter().any(|sibling| !isolated.contains(sibling));
    let names = parse::list_text(&siblings);
    let now = match (configured, open) {
        (Some((other, node)), _) => format!("its other half, core {other}, is that of {}", node.name),
        (None, true) => format!("its other half, core {names}, takes any work"),
        (None, false) => format!("its other half, core {names}, is isolated and idle"),
    };
    let why = "two hyper-threads share one core's units and caches: each runs at about half its speed while the other works";
    let finding = Finding::new("core.sibling", about, now)
        .warn_if(configured.is_some() || open, "an idle other half", why)
        .mend(match configured {
            Some(_) => Remedy::by_hand("choose cores that are no halves of one: `lscpu -e=CPU,CORE`"),
            None => Remedy::by_hand(format!("echo 0 > {CPU}/cpuN/online for N in {names}")),
        });
    vec![finding]
}

/// Threads of other programs that are pinned to this core.
fn others(host: &Host, core: usize, about: &str) -> Vec<Finding> {
    let ours = |process: u32| host.daemons.iter().any(|daemon| daemon.process == process);
    let pinned = host.threads.iter().filter(|thread| thread.allowed == [core] && !ours(thread.process));
    let all: Vec<_> = pinned.map(|thread| format!("{} (process {})", thread.name, thread.process)).collect();
    let named = all.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = all.len().saturating_sub(NAMED_MAX);
    let now = match (all.len(), more) {
        (0, _) => "no other thread is pinned there".to_owned(),
        (_, 0) => format!("pinned there as well: {named}"),
        _ => format!("pinned there as well: {named} and {more} more"),
    };
    let why = "a thread that is pinned there runs there although the core is isolated";
    let process = host.threads.iter().find(|thread| thread.allowed == [core] && !ours(thread.process));
    let mend =
        process.map_or(String::new(), |thread| format!("taskset -a -c -p OTHER_CORES {}", thread.process));
    let finding = Finding::new("core.others", about, now)
        .warn_if(!all.is_empty(), "no other thread", why)
        .mend(Remedy::by_hand(mend));
    vec![finding]
}

fn cpuset(host: &Host, core: usize, node: &LocalNode, about: &str) -> Vec<Finding> {
    let why = "pinning fails: the thread runs wherever its set allows";
    if let Some(daemon) = host.daemon(node.role, node.id) {
        let is_there = daemon.allowed.contains(&core);
        let now =
            format!("process {} may run on cores {}", daemon.process, parse::list_text(&daemon.allowed));
        let finding = Finding::new("core.set", about, now)
            .fail_if(!is_there, format!("core {core} among them"), why)
            .mend(Remedy::by_hand(
                "AllowedCPUs= of its unit, or cpuset.cpus of its group, must contain the core",
            ));
        return vec![finding];
    }
    let status = host.text("/proc/self/status").unwrap_or_default();
    let own = parse::row(status, "Cpus_allowed_list:").map(parse::list).unwrap_or_default();
    let sets = host.groups.iter().filter_map(|group| {
        let path = format!("{group}/cpuset.cpus.effective");
        let cores = host.cores(&path);
        (!cores.is_empty() && !cores.contains(&core)).then_some((path, cores))
    });
    let sets: Vec<_> = sets.collect();
    // an isolated core is in no thread's set until a thread is pinned to it
    let is_missing = !own.contains(&core) && !host.cores(&format!("{CPU}/isolated")).contains(&core);
    let now = match sets.first() {
        Some((path, cores)) => format!("{path} allows cores {}", parse::list_text(cores)),
        None => format!("this shell may run on cores {}", parse::list_text(&own)),
    };
    let finding = Finding::new("core.set", about, now)
        .fail_if(!sets.is_empty() || is_missing, format!("core {core} among them"), why)
        .mend(Remedy::by_hand(
            "AllowedCPUs= of the unit, or cpuset.cpus of the group, must contain the core",
        ));
    vec![finding]
}

fn quota(host: &Host) -> Vec<Finding> {
    let limited = host.groups.iter().find_map(|group| {
        let path = format!("{group}/cpu.max");
        let text = host.text(&path).filter(|text| !text.starts_with("max"))?.to_owned();
        Some((path, text))
    });
    let Some((path, text)) = limited else {
        let has_groups = host.groups.iter().any(|group| host.text(&format!("{group}/cpu.max")).is_some());
        return has_groups
            .then(|| Finding::new("core.quota", "", "no quota of processor time"))
            .into_iter()
            .collect();
    };
    let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
    let stop = match numbers[..] {
        [quota, period] if quota < period => {
            format!(": it stops for {} of each {}", time((period - quota) * 1_000), time(period * 1_000))
        }
        _ => String::new(),
    };
    let why = format!("once the quota is used up, all threads of the group stop until the next period{stop}");
    let finding = Finding::new("core.quota", path, text)
        .level(FindingLevel::Error, "max", why)
        .mend(Remedy::by_hand("CPUQuota= of the unit empty, or `echo max` into the file"));
    vec![finding]
}
