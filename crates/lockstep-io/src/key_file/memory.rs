//! The memory in which a process has keys: locked while they are used, overwritten afterwards.

use crate::Effective;
use std::io::Error;
use std::ops::Range;
use zeroize::Zeroize;

/// Bytes of a stack that [`scrub_stack`] overwrites: more than reading a key file needs.
const SCRUBBED: usize = 64 << 10;

/// Locks the memory in which keys are, by addresses (such as [`lockstep_wire::Keyring::places`]), so that it
/// never reaches swap; where that may not be, says why and what to do. Keys that are added later need another
/// call. Memory on the same pages is locked with them; a ring of one publisher's key needs some pages, one of
/// 4,080 some hundred.
pub fn lock(places: &[Range<usize>]) -> Effective {
    for place in places {
        // SAFETY: the call reads and writes no memory, and fails where there is none.
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

/// Overwrites what functions that have returned left of keys on this thread's stack.
#[inline(never)]
pub(super) fn scrub_stack() {
    let mut room = [0u8; SCRUBBED];
    room.zeroize();
    std::hint::black_box(&room);
}
