//! Usage: what the kernel reports of processes and folders: processor time, memory, descriptors, threads,
//! bytes on the disk.

use crate::fleet::children;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of a block of `stat`.
const BLOCK: u64 = 512;

/// Processor time of all threads of a process so far, in nanoseconds (`/proc/PID/task/*/schedstat`).
///
/// # Errors
/// The process is gone.
pub fn cpu_ns(pid: u32) -> Result<u64, String> {
    let tasks = format!("/proc/{pid}/task");
    let fails = |error: std::io::Error| format!("reading {tasks}: {error}");
    let mut all = 0;
    for task in fs::read_dir(&tasks).map_err(fails)? {
        let text = fs::read_to_string(task.map_err(fails)?.path().join("schedstat")).map_err(fails)?;
        let first = text.split(' ').next().and_then(|first| first.parse::<u64>().ok());
        all += first.ok_or_else(|| format!("{tasks}: a schedstat that says '{text}'"))?;
    }
    Ok(all)
}

/// Nanoseconds of a tick in which `/proc/PID/stat` counts: a hundredth of a second on every Linux.
const TICK_NS: u64 = 10_000_000;
/// The places of user and system time behind the name of `/proc/PID/stat`.
const TIMES: [usize; 2] = [11, 12];

/// Processor time of a process and of those that it has started, and they in turn, as long as they run; in
/// nanoseconds, by ticks. Threads that have ended count as well.
pub fn tree_cpu_ns(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let ticks = TIMES.iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum::<u64>();
    ticks * TICK_NS + children(pid).into_iter().map(tree_cpu_ns).sum::<u64>()
}

/// Memory, descriptors and threads of a process at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Resident bytes, mapped files and shared memory included.
    pub resident: u64,
    /// Resident bytes that no file backs.
    pub anonymous: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Usage {
    /// Reads that of a process; `None` where it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self {
            resident: field("VmRSS")? * 1024,
            anonymous: field("RssAnon")? * 1024,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
            threads: field("Threads")?,
        })
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            anonymous: self.anonymous + other.anonymous,
            descriptors: self.descriptors + other.descriptors,
            threads: self.threads + other.threads,
        }
    }
}

/// Bytes that the files below `folder` take; a file that goes meanwhile counts nothing.
pub fn folder_bytes(folder: &Path) -> u64 {
    let (mut bytes, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.blocks() * BLOCK,
                Err(_) => {}
            }
        }
    }
    bytes
}

/// Bytes of the files that a process has open and that have no name any more.
pub fn unnamed_bytes(pid: u32) -> u64 {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let files = descriptors.filter_map(|descriptor| fs::metadata(descriptor.path()).ok());
    files.filter(|file| file.is_file() && file.nlink() == 0).map(|file| file.blocks() * BLOCK).sum()
}
