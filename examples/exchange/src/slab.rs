//! A pool of slots with links by number: slots are used again, and nothing is allocated below its capacity.

use std::ops::{Index, IndexMut};

/// A link to no slot.
pub(crate) const NIL: u32 = u32::MAX;

/// Writes to the memory between a list's length and its capacity.
pub(crate) fn prefault<T: Clone>(list: &mut Vec<T>, filler: T) {
    let len = list.len();
    list.resize(list.capacity(), filler);
    std::hint::black_box(&mut *list);
    list.truncate(len);
}

/// Slots and the ones that are free.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<T>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// A pool with room for `capacity` slots.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { slots: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity) }
    }

    /// Writes to the memory of all slots to come, so that the system has given it before they are used.
    pub(crate) fn prefault(&mut self, filler: T)
    where
        T: Clone,
    {
        prefault(&mut self.slots, filler);
        prefault(&mut self.free, NIL);
    }

    /// Puts a value into a slot.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = value;
            return slot;
        }
        self.slots.push(value);
        (self.slots.len() - 1) as u32
    }

    /// Frees a slot; its value stays until the slot is used again.
    pub(crate) fn release(&mut self, slot: u32) {
        debug_assert!((slot as usize) < self.slots.len());
        self.free.push(slot);
    }

    /// How many slots are in use.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        &self.slots[slot as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        &mut self.slots[slot as usize]
    }
}
