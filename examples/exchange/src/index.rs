//! A hash index from 64-bit keys to slots, for look-ups: what iterates over it sorts, so that its order is never
//! observable. The hash is fixed; capacity is allocated when it is made.

/// Marks a cell without an entry. Cells hold their slot plus one, so that a new index is zeroed memory, which
/// the system gives page by page.
const VACANT: u32 = 0;

/// Open addressing with linear probing, at most half full, deletion by shifting back.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    cells: Vec<(u64, u32)>,
    len: usize,
}

impl Index {
    /// An index with room for `entries` without growing.
    pub(crate) fn with_capacity(entries: usize) -> Self {
        let cells = (entries.max(8) * 2).next_power_of_two();
        Self { cells: vec![(0, VACANT); cells], len: 0 }
    }

    fn mask(&self) -> usize {
        self.cells.len() - 1
    }

    /// The cell where the search for a key begins: the finalizer of SplitMix64.
    fn home(&self, key: u64) -> usize {
        let mut x = key;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) as usize & self.mask()
    }

    fn find(&self, key: u64) -> Option<usize> {
        let mut at = self.home(key);
        loop {
            let (found, slot) = self.cells[at];
            if slot == VACANT {
                return None;
            }
            if found == key {
                return Some(at);
            }
            at = (at + 1) & self.mask();
        }
    }

    /// The slot of a key.
    pub(crate) fn get(&self, key: u64) -> Option<u32> {
        self.find(key).map(|at| self.cells[at].1 - 1)
    }

    /// All slots, in no order that means anything.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.cells.iter().filter(|(_, slot)| *slot != VACANT).map(|(_, slot)| slot - 1)
    }

    /// Adds a key that is not there.
    pub(crate) fn insert(&mut self, key: u64, slot: u32) {
        if (self.len + 1) * 2 > self.cells.len() {
            self.grow();
        }
        let mut at = self.home(key);
        while self.cells[at].1 != VACANT {
            at = (at + 1) & self.mask();
        }
        self.cells[at] = (key, slot + 1);
        self.len += 1;
    }

    fn grow(&mut self) {
        let doubled = vec![(0, VACANT); self.cells.len() * 2];
        let cells = std::mem::replace(&mut self.cells, doubled);
        self.len = 0;
        for (key, slot) in cells.into_iter().filter(|(_, slot)| *slot != VACANT) {
            self.insert(key, slot - 1);
        }
    }

    /// Removes a key, if it is there. Entries behind it that it had displaced move back.
    pub(crate) fn remove(&mut self, key: u64) {
        let Some(mut hole) = self.find(key) else { return };
        let mask = self.mask();
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let (moved, slot) = self.cells[at];
            if slot == VACANT {
                break;
            }
            // An entry may move back if its home does not lie between the hole and itself.
            let from_home = at.wrapping_sub(self.home(moved)) & mask;
            if from_home >= at.wrapping_sub(hole) & mask {
                self.cells[hole] = (moved, slot);
                hole = at;
            }
        }
        self.cells[hole].1 = VACANT;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_index_agrees_with_a_map_through_growth_and_deletion() {
        let (mut index, mut map) = (Index::with_capacity(4), BTreeMap::new());
        let mut state = 1_u64;
        for step in 0..20_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (state >> 33) % 300;
            if map.remove(&key).is_some() {
                index.remove(key);
            } else {
                map.insert(key, step);
                index.insert(key, step);
            }
            index.remove(1000); // not there
            let probe = (state >> 17) % 300;
            assert_eq!(index.get(probe), map.get(&probe).copied());
        }
        assert!((0..300).all(|key| index.get(key) == map.get(&key).copied()));
        assert_eq!(index.len, map.len());
    }
}
