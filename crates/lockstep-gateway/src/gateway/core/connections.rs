//! The connections, each at an index that is used again once it is closed, and those of them that may have
//! something to send.

use crate::gateway::conn::Conn;
use crate::gateway::per_address::PerAddress;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The connections: see the module.
#[derive(Debug, Default)]
pub(super) struct Connections {
    places: Vec<Option<(u64, Conn)>>,
    free: Vec<usize>,
    /// The number of the newest connection.
    number: u64,
    of_address: PerAddress,
    ready: BTreeSet<usize>,
    /// The connection that was served last; the next turn begins behind it.
    served: usize,
}

impl Connections {
    pub fn get(&self, index: usize) -> Option<&Conn> {
        self.places.get(index)?.as_ref().map(|(_, conn)| conn)
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut Conn> {
        self.places.get_mut(index)?.as_mut().map(|(_, conn)| conn)
    }

    /// The connection with this index and number, unless it is closed.
    pub fn numbered(&self, (index, number): (usize, u64)) -> Option<&Conn> {
        let (known, conn) = self.places.get(index)?.as_ref()?;
        (*known == number).then_some(conn)
    }

    /// As [`numbered`](Self::numbered).
    pub fn numbered_mut(&mut self, (index, number): (usize, u64)) -> Option<&mut Conn> {
        let (known, conn) = self.places.get_mut(index)?.as_mut()?;
        (*known == number).then_some(conn)
    }

    /// The number of the connection at this index.
    pub fn number(&self, index: usize) -> Option<u64> {
        self.places.get(index)?.as_ref().map(|(number, _)| *number)
    }

    /// All indexes, those without a connection among them.
    pub fn indexes(&self) -> std::ops::Range<usize> {
        0..self.places.len()
    }

    /// The connections with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Conn)> {
        let all = self.places.iter().enumerate();
        all.filter_map(|(index, place)| place.as_ref().map(|(_, conn)| (index, conn)))
    }

    /// The number of connections, and of those from this address.
    pub fn count(&self, address: IpAddr) -> (usize, usize) {
        (self.places.len() - self.free.len(), self.of_address.of(address))
    }

    /// Adds a connection. Returns its index and number.
    pub fn add(&mut self, conn: Conn) -> (usize, u64) {
        self.of_address.take(conn.peer.ip());
        self.number += 1;
        let conn = Some((self.number, conn));
        let index = match self.free.pop() {
            Some(index) => {
                self.places[index] = conn;
                index
            }
            None => {
                self.places.push(conn);
                self.places.len() - 1
            }
        };
        (index, self.number)
    }

    /// Removes a connection, whose index is used again unless it `leaks`.
    pub fn remove(&mut self, index: usize, leaks: bool) {
        if let Some((_, conn)) = self.places.get_mut(index).and_then(Option::take) {
            self.of_address.give_back(conn.peer.ip());
            if !leaks {
                self.free.push(index);
            }
            self.ready.remove(&index);
        }
    }

    /// This connection may have something to send.
    pub fn mark_ready(&mut self, index: usize) {
        self.ready.insert(index);
    }

    /// This connection has nothing to send.
    pub fn unmark_ready(&mut self, index: usize) {
        self.ready.remove(&index);
    }

    /// Those of these connections that `change` says so of may have something to send.
    pub fn mark_ready_where(&mut self, mut change: impl FnMut(&mut Conn) -> bool) {
        for (index, place) in self.places.iter_mut().enumerate() {
            if let Some((_, conn)) = place
                && change(conn)
            {
                self.ready.insert(index);
            }
        }
    }

    /// Whether a connection may have something to send.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the connections that may have something to send, first those behind the last one that was
    /// served.
    pub fn take_ready(&mut self) -> impl Iterator<Item = usize> + use<> {
        let mut ready = std::mem::take(&mut self.ready);
        let behind = ready.split_off(&(self.served + 1));
        behind.into_iter().chain(ready)
    }

    /// This connection is served now.
    pub fn begin_serving(&mut self, index: usize) {
        self.served = index;
    }

    /// Panics with the rule that is broken.
    pub fn invariants(&self, clients_max: usize) {
        let places = self.places.len();
        assert!(places <= clients_max, "{places} places for connections, at most {clients_max}");
        let mut is_free = vec![false; places];
        for index in &self.free {
            let first = is_free.get_mut(*index).is_some_and(|free| !std::mem::replace(free, true));
            assert!(
                first && self.places[*index].is_none(),
                "the place {index} is free, once: {:?}",
                self.free
            );
        }
        let taken = self.iter().count();
        assert!(
            taken + self.free.len() == places,
            "each of {places} places is free or taken: {:?}",
            self.free
        );
        let is_open = |index: &usize| self.get(*index).is_some();
        assert!(self.ready.iter().all(is_open), "a closed connection is sent nothing: {:?}", self.ready);
        for (number, conn) in self.places.iter().flatten() {
            let (out, sent) = (conn.out.len(), conn.sent);
            assert!(sent <= out, "of {out} bytes for the connection {number} {sent} are sent");
        }
        let of_addresses = self.of_address.total();
        assert!(of_addresses == taken, "{taken} connections, and {of_addresses} of all addresses");
    }
}
