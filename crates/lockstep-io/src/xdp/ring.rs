//! One ring shared with the kernel: one side puts, the other takes, and each publishes its position.
//!
//! A socket has four rings: we put into two (fill, send) and take from two (received, completed). Both ends
//! count in 32 bits that wrap; a place is its count under a mask.

use crate::IoError;
use memmap2::{MmapOptions, MmapRaw};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// The offsets of a ring's parts in its memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets {
    pub producer: usize,
    pub consumer: usize,
    pub flags: usize,
    pub entries: usize,
}

impl From<libc::xdp_ring_offset> for Offsets {
    fn from(offset: libc::xdp_ring_offset) -> Self {
        Self {
            producer: offset.producer as usize,
            consumer: offset.consumer as usize,
            flags: offset.flags as usize,
            entries: offset.desc as usize,
        }
    }
}

/// The ring's memory as both sides see it.
pub(super) struct XdpRing<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
    /// Keeps the memory mapped; `None` if a test owns it.
    _memory: Option<MmapRaw>,
}

// SAFETY: the pointers lead into memory that is shared with the kernel and with no thread.
unsafe impl<T: Send> Send for XdpRing<T> {}

impl<T: Copy> XdpRing<T> {
    /// A ring of `count` entries, a power of two, in the memory at `base`.
    ///
    /// # Safety
    /// All offsets, with the data there, lie inside memory that is aligned to 8, lives as long as the ring,
    /// and is accessed only by this ring and one on the other side. Any bits are a valid `T`.
    unsafe fn over(base: NonNull<u8>, offsets: Offsets, count: u32, memory: Option<MmapRaw>) -> Self {
        // SAFETY: the caller vouches for the offsets.
        unsafe {
            Self {
                producer: base.add(offsets.producer).cast(),
                consumer: base.add(offsets.consumer).cast(),
                flags: base.add(offsets.flags).cast(),
                entries: base.add(offsets.entries).cast(),
                mask: count - 1,
                _memory: memory,
            }
        }
    }

    /// The ring at this offset of a socket's memory.
    pub fn map(
        socket: BorrowedFd<'_>,
        place: u64,
        offsets: Offsets,
        count: u32,
        name: &str,
    ) -> Result<Self, IoError> {
        let bytes = offsets.entries + count as usize * size_of::<T>();
        let memory = MmapOptions::new().offset(place).len(bytes).populate().map_raw(socket.as_raw_fd());
        let memory = memory.map_err(|error| IoError::new(format!("map the {name} ring"), error))?;
        let base =
            NonNull::new(memory.as_mut_ptr()).ok_or_else(|| IoError::last(format!("map the {name} ring")))?;
        // SAFETY: the kernel reported the offsets of what it has mapped; the mapping lives in the ring.
        Ok(unsafe { Self::over(base, offsets, count, Some(memory)) })
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: valid as long as `self` (see `over`), and only ever touched as an atomic.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }
    }

    /// Whether the kernel wants to be called before it continues with this ring.
    fn wants_call(&self) -> bool {
        // SAFETY: as above.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn entry(&self, count: u32) -> NonNull<T> {
        // SAFETY: the mask keeps it inside the entries.
        unsafe { self.entries.add((count & self.mask) as usize) }
    }
}

/// A ring into which we put entries.
pub(super) struct Producer<T> {
    shared: XdpRing<T>,
    /// The count of entries that we have put, published or not.
    next: u32,
    /// The count of entries that the kernel had taken at our last check.
    taken: u32,
}

impl<T: Copy> Producer<T> {
    /// Our end of a new ring.
    pub fn new(shared: XdpRing<T>) -> Self {
        Self { shared, next: 0, taken: 0 }
    }

    /// The number of free entries, at least `wanted` if there are that many.
    #[inline]
    pub fn room(&mut self, wanted: u32) -> u32 {
        let size = self.shared.mask + 1;
        if size - self.next.wrapping_sub(self.taken) < wanted {
            self.taken = self.shared.consumer().load(Ordering::Acquire);
        }
        size - self.next.wrapping_sub(self.taken)
    }

    /// Puts an entry, if there is room; [`Producer::tell`] publishes it.
    #[inline]
    pub fn put(&mut self, entry: T) -> bool {
        if self.room(1) == 0 {
            return false;
        }
        // SAFETY: the place lies inside the ring, and is ours until it is published.
        unsafe { self.shared.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Publishes all put entries to the kernel.
    #[inline]
    pub fn tell(&mut self) {
        self.shared.producer().store(self.next, Ordering::Release);
    }

    /// The count of entries that were published and not yet taken.
    #[inline]
    pub fn waiting(&mut self) -> u32 {
        self.taken = self.shared.consumer().load(Ordering::Acquire);
        self.next.wrapping_sub(self.taken)
    }

    /// See [`XdpRing::wants_call`].
    #[inline]
    pub fn wants_call(&self) -> bool {
        self.shared.wants_call()
    }
}

/// A ring from which we take entries.
pub(super) struct Consumer<T> {
    shared: XdpRing<T>,
    /// The count of entries that we have taken, published or not.
    next: u32,
    /// The count of entries that the kernel had put at our last check.
    put: u32,
}

impl<T: Copy> Consumer<T> {
    /// Our end of a new ring.
    pub fn new(shared: XdpRing<T>) -> Self {
        Self { shared, next: 0, put: 0 }
    }

    /// Takes the oldest entry, if there is one. [`Consumer::tell`] releases its place.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        if self.next == self.put {
            self.put = self.shared.producer().load(Ordering::Acquire);
            if self.next == self.put {
                return None;
            }
        }
        // SAFETY: the place lies inside the ring, and the kernel has written and published it.
        let entry = unsafe { self.shared.entry(self.next).read() };
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Publishes the count of all taken entries to the kernel.
    #[inline]
    pub fn tell(&mut self) {
        self.shared.consumer().store(self.next, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u32 = 8;
    const OFFSETS: Offsets = Offsets { producer: 0, consumer: 8, flags: 16, entries: 24 };

    /// Memory of a ring, seen from both sides; counts begin shortly before they wrap.
    fn both_sides(memory: &mut [u64; 3 + COUNT as usize]) -> (Producer<u64>, Consumer<u64>) {
        let begin = u32::MAX - 2;
        (memory[0], memory[1]) = (u64::from(begin.to_le()), u64::from(begin.to_le()));
        let base = NonNull::from(memory).cast();
        // SAFETY: the offsets lie inside the memory, which outlives the rings in each test.
        let shared = || unsafe { XdpRing::over(base, OFFSETS, COUNT, None) };
        let putting = Producer { shared: shared(), next: begin, taken: begin };
        (putting, Consumer { shared: shared(), next: begin, put: begin })
    }

    #[test]
    fn what_is_put_and_told_is_taken_once_and_in_order_while_the_counts_wrap() {
        let mut memory = [0; _];
        let (mut putting, mut taking) = both_sides(&mut memory);
        let mut seen = Vec::new();
        for round in 0..10_u64 {
            for entry in 0..round % 8 {
                assert!(putting.put(round << 8 | entry));
            }
            assert_eq!(taking.take(), None, "nothing was told yet");
            putting.tell();
            seen.extend(std::iter::from_fn(|| taking.take()));
            taking.tell();
        }
        let sent: Vec<u64> = (0..10).flat_map(|round| (0..round % 8).map(move |n| round << 8 | n)).collect();
        assert_eq!(seen, sent);
        assert_eq!(putting.waiting(), 0);
    }

    #[test]
    fn a_full_ring_takes_nothing_until_the_other_side_tells_what_it_took() {
        let mut memory = [0; _];
        let (mut putting, mut taking) = both_sides(&mut memory);
        let put = (0..20).take_while(|entry| putting.put(*entry)).count();
        putting.tell();
        assert_eq!((put, putting.room(1), putting.waiting()), (8, 0, 8));
        assert_eq!(taking.take(), Some(0));
        assert!(!putting.put(99), "it took one and has not told");
        taking.tell();
        assert_eq!((putting.waiting(), putting.room(1)), (7, 1));
        assert!(putting.put(99) && !putting.put(100));
    }

    /// The kernel fills a frame, publishes it in the other ring, and only then publishes that it took it
    /// from this one.
    #[test]
    fn a_frame_is_given_back_before_the_kernel_says_that_it_took_it() {
        let mut memory = [0; _];
        let (mut fill, mut kernel) = both_sides(&mut memory);
        let frames = COUNT / 2; // as `fill_places` has it
        assert!((0..frames).all(|frame| fill.put(frame.into())));
        fill.tell();
        let received: Vec<u64> = std::iter::from_fn(|| kernel.take()).collect();
        assert!(received.iter().all(|frame| fill.put(*frame)), "no frame is lost");
        kernel.tell();
        fill.tell();
        assert_eq!(fill.waiting(), frames);
    }
}
