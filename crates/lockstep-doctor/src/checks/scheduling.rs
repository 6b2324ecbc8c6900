//! Rights and limits of the nodes: of the running process, else of its unit, else of this shell.

use super::bytes;
use crate::facts::{Host, UnitFacts};
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::parse;
use crate::scope::{LocalNode, Scope};
use lockstep_config::{Idle, Scheduling, Transport, grouped};
use lockstep_process::cpu;

/// Bits of capabilities(7), each with its name.
const CAPABILITIES: [(u32, &str); 5] =
    [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (14, "CAP_IPC_LOCK"), (23, "CAP_SYS_NICE"), (39, "CAP_BPF")];
/// The capabilities that attach an XDP program and open its sockets.
const XDP_RIGHTS: [&str; 3] = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW"];
/// The limits that systemd sets for a unit that names none.
const UNIT_MEMLOCK: u64 = 8 << 20;
const UNIT_FILES: u64 = 524_288;
/// Files of a journal, sockets, counters, log.
const FILES_MIN: u64 = 128;
/// Memory of a node beside its tail: windows, tables, buffers of requests.
const BESIDE_TAIL: u64 = 256 << 20;

/// The rights of a node.
pub(super) struct NodeRights {
    /// The process, unit or shell that has them.
    pub source: String,
    /// The highest real-time priority that it may take.
    pub real_time: u64,
    /// Bytes that it may lock.
    pub locked: u64,
    /// Files that it may open.
    pub files: u64,
    /// Its capabilities as bits; `None` for a running node, which has dropped them.
    pub capabilities: Option<u64>,
    /// Where a limit is raised.
    pub remedy: LimitPlace,
}

/// The place where a limit is raised. See [`NodeRights::remedy`].
pub(super) enum LimitPlace {
    Unit(String),
    Shell,
}

impl NodeRights {
    pub fn of(host: &Host, node: &LocalNode) -> Self {
        let unit = host.units.first();
        let remedy = || unit.map_or(LimitPlace::Shell, |unit| LimitPlace::Unit(unit.name.clone()));
        if let Some(daemon) = host.daemon(node.role, node.id) {
            let source = format!("process {}", daemon.process);
            return Self::of_limits(&daemon.limits, source, None, remedy());
        }
        if let Some(unit) = unit {
            return Self::of_unit(unit);
        }
        let status = host.text("/proc/self/status").unwrap_or_default();
        let capabilities = parse::row(status, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let limits = host.text("/proc/self/limits").unwrap_or_default();
        Self::of_limits(limits, "this shell".to_owned(), capabilities, LimitPlace::Shell)
    }

    fn of_limits(limits: &str, source: String, capabilities: Option<u64>, remedy: LimitPlace) -> Self {
        let limit = |name: &str| parse::limit(limits, name).unwrap_or(0);
        Self {
            source,
            real_time: limit("Max realtime priority"),
            locked: limit("Max locked memory"),
            files: limit("Max open files"),
            capabilities,
            remedy,
        }
    }

    fn of_unit(unit: &UnitFacts) -> Self {
        let limit = |name: &str, preset: u64| match parse::unit_setting(&unit.text, name) {
            None | Some("") => preset,
            Some("infinity") => u64::MAX,
            // a soft and a hard limit may be given; the daemons raise the soft one to the hard one
            Some(text) => amount(text.rsplit(':').next().unwrap_or(text)).unwrap_or(preset),
        };
        let setting = |name: &str| parse::unit_setting(&unit.text, name).filter(|text| !text.is_empty());
        let user = setting("User").filter(|user| *user != "root");
        let has_user = user.is_some() || setting("DynamicUser") == Some("yes");
        let named = if has_user { "AmbientCapabilities" } else { "CapabilityBoundingSet" };
        let capabilities = match (setting(named), has_user) {
            (None, false) => u64::MAX,
            (None, true) => 0,
            (Some(names), _) => {
                let is_named = |(_, name): &&(u32, &str)| names.split_whitespace().any(|word| word == *name);
                CAPABILITIES.iter().filter(is_named).map(|(bit, _)| 1 << bit).sum()
            }
        };
        let user = user.map_or(String::new(), |user| format!(" (user {user})"));
        Self {
            source: format!("{}{user}", unit.name),
            real_time: limit("LimitRTPRIO", 0),
            locked: limit("LimitMEMLOCK", UNIT_MEMLOCK),
            files: limit("LimitNOFILE", UNIT_FILES),
            capabilities: Some(capabilities),
            remedy: LimitPlace::Unit(unit.name.clone()),
        }
    }

    pub fn has(&self, capability: &str) -> bool {
        let bit = CAPABILITIES.iter().find(|(_, name)| *name == capability).map(|(bit, _)| *bit);
        bit.is_some_and(|bit| self.capabilities.is_some_and(|all| all >> bit & 1 == 1))
    }

    /// How a limit is raised: by a line of the unit, or by ulimit.
    fn raise(&self, line: &str, shell: &str) -> Remedy {
        Remedy::by_hand(match &self.remedy {
            LimitPlace::Unit(name) => format!("`systemctl edit {name}`: [Service] {line}; then restart it"),
            LimitPlace::Shell => format!("{line} in its unit, or `{shell}` in the shell that starts it"),
        })
    }
}

fn amount(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    Some(digits.parse::<u64>().ok()? << shift)
}

pub fn check(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in &scope.nodes {
        let rights = NodeRights::of(host, node);
        findings.extend(class(scope, &rights, node));
        findings.extend(watcher(scope, &rights, node));
        findings.extend(lock(scope, &rights, node));
        findings.push(files(scope, &rights, node));
        findings.extend(xdp(scope, &rights, node));
    }
    findings.extend(throttling(scope, host));
    findings
}

fn real_time_text(rights: &NodeRights) -> String {
    if rights.has("CAP_SYS_NICE") {
        return format!("{} has CAP_SYS_NICE", rights.source);
    }
    match rights.real_time {
        0 => format!("{} may take no real-time priority", rights.source),
        priority => format!("{} may take real-time priorities up to {priority}", rights.source),
    }
}

fn class(scope: &Scope<'_>, rights: &NodeRights, node: &LocalNode) -> Option<Finding> {
    let Scheduling::Fifo(priority) = scope.config.runtime.scheduling else { return None };
    let is_granted = rights.has("CAP_SYS_NICE") || rights.real_time >= u64::from(priority);
    let wanted = format!("priority {priority} for runtime.scheduling = \"fifo:{priority}\"");
    let why = "the pinned thread stays in the fair class and shares its core with whatever is there";
    let found = Finding::new("limit.scheduling", node.name.clone(), real_time_text(rights));
    let line = format!("LimitRTPRIO={priority}");
    Some(found.fail_if(!is_granted, wanted, why).mend(rights.raise(&line, &format!("ulimit -r {priority}"))))
}

fn watcher(scope: &Scope<'_>, rights: &NodeRights, node: &LocalNode) -> Option<Finding> {
    if !scope.config.runtime.watcher || node.role != "sequencer" {
        return None;
    }
    let is_granted = rights.has("CAP_SYS_NICE") || rights.real_time >= 1;
    let why = "the watcher announces a leader's death: without a real-time class it waits on a busy core for up to a tick (4 ms)";
    let found = Finding::new("limit.watcher", node.name.clone(), real_time_text(rights));
    Some(found.warn_if(!is_granted, "priority 1", why).mend(rights.raise("LimitRTPRIO=1", "ulimit -r 1")))
}

fn lock(scope: &Scope<'_>, rights: &NodeRights, node: &LocalNode) -> Option<Finding> {
    if !scope.config.runtime.mlock {
        return None;
    }
    let needed = scope.config.journal.tail_size_bytes + BESIDE_TAIL;
    let has_right = rights.has("CAP_IPC_LOCK");
    let now = match (has_right, rights.locked) {
        (true, _) => format!("{} has CAP_IPC_LOCK", rights.source),
        (_, u64::MAX) => format!("{} may lock all memory", rights.source),
        (_, limit) => format!("{} may lock {}", rights.source, bytes(limit)),
    };
    let wanted = format!("unlimited: tail and tables take some {}", bytes(needed));
    let why =
        "memory that is not locked may be paged out, and its first use then waits for a disk: milliseconds";
    let found = Finding::new("limit.memlock", node.name.clone(), now);
    let is_short = !has_right && rights.locked < needed;
    Some(
        found
            .fail_if(is_short, wanted, why)
            .mend(rights.raise("LimitMEMLOCK=infinity", "ulimit -l unlimited")),
    )
}

fn files(scope: &Scope<'_>, rights: &NodeRights, node: &LocalNode) -> Finding {
    let needed = FILES_MIN + 2 * u64::from(scope.config.replay.readers_max);
    let now = match rights.files {
        u64::MAX => format!("{} may open any number", rights.source),
        limit => format!("{} may open {}", rights.source, grouped(limit)),
    };
    let line = format!("LimitNOFILE={}", needed.next_power_of_two());
    let why = "a journal that cannot open its next segment stops";
    Finding::new("limit.files", node.name.clone(), now)
        .fail_if(rights.files < needed, format!("at least {needed}"), why)
        .mend(rights.raise(&line, &format!("ulimit -n {}", needed.next_power_of_two())))
}

fn xdp(scope: &Scope<'_>, rights: &NodeRights, node: &LocalNode) -> Option<Finding> {
    let is_wanted = |transport: Transport| matches!(transport, Transport::Xdp | Transport::Auto);
    let line = scope.lines.iter().find(|line| is_wanted(line.transport))?;
    let demanded = line.transport == Transport::Xdp;
    let wanted = XDP_RIGHTS.join(" ");
    if rights.capabilities.is_none() {
        return Some(Finding::new(
            "limit.xdp",
            node.name.clone(),
            format!("{} has given its rights up after its start", rights.source),
        ));
    }
    let missing: Vec<_> = XDP_RIGHTS.iter().filter(|name| !rights.has(name)).copied().collect();
    let now = match missing.as_slice() {
        [] => format!("{} has them", rights.source),
        missing => format!("{} lacks {}", rights.source, missing.join(", ")),
    };
    let why = if demanded {
        "the node starts with the kernel's sockets instead, or not at all"
    } else {
        "transport auto uses the kernel's sockets instead, which take some microseconds more"
    };
    let level = match (missing.is_empty(), demanded) {
        (true, _) => FindingLevel::Good,
        (false, true) => FindingLevel::Error,
        (false, false) => FindingLevel::Warning,
    };
    let found = Finding::new("limit.xdp", node.name.clone(), now).level(level, wanted.clone(), why);
    Some(found.mend(rights.raise(&format!("AmbientCapabilities={wanted}"), "run it as root")))
}

/// Real-time throttling: the kernel stops a real-time thread that spins.
fn throttling(scope: &Scope<'_>, host: &Host) -> Option<Finding> {
    let config = scope.config;
    if config.runtime.scheduling == Scheduling::Other
        || config.runtime.idle != Idle::Spin
        || scope.nodes.is_empty()
    {
        return None;
    }
    let name = "kernel.sched_rt_runtime_us";
    let (runtime, period) = (host.sysctl(name)?, host.sysctl("kernel.sched_rt_period_us")?);
    let note = cpu::throttling_of(runtime, period);
    let why = note.clone().unwrap_or_default();
    let why = why.split(';').next().unwrap_or_default().to_owned();
    let found = Finding::new("kernel.rt_throttling", name, runtime.to_string());
    Some(found.warn_if(note.is_some(), "-1", why).mend(Remedy::sysctl(name, -1)))
}
