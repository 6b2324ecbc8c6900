//! # slice: how long a thread of the fair class runs before another one may run
//!
//! A thread with a short slice is due again soon after it yielded, and when it wakes up it need not wait
//! until a computing thread has used up a long one. Under EEVDF a thread that yields is charged one of its
//! own slices: of two threads on a core that yield to each other, the one with the longer slice waits while
//! the other runs many times. So all of them ask for the same slice.

use lockstep_wire::Nanos;

/// The shortest slice that the kernel gives, in nanoseconds; the usual one is some 3 ms.
pub const SLICE_NS: Nanos = 100_000;

/// Asks for [`SLICE_NS`] for the calling thread if it is in the fair class (Linux 6.12 and later, by
/// `sched_runtime` of sched_setattr(2)); its share is unchanged. Returns the slice in force, 0 for the
/// kernel's default: older kernels ignore the request.
pub fn request_short() -> Nanos {
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: plain integers; all zero is a value of it.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: `attributes` lives across the call and has the size that is stated; 0 is the calling thread.
    let failed = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) } != 0;
    if failed || attributes.sched_policy != libc::SCHED_OTHER as u32 || attributes.sched_runtime == SLICE_NS {
        return if failed { 0 } else { attributes.sched_runtime };
    }
    attributes.size = size;
    attributes.sched_runtime = SLICE_NS;
    // SAFETY: as above. The result is read back.
    unsafe {
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
        attributes = std::mem::zeroed();
        libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0);
    }
    attributes.sched_runtime
}
