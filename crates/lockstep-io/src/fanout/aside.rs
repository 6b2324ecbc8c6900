//! A buffer for datagrams of one kind that arrived while the other kind was received. They are copied, into
//! memory that is made once, and lent later.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The place of one datagram.
#[derive(Clone, Copy, Debug)]
struct Slot {
    at: usize,
    len: usize,
    from: SocketAddrV4,
}

/// A buffer for copies.
#[derive(Debug)]
struct Half {
    bytes: Vec<u8>,
    filled: usize,
    slots: Vec<Slot>,
}

impl Half {
    fn new(bytes: usize, datagrams: usize) -> Self {
        // Touched here, so that no receive causes a page fault.
        Self { bytes: vec![1; bytes], filled: 0, slots: Vec::with_capacity(datagrams) }
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.slots.clear();
    }
}

/// Two buffers: one is lent while the other is filled.
#[derive(Debug)]
pub(crate) struct Aside {
    lent: Half,
    filling: Half,
    /// Datagrams for which there was no room.
    pub dropped: u64,
}

impl Aside {
    /// Room for this many bytes and datagrams.
    pub fn new(bytes: usize, datagrams: usize) -> Self {
        Self { lent: Half::new(bytes, datagrams), filling: Half::new(bytes, datagrams), dropped: 0 }
    }

    /// Stores a copy.
    pub fn push(&mut self, datagram: &[u8], from: SocketAddrV4) {
        let half = &mut self.filling;
        let (at, end) = (half.filled, half.filled + datagram.len());
        if end > half.bytes.len() || half.slots.len() == half.slots.capacity() {
            self.dropped += 1;
            return;
        }
        half.bytes[at..end].copy_from_slice(datagram);
        half.slots.push(Slot { at, len: datagram.len(), from });
        half.filled = end;
    }

    /// Lends the stored datagrams until the next call, and drops those that were lent. Returns their number.
    #[inline]
    pub fn lend(&mut self) -> usize {
        if self.filling.slots.is_empty() {
            self.lent.clear();
            return 0;
        }
        std::mem::swap(&mut self.lent, &mut self.filling);
        self.filling.clear();
        self.lent.slots.len()
    }

    /// The number of lent datagrams.
    #[inline]
    pub fn len(&self) -> usize {
        self.lent.slots.len()
    }

    /// The lent datagram with this index, and its sender; empty beyond the last one.
    pub fn datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self.lent.slots.get(index) {
            Some(slot) => (&self.lent.bytes[slot.at..slot.at + slot.len], slot.from),
            None => (&[], SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
        }
    }
}
