//! The buffer for datagrams that a reader has copied out of the rings: memory that is made once, and lent
//! until the next receive.

/// The position of a datagram.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// In words.
    at: usize,
    /// In bytes.
    len: usize,
    /// The first word of its record's prefix.
    from: u64,
}

/// The copies of one receive, and the counts of records that could not be copied.
#[derive(Debug)]
pub(super) struct ShmInbox {
    words: Vec<u64>,
    /// Words in use.
    used: usize,
    slots: Vec<Slot>,
    slots_max: usize,
    /// Bytes that are lent.
    pub bytes: u64,
    /// Records that were overwritten before they were read, whatever their destination.
    pub lost: u64,
    /// Datagrams that are longer than this device allows: not lent.
    pub truncated: u64,
    /// Rings with inconsistent content.
    pub broken: u64,
    len_max: usize,
}

/// Datagrams begin on cache lines.
const LINE: usize = 8;

impl ShmInbox {
    /// Room for `datagrams` of `len_max` bytes. All of it is touched here, so that no receive causes a page
    /// fault.
    pub fn new(datagrams: usize, len_max: usize) -> Self {
        let words = datagrams * len_max.div_ceil(8).next_multiple_of(LINE);
        Self {
            words: vec![1; words],
            used: 0,
            slots: Vec::with_capacity(datagrams),
            slots_max: datagrams,
            bytes: 0,
            lost: 0,
            truncated: 0,
            broken: 0,
            len_max,
        }
    }

    /// Begins a new receive: earlier loans have ended.
    pub fn clear(&mut self) {
        (self.used, self.bytes) = (0, 0);
        self.slots.clear();
    }

    /// Whether this receive has no room for another datagram.
    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.slots_max
    }

    /// The number of lent datagrams.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Room for a datagram of `len` bytes; `None` if it must wait for the next receive. A datagram that is
    /// longer than this device allows gets no words, and is not lent.
    #[inline]
    pub fn room(&mut self, len: usize) -> Option<&mut [u64]> {
        if self.is_full() {
            return None;
        }
        let words = if len > self.len_max { 0 } else { len.div_ceil(8) };
        Some(&mut self.words[self.used..][..words])
    }

    /// Lends the datagram that was copied to the last room.
    #[inline]
    pub fn lend(&mut self, len: usize, from: u64) {
        if len > self.len_max {
            self.truncated += 1;
            return;
        }
        self.slots.push(Slot { at: self.used, len, from });
        self.used += len.div_ceil(8).next_multiple_of(LINE);
        self.bytes += len as u64;
    }

    /// The `index`th datagram of the last receive; empty beyond its end.
    #[inline]
    pub fn datagram(&self, index: usize) -> &[u8] {
        self.slots.get(index).map_or(&[], |slot| {
            let words = &self.words[slot.at..][..slot.len.div_ceil(8)];
            &bytemuck::cast_slice(words)[..slot.len]
        })
    }

    /// The first word of its record's prefix; 0 beyond the end.
    pub fn from(&self, index: usize) -> u64 {
        self.slots.get(index).map_or(0, |slot| slot.from)
    }
}
