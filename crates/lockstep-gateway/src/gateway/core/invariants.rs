//! The invariants of a gateway after each of its turns.

use super::work::{TURN_BYTES, TURN_ENTRIES};
use super::{Gateway, Phase};
use lockstep_core::engine::ports::Backlog;
use soupbintcp::packet::PAYLOAD_LEN_MAX;

impl<B: Backlog> Gateway<B> {
    /// Panics with the rule that is broken. All rules hold at any time.
    pub fn invariants(&self) {
        let (places, max) = (self.conns.len(), self.limits.clients_max);
        assert!(places <= max, "{places} places for connections, at most {max}");
        let mut is_free = vec![false; places];
        for index in &self.free {
            let first = is_free.get_mut(*index).is_some_and(|free| !std::mem::replace(free, true));
            assert!(
                first && self.conns[*index].is_none(),
                "the place {index} is free, once: {:?}",
                self.free
            );
        }
        let taken = self.conns.iter().filter(|conn| conn.is_some()).count();
        assert!(
            taken + self.free.len() == places,
            "each of {places} places is free or taken: {:?}",
            self.free
        );
        let conn = |index: &usize| self.conns.get(*index).and_then(Option::as_ref).map(|(_, conn)| conn);
        assert!(self.ready.iter().all(|index| conn(index).is_some()), "who is not here is sent nothing");
        for (destination, hearers) in &self.subscribed {
            let hears = |index| conn(index).is_some_and(|conn| conn.place.receives(*destination));
            assert!(hearers.iter().all(hears), "{hearers:?} hear {destination}, and one of them is not here");
        }
        let serves = |publisher| {
            let index = self.by_publisher.get(publisher)?;
            Some(match conn(index)?.phase {
                Phase::Open { publisher: own, .. } => own == *publisher,
                Phase::Opening { publisher: own, .. } => own == Some(*publisher),
                Phase::New | Phase::Deferred { .. } | Phase::Checking(_) | Phase::Over { .. } => false,
            })
        };
        for publisher in self.by_publisher.keys() {
            assert!(serves(publisher) == Some(true), "no client here is {publisher}");
        }
        for (number, conn) in self.conns.iter().flatten() {
            let (out, sent) = (conn.out.len(), conn.sent);
            assert!(sent <= out, "of {out} bytes for the connection {number} {sent} are sent");
        }
        let (waiting, checking, most) = (self.checks.len(), self.checking, self.limits.checks_max);
        assert!(
            waiting <= checking && checking <= most,
            "{waiting} passwords wait, {checking} are checked, at most {most}"
        );
        let of_addresses = (self.connected.total(), self.checking_of.total());
        assert!(of_addresses.0 == taken, "{taken} connections, and {} of all addresses", of_addresses.0);
        assert!(of_addresses.1 <= checking, "{checking} checks, and {} of all addresses", of_addresses.1);
        let work = self.work;
        assert!(work.entries <= TURN_ENTRIES, "a turn has read {} messages", work.entries);
        assert!(work.bytes < TURN_BYTES + PAYLOAD_LEN_MAX, "a turn has read {} bytes", work.bytes);
        assert!(self.closed_early.len() <= checking, "{:?} are of {checking} checks", self.closed_early);
        self.pending.invariants();
    }
}
