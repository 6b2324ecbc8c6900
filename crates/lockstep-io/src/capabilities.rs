//! # capabilities: rights that a process gives up once it is set up
//!
//! Linux capabilities belong to threads (capabilities(7)). A thread that [`spawn`] starts has none from its
//! first line on. The thread that sets the process up has them until [`drop_capabilities`]: it needs them to
//! attach XDP programs, to lock memory, and to take its scheduling class. A daemon needs none later, as root
//! or as another user. [`at_thread_start`] adds what else a daemon's threads give up.

use crate::Effective;
use std::io;
use std::sync::OnceLock;
use std::thread::{Builder, JoinHandle};

/// `_LINUX_CAPABILITY_VERSION_3` of `linux/capability.h`.
const VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    /// The thread; 0 means the calling one.
    thread: i32,
}

/// `struct __user_cap_data_struct`; the call takes two: bits 0 to 31, and the rest.
#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Drops all capabilities of this thread for good: neither it nor a program that it starts gets them back.
pub fn drop_capabilities() -> Effective {
    match give_up() {
        Ok(()) => Effective::granted("capabilities", "none"),
        Err(error) => Effective::short("capabilities", "none", "as started", error.to_string()),
    }
}

static AT_THREAD_START: OnceLock<fn()> = OnceLock::new();

/// Sets the function that each thread of [`spawn`] calls first. The first choice of a process stays.
pub fn at_thread_start(first: fn()) {
    let _first = AT_THREAD_START.set(first);
}

/// Starts a thread without capabilities.
///
/// # Errors
/// The kernel has no room for a thread.
pub fn spawn<T: Send + 'static>(
    builder: Builder,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    spawn_with(builder, AT_THREAD_START.get().copied().unwrap_or(|| {}), work)
}

/// As [`spawn`], with another first function than that of [`at_thread_start`].
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with<T: Send + 'static>(
    builder: Builder,
    first: fn(),
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    builder.spawn(move || {
        // If the kernel refuses this, it refuses the main thread as well, which reports it.
        let _ = give_up();
        first();
        work()
    })
}

fn give_up() -> io::Result<()> {
    let header = CapabilityHeader { version: VERSION, thread: 0 };
    let none = [CapabilitySets { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: calls without pointers.
    let prepared = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0
    };
    // SAFETY: both structs have the kernel's shape of this version, and live across the call, which only
    // reads them.
    let dropped =
        prepared && unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } == 0;
    if dropped { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(row: &str) -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        status.lines().find_map(|line| line.strip_prefix(row)).unwrap().trim().to_owned()
    }

    #[test]
    fn a_thread_has_no_capability_and_its_children_get_none() {
        let read = || {
            let own = ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"].map(status);
            let child = std::process::Command::new("grep").args(["CapEff", "/proc/self/status"]).output();
            (own, status("NoNewPrivs:"), String::from_utf8(child.unwrap().stdout).unwrap())
        };
        let (own, sealed, child) = spawn(Builder::new(), read).unwrap().join().unwrap();
        assert_eq!(own, [const { "0000000000000000" }; 4]);
        assert_eq!(sealed, "1");
        assert!(child.trim().ends_with("\t0000000000000000"), "{child}");
    }

    #[test]
    fn a_process_says_that_it_has_none() {
        let shown = spawn(Builder::new(), || drop_capabilities().to_string()).unwrap().join().unwrap();
        assert!(shown.contains("capabilities") && shown.contains("none"), "{shown}");
    }
}
