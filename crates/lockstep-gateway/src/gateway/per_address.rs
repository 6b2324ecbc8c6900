//! Counts how much of a resource each address holds, so that no address holds all of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The counts. There is a row for each address that holds something, so the resource bounds the table.
#[derive(Clone, Debug, Default)]
pub struct PerAddress {
    counts: BTreeMap<IpAddr, usize>,
}

impl PerAddress {
    /// The count of this address.
    pub fn of(&self, address: IpAddr) -> usize {
        self.counts.get(&address).copied().unwrap_or(0)
    }

    /// The address takes one more.
    pub fn take(&mut self, address: IpAddr) {
        *self.counts.entry(address).or_default() += 1;
    }

    /// The address returns one.
    pub fn give_back(&mut self, address: IpAddr) {
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }

    /// The sum of all addresses.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }
}
