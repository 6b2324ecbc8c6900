//! System calls that no daemon needs once it is set up, and a filter that answers them with `EPERM`.
//!
//! A list of what is denied, and not of what is allowed: libc and the kernel add calls in newer versions, and
//! a daemon must not fail with them. Everything here leads out of the process or changes the machine; none of
//! it is a way to read, write, map, wait or send.

use crate::guard::{ARCHITECTURE, instruction};
use std::io::{Error, ErrorKind, Result};

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

/// Offsets in a `seccomp_data`: the call's number, the architecture, and the first argument's low half.
const NR_AT: u32 = 0;
const ARCH_AT: u32 = 4;
const FIRST_ARGUMENT_AT: u32 = 16;
/// Calls of the x32 ABI have this bit; no program of ours makes one.
const X32: u32 = 0x4000_0000;

/// Whether a filter can be had.
pub(super) fn is_supported() -> Result<()> {
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the call reads a number of ours, which lives across it.
    let failed =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) }
            != 0;
    match (failed, ARCHITECTURE) {
        (true, _) => Err(Error::last_os_error()),
        (false, None) => {
            Err(Error::new(ErrorKind::Unsupported, "its calls are not known on this architecture"))
        }
        (false, Some(_)) => Ok(()),
    }
}

/// Denies these calls to this thread, for ever, and to those that it starts; and the start of programs,
/// unless `may_start_programs`.
pub(super) fn filter(may_start_programs: bool) -> Result<()> {
    is_supported()?;
    let architecture = ARCHITECTURE.expect("it is supported");
    let denied: Vec<_> = PROGRAMS.iter().filter(|_| !may_start_programs).chain(DENIED).copied().collect();
    let mut filter = program(architecture, &denied);
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: a call without pointers; it forbids this thread to gain rights, as seccomp demands.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: `program` and the filter that it points to live across the call, which copies them.
    let failed =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) }
            != 0;
    if failed { Err(Error::last_os_error()) } else { Ok(()) }
}

/// The filter: `denied`, another architecture, and a new user namespace are answered with `EPERM`. `clone3`,
/// whose flags a filter cannot see, is answered as by a kernel that does not have it: libc uses `clone`.
fn program(architecture: u32, denied: &[libc::c_long]) -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let answer = |error: i32| libc::SECCOMP_RET_ERRNO | error as u32;
    // The places behind the comparisons with `denied`.
    let clone3 = 4 + denied.len();
    let (allow, eperm, enosys) = (clone3 + 4, clone3 + 5, clone3 + 6);
    // How far a jump at `from` goes to `to`.
    let jump = |from: usize, to: usize| u8::try_from(to - from - 1).expect("the list is short");
    let mut filter = vec![
        instruction(LOAD, 0, 0, ARCH_AT),
        instruction(EQUAL, 0, jump(1, eperm), architecture),
        instruction(LOAD, 0, 0, NR_AT),
        instruction(AT_LEAST, jump(3, eperm), 0, X32),
    ];
    for (index, number) in denied.iter().enumerate() {
        filter.push(instruction(EQUAL, jump(4 + index, eperm), 0, *number as u32));
    }
    filter.extend([
        instruction(EQUAL, jump(clone3, enosys), 0, libc::SYS_clone3 as u32),
        instruction(EQUAL, 0, jump(clone3 + 1, allow), libc::SYS_clone as u32),
        instruction(LOAD, 0, 0, FIRST_ARGUMENT_AT),
        instruction(ANY_BIT, jump(clone3 + 3, eperm), 0, libc::CLONE_NEWUSER as u32),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        instruction(RETURN, 0, 0, answer(libc::EPERM)),
        instruction(RETURN, 0, 0, answer(libc::ENOSYS)),
    ]);
    filter
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

    /// On every architecture: the jumps of the program lead where they are meant to.
    #[test]
    fn another_architecture_and_the_other_abi_are_answered_with_eperm() {
        for (architecture, calls) in [(0xC000_003E, DENIED), (0xC000_00B7, &[] as &[libc::c_long])] {
            let program = program(architecture, calls);
            let eperm = program.len() - 2;
            assert_eq!(program[eperm].k, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
            assert_eq!(program[program.len() - 3].k, libc::SECCOMP_RET_ALLOW);
            assert_eq!(2 + usize::from(program[1].jf), eperm);
            for (at, one) in program.iter().enumerate().take(4 + calls.len()).skip(3) {
                assert_eq!(at + 1 + usize::from(one.jt), eperm, "instruction {at}");
            }
        }
    }
}
