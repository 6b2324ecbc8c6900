//! Limits of this process that can be raised without cost to others.

use lockstep_io::{Effective, capabilities};
use std::thread::JoinHandle;

/// The `oom_score_adj` of a watcher: it is never chosen.
pub(crate) const WATCHER_OOM_SCORE: &str = "-1000";

/// Raises the number of files that this process may open to its hard limit. A journal opens some dozens, a
/// gateway one for each client; a shell's default of 1024 is for programs that use `select`.
pub fn descriptors() -> Effective {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a struct of ours, which lives during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        let error = std::io::Error::last_os_error();
        return Effective::short("open files", "as many as may be", "unknown", error.to_string());
    }
    let (soft, hard) = (limit.rlim_cur, limit.rlim_max);
    if soft >= hard {
        return Effective::granted("open files", hard);
    }
    limit.rlim_cur = hard;
    // SAFETY: as above; the call reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        let error = std::io::Error::last_os_error();
        return Effective::short("open files", hard, soft, format!("{error}; it continues with those"));
    }
    Effective::granted("open files", hard)
}

/// Lets the allocator return every large allocation to the kernel as soon as it is free: a password takes 19
/// MiB while it is checked. By itself it would retain up to three times that for each thread, once one was
/// freed (`M_MMAP_THRESHOLD` of mallopt(3) is then no longer fixed).
pub fn return_large_allocations() {
    // SAFETY: a call without pointers, which sets a value of the allocator's.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

/// Raises the limits that stand for capabilities, which a daemon gives up once it is set up: memory that it
/// maps later is locked as well, and a watcher that is started again takes its scheduling class. Without the
/// right to it a limit stays as it is.
pub fn in_place_of_capabilities() {
    let infinite = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    for limit in [libc::RLIMIT_MEMLOCK, libc::RLIMIT_RTPRIO, libc::RLIMIT_NICE] {
        // SAFETY: the call reads a struct that lives across it.
        unsafe { libc::setrlimit(limit, &raw const infinite) };
    }
}

/// Lets a watcher that is started later spare itself from the kernel's search for memory, although it has no
/// capability then: the least `oom_score_adj` that a process may set without `CAP_SYS_RESOURCE` is the last
/// one that was set with it, and a child inherits that bound (proc_pid_oom_score_adj(5)). The value of this
/// process stays as it is.
pub fn in_place_of_a_watchers_capability() {
    let path = "/proc/self/oom_score_adj";
    let Ok(own) = std::fs::read_to_string(path) else { return };
    if std::fs::write(path, WATCHER_OOM_SCORE).is_err() {
        return;
    }
    // A thread without the capability restores the value, and leaves the bound.
    let value = own.trim().to_owned();
    let restore = move || std::fs::write(path, value).is_ok();
    let thread = capabilities::spawn(std::thread::Builder::new(), restore).map(JoinHandle::join);
    if !matches!(thread, Ok(Ok(true))) {
        let _ = std::fs::write(path, own.trim()); // it was readable and writable a moment ago
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one_once() {
        let (first, again) = (descriptors(), descriptors());
        assert_eq!((first.note.clone(), again.note.clone()), (None, None), "{first} {again}");
        assert_eq!(first.to_string(), again.to_string());
    }
}
