//! System calls that no daemon needs once it is set up, and a filter that answers them with `EPERM`.
//!
//! A list of what is denied, and not of what is allowed: libc and the kernel add calls in newer versions, and
//! a daemon must not fail with them. Everything here leads out of the process or changes the machine; none of
//! it is a way to read, write, map, wait or send.

use crate::filter::{self, Calls};
use lockstep_io::capabilities;
use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
use std::io::{Error, Result};
use std::thread::Builder;

/// The start of programs, which the thread that starts watchers needs alone.
const PROGRAMS: [libc::c_long; 2] = [libc::SYS_execve, libc::SYS_execveat];

/// Denied to all.
const DENIED: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Another user, another namespace, another root.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_personality,
    // File systems, and files by handle.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    // The kernel and the machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    // The kernel's keys.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Only x86 has them.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Calls of the x32 ABI have this bit in their number, and what they do else is what x86-64's do.
#[cfg(target_arch = "x86_64")]
const X32: libc::c_long = 0x4000_0000;

/// The numbers of x32's own forms of what is denied (`arch/x86/entry/syscalls/syscall_64.tbl`). Kernels
/// before 5.4 know them without that bit as well.
#[cfg(target_arch = "x86_64")]
const X32_FORMS: [(libc::c_long, libc::c_long); 6] = [
    (libc::SYS_execve, 520),
    (libc::SYS_ptrace, 521),
    (libc::SYS_kexec_load, 528),
    (libc::SYS_process_vm_readv, 539),
    (libc::SYS_process_vm_writev, 540),
    (libc::SYS_execveat, 545),
];

/// Every number by which this process can make a call.
fn numbers(call: libc::c_long) -> Vec<libc::c_long> {
    #[cfg(target_arch = "x86_64")]
    {
        let own = X32_FORMS.iter().filter(|(of, _)| *of == call).map(|(_, form)| *form);
        [call].into_iter().chain(own).flat_map(|number| [number, number | X32]).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    vec![call]
}

/// Denies these calls to this thread, for ever, and to those that it starts; and the start of programs,
/// unless `may_start_programs`.
///
/// A denied call and a new user namespace are answered with `EPERM`. `clone3`, whose flags a filter cannot
/// see, is answered as by a kernel that does not have it: libc uses `clone`.
pub(super) fn filter(may_start_programs: bool) -> Result<()> {
    let denied = PROGRAMS.iter().filter(|_| !may_start_programs).chain(DENIED);
    let always = |call: &libc::c_long| numbers(*call).into_iter().map(|number| (number, vec![]));
    let mut calls: Calls = denied.flat_map(always).collect();
    let new_user = libc::CLONE_NEWUSER as u64;
    let flag = SeccompCmpOp::MaskedEq(new_user);
    let of_clone = SeccompCondition::new(0, SeccompCmpArgLen::Dword, flag, new_user)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(Error::other)?;
    calls.extend(numbers(libc::SYS_clone).into_iter().map(|number| (number, vec![of_clone.clone()])));
    let answers = [(calls, libc::EPERM), (always(&libc::SYS_clone3).collect(), libc::ENOSYS)];
    for (calls, error) in answers {
        let named = SeccompAction::Errno(error as u32);
        filter::apply(&filter::program(calls, named, SeccompAction::Allow)?)?;
    }
    Ok(())
}

/// Whether a filter can be had: a thread of its own has taken one.
pub(super) fn is_supported() -> Result<()> {
    let taken = capabilities::spawn(Builder::new(), || filter(false))?.join();
    taken.unwrap_or_else(|_| Err(Error::other("the thread that tried it has failed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::thread;

    /// The error of a call without arguments that matter.
    fn error_of(number: libc::c_long) -> Option<i32> {
        // SAFETY: arguments of zero are no pointers that the kernel follows to memory of ours.
        let failed = unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) } < 0;
        failed.then(|| Error::last_os_error().raw_os_error()).flatten()
    }

    #[test]
    fn a_denied_call_is_answered_with_eperm_and_threads_memory_and_files_go_on() {
        let confined = thread::spawn(|| {
            let before = [libc::SYS_unshare, libc::SYS_setns, libc::SYS_personality].map(error_of);
            filter(false).expect("this kernel has seccomp");
            let after: Vec<_> = DENIED.iter().map(|number| error_of(*number)).collect();
            let program = Command::new("true").status().map_err(|error| error.raw_os_error());
            // Each needs clone, mmap and openat.
            let thread = thread::spawn(|| error_of(libc::SYS_ptrace)).join().expect("a thread");
            let file = std::fs::read("/proc/self/status").expect("a file").len();
            // SAFETY: the flags make a process of another user namespace, if anything; it is not made.
            let space =
                unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_NEWUSER | libc::SIGCHLD, 0, 0, 0, 0) };
            let clone3 = error_of(libc::SYS_clone3);
            (before, after, program.map(|_| ()), thread, file, space, clone3)
        });
        let (before, after, program, thread, file, space, clone3) = confined.join().expect("a thread");
        assert!(!before.contains(&Some(libc::EPERM)), "so that the others can fail: {before:?}");
        assert!(after.iter().all(|error| *error == Some(libc::EPERM)), "{after:?}");
        assert_eq!(program, Err(Some(libc::EPERM)));
        assert_eq!(thread, Some(libc::EPERM), "a thread that it starts is confined as well");
        assert!(file > 0);
        assert_eq!((space, clone3), (-1, Some(libc::ENOSYS)));
    }

    #[test]
    fn the_thread_that_starts_programs_may_and_hands_its_filter_on() {
        let confined = thread::spawn(|| {
            filter(true).expect("this kernel has seccomp");
            Command::new("grep").args(["-E", "^(Seccomp|NoNewPrivs):", "/proc/self/status"]).output()
        });
        let output = confined.join().expect("a thread").expect("a program");
        let rows: Vec<_> =
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect();
        assert_eq!(rows, ["NoNewPrivs:", "1", "Seccomp:", "2"]);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn calls_of_the_other_abi_are_denied_as_its_own_are() {
        let confined = thread::spawn(|| {
            filter(false).expect("this kernel has seccomp");
            let denied = PROGRAMS.iter().chain(DENIED).map(|call| call | X32);
            let forms = X32_FORMS.iter().flat_map(|(_, form)| [*form, form | X32]);
            let errors: Vec<_> = denied.chain(forms).map(error_of).collect();
            // SAFETY: as above.
            let space = unsafe {
                libc::syscall(libc::SYS_clone | X32, libc::CLONE_NEWUSER | libc::SIGCHLD, 0, 0, 0, 0)
            };
            let space = (space, Error::last_os_error().raw_os_error());
            (errors, space, error_of(libc::SYS_clone3 | X32))
        });
        let (errors, space, clone3) = confined.join().expect("a thread");
        assert!(errors.iter().all(|error| *error == Some(libc::EPERM)), "{errors:?}");
        assert_eq!((space, clone3), ((-1, Some(libc::EPERM)), Some(libc::ENOSYS)));
    }
}
