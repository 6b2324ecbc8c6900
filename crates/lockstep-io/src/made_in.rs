//! # made_in: the process in which an object was made
//!
//! A program that forks has everything twice: its child has the same sockets and the same memory as the
//! parent. If both continued, one object would have two outcomes. So a handle remembers the process in which
//! it was made, and its calls compare: one load, no system call. The id of the process is in a page of memory
//! that the kernel empties in a child (`MADV_WIPEONFORK` of madvise(2)), whatever call made the child.

use crate::clock::random_u64;
use crate::{IoError, Refused};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of this process: 0 in a child until an object is made there.
fn word() -> &'static AtomicU64 {
    static WORD: OnceLock<&'static AtomicU64> = OnceLock::new();
    WORD.get_or_init(|| emptied_page().unwrap_or_else(emptied_by_handler))
}

/// A page that is empty in a child.
fn emptied_page() -> Option<&'static AtomicU64> {
    let (len, protection) = (size_of::<AtomicU64>(), libc::PROT_READ | libc::PROT_WRITE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping above.
    if unsafe { libc::madvise(page, len, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; no reference to it exists yet.
        unsafe { libc::munmap(page, len) };
        return None;
    }
    // SAFETY: the page is aligned, zeroed, and mapped as long as the process lives.
    Some(unsafe { &*page.cast::<AtomicU64>() })
}

/// For a kernel that empties no page: libc calls a handler at each `fork`.
fn emptied_by_handler() -> &'static AtomicU64 {
    static WORD: AtomicU64 = AtomicU64::new(0);
    extern "C" fn in_child() {
        WORD.store(0, Ordering::Relaxed);
    }
    // SAFETY: the handler is a function of this program that stores a word, which is safe in a child.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    &WORD
}

/// The process in which an object was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MadeIn(u64);

impl MadeIn {
    /// This process.
    pub fn here() -> Self {
        let word = word();
        let mut own = word.load(Ordering::Relaxed);
        while own == 0 {
            // Without random numbers nothing works that needs a network.
            let drawn = random_u64().unwrap_or(1).max(1);
            own = word
                .compare_exchange(0, drawn, Ordering::Relaxed, Ordering::Relaxed)
                .map_or_else(|now| now, |_| drawn);
        }
        Self(own)
    }

    /// Whether this is the process in which the object was made.
    #[inline]
    pub fn is_here(self) -> bool {
        word().load(Ordering::Relaxed) == self.0
    }
}

/// An object of one process. In a child it is not dropped, as that would end the parent's object. The child's
/// copies of its descriptors end with the child.
#[derive(Debug)]
pub struct Own<T> {
    inner: ManuallyDrop<T>,
    born: MadeIn,
}

impl<T> Own<T> {
    /// An object of this process.
    pub fn new(inner: T) -> Self {
        Self { inner: ManuallyDrop::new(inner), born: MadeIn::here() }
    }

    /// Whether this is the process in which it was made.
    #[inline]
    pub fn is_here(&self) -> bool {
        self.born.is_here()
    }

    /// Refuses the use of the object in another process.
    ///
    /// # Errors
    /// This is a child of the process in which it was made.
    #[inline]
    pub fn check(&self, doing: &str) -> Result<(), IoError> {
        if self.is_here() {
            Ok(())
        } else {
            Err(IoError::new(doing, std::io::Error::other(Refused::OtherProcess)))
        }
    }
}

impl<T> Deref for Own<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Own<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: it is dropped only here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
        }
    }
}

pub use lockstep_core::engine::publisher::ELSEWHERE;

#[cfg(test)]
mod tests {
    use super::*;

    /// The exit code of a child that only runs `work`.
    fn in_child(work: impl FnOnce() -> bool) -> i32 {
        // SAFETY: the child runs `work`, which takes no lock that another thread may hold, and ends by
        // `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = i32::from(!work());
            // SAFETY: a call without pointers.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the child is ours, and `status` lives across the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn what_was_made_here_is_from_elsewhere_in_a_child_and_its_own_is_not() {
        let here = MadeIn::here();
        assert!(here.is_here() && MadeIn::here() == here);
        let judged = in_child(|| {
            let was_elsewhere = !here.is_here();
            let own = MadeIn::here();
            was_elsewhere && own.is_here() && own != here && !here.is_here()
        });
        assert_eq!(judged, 0);
        // A child of a child.
        let judged = in_child(|| in_child(|| !here.is_here()) == 0);
        assert_eq!(judged, 0);
        assert!(here.is_here(), "the parent goes on");
    }

    #[test]
    fn what_is_dropped_in_a_child_ends_in_its_own_process_alone() {
        static ENDS: AtomicU64 = AtomicU64::new(0);
        struct Counted;
        impl Drop for Counted {
            fn drop(&mut self) {
                ENDS.fetch_add(1, Ordering::Relaxed);
            }
        }
        let ends = || ENDS.load(Ordering::Relaxed);
        let mut own = Some(Own::new(Counted));
        let judged = in_child(|| {
            own = None;
            let is_left_out = ends() == 0;
            drop(Own::new(Counted));
            is_left_out && ends() == 1
        });
        assert_eq!(judged, 0, "the parent's ends there alone, and the child's own in the child");
        assert!(own.as_ref().is_some_and(|own| own.check("go on").is_ok()), "the parent goes on");
        drop(own);
        assert_eq!(ends(), 1);
    }
}
