//! How much of something each address holds, so that no address holds it all.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// See the module. It has a row for each address that holds something, so what it counts bounds it.
#[derive(Clone, Debug, Default)]
pub struct PerAddress {
    counts: BTreeMap<IpAddr, usize>,
}

impl PerAddress {
    /// What this address holds.
    pub fn of(&self, address: IpAddr) -> usize {
        self.counts.get(&address).copied().unwrap_or(0)
    }

    /// It holds one more.
    pub fn take(&mut self, address: IpAddr) {
        *self.counts.entry(address).or_default() += 1;
    }

    /// It holds one less.
    pub fn give_back(&mut self, address: IpAddr) {
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }

    /// What all hold.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }
}
