//! A hash index from 64-bit keys to slots, for look-ups: what iterates over it sorts, so that its order is
//! never observable. The hash has a seed, the same at each replica, so that no client can choose tokens that
//! collide; capacity is allocated when it is made.
//!
//! A cell has 32 bits of the hash and 32 of the slot, and not the key: the caller compares that with the
//! slot, which it is about to read anyway. Eight keys that follow each other lie in one cache line, as tokens
//! of one account do that come one after the other.

/// A cell without an entry. Cells have their slot plus one, so that a new index is zeroed memory, which the
/// system gives page by page.
const VACANT: u64 = 0;

/// Open addressing with linear probing, at most three quarters full, deletion by shifting back.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    seed: u64,
    cells: Vec<u64>,
    len: usize,
}

/// The hash of a key; its low bits are the home cell. All but the lowest three bits of the key pass through
/// the finalizer of SplitMix64, after the seed.
pub(crate) fn hash(seed: u64, key: u64) -> u32 {
    let mut x = (key >> 3 ^ seed).wrapping_mul(seed | 1);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) as u32) << 3 | (key & 7) as u32
}

fn cell(hash: u32, slot: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(slot + 1)
}

fn hash_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

fn slot_of(cell: u64) -> u32 {
    cell as u32 - 1
}

impl Index {
    /// An index with room for `entries` without growing.
    pub(crate) fn with_capacity(entries: usize, seed: u64) -> Self {
        let cells = (entries.max(8) * 4).div_ceil(3).next_power_of_two();
        Self { seed, cells: vec![VACANT; cells], len: 0 }
    }

    fn mask(&self) -> usize {
        self.cells.len() - 1
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & self.mask()
    }

    /// The slot of a key. `is_it` compares the key with that of a slot.
    pub(crate) fn get(&self, key: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = hash(self.seed, key);
        let mut at = self.home(hash);
        loop {
            let cell = self.cells[at];
            if cell == VACANT {
                return None;
            }
            if hash_of(cell) == hash && is_it(slot_of(cell)) {
                return Some(slot_of(cell));
            }
            at = (at + 1) & self.mask();
        }
    }

    /// Writes to each page of the cells, so that the system has given it before it is used.
    pub(crate) fn prefault(&mut self) {
        const PAGE: usize = 4096 / size_of::<u64>();
        for cell in self.cells.iter_mut().step_by(PAGE) {
            *cell = std::hint::black_box(*cell);
        }
    }

    /// All slots, in no order that means anything.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.cells.iter().filter(|cell| **cell != VACANT).map(|cell| slot_of(*cell))
    }

    /// Adds a key that is not there.
    pub(crate) fn insert(&mut self, key: u64, slot: u32) {
        if (self.len + 1) * 4 > self.cells.len() * 3 {
            self.grow();
        }
        self.place(cell(hash(self.seed, key), slot));
    }

    fn place(&mut self, cell: u64) {
        let mut at = self.home(hash_of(cell));
        while self.cells[at] != VACANT {
            at = (at + 1) & self.mask();
        }
        self.cells[at] = cell;
        self.len += 1;
    }

    fn grow(&mut self) {
        let doubled = vec![VACANT; self.cells.len() * 2];
        let cells = std::mem::replace(&mut self.cells, doubled);
        self.len = 0;
        for cell in cells.into_iter().filter(|cell| *cell != VACANT) {
            self.place(cell);
        }
    }

    /// Removes a key with its slot, if they are there. Entries behind them that they had displaced move back.
    pub(crate) fn remove(&mut self, key: u64, slot: u32) {
        let wanted = cell(hash(self.seed, key), slot);
        let mask = self.mask();
        let mut hole = self.home(hash_of(wanted));
        while self.cells[hole] != wanted {
            if self.cells[hole] == VACANT {
                return;
            }
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let moved = self.cells[at];
            if moved == VACANT {
                break;
            }
            // An entry may move back if its home does not lie between the hole and itself.
            let from_home = at.wrapping_sub(self.home(hash_of(moved))) & mask;
            if from_home >= at.wrapping_sub(hole) & mask {
                self.cells[hole] = moved;
                hole = at;
            }
        }
        self.cells[hole] = VACANT;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_index_agrees_with_a_map_through_growth_and_deletion() {
        let (mut index, mut map) = (Index::with_capacity(4, 1), BTreeMap::new());
        let mut keys = vec![]; // of each slot
        let mut state = 1_u64;
        for _ in 0..20_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (state >> 33) % 300;
            if let Some(slot) = map.remove(&key) {
                index.remove(key, slot);
            } else {
                let slot = keys.len() as u32;
                keys.push(key);
                map.insert(key, slot);
                index.insert(key, slot);
            }
            index.remove(1000, 0); // not there
            let probe = (state >> 17) % 300;
            let found = index.get(probe, |slot| keys[slot as usize] == probe);
            assert_eq!(found, map.get(&probe).copied());
        }
        let get = |key: u64| index.get(key, |slot| keys[slot as usize] == key);
        assert!((0..300).all(|key| get(key) == map.get(&key).copied()));
        assert_eq!((index.len, index.slots().count()), (map.len(), map.len()));
    }

    #[test]
    fn keys_of_one_hash_are_told_apart_by_their_slots() {
        let mut index = Index::with_capacity(8, 2);
        let (key, slots) = (77, [3, 5, 9]);
        for slot in slots {
            index.insert(key, slot);
        }
        for slot in slots {
            assert_eq!(index.get(key, |found| found == slot), Some(slot));
        }
        index.remove(key, 5);
        assert_eq!(index.get(key, |found| found == 5), None);
        assert_eq!(index.get(key, |found| found == 9), Some(9));
    }
}
