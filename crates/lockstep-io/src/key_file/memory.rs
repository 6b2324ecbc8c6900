//! The memory in which a process stores keys: locked while they are in use, overwritten afterwards.

use crate::Effective;
use std::io::Error;
use std::ops::Range;
use zeroize::Zeroize;

/// Bytes of the stack that [`scrub_stack`] overwrites: more than reading a key file needs.
const SCRUBBED: usize = 64 << 10;

/// Locks the memory of keys, by addresses (such as [`lockstep_wire::Keyring::places`]), so that it never
/// reaches swap. If that is not allowed, the result has the reason and the remedy. Keys that are added later
/// need another call. Memory on the same pages is locked with them: a ring of one publisher's key needs some
/// pages, one of 4,080 some hundred.
pub fn lock(places: &[Range<usize>]) -> Effective {
    for place in places {
        // SAFETY: the call reads and writes no memory, and fails for an unmapped range.
        if unsafe { libc::mlock(std::ptr::without_provenance(place.start), place.len()) } != 0 {
            let note = format!(
                "{}; swap may have them: raise the limit of locked memory (LimitMEMLOCK= of systemd, ulimit -l) by \
                 1 MiB, or switch swap off",
                Error::last_os_error()
            );
            return Effective::short("memory of keys", "locked", "not locked", note);
        }
    }
    Effective::granted("memory of keys", "locked")
}

/// Overwrites the traces of keys that returned functions left on this thread's stack.
#[inline(never)]
pub(super) fn scrub_stack() {
    let mut room = [0u8; SCRUBBED];
    room.zeroize();
    std::hint::black_box(&room);
}
