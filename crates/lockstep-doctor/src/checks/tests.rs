//! Hosts that are planted in a folder: a healthy one without any finding, and hosts with one fault each,
//! which its own check must report.

use super::judge;
use crate::facts::Host;
use crate::finding::{FindingLevel, Findings};
use crate::gather::{Kernel, gather};
use crate::measure::{FlushTimes, Jitter, LoopTimes};
use crate::scope::{ChosenNode, Scope};
use lockstep_config::Config;
use lockstep_io::ethtool::CardSettings;
use lockstep_io::host::{ClockState, FileSystem};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const FILE: &str = r#"
cluster = 7
profile = "production"
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "eth1"
receive_buffer = "16MiB"
[[replicas]]
id = 1
unicast = "10.77.0.1:7701"
journal = "/var/lib/lockstep/7"
core = 2
[[replicas]]
id = 2
unicast = "10.77.0.2:7701"
journal = "/var/lib/lockstep/7"
core = 2
[journal]
retention_size = "100GiB"
"#;

/// The files of a host without any finding.
const HEALTHY: &[(&str, &str)] = &[
    ("proc/cmdline", "quiet isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3"),
    ("proc/interrupts", "   CPU0 CPU1 CPU2 CPU3\n 41: 9 9 0 0 PCI-MSIX 1-edge eth1-rx-0\n"),
    ("proc/irq/41/smp_affinity_list", "0-1\n"),
    ("proc/irq/41/effective_affinity_list", "0\n"),
    ("proc/meminfo", "MemTotal: 64000000 kB\nMemAvailable: 48000000 kB\n"),
    ("proc/mounts", "/dev/nvme0n1 / ext4 rw,relatime 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n"),
    ("proc/net/fib_trie", "Local:\n  |-- 10.77.0.1\n     /32 host LOCAL\n"),
    (
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth1\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n",
    ),
    ("proc/net/snmp", "Udp: InDatagrams NoPorts RcvbufErrors\nUdp: 5000000 0 0\n"),
    ("proc/net/softnet_stat", "00000010 00000000 00000000\n"),
    ("proc/self/cgroup", "0::/user.slice\n"),
    (
        "proc/self/limits",
        "Max locked memory  8388608 8388608 bytes\nMax realtime priority 0 0\nMax open files 1024 4096 files\n",
    ),
    ("proc/self/status", "Uid:\t1000\t1000\nCpus_allowed_list:\t0-1\nCapEff:\t0000000000000000\n"),
    ("proc/swaps", "Filename Type Size Used Priority\n"),
    ("proc/sys/kernel/numa_balancing", "0\n"),
    ("proc/sys/kernel/sched_rt_period_us", "1000000\n"),
    ("proc/sys/kernel/sched_rt_runtime_us", "-1\n"),
    ("proc/sys/net/core/netdev_max_backlog", "1000\n"),
    ("proc/sys/net/core/rmem_max", "16777216\n"),
    ("proc/sys/net/core/wmem_max", "4194304\n"),
    ("proc/sys/net/ipv4/conf/all/force_igmp_version", "0\n"),
    ("proc/sys/net/ipv4/conf/all/rp_filter", "0\n"),
    ("proc/sys/net/ipv4/conf/eth1/force_igmp_version", "0\n"),
    ("proc/sys/net/ipv4/conf/eth1/rp_filter", "1\n"),
    ("proc/sys/net/ipv4/igmp_max_memberships", "20\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/vm/swappiness", "60\n"),
    ("sys/class/net/eth1/flags", "0x1003\n"),
    ("sys/class/net/eth1/mtu", "1500\n"),
    ("sys/class/net/eth1/speed", "25000\n"),
    ("sys/class/net/eth1/queues/rx-0/rps_cpus", "0\n"),
    ("sys/class/net/eth1/statistics/rx_missed_errors", "0\n"),
    ("sys/devices/pci/eth1/numa_node", "0\n"),
    ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/devices/system/cpu/isolated", "2-3\n"),
    ("sys/devices/system/cpu/nohz_full", "2-3\n"),
    ("sys/devices/system/cpu/online", "0-3\n"),
    ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2\n"),
    ("sys/devices/system/cpu/cpu2/node0/x", ""),
    ("sys/devices/system/cpu/cpu2/cpuidle/state3/name", "C6\n"),
    ("sys/devices/system/cpu/cpu2/cpuidle/state3/latency", "133\n"),
    ("sys/devices/system/cpu/cpu2/cpuidle/state3/disable", "0\n"),
    ("sys/fs/cgroup/cpuset.cpus.effective", "0-3\n"),
    ("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    (
        "etc/systemd/system/lockstep@.service",
        "[Service]\nUser=lockstep\nExecStart=/usr/local/bin/lockstep sequencer --replica %i\nLimitRTPRIO=1\n",
    ),
    ("etc/systemd/system/lockstep@.service.d/limits.conf", "[Service]\nLimitMEMLOCK=infinity\n"),
    ("var/lib/lockstep/7/superblock", ""),
    ("dev/shm/x", ""),
];

/// The kernel of a planted host: the facts that no file shows.
#[derive(Clone)]
struct PlantedKernel {
    root: PathBuf,
    disk: FileSystem,
    memory: FileSystem,
    card: CardSettings,
    clock: Option<ClockState>,
    flush_ns: u64,
    longest_ns: u64,
    returned: usize,
}

impl Kernel for PlantedKernel {
    fn file_system(&self, folder: &Path) -> Option<FileSystem> {
        Some(if folder.starts_with(self.root.join("dev/shm")) { self.memory } else { self.disk })
    }

    fn card(&self, _name: &str) -> CardSettings {
        self.card
    }

    fn clock(&self) -> Option<ClockState> {
        self.clock
    }
}

struct PlantedHost {
    root: TempDir,
    file: String,
    kernel: PlantedKernel,
}

impl PlantedHost {
    fn healthy() -> Self {
        // sixty small files for each of as many hosts: in memory, if possible
        let root = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a folder");
        let whole = |total_bytes: u64, is_memory: bool| FileSystem {
            free_bytes: total_bytes / 2,
            free_inodes: 1 << 20,
            total_inodes: 1 << 21,
            total_bytes,
            block_len: 4096,
            is_huge: false,
            is_memory,
        };
        let kernel = PlantedKernel {
            root: root.path().to_path_buf(),
            disk: whole(400 << 30, false),
            memory: whole(32 << 30, true),
            card: CardSettings {
                ring: Some((4096, 4096)),
                coalescing: Some((8, false)),
                lro: Some(false),
                queues: Some(1),
            },
            clock: Some(ClockState { is_synchronised: true, error_max_us: 900 }),
            flush_ns: 60_000,
            longest_ns: 9_000,
            returned: 200,
        };
        let host = Self { root, file: FILE.to_owned(), kernel };
        for (path, text) in HEALTHY {
            host.write(path, text);
        }
        let card = host.root.path().join("sys/class/net/eth1/device");
        std::os::unix::fs::symlink("../../../devices/pci/eth1", card).expect("a link");
        host.link("sys/devices/pci/eth1/driver", "../../../bus/drivers/ice");
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.root.path().join(path);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::os::unix::fs::symlink(target, path).expect("a link");
    }

    fn append(&self, text: &str) -> String {
        format!("{}{text}", self.file)
    }

    fn replace(&mut self, old: &str, new: &str) {
        assert!(self.file.contains(old), "{old}");
        self.file = self.file.replace(old, new);
    }

    fn judge(&self) -> Findings {
        let config = Config::parse(Path::new("planted.toml"), &self.file, &[]);
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let mut host = gather(self.root.path(), &config, ChosenNode::ByAddress, &self.kernel);
        self.measured(&mut host);
        let text = |path: &str| host.text(path).unwrap_or_default();
        let scope =
            Scope::new(&config, ChosenNode::ByAddress, text("/proc/net/fib_trie"), text("/proc/net/route"));
        judge(&scope, &host)
    }

    fn measured(&self, host: &mut Host) {
        let flush =
            FlushTimes { p50_ns: self.kernel.flush_ns, longest_ns: 400_000, count: 48, is_direct: true };
        host.measured.flushes.insert(PathBuf::from("/var/lib/lockstep/7"), flush);
        let longest_ns = self.kernel.longest_ns;
        let jitter = Jitter { longest_ns, stumbles: 1, lost_ns: longest_ns, watched_ns: 250_000_000 };
        host.measured.jitter.insert(2, jitter);
        let loops = LoopTimes { sent: 200, returned: self.kernel.returned, p50_ns: 9_000, error: None };
        host.measured.loops.insert("lines.1".to_owned(), loops);
        host.measured.clock_read_ns = Some(if host.text(SOURCE) == Some("tsc") { 24 } else { 900 });
    }
}

const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const CPU2: &str = "sys/devices/system/cpu/cpu2";
const UNIT: &str = "etc/systemd/system/lockstep@.service";

#[test]
fn a_healthy_host_has_nothing_to_mend_and_nothing_that_cannot_be_seen() {
    let findings = PlantedHost::healthy().judge();
    let bad: Vec<_> = findings.0.iter().filter(|finding| finding.level > FindingLevel::Good).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(findings.0.len() >= 30, "{} checks", findings.0.len());
    assert_eq!(findings.exit_code(), 0);
    assert!(
        findings.0.iter().all(|finding| finding.mend.is_none()),
        "nothing is proposed where nothing is wrong"
    );
}

/// A fault: its name, the check that must report it, a part of its text, and the function that plants it.
type Fault = (&'static str, &'static str, &'static str, fn(&mut PlantedHost));

const CORE_FAULTS: &[Fault] = &[
    ("a core that does not exist", "core.exists", "cores 0-1", |host| {
        host.write("sys/devices/system/cpu/online", "0-1")
    }),
    ("no pinning", "core.pinned", "not pinned", |host| host.replace("core = 2\n", "")),
    ("two nodes on a core", "core.own", "replica 1 and replica 2", |host| {
        host.replace("\"production\"", "\"shared\"");
        host.replace(
            "10.77.0.2:7701\"\njournal = \"/var/lib/lockstep/7\"",
            "10.77.0.1:7711\"\njournal = \"/var/lib/lockstep/8\"",
        );
    }),
    ("no isolation", "core.isolated", "any thread", |host| {
        host.write("sys/devices/system/cpu/isolated", "\n");
        host.write("proc/self/status", "Uid:\t0\t0\nCpus_allowed_list:\t0-3\n");
    }),
    ("a core that a hypervisor takes away", "core.isolated", "once for 4,000 us", |host| {
        host.kernel.longest_ns = 4_000_000
    }),
    ("a tick", "core.tickless", "each tick", |host| host.write("sys/devices/system/cpu/nohz_full", "3")),
    ("callbacks of RCU", "core.rcu", "run there", |host| {
        host.write("sys/devices/system/cpu/nohz_full", "");
        host.write("proc/cmdline", "isolcpus=2-3");
    }),
    ("a governor that saves power", "core.governor", "powersave", |host| {
        host.write(&format!("{CPU2}/cpufreq/scaling_governor"), "powersave\n");
    }),
    ("a deep sleep of a thread that parks", "core.sleep", "133 us", |host| {
        host.replace("\"production\"", "\"shared\"");
        host.file = host.append("[runtime]\nidle = \"park\"\n");
    }),
    ("a busy other half", "core.sibling", "takes any work", |host| {
        host.write(&format!("{CPU2}/topology/thread_siblings_list"), "1-2");
    }),
    ("a foreign thread that is pinned there", "core.others", "noisy (process 812)", |host| {
        host.write("proc/812/task/812/status", "Name:\tnoisy\nCpus_allowed_list:\t2\n");
        host.write("proc/812/task/812/stat", "812 (noisy) S 1 1 1 0 -1 4194304 0 0\n");
    }),
    ("a set of cores without it", "core.set", "allows cores 0-1", |host| {
        host.write("sys/fs/cgroup/cpuset.cpus.effective", "0-1");
    }),
    ("a quota of processor time", "core.quota", "50000 100000", |host| {
        host.write("sys/fs/cgroup/user.slice/cpu.max", "50000 100000");
    }),
];

const LIMIT_FAULTS: &[Fault] = &[
    ("no real-time priority", "limit.scheduling", "no real-time priority", |host| {
        host.file = host.append("[runtime]\nscheduling = \"fifo:50\"\n");
        host.write(UNIT, "[Service]\nUser=lockstep\nExecStart=lockstep sequencer\n");
    }),
    ("throttled real-time threads", "kernel.rt_throttling", "950000", |host| {
        host.file = host.append("[runtime]\nscheduling = \"fifo:50\"\n");
        host.write(UNIT, "[Service]\nUser=lockstep\nExecStart=lockstep sequencer\nLimitRTPRIO=50\n");
        host.write("proc/sys/kernel/sched_rt_runtime_us", "950000");
    }),
    ("a watcher without its class", "limit.watcher", "no real-time priority", |host| {
        host.write(UNIT, "[Service]\nUser=lockstep\nExecStart=lockstep sequencer\n");
    }),
    ("memory that may not be locked", "limit.memlock", "8,388,608 bytes", |host| {
        host.write(&format!("{UNIT}.d/limits.conf"), "");
    }),
    ("few files", "limit.files", "may open 64", |host| {
        host.write(&format!("{UNIT}.d/limits.conf"), "[Service]\nLimitMEMLOCK=infinity\nLimitNOFILE=64\n");
    }),
    ("no rights for xdp", "limit.xdp", "lacks CAP_BPF", |host| {
        host.replace("interface = \"eth1\"", "interface = \"eth1\"\ntransport = \"xdp\"");
    }),
    ("huge pages for everybody", "memory.huge_pages", "always", |host| {
        host.write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    }),
    ("swap", "memory.swap", "1 swap areas", |host| {
        host.write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 9 0 -2\n");
    }),
    ("moving pages between nodes", "memory.numa_balancing", "on", |host| {
        host.write("proc/sys/kernel/numa_balancing", "1");
    }),
    ("too little memory", "memory.room", "available", |host| {
        host.write("proc/meminfo", "MemAvailable: 200000 kB\n");
    }),
];

const STORAGE_FAULTS: &[Fault] = &[
    ("a tail on a disk", "shm.kind", "tmpfs", |host| host.kernel.memory.is_memory = false),
    ("a full /dev/shm", "shm.room", "bytes free", |host| host.kernel.memory.free_bytes = 1 << 20),
    ("a journal in memory", "journal.kind", "on tmpfs", |host| {
        host.kernel.memory.total_bytes = 400 << 30;
        host.replace("journal = \"/var/lib/lockstep/7\"", "journal = \"/dev/shm/lockstep\"");
    }),
    ("a journal on a network", "journal.kind", "on nfs4", |host| {
        host.write("proc/mounts", "server:/x / nfs4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n");
    }),
    ("a full disk", "journal.room", "32 MiB free", |host| host.kernel.disk.free_bytes = 32 << 20),
    ("a disk without inodes", "journal.room", "0 inodes free", |host| host.kernel.disk.free_inodes = 0),
    ("a disk smaller than what is retained", "journal.room", "free of 50.0 GiB", |host| {
        host.kernel.disk = FileSystem { free_bytes: 40 << 30, total_bytes: 50 << 30, ..host.kernel.disk };
    }),
    ("a slow disk", "journal.flush", "p50 7,000 us", |host| {
        host.file = host.append("[stream]\ndurability = \"power\"\n");
        host.kernel.flush_ns = 7_000_000;
    }),
];

const NETWORK_FAULTS: &[Fault] = &[
    ("small receive buffers", "socket.receive_buffer", "212,992 bytes", |host| {
        host.write("proc/sys/net/core/rmem_max", "212992");
    }),
    ("small send buffers", "socket.send_buffer", "212,992 bytes", |host| {
        host.write("proc/sys/net/core/wmem_max", "212992");
    }),
    ("a queue that overflows", "socket.backlog", "7 lost there", |host| {
        host.write("proc/net/softnet_stat", "00000010 00000007 0\n");
    }),
    ("a port of the kernel's range", "socket.ports", "7701", |host| {
        host.write("proc/sys/net/ipv4/ip_local_port_range", "1024 65535");
    }),
    ("no such card", "card.exists", "no such interface", |host| {
        host.replace("interface = \"eth1\"", "interface = \"eth7\"");
    }),
    ("a card that is down", "card.state", "down", |host| host.write("sys/class/net/eth1/flags", "0x1002")),
    ("a card without multicast", "card.state", "without MULTICAST", |host| {
        host.write("sys/class/net/eth1/flags", "0x3")
    }),
    ("a card of a smaller MTU", "card.mtu", "1400", |host| host.write("sys/class/net/eth1/mtu", "1400")),
    ("a small ring", "card.ring", "256 of 4,096 slots", |host| host.kernel.card.ring = Some((256, 4096))),
    ("a card that waits", "card.coalescing", "adaptive", |host| {
        host.kernel.card.coalescing = Some((64, true))
    }),
    ("packets that are joined", "card.offloads", "LRO on", |host| host.kernel.card.lro = Some(true)),
    ("packets that change cores", "card.steering", "RPS on", |host| {
        host.write("sys/class/net/eth1/queues/rx-0/rps_cpus", "f");
    }),
    ("interrupts on the hot core", "card.interrupts", "such as 41, on cores 2", |host| {
        host.write("proc/irq/41/effective_affinity_list", "2");
    }),
    ("a card on the other socket", "card.numa_node", "on another", |host| {
        host.write("sys/devices/pci/eth1/numa_node", "1");
    }),
    ("xdp on a driver without it", "card.xdp", "driver e1000", |host| {
        host.replace("interface = \"eth1\"", "interface = \"eth1\"\ntransport = \"xdp\"");
        host.link("sys/devices/pci/eth1/driver", "../../../bus/drivers/e1000");
    }),
    ("multicast that does not come back", "multicast.loop", "190 of 200", |host| host.kernel.returned = 190),
    ("a strict filter of paths", "multicast.rp_filter", "10.99.0.2 is not reached", |host| {
        host.replace("10.77.0.2:7701", "10.99.0.2:7701");
    }),
    ("IGMP of version 1", "multicast.igmp", "version 1 is forced", |host| {
        host.write("proc/sys/net/ipv4/conf/eth1/force_igmp_version", "1");
    }),
    ("a bridge that snoops", "multicast.snooping", "no querier", |host| {
        host.write("sys/class/net/eth1/bridge/multicast_snooping", "1");
        host.write("sys/class/net/eth1/bridge/multicast_querier", "0");
    }),
    ("few memberships", "multicast.memberships", "2", |host| {
        host.write("proc/sys/net/ipv4/igmp_max_memberships", "2");
    }),
    ("a slow clock", "clock.source", "hpet", |host| host.write(&SOURCE[1..], "hpet")),
    ("a clock that nobody keeps", "clock.synchronised", "no daemon", |host| {
        host.kernel.clock = Some(ClockState { is_synchronised: false, error_max_us: 16_000_000 });
    }),
    ("a replaced program", "node.process", "is gone", |host| {
        host.write("proc/77/cmdline", "/usr/local/bin/lockstep\0sequencer\0--replica\x001\0");
        host.write(
            "proc/77/limits",
            "Max locked memory unlimited\nMax realtime priority 99\nMax open files 4096\n",
        );
        host.write("proc/77/task/77/status", "Name:\tlockstep\nCpus_allowed_list:\t0-2\n");
        host.write("proc/77/task/77/stat", "77 (lockstep) S 1 1 1 0 -1 4194304 0 0\n");
        host.link("proc/77/exe", "/usr/local/bin/lockstep (deleted)");
    }),
];

#[test]
fn each_planted_fault_is_named_by_its_check_and_no_other_check_complains() {
    let all = [CORE_FAULTS, LIMIT_FAULTS, STORAGE_FAULTS, NETWORK_FAULTS].concat();
    assert!(all.len() >= 15);
    let mut problems = Vec::new();
    for (name, check, text, plant) in all {
        let mut host = PlantedHost::healthy();
        plant(&mut host);
        let findings = host.judge();
        let bad: Vec<_> = findings.0.iter().filter(|finding| finding.level > FindingLevel::Unknown).collect();
        match bad.iter().find(|finding| finding.check == check) {
            None => problems.push(format!("{name}: {check} is silent")),
            Some(found) => {
                let mends = found.mend.as_ref().is_some_and(|mend| !mend.command.is_empty());
                let is_whole = mends && !found.why.is_empty() && !found.wanted.is_empty();
                if !is_whole || !found.to_string().contains(text) {
                    problems.push(format!("{name}: {found}"));
                }
            }
        }
        let others =
            bad.iter().filter(|finding| finding.check != check && !FOLLOWS.contains(&(check, finding.check)));
        problems.extend(others.map(|finding| format!("{name}: beside {check} there is {finding}")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A finding, and a second one that results from the same fault.
const FOLLOWS: [(&str, &str); 5] = [
    ("core.rcu", "core.tickless"),
    ("limit.scheduling", "limit.watcher"),
    ("limit.memlock", "limit.watcher"),
    ("card.xdp", "limit.xdp"),
    ("limit.xdp", "card.xdp"),
];

#[test]
fn a_host_of_clients_is_checked_as_that() {
    let mut host = PlantedHost::healthy();
    host.replace("10.77.0.1:7701", "10.77.0.9:7701");
    let findings = host.judge();
    let nodes = findings.0.iter().find(|finding| finding.check == "file.nodes").expect("a finding");
    assert_eq!(nodes.level, FindingLevel::Unknown);
    assert!(findings.0.iter().all(|finding| !finding.check.starts_with("journal.")), "{findings:#?}");
    assert_eq!(findings.exit_code(), 0, "{findings:#?}");
}

#[test]
fn a_running_node_is_judged_by_its_own_limits_and_cores() {
    let host = PlantedHost::healthy();
    host.write("proc/77/cmdline", "/usr/local/bin/lockstep\0sequencer\0--replica=1\0");
    host.write(
        "proc/77/limits",
        "Max locked memory 65536 65536\nMax realtime priority 99 99\nMax open files 4096 4096\n",
    );
    host.write("proc/77/task/77/status", "Name:\tlockstep\nCpus_allowed_list:\t0-1\n");
    host.write("proc/77/task/77/stat", "77 (lockstep) S 1 1 1 0 -1 4194304 0 0\n");
    let findings = host.judge();
    let text = |check: &str| {
        let found = findings.0.iter().find(|finding| finding.check == check);
        found.unwrap_or_else(|| panic!("no {check}")).to_string()
    };
    assert!(text("limit.memlock").contains("process 77 may lock 65,536 bytes"), "{}", text("limit.memlock"));
    assert!(text("core.set").contains("process 77 may run on cores 0-1"), "{}", text("core.set"));
    assert_eq!(findings.exit_code(), 2);
}

/// The names of checks in a text, between `quote`s.
fn check_names(text: &str, quote: char) -> std::collections::BTreeSet<String> {
    const PARTS: [&str; 14] = [
        "file",
        "core",
        "limit",
        "memory",
        "shm",
        "journal",
        "socket",
        "card",
        "multicast",
        "clock",
        "node",
        "keys",
        "cluster",
        "probe",
    ];
    let is_name = |word: &&str| {
        let (part, rest) = word.split_once('.').unwrap_or_default();
        PARTS.contains(&part) && !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    text.split(quote).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_page_of_the_doctor_has_a_row_for_each_check_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read =
        |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut code = read(&root.join("../../src/cli/inspect/doctor.rs"));
    for folder in ["src/checks", "src/probe"] {
        for entry in fs::read_dir(root.join(folder)).expect("a folder").flatten() {
            if !entry.path().ends_with("tests.rs") {
                code += &read(&entry.path());
            }
        }
    }
    code += &read(&root.join("src/checks.rs"));
    let page = read(&root.join("../../docs/DOCTOR.md"));
    let rows: String = page.lines().filter(|line| line.starts_with("| `")).collect();
    let keys_of_the_file = ["journal.tail_size", "journal.retention_size"].map(str::to_owned);
    let mut in_code = check_names(&code, '"');
    in_code.retain(|name| !keys_of_the_file.contains(name));
    let mut in_page = check_names(&rows, '`');
    in_page.retain(|name| in_code.contains(name) || !keys_of_the_file.contains(name));
    assert_eq!(in_code, in_page);
    assert!(in_code.len() > 50, "{in_code:?}");
}
