//! Reads the facts of a host: of this one, or of one whose files are below a folder.

use crate::facts::{DaemonFacts, FolderFacts, Host, ThreadFacts, UnitFacts};
use crate::finding::sysctl_path;
use crate::parse;
use crate::scope::{ChosenNode, Scope};
use lockstep_config::Config;
use lockstep_io::ethtool::{self, CardSettings};
use lockstep_io::host::{ClockState, FileSystem, clock_state};
use std::path::{Path, PathBuf};

/// Facts that no file of the kernel shows.
pub trait Kernel {
    /// The file system of an existing folder.
    fn file_system(&self, folder: &Path) -> Option<FileSystem>;
    /// The settings of a card.
    fn card(&self, name: &str) -> CardSettings;
    /// The state of the clock.
    fn clock(&self) -> Option<ClockState>;
}

/// The kernel of this host.
#[derive(Clone, Copy, Debug)]
pub struct ThisKernel;

impl Kernel for ThisKernel {
    fn file_system(&self, folder: &Path) -> Option<FileSystem> {
        FileSystem::of_folder(folder).ok()
    }

    fn card(&self, name: &str) -> CardSettings {
        ethtool::settings(name).unwrap_or_default()
    }

    fn clock(&self) -> Option<ClockState> {
        clock_state()
    }
}

/// Files that are read on every host.
const FILES: &[&str] = &[
    "/proc/cmdline",
    "/proc/interrupts",
    "/proc/meminfo",
    "/proc/mounts",
    "/proc/net/fib_trie",
    "/proc/net/igmp",
    "/proc/net/route",
    "/proc/net/snmp",
    "/proc/net/softnet_stat",
    "/proc/self/limits",
    "/proc/self/status",
    "/proc/swaps",
    "/sys/devices/system/clocksource/clocksource0/available_clocksource",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/online",
    "/sys/kernel/mm/transparent_hugepage/enabled",
];

/// Kernel settings that are read on every host.
const SYSCTLS: &[&str] = &[
    "kernel.numa_balancing",
    "kernel.sched_rt_period_us",
    "kernel.sched_rt_runtime_us",
    "net.bridge.bridge-nf-call-iptables",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.ipv4.conf.all.force_igmp_version",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.igmp_max_memberships",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "vm.swappiness",
];

/// Folders with units of systemd, the one with the highest precedence last.
const UNIT_FOLDERS: [&str; 3] = ["/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system"];

/// The most threads of a process that are examined.
const THREADS_MAX: usize = 4096;
/// `PF_KTHREAD`: the kernel places its own threads; those of interrupts go where the interrupts go.
const KERNEL_FLAG: u64 = 0x0020_0000;

struct Reader<'a> {
    root: &'a Path,
    host: Host,
}

impl Reader<'_> {
    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn file(&mut self, path: &str) {
        if let Ok(text) = std::fs::read(self.place(path)) {
            self.host.texts.insert(path.to_owned(), String::from_utf8_lossy(&text).into_owned());
        }
    }

    fn link(&mut self, path: &str) {
        let target = std::fs::read_link(self.place(path)).ok();
        if let Some(name) = target.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) {
            self.host.links.insert(path.to_owned(), name.to_owned());
        }
    }

    fn list(&mut self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.place(folder)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        self.host.names.insert(folder.to_owned(), names.clone());
        names
    }

    fn core(&mut self, core: usize) {
        let folder = format!("/sys/devices/system/cpu/cpu{core}");
        for name in ["cpufreq/scaling_governor", "topology/thread_siblings_list"] {
            self.file(&format!("{folder}/{name}"));
        }
        for name in self.list(&folder).iter().filter(|name| name.starts_with("node")) {
            self.host.links.insert(format!("{folder}/node"), name.clone());
        }
        for state in self.list(&format!("{folder}/cpuidle")) {
            for name in ["name", "latency", "disable"] {
                self.file(&format!("{folder}/cpuidle/{state}/{name}"));
            }
        }
    }

    fn interface(&mut self, name: &str, kernel: &dyn Kernel) {
        let folder = format!("/sys/class/net/{name}");
        for file in [
            "flags",
            "mtu",
            "speed",
            "device/numa_node",
            "bridge/multicast_snooping",
            "bridge/multicast_querier",
            "statistics/rx_missed_errors",
            "statistics/rx_dropped",
        ] {
            self.file(&format!("{folder}/{file}"));
        }
        self.link(&format!("{folder}/device"));
        self.link(&format!("{folder}/device/driver"));
        for file in ["rp_filter", "force_igmp_version"] {
            self.file(&sysctl_path(&format!("net.ipv4.conf.{name}.{file}")));
        }
        for queue in self.list(&format!("{folder}/queues")).iter().filter(|queue| queue.starts_with("rx-")) {
            self.file(&format!("{folder}/queues/{queue}/rps_cpus"));
        }
        self.host.cards.insert(name.to_owned(), kernel.card(name));
        for number in self.host.interrupts_of(name) {
            for file in ["smp_affinity_list", "effective_affinity_list"] {
                self.file(&format!("/proc/irq/{number}/{file}"));
            }
        }
    }

    fn folder(&mut self, folder: &Path, kernel: &dyn Kernel) {
        let exists = |path: &&Path| self.place(&path.to_string_lossy()).is_dir();
        let Some(existing) = folder.ancestors().find(exists).map(Path::to_path_buf) else { return };
        let place = self.place(&existing.to_string_lossy());
        if let Some(fs) = kernel.file_system(&place) {
            self.host.folders.insert(folder.to_path_buf(), FolderFacts { existing, fs });
        }
    }

    /// Reads the running nodes, and the threads that may run on at most half of `cores`.
    fn processes(&mut self, cores: usize) {
        let processes = self.list("/proc");
        for process in processes.iter().filter_map(|name| name.parse::<u32>().ok()) {
            let folder = format!("/proc/{process}");
            let tasks =
                std::fs::read_dir(self.place(&format!("{folder}/task"))).into_iter().flatten().flatten();
            let tasks: Vec<_> =
                tasks.take(THREADS_MAX).filter_map(|task| task.file_name().into_string().ok()).collect();
            let threads: Vec<_> = tasks
                .iter()
                .filter_map(|task| self.thread(process, &format!("{folder}/task/{task}")))
                .collect();
            self.daemon(process, &folder, &threads);
            let few = threads.into_iter().filter(|thread| thread.allowed.len() * 2 <= cores);
            self.host.threads.extend(few);
        }
    }

    fn thread(&self, process: u32, folder: &str) -> Option<ThreadFacts> {
        let read = |name: &str| std::fs::read_to_string(self.place(&format!("{folder}/{name}"))).ok();
        let status = read("status")?;
        let stat = read("stat").unwrap_or_default();
        let flags = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse().ok());
        if flags.is_some_and(|flags: u64| flags & KERNEL_FLAG != 0) {
            return None;
        }
        let name = parse::row(&status, "Name:")?.to_owned();
        Some(ThreadFacts { process, name, allowed: parse::list(parse::row(&status, "Cpus_allowed_list:")?) })
    }

    fn daemon(&mut self, process: u32, folder: &str, threads: &[ThreadFacts]) {
        let Ok(line) = std::fs::read(self.place(&format!("{folder}/cmdline"))) else { return };
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let arguments: Vec<_> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let is_lockstep = arguments.first().is_some_and(|word| word.rsplit('/').next() == Some("lockstep"));
        let is_node = arguments.get(1).is_some_and(|word| word == "sequencer" || word == "archiver");
        if !is_lockstep || !is_node {
            return;
        }
        let program = std::fs::read_link(self.place(&format!("{folder}/exe"))).unwrap_or_default();
        let mut allowed: Vec<_> = threads.iter().flat_map(|thread| thread.allowed.clone()).collect();
        allowed.sort_unstable();
        allowed.dedup();
        let limits = std::fs::read_to_string(self.place(&format!("{folder}/limits"))).unwrap_or_default();
        self.host.daemons.push(DaemonFacts {
            process,
            arguments,
            limits,
            allowed,
            is_replaced: program.to_string_lossy().ends_with(" (deleted)"),
        });
    }

    fn units(&mut self) {
        for folder in UNIT_FOLDERS {
            let names = self.list(folder);
            for name in names.iter().filter(|name| name.starts_with("lockstep") && name.ends_with(".service"))
            {
                self.file(&format!("{folder}/{name}"));
                let Some(text) = self.host.texts.get(&format!("{folder}/{name}")).cloned() else { continue };
                self.host.units.retain(|unit| unit.name != *name);
                self.host.units.push(UnitFacts { name: name.clone(), text });
            }
        }
        let names: Vec<_> = self.host.units.iter().map(|unit| unit.name.clone()).collect();
        for (place, name) in names.iter().enumerate() {
            for folder in UNIT_FOLDERS {
                let folder = format!("{folder}/{name}.d");
                for drop_in in self.list(&folder).iter().filter(|name| name.ends_with(".conf")) {
                    let path = format!("{folder}/{drop_in}");
                    self.file(&path);
                    let more = self.host.texts.get(&path).cloned().unwrap_or_default();
                    self.host.units[place].text += &format!("\n{more}");
                }
            }
        }
        let runs = |text: &str| {
            parse::unit_setting(text, "ExecStart").is_some_and(|line| {
                line.split_whitespace().any(|word| word == "sequencer" || word == "archiver")
            })
        };
        self.host.units.retain(|unit| runs(&unit.text));
    }

    /// Reads quota and cores of the cgroups of the running nodes (or of this shell) and of their parents.
    fn groups(&mut self) {
        let nodes = self.host.daemons.iter().map(|daemon| format!("/proc/{}/cgroup", daemon.process));
        let mut files: Vec<_> = nodes.collect();
        if files.is_empty() {
            files.push("/proc/self/cgroup".to_owned());
        }
        for file in files {
            self.file(&file);
            let text = self.host.text(&file).unwrap_or_default();
            let Some(own) = text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned) else {
                continue;
            };
            for group in Path::new(&own).ancestors() {
                let folder = format!("/sys/fs/cgroup{}", group.to_string_lossy());
                let folder = folder.trim_end_matches('/').to_owned();
                if self.host.groups.contains(&folder) {
                    continue;
                }
                for name in ["cpu.max", "cpuset.cpus.effective"] {
                    self.file(&format!("{folder}/{name}"));
                }
                self.host.groups.push(folder);
            }
        }
    }
}

/// The facts of the host whose files are below `root`, as far as `config` needs them.
pub fn gather(root: &Path, config: &Config, chosen: ChosenNode, kernel: &dyn Kernel) -> Host {
    let mut reader = Reader { root, host: Host::default() };
    for path in FILES {
        reader.file(path);
    }
    for name in SYSCTLS {
        reader.file(&sysctl_path(name));
    }
    let (trie, routes) = (reader.host.text("/proc/net/fib_trie"), reader.host.text("/proc/net/route"));
    let scope = Scope::new(config, chosen, trie.unwrap_or_default(), routes.unwrap_or_default());
    for (core, _) in scope.cores() {
        reader.core(core);
    }
    for line in &scope.lines {
        if let Some(name) = &line.interface {
            reader.interface(name, kernel);
        }
    }
    for node in &scope.nodes {
        reader.folder(&node.journal, kernel);
        for (path, _) in &node.memory {
            if let Some(parent) = path.parent() {
                reader.folder(parent, kernel);
            }
            if let Ok(meta) = std::fs::metadata(reader.place(&path.to_string_lossy())) {
                reader.host.file_bytes.insert(path.clone(), meta.len());
            }
        }
    }
    let cores = reader.host.cores("/sys/devices/system/cpu/online").len();
    reader.processes(cores);
    reader.groups();
    reader.units();
    reader.host.clock = kernel.clock();
    reader.host
}
