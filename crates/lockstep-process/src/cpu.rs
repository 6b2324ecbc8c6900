//! # cpu: the place and the class in which a thread runs, and the memory it holds
//!
//! A hot thread that is moved, preempted or paged out loses more time than all its work takes. Each of
//! these settings may be refused; none of them is needed for correctness. So nothing here fails: each
//! function returns an [`Effective`], read back from the kernel, with the remedy.

use lockstep_io::{Effective, slice};
use std::fmt;
use std::str::FromStr;

/// A thread's scheduling class.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SchedulingClass {
    /// The kernel's fair share.
    #[default]
    Other,
    /// Real time, at this priority (1 to 99): runs until it yields.
    Fifo(u8),
}

impl fmt::Display for SchedulingClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("other"),
            Self::Fifo(priority) => write!(f, "fifo:{priority}"),
        }
    }
}

impl FromStr for SchedulingClass {
    type Err = String;

    /// Reads `other` or `fifo:N`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "other" {
            return Ok(Self::Other);
        }
        text.strip_prefix("fifo:")
            .and_then(|priority| priority.parse().ok())
            .filter(|priority| (1..=99).contains(priority))
            .map(Self::Fifo)
            .ok_or_else(|| format!("'{text}' is no scheduling class: write other, or fifo:1 to fifo:99"))
    }
}

/// The cores that this thread may run on, by number.
pub fn cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Binds this thread to `core` and reads back whether it is.
pub fn pin(core: usize) -> Effective {
    let before = cores();
    let known = core < libc::CPU_SETSIZE as usize;
    let pinned = known && core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let now = cores();
    if pinned && now == [core] {
        return Effective::granted("core", core);
    }
    let note = format!("this process may run on cores {before:?}; choose one of them, or widen its cpuset");
    Effective::short("core", core, format!("{now:?}"), note)
}

/// Lets this thread, and those that it starts, run on these cores and no other; it may have been bound to
/// fewer before.
pub fn allow(allowed: &[usize]) -> Effective {
    // SAFETY: plain bits; all zero is a value of it.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for core in allowed.iter().filter(|core| **core < libc::CPU_SETSIZE as usize) {
        // SAFETY: the number is within the set (filtered).
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: `set` lives across the call, and its size is stated; 0 is the calling thread.
    let failed = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } != 0;
    let error = std::io::Error::last_os_error();
    let now = cores();
    if !failed && now == allowed {
        return Effective::granted("cores", format!("{allowed:?}"));
    }
    let note =
        if failed { error.to_string() } else { "the others are not in this process's cpuset".to_owned() };
    Effective::short("cores", format!("{allowed:?}"), format!("{now:?}"), note)
}

/// Puts this thread into `class` and reads it back. A real-time class is checked for throttling.
pub fn schedule(class: SchedulingClass) -> Effective {
    let (policy, priority) = match class {
        SchedulingClass::Other => (libc::SCHED_OTHER, 0),
        SchedulingClass::Fifo(priority) => (libc::SCHED_FIFO, i32::from(priority)),
    };
    // SAFETY: plain integers (some of a kind that other libraries add); all zero is a value of it.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: `parameters` lives across the call; 0 is the calling thread.
    let failed = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } != 0;
    let error = std::io::Error::last_os_error();
    let got = scheduling_class();
    if failed || got != class.to_string() {
        let note = format!("{error}; give the process CAP_SYS_NICE or LimitRTPRIO={priority}");
        return Effective::short("scheduling", class, got, note);
    }
    let mut effective = Effective::granted("scheduling", class);
    if policy == libc::SCHED_FIFO {
        effective.note = throttling();
    }
    effective
}

/// Asks for the shortest slice for this thread in the fair class: [`lockstep_io::slice`].
pub fn short_slice() -> Effective {
    let text = |ns: u64| format!("{}us", ns / 1_000);
    let got = match slice::request_short() {
        0 => "the kernel's own".to_owned(),
        ns => text(ns),
    };
    Effective { what: "slice", requested: text(slice::SLICE_NS), got, note: None }
}

/// The niceness of a process at its end: a tenth of the share of a working one.
const ENDING_NICENESS: i32 = 10;

/// Puts every thread of `process` into the fair class, and behind all others there: for a process that dies
/// or has finished its urgent work. Its memory is torn down on a core that others wait for; threads that
/// yield are runnable all the same, and would wait for a whole tick, but a class or niceness that changes
/// makes the kernel choose anew at once.
pub fn lower_priority(process: u32) {
    // SAFETY: plain integers; all zero is a value of it.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    for thread in threads.filter_map(|thread| thread.file_name().to_str()?.parse::<u32>().ok()) {
        // SAFETY: `parameters` lives across the call. A thread that has ended meanwhile is an error, and
        // none.
        unsafe {
            libc::sched_setscheduler(thread as i32, libc::SCHED_OTHER, &raw const parameters);
            let niceness = libc::getpriority(libc::PRIO_PROCESS, thread).max(ENDING_NICENESS);
            libc::setpriority(libc::PRIO_PROCESS, thread, niceness);
        }
    }
}

/// The class that this thread is in.
fn scheduling_class() -> String {
    // SAFETY: as in `schedule`.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: `parameters` lives across the calls; 0 is the calling thread.
    let policy = unsafe {
        libc::sched_getparam(0, &raw mut parameters);
        libc::sched_getscheduler(0)
    };
    match policy & !libc::SCHED_RESET_ON_FORK {
        libc::SCHED_OTHER => SchedulingClass::Other.to_string(),
        libc::SCHED_FIFO => SchedulingClass::Fifo(parameters.sched_priority.clamp(0, 99) as u8).to_string(),
        other => format!("policy {other}"),
    }
}

/// Why a spinning real-time thread would be stopped now and then; `None` if nothing stops it.
fn throttling() -> Option<String> {
    let read = |name: &str| -> Option<i64> {
        std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok()
    };
    throttling_of(read("sched_rt_runtime_us")?, read("sched_rt_period_us")?)
}

/// The same, of the kernel's two settings in microseconds.
pub fn throttling_of(runtime_us: i64, period_us: i64) -> Option<String> {
    (runtime_us >= 0 && runtime_us < period_us).then(|| {
        format!(
            "real-time threads are stopped after {runtime_us} us of each {period_us} us, a hole of {} us for \
             one that spins; `sysctl -w kernel.sched_rt_runtime_us=-1` on a core of its own, or park",
            period_us - runtime_us
        )
    })
}

/// This thread does no latency-critical work: where cores are short it comes last. A kernel that refuses
/// leaves it as it is.
pub fn yield_to_others() {
    // SAFETY: plain integers; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
}

/// This thread computes only when no other does (`SCHED_IDLE`): where logins are checked in a flood of
/// them, the stream goes first. A kernel that refuses leaves it as it is.
pub fn idle_only() {
    // SAFETY: plain integers; all zero is a value of it.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: `parameters` lives across the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
}

/// How much of a core this thread has used so far.
pub fn thread_time() -> u64 {
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `used` lives across the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut used) } != 0;
    if failed { 0 } else { used.tv_sec.unsigned_abs() * 1_000_000_000 + used.tv_nsec.unsigned_abs() }
}

/// Prevents all memory of this process, present and future, from being paged out.
pub fn lock_memory() -> Effective {
    lock(libc::MCL_CURRENT | libc::MCL_FUTURE)
}

/// Prevents pages that this process has touched or will touch from being paged out, and makes no other page
/// resident: for a process that uses little of its program.
pub fn lock_touched_memory() -> Effective {
    lock(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT)
}

fn lock(what: i32) -> Effective {
    // SAFETY: a call without pointers.
    let failed = unsafe { libc::mlockall(what) } != 0;
    if !failed {
        return Effective::granted("mlock", "on");
    }
    let error = std::io::Error::last_os_error();
    let note =
        format!("{error}; give the process CAP_IPC_LOCK, or `ulimit -l unlimited` (LimitMEMLOCK=infinity)");
    Effective::short("mlock", "on", "off", note)
}

/// How late the kernel may wake this thread from a sleep, in nanoseconds; its default is 50,000.
pub fn timer_slack(slack_ns: u64) -> Effective {
    // SAFETY: a call without pointers.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns as libc::c_ulong) };
    // SAFETY: likewise.
    let got = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    // A real-time thread has none: the kernel returns 0, and no request is needed.
    if got == 0 || u64::try_from(got).is_ok_and(|got| got == slack_ns) {
        return Effective::granted("timer_slack_ns", got);
    }
    Effective::short("timer_slack_ns", slack_ns, got, "the kernel keeps its own; sleeps end later than asked")
}

/// Memory that the process `pid` has resident, in bytes; `None` if it has ended or is another user's.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    // The roll-up counts page by page. `statm` is a sum of per-core counters, stale by up to some
    // hundred KiB, and the fall-back of kernels without the former.
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok().and_then(|text| {
        let row = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
        row.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    if let Some(kib) = rollup {
        return Some(kib * 1024);
    }
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: a call without pointers.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page_bytes).ok()?)
}
