//! Publishers and readers that seal with an older generation of keys than this node: once that generation is
//! retired, their datagrams are refused.
//!
//! ```text
//!  a publisher's key, by the ring ──────┐
//!  a key and an address, by the engine ─┴▶ older than the sealing one ─▶ reported after a grace
//! ```

use lockstep_wire::{GENERATIONS, KeyClass, Keyring, Nanos, OlderKeysNumber};

/// The time for a program to read its new file, after this node did.
const GRACE_NS: Nanos = 10_000_000_000;
/// A program that sent nothing for this long is not reported any more.
const SEEN_NS: Nanos = 60_000_000_000;
/// The most programs that are distinguished.
const PROGRAMS_MAX: usize = 32;

/// The programs: see the module.
#[derive(Debug)]
pub struct OlderKeys {
    /// The generation that seals here, and since when.
    sealing: (u8, Nanos),
    /// The programs that seal with an older one, each with the time at which it was last seen.
    programs: Vec<(OlderKeysNumber, Nanos)>,
}

impl OlderKeys {
    /// The state at a node's start. It has room for all programs, because the hot thread adds them.
    pub fn new(now: Nanos, keys: &Keyring) -> Self {
        Self { sealing: (keys.generations().0, now), programs: Vec::with_capacity(PROGRAMS_MAX) }
    }

    /// Takes the notes of the ring, and the senders that came by unicast. Returns how many programs seal with
    /// an older generation, and the one that was seen last.
    pub fn poll(
        &mut self,
        now: Nanos,
        keys: &Keyring,
        by_unicast: Option<OlderKeysNumber>,
    ) -> Option<(u64, u64)> {
        let (sealing, accepted) = keys.generations();
        if sealing != self.sealing.0 {
            self.sealing = (sealing, now);
        }
        let by_groups = keys.take_noted().map(|key_id| OlderKeysNumber { key_id, at: None });
        for program in by_groups.into_iter().chain(by_unicast) {
            self.note(now, program);
        }
        self.programs.retain(|(program, seen)| {
            let generation = KeyClass::generation(program.key_id);
            now.saturating_sub(*seen) < SEEN_NS
                && is_older(generation, sealing)
                && accepted >> generation & 1 == 1
        });
        let (last, _) = self.programs.iter().max_by_key(|(_, seen)| *seen)?;
        let had_time = now.saturating_sub(self.sealing.1) >= GRACE_NS;
        had_time.then_some((self.programs.len() as u64, last.packed()))
    }

    fn note(&mut self, now: Nanos, program: OlderKeysNumber) {
        // All readers have one key: their addresses distinguish them.
        let by_key = match KeyClass::of(program.key_id) {
            Some(KeyClass::Publisher(_)) => true,
            Some(KeyClass::Reader) => false,
            _ => return,
        };
        let is_same =
            |known: &OlderKeysNumber| known.key_id == program.key_id && (by_key || known.at == program.at);
        if let Some((known, seen)) = self.programs.iter_mut().find(|(known, _)| is_same(known)) {
            (known.at, *seen) = (program.at.or(known.at), now);
        } else if self.programs.len() < PROGRAMS_MAX {
            self.programs.push((program, now));
        }
    }
}

/// Whether a generation precedes the sealing one: the numbers wrap.
fn is_older(generation: u8, sealing: u8) -> bool {
    let generations = GENERATIONS as u8;
    let behind = (sealing + generations - generation) % generations;
    (1..generations / 2).contains(&behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::GenerationKeys;
    use std::net::SocketAddrV4;

    /// A ring of a replica in which this generation seals, and the previous one is accepted.
    fn sealing(generation: u8) -> Keyring {
        let ring = Keyring::empty(7, KeyClass::Replica);
        let keys = GenerationKeys { replica: Some([1; 16]), reader: [2; 16], publishers: vec![(5, [3; 16])] };
        let before = (generation + 15) % 16;
        for number in [before, generation] {
            ring.add(number, &keys).expect("the ring has no other keys");
        }
        ring.set_generations(generation, 1 << before | 1 << generation);
        ring
    }

    fn publisher(generation: u8) -> OlderKeysNumber {
        OlderKeysNumber { key_id: u16::from(generation) << 12 | (16 + 5), at: None }
    }

    fn reader(generation: u8, port: u16) -> OlderKeysNumber {
        let at = Some(SocketAddrV4::new([10, 0, 0, 7].into(), port));
        OlderKeysNumber { key_id: u16::from(generation) << 12 | 2, at }
    }

    #[test]
    fn who_seals_with_an_older_generation_is_reported_once_it_had_time_and_until_it_is_silent() {
        let ring = sealing(4);
        let mut older = OlderKeys::new(0, &ring);
        assert_eq!(older.poll(GRACE_NS - 1, &ring, Some(publisher(3))), None, "it has time");
        assert_eq!(older.poll(GRACE_NS, &ring, None), Some((1, publisher(3).packed())));
        assert_eq!(older.poll(GRACE_NS + 1, &ring, Some(reader(3, 9))), Some((2, reader(3, 9).packed())));
        assert_eq!(older.poll(GRACE_NS + 2, &ring, Some(reader(3, 9))).map(|(count, _)| count), Some(2));
        assert_eq!(older.poll(GRACE_NS + 3, &ring, Some(reader(3, 10))).map(|(count, _)| count), Some(3));
        assert_eq!(older.poll(2 * SEEN_NS, &ring, None), None, "silent since");
    }

    #[test]
    fn a_newer_generation_a_node_and_a_retired_generation_are_not_reported() {
        let ring = sealing(4);
        let mut older = OlderKeys::new(0, &ring);
        let node = OlderKeysNumber { key_id: 3 << 12 | 1, at: None };
        for program in [publisher(5), reader(12, 9), node, publisher(4)] {
            assert_eq!(older.poll(GRACE_NS, &ring, Some(program)), None, "{program:?}");
        }
        assert!(older.poll(GRACE_NS, &ring, Some(publisher(3))).is_some());
        ring.set_generations(4, 1 << 4);
        assert_eq!(older.poll(GRACE_NS + 1, &ring, None), None);
        // The numbers wrap.
        let ring = sealing(0);
        let mut older = OlderKeys::new(0, &ring);
        assert!(older.poll(GRACE_NS, &ring, Some(publisher(15))).is_some());
    }

    #[test]
    fn programs_beyond_the_bound_are_not_told_apart_and_all_have_a_way_out() {
        let ring = sealing(4);
        let mut older = OlderKeys::new(0, &ring);
        for port in 1..=100 {
            older.poll(1, &ring, Some(reader(3, port)));
        }
        let counted = older.poll(GRACE_NS, &ring, None).map(|(count, _)| count);
        assert_eq!(counted, Some(PROGRAMS_MAX as u64));
        assert_eq!(older.poll(1 + SEEN_NS, &ring, None), None);
    }
}
