//! # confinement: what a daemon may still do once it is set up
//!
//! An attacker who takes over a daemon, by what it reads from the network, is to gain little. Beside its
//! capabilities ([`lockstep_io::capabilities`]) a daemon gives up
//!
//! * system calls that no daemon needs (`calls`): a seccomp filter answers them with `EPERM`;
//! * files that it does not use (`files`): a Landlock ruleset, where the kernel has it.
//!
//! Both belong to threads, and a thread hands them on to those that it starts. Side threads are confined from
//! their first line on ([`begin`]). The thread that sets the daemon up is confined once that is done
//! ([`complete`]).
//! Where the kernel lacks one of them, the log says so, and the daemon runs without it.
//!
//! The hot thread of a replica or an archiver has no filter: a filter costs each of its system calls some
//! 50 ns (`docs/SECURITY.md`).

mod calls;
mod files;

pub use files::Reach;

use files::Ruleset;
use lockstep_io::{Effective, capabilities, output};
use std::sync::OnceLock;

/// The rules of this process's side threads.
static SIDE: OnceLock<Option<Ruleset>> = OnceLock::new();

/// What the thread that sets a daemon up becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Becomes {
    /// The hot thread of a node: its system calls are not filtered.
    Hot,
    /// Any other thread.
    Other,
}

/// From now on each thread that is started by [`capabilities::spawn`] is confined: it reaches these files
/// alone, and starts no program. To be called once, before the first of them.
pub fn begin(reach: &[Reach]) {
    // What cannot be had is reported by `complete`.
    let _first = SIDE.set(Ruleset::new(reach).ok());
    capabilities::at_thread_start(confine_side_thread);
    // What this process has written so far waits for these threads.
    output::start();
}

fn confine_side_thread() {
    if let Some(Some(ruleset)) = SIDE.get() {
        let _ = ruleset.restrict(); // as for the thread that reports it
    }
    let _ = calls::filter(false); // as above
}

/// Confines this thread as [`begin`] does the others, but for what it takes to start a program, in which
/// nothing is confined but system calls. Without [`begin`] nothing is.
pub fn confine_parent() {
    if SIDE.get().is_some() {
        let _ = calls::filter(true); // as above
    }
}

/// The daemon is set up: this thread gives up its capabilities, reaches these files alone from now on, and
/// makes no system call that no daemon needs. Returns what is in force.
pub fn complete(reach: &[Reach], becomes: Becomes) -> Vec<Effective> {
    let dropped = capabilities::drop_capabilities();
    let remedy = "a newer kernel, or one with it switched on, would add to its safety";
    let reached = match Ruleset::new(reach).and_then(|ruleset| ruleset.restrict()) {
        Ok(()) => Effective::granted("files", "its own alone (Landlock)"),
        Err(error) => Effective::short(
            "files",
            "its own alone",
            "all of its user's",
            format!("Landlock: {error}; {remedy}"),
        ),
    };
    let filtered = match becomes {
        Becomes::Hot => calls::is_supported().map(|()| "filtered but for the hot thread"),
        Becomes::Other => calls::filter(false).map(|()| "filtered"),
    };
    let filtered = match filtered {
        Ok(what) => Effective::granted("system calls", what),
        Err(error) => {
            Effective::short("system calls", "filtered", "all", format!("seccomp: {error}; {remedy}"))
        }
    };
    vec![dropped, reached, filtered]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter;
    use seccompiler::SeccompAction;
    use std::thread;

    /// What [`complete`] says on a thread whose kernel answers all calls of Landlock with this error, and
    /// whether the thread reaches another file then.
    fn without_landlock(error: i32) -> (Vec<String>, bool) {
        let confined = thread::spawn(move || {
            let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self];
            let calls = calls.map(|number| (number, vec![])).into();
            let absent = SeccompAction::Errno(error as u32);
            let program = filter::program(calls, absent, SeccompAction::Allow).expect("a filter");
            filter::apply(&program).expect("this kernel has seccomp");
            let shown = complete(&[], Becomes::Hot).iter().map(ToString::to_string).collect();
            (shown, std::fs::read("/etc/passwd").is_ok())
        });
        confined.join().expect("a thread")
    }

    #[test]
    fn a_kernel_without_landlock_is_reported_and_the_daemon_goes_on() {
        for (error, words) in [
            (libc::ENOSYS, "Function not implemented (os error 38)"),
            (libc::EOPNOTSUPP, "Operation not supported (os error 95)"),
        ] {
            let (shown, is_reached) = without_landlock(error);
            let [_, files, calls] = &shown[..] else { panic!("{shown:?}") };
            assert!(files.contains("all of its user's"), "{files}");
            assert!(files.contains(&format!("Landlock: {words}; a newer kernel, or one")), "{files}");
            assert!(calls.contains("filtered but for the hot thread"), "{calls}");
            assert!(is_reached);
        }
    }
}
