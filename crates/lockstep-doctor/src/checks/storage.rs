//! Memory files and journals: the type and free space of their file systems, the speed of a flush.

use super::{bytes, time};
use crate::facts::{FolderFacts, Host};
use crate::finding::{Finding, FindingLevel, Remedy};
use crate::parse;
use crate::scope::{LocalNode, Scope};
use lockstep_config::Durability;
use std::collections::BTreeMap;
use std::path::Path;

/// A journal that has room for fewer segments is nearly full.
const SEGMENTS_MIN: u64 = 4;
/// A disk with fewer inodes holds few segments, however many bytes are free.
const INODES_MIN: u64 = 64;
/// The longest flush of a disk that is fit for durability "power"; the next one for "process".
const FLUSH_POWER_NS: u64 = 1_000_000;
const FLUSH_PROCESS_NS: u64 = 50_000_000;

pub fn check(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    let mut findings = memory_files(scope, host);
    for node in &scope.nodes {
        let Some(folder) = host.folders.get(&node.journal) else {
            let now = format!("the file system of {} could not be asked", node.journal.display());
            findings.push(Finding::new("journal.room", node.name.clone(), now).level(
                FindingLevel::Unknown,
                "room",
                "",
            ));
            continue;
        };
        findings.push(kind(host, node, folder));
        findings.push(room(node, folder));
        findings.extend(flush(scope, host, node));
    }
    findings
}

/// The folders of memory files, each with the bytes that are still to be allocated there.
fn memory_files(scope: &Scope<'_>, host: &Host) -> Vec<Finding> {
    let mut folders: BTreeMap<&Path, (u64, &Path)> = BTreeMap::new();
    for (path, len) in scope.nodes.iter().flat_map(|node| &node.memory) {
        let Some(parent) = path.parent() else { continue };
        let there = host.file_bytes.get(path).copied().unwrap_or(0);
        let (missing, _) = folders.entry(parent).or_insert((0, path));
        *missing += len.saturating_sub(there);
    }
    let mut findings = Vec::new();
    for (folder, (missing, path)) in folders {
        let about = folder.display().to_string();
        let Some(facts) = host.folders.get(folder).filter(|facts| facts.existing == folder) else {
            let found = Finding::new("shm.kind", about.clone(), "there is no such folder");
            let why = "the tail and the counters are mapped from there: the node does not start";
            findings.push(
                found
                    .fail_if(true, "a tmpfs or hugetlbfs", why)
                    .mend(Remedy::by_hand(format!("mount -t tmpfs tmpfs {about}"))),
            );
            continue;
        };
        let kind = parse::mount_of(host.text("/proc/mounts").unwrap_or_default(), &about)
            .map_or("unknown", |mount| mount.0);
        let is_memory = facts.fs.is_memory;
        let why = "each store of the hot thread goes into a page of a disk's file, and waits whenever the kernel writes that page";
        findings.push(
            Finding::new("shm.kind", about.clone(), kind)
                .fail_if(!is_memory, "a tmpfs or hugetlbfs", why)
                .mend(Remedy::by_hand(format!(
                    "a tail below /dev/shm, as by default; now {}",
                    path.display()
                ))),
        );
        let now = format!("{} free", bytes(facts.fs.free_bytes));
        let found = Finding::new("shm.room", about.clone(), now);
        let is_short = facts.fs.free_bytes < missing;
        let grown = (facts.fs.total_bytes + missing).div_ceil(1 << 20);
        let mend = if facts.fs.is_huge {
            Remedy::by_hand(format!(
                "sysctl -w vm.nr_hugepages=+{}",
                missing.div_ceil(facts.fs.block_len.max(1))
            ))
        } else {
            Remedy::by_hand(format!("mount -o remount,size={grown}M {about}"))
        };
        let why = "the node does not start: it takes all of its memory then";
        findings.push(found.fail_if(is_short, format!("{} for its nodes", bytes(missing)), why).mend(mend));
    }
    findings
}

fn kind(host: &Host, node: &LocalNode, folder: &FolderFacts) -> Finding {
    let path = folder.existing.display().to_string();
    let mount = parse::mount_of(host.text("/proc/mounts").unwrap_or_default(), &path);
    let (kind, options) = mount.unwrap_or(("unknown", ""));
    let is_network = ["nfs", "nfs4", "cifs", "fuse.sshfs", "9p", "overlay"].contains(&kind);
    let is_read_only = options.split(',').any(|option| option == "ro");
    let missing =
        if folder.existing == node.journal { String::new() } else { format!(" (not there yet: {path})") };
    let found = Finding::new(
        "journal.kind",
        node.name.clone(),
        format!("{} on {kind}{missing}", node.journal.display()),
    );
    let mend = Remedy::by_hand(format!("{}.journal on a disk of this host: ext4 or xfs", node.table));
    if is_read_only {
        return found
            .fail_if(true, "a file system that can be written", "the node does not start")
            .mend(mend);
    }
    let why = if folder.fs.is_memory {
        "memory is lost at a reboot: the journal with all that was acknowledged"
    } else {
        "a flush crosses a network or another layer, and may report what is not on a device"
    };
    found
        .fail_if(folder.fs.is_memory, "a disk of this host", why)
        .warn_if(is_network, "a disk of this host", why)
        .mend(mend)
}

fn room(node: &LocalNode, folder: &FolderFacts) -> Finding {
    let (free, total) = (folder.fs.free_bytes, folder.fs.total_bytes);
    let now = match folder.fs.total_inodes {
        0 => format!("{} free of {}", bytes(free), bytes(total)),
        _ => format!("{} free of {}, {} inodes free", bytes(free), bytes(total), folder.fs.free_inodes),
    };
    let found = Finding::new("journal.room", node.name.clone(), now);
    if folder.fs.total_inodes > 0 && folder.fs.free_inodes < INODES_MIN {
        let why = "the disk makes no more files, however many bytes are free: the next segment is one";
        let path = folder.existing.display();
        return found.fail_if(true, format!("at least {INODES_MIN} inodes"), why).mend(Remedy::by_hand(format!(
            "remove small files from this disk (`du --inodes -x {path}` counts them), or `mkfs.ext4 -i` with fewer bytes \
             for each inode"
        )));
    }
    let least = SEGMENTS_MIN * node.segment_bytes;
    let mend = |key: &str| Remedy::by_hand(format!("a larger disk, or {key} below its size"));
    let key = if node.role == "archiver" {
        format!("{}.retention_size", node.table)
    } else {
        "journal.retention_size".to_owned()
    };
    if free < least {
        let why = "the journal is nearly full: once it is, this node acknowledges nothing";
        return found
            .fail_if(true, format!("at least {SEGMENTS_MIN} segments, {}", bytes(least)), why)
            .mend(mend(&key));
    }
    let (is_short, wanted) = match node.retention_bytes {
        Some(most) => {
            (total < most + least, format!("{key} and {SEGMENTS_MIN} segments: {}", bytes(most + least)))
        }
        None => (false, format!("at least {SEGMENTS_MIN} segments; without {key} the disk fills in the end")),
    };
    let why = "the disk is smaller than what is to be retained: it fills before the oldest segments go";
    found.warn_if(is_short, wanted, why).mend(mend(&key))
}

fn flush(scope: &Scope<'_>, host: &Host, node: &LocalNode) -> Vec<Finding> {
    let Some(times) = host.measured.flushes.get(&node.journal) else { return Vec::new() };
    let direct = Finding::new(
        "journal.direct",
        node.name.clone(),
        if times.is_direct { "O_DIRECT works" } else { "no O_DIRECT here" },
    );
    let why = "segments go through the page cache, which the kernel writes in bursts that delay a flush";
    let disk = Remedy::by_hand(format!("{}.journal on ext4 or xfs", node.table));
    let is_power = scope.config.stream.durability == Durability::Power;
    let (most, why_slow) = if is_power {
        (FLUSH_POWER_NS, "with durability power each acknowledgement waits for a flush: no commit is faster")
    } else {
        (
            FLUSH_PROCESS_NS,
            "segments fall behind the stream, until the tail is full and nothing more is acknowledged",
        )
    };
    let now = format!("p50 {}, longest {}", time(times.p50_ns), time(times.longest_ns));
    let measured = format!("{} flushes of one block, in a file without a name", times.count);
    let speed = Finding::new("journal.flush", node.name.clone(), now)
        .warn_if(times.p50_ns > most, format!("p50 below {}", time(most)), why_slow)
        .measured(Some(measured))
        .mend(Remedy::by_hand(
            "an NVMe disk with power-loss protection, of its own; `iostat -x 1` shows who else writes",
        ));
    vec![direct.warn_if(!times.is_direct, "O_DIRECT", why).mend(disk), speed]
}
