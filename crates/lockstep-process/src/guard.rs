//! # guard: proof that a hot thread makes no other system call
//!
//! A seccomp filter on one thread lets the named calls through and traps all others. The trap does not
//! kill: it stores which call it was and holds the thread there, so that another thread, which has no
//! filter, can name it. The thread cannot end any more (ending takes system calls): when it is done it sets
//! a flag and idles, and the process exits around it. So a guarded run needs a process of its own.
//!
//! The filter cannot see small allocations, which stay in user space (a counting allocator sees them), and
//! the clocks of the vdso, which *become* calls under a poor clocksource ([`unsupported`] reports that).

use crate::filter;
use lockstep_io::IoError;
use seccompiler::SeccompAction;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The value of `TRAPPED` before a trap.
const NONE: i64 = -1;
/// `si_code` of a signal that a filter raised.
const SYS_SECCOMP: i32 = 1;
/// The offset of `si_syscall` in a `siginfo_t` on 64-bit Linux.
const SI_SYSCALL_AT: usize = 24;
/// The first call that was trapped, by any thread of the process.
static TRAPPED: AtomicI64 = AtomicI64::new(NONE);
/// Whether every guarded thread, and so a trapped one, may yield its core.
static MAY_YIELD: AtomicBool = AtomicBool::new(true);

/// The calls that a duty cycle over `udp` needs while it spins; `yield` needs [`libc::SYS_sched_yield`] as
/// well.
pub const UDP_CALLS: [i64; 4] = [libc::SYS_recvmmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_sendto];

/// Why a guard proves nothing here, or is not available; `None` if it works.
pub fn unsupported() -> Option<String> {
    if filter::architecture().is_err() {
        return Some(format!("no system call numbers are known for {}", std::env::consts::ARCH));
    }
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    match std::fs::read_to_string(path).as_deref().map(str::trim) {
        Ok("tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page") => None,
        Ok(other) => Some(format!("reading the clock is a system call under the clocksource {other}")),
        Err(error) => Some(format!("the clocksource is unknown: {path}: {error}")),
    }
}

/// Lets this thread make the system calls `allow` and no other, for ever. Signals to it wait for ever
/// too, since returning from their handlers is a system call.
///
/// # Errors
/// Another architecture, or a kernel without seccomp.
pub fn engage(allow: &[i64]) -> Result<(), IoError> {
    let failed = |error| IoError::new("guard this thread's system calls", error);
    let calls = allow.iter().map(|number| (*number, vec![])).collect();
    let program = filter::program(calls, SeccompAction::Allow, SeccompAction::Trap).map_err(failed)?;
    MAY_YIELD.fetch_and(allow.contains(&libc::SYS_sched_yield), Ordering::Relaxed);
    catch_traps()?;
    // Once the filter stands nothing is freed, which could be a call.
    filter::apply(&ManuallyDrop::new(program)).map_err(failed)
}

/// The number of the first system call that a guard trapped.
pub fn trapped() -> Option<i64> {
    let number = TRAPPED.load(Ordering::Acquire);
    (number != NONE).then_some(number)
}

/// Installs the handler of traps, and blocks every other signal on this thread.
fn catch_traps() -> Result<(), IoError> {
    // SAFETY: plain integers, pointers and sets of bits; all zero is a value of both.
    let (mut action, mut mask): (libc::sigaction, libc::sigset_t) = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_trap as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: all pointers lead to locals that live across the calls. The handler does only what a
    // handler may: atomics and one harmless system call.
    let failed = unsafe {
        libc::sigfillset(&raw mut mask);
        libc::sigdelset(&raw mut mask, libc::SIGSYS);
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) != 0
            || libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut()) != 0
    };
    if failed { Err(IoError::last("catch the trap of a guarded thread")) } else { Ok(()) }
}

/// Notes which call was trapped and holds the thread.
extern "C" fn on_trap(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel hands over a whole `siginfo_t`. A SIGSYS that a filter raised has the number
    // of the call, an `int`, at this place.
    let (code, number) =
        unsafe { ((*info).si_code, info.cast::<u8>().add(SI_SYSCALL_AT).cast::<i32>().read()) };
    if code != SYS_SECCOMP {
        return; // a signal of kill(2)
    }
    // The first one is the cause; whatever follows may be its consequence.
    let _ = TRAPPED.compare_exchange(NONE, i64::from(number), Ordering::Release, Ordering::Relaxed);
    loop {
        if MAY_YIELD.load(Ordering::Relaxed) {
            // SAFETY: a call without pointers, which the filter lets through.
            unsafe { libc::sched_yield() };
        } else {
            std::hint::spin_loop();
        }
    }
}

/// The name of a system call, of those that a duty cycle could make by mistake.
pub fn call_name(number: i64) -> Option<&'static str> {
    macro_rules! names {
        ($($constant:ident $name:literal)*) => { &[$((libc::$constant, $name)),*] };
    }
    const NAMES: &[(i64, &str)] = names! {
        SYS_read "read" SYS_write "write" SYS_readv "readv" SYS_writev "writev"
        SYS_pread64 "pread64" SYS_pwrite64 "pwrite64" SYS_openat "openat" SYS_close "close"
        SYS_fsync "fsync" SYS_fdatasync "fdatasync" SYS_msync "msync" SYS_fallocate "fallocate"
        SYS_ftruncate "ftruncate" SYS_lseek "lseek" SYS_ioctl "ioctl" SYS_fcntl "fcntl"
        SYS_mmap "mmap" SYS_munmap "munmap" SYS_mremap "mremap" SYS_mprotect "mprotect"
        SYS_madvise "madvise" SYS_brk "brk" SYS_futex "futex" SYS_getrandom "getrandom"
        SYS_clock_gettime "clock_gettime" SYS_gettimeofday "gettimeofday" SYS_nanosleep "nanosleep"
        SYS_clock_nanosleep "clock_nanosleep" SYS_sched_yield "sched_yield"
        SYS_sendto "sendto" SYS_recvfrom "recvfrom" SYS_sendmsg "sendmsg" SYS_recvmsg "recvmsg"
        SYS_sendmmsg "sendmmsg" SYS_recvmmsg "recvmmsg" SYS_setsockopt "setsockopt"
        SYS_getsockopt "getsockopt" SYS_epoll_ctl "epoll_ctl" SYS_epoll_pwait "epoll_pwait"
        SYS_ppoll "ppoll" SYS_timerfd_settime "timerfd_settime" SYS_getpid "getpid"
        SYS_gettid "gettid" SYS_getppid "getppid" SYS_tgkill "tgkill" SYS_kill "kill"
        SYS_rt_sigaction "rt_sigaction" SYS_rt_sigprocmask "rt_sigprocmask"
        SYS_rt_sigreturn "rt_sigreturn" SYS_sigaltstack "sigaltstack" SYS_clone "clone"
        SYS_exit "exit" SYS_exit_group "exit_group" SYS_restart_syscall "restart_syscall"
    };
    #[cfg(target_arch = "x86_64")]
    const MORE: &[(i64, &str)] = names! { SYS_epoll_wait "epoll_wait" SYS_poll "poll" SYS_open "open" };
    #[cfg(not(target_arch = "x86_64"))]
    const MORE: &[(i64, &str)] = &[];
    NAMES.iter().chain(MORE).find(|(have, _)| *have == number).map(|(_, name)| *name)
}
