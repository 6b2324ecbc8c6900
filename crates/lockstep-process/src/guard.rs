//! # guard: proof that a hot thread makes no other system call
//!
//! A seccomp filter on one thread lets the named calls through and traps all others. The trap does not
//! kill: it stores which call it was and holds the thread there, so that another thread, which has no
//! filter, can name it. The thread cannot end any more (ending takes system calls): when it is done it sets
//! a flag and idles, and the process exits around it. So a guarded run needs a process of its own.
//!
//! The filter cannot see small allocations, which stay in user space (a counting allocator sees them), and
//! the clocks of the vdso, which *become* calls under a poor clocksource ([`unsupported`] reports that).

use lockstep_io::IoError;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Most calls that a filter lets through; a hot thread needs two or three.
const ALLOW_MAX: usize = 16;
/// The value of `TRAPPED` before a trap.
const NONE: i64 = -1;
/// `si_code` of a signal that a filter raised.
const SYS_SECCOMP: i32 = 1;
/// The offset of `si_syscall` in a `siginfo_t` on 64-bit Linux.
const SI_SYSCALL_AT: usize = 24;
/// The offset of the call's number in a `seccomp_data`; the architecture follows it.
const NR_AT: u32 = 0;
/// See [`NR_AT`].
const ARCH_AT: u32 = 4;

/// `AUDIT_ARCH_X86_64` of `linux/audit.h`.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
pub(crate) const ARCHITECTURE: Option<u32> = Some(0xC000_003E);
/// `AUDIT_ARCH_AARCH64` of `linux/audit.h`.
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: Option<u32> = Some(0xC000_00B7);
#[cfg(not(any(all(target_arch = "x86_64", target_pointer_width = "64"), target_arch = "aarch64")))]
pub(crate) const ARCHITECTURE: Option<u32> = None;

/// The first call that was trapped, by any thread of the process.
static TRAPPED: AtomicI64 = AtomicI64::new(NONE);
/// Whether every guarded thread, and so a trapped one, may yield its core.
static MAY_YIELD: AtomicBool = AtomicBool::new(true);

/// The calls that a duty cycle over `udp` needs while it spins; `yield` needs [`libc::SYS_sched_yield`] as
/// well.
pub const UDP_CALLS: [i64; 4] = [libc::SYS_recvmmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_sendto];

/// Why a guard proves nothing here, or is not available; `None` if it works.
pub fn unsupported() -> Option<String> {
    if ARCHITECTURE.is_none() {
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
/// Another architecture, more than 16 calls, or a kernel without seccomp.
pub fn engage(allow: &[i64]) -> Result<(), IoError> {
    let doing = "guard this thread's system calls";
    let Some(architecture) = ARCHITECTURE else {
        return Err(IoError::because(doing, ErrorKind::Unsupported, "not supported on this architecture"));
    };
    if allow.len() > ALLOW_MAX {
        let why = format!("{} calls are more than the {ALLOW_MAX} of a filter", allow.len());
        return Err(IoError::because(doing, ErrorKind::InvalidInput, why));
    }
    MAY_YIELD.fetch_and(allow.contains(&libc::SYS_sched_yield), Ordering::Relaxed);
    catch_traps()?;
    // On the stack, so that nothing is freed once the filter stands.
    let mut filter = [instruction(0, 0, 0, 0); ALLOW_MAX + 5];
    let length = write_filter(&mut filter, architecture, allow);
    let program = libc::sock_fprog { len: length as u16, filter: filter.as_mut_ptr() };
    // SAFETY: a call without pointers; it forbids this thread to gain rights, as seccomp demands.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(IoError::last(doing));
    }
    // SAFETY: `program` and the filter that it points to live across the call, which copies them.
    let failed =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) }
            != 0;
    if failed { Err(IoError::last(doing)) } else { Ok(()) }
}

/// The number of the first system call that a guard trapped.
pub fn trapped() -> Option<i64> {
    let number = TRAPPED.load(Ordering::Acquire);
    (number != NONE).then_some(number)
}

/// The filter's program: another architecture or an unknown call is trapped. Returns its length.
fn write_filter(filter: &mut [libc::sock_filter], architecture: u32, allow: &[i64]) -> usize {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let calls = allow.len() as u8;
    filter[0] = instruction(LOAD, 0, 0, ARCH_AT);
    filter[1] = instruction(EQUAL, 0, calls + 1, architecture);
    filter[2] = instruction(LOAD, 0, 0, NR_AT);
    for (index, number) in allow.iter().enumerate() {
        // A match jumps over the rest and the trap.
        filter[3 + index] = instruction(EQUAL, calls - index as u8, 0, *number as u32);
    }
    let end = 3 + allow.len();
    filter[end] = instruction(RETURN, 0, 0, libc::SECCOMP_RET_TRAP);
    filter[end + 1] = instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);
    end + 2
}

/// One instruction: code, how far to jump if true and if false, operand.
pub(crate) fn instruction(code: u32, jump_true: u8, jump_false: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k: operand }
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
        return; // somebody's kill(2)
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
