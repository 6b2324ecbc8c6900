//! # founding: a new history on the rest of an old one
//!
//! After a quorum of the members is lost for good, the stream continues with the log that one journal, or
//! an archiver's, still holds. The founding is one frame behind that log: an epoch start under a new
//! history's id, with the founder, a new identity, as its only member. Everything before it is final from
//! then on, by the operator's command.
//!
//! ```text
//!   history a:  1 ────────────────────────────── end      (what a had beyond is in no later history)
//!   history b:                                   └ epoch start: founded on (a, end, chain) ────▶
//! ```
//!
//! The start's round exceeds, by a margin, every round that the journal has seen. No other node of the
//! ancestor history has seen a higher one, so epochs rise along every log that is compared. The epoch is
//! granted once, as round 0 of a genesis: no node stamps in it, and the founder's process wins the next
//! one.

use bytemuck::Zeroable;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::window::Window;
use lockstep_wire::{
    EPOCH_START_LEN_MAX, EntryHeader, EntryKind, Epoch, EpochBase, EpochStartBody, Header, Keys, Kind,
    MemberBody, OpenFrame, ROUND_MAX, VERSION, write_epoch_start,
};

/// Rounds between everything that the founder has seen and the founding: more takeovers than a journal that
/// is worth founding on has missed. They last for 65,000 foundings.
pub const ROUNDS_ABOVE: u32 = 1 << 12;

/// The input of a founding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Founding<'a> {
    /// The cluster, and the keys of a replica.
    pub keys: &'a Keys,
    /// The new history, drawn at random.
    pub history: u64,
    /// The ancestor history.
    pub ancestor: &'a Lineage,
    /// Where its log ends.
    pub end: LogEnd,
    /// Its epoch table, oldest first.
    pub epochs: &'a [EpochBase],
    /// The highest epoch that the journal has promised.
    pub promised: Epoch,
    /// The only member of the new history, under an incarnation that was drawn for it.
    pub member: MemberBody,
    /// How much may be stamped and not yet committed.
    pub window: Window,
    /// The durability of acks.
    pub durability: Durability,
}

impl Founding<'_> {
    /// The frame that founds the history, sealed; it follows the log's end. The error is the reason why
    /// there is none.
    pub fn frame(&self) -> Result<Vec<u8>, String> {
        let Self { end, member, .. } = self;
        let Some(in_force) = self.epochs.last().filter(|row| row.epoch == end.epoch.0 && end.next > 1) else {
            return Err(
                "the journal holds no log: `format` and `bootstrap` begin a history from nothing".into()
            );
        };
        let seen = self.promised.round().max(end.epoch.round());
        // Near the end of the rounds a founding takes fewer: the next epoch exceeds it anyway.
        let round = seen.saturating_add(ROUNDS_ABOVE).min(ROUND_MAX - 1);
        if round <= seen {
            return Err(format!("round {seen} leaves no room for another: rounds end at {ROUND_MAX}"));
        }
        let epoch = Epoch::new(round, member.identity());
        let body = EpochStartBody {
            epoch: epoch.0,
            base: end.next,
            chain_at_base: end.chain,
            window_entries: self.window.entries,
            window_bytes: self.window.bytes,
            durability: (self.durability == Durability::Power) as u8,
            ..EpochStartBody::zeroed()
        };
        let table = [*in_force, EpochBase { epoch: epoch.0, base: end.next }];
        let lineage = self.ancestor.founded(self.history, end);
        let mut payload = [0; EPOCH_START_LEN_MAX];
        let length = write_epoch_start(&mut payload, body, &[*member], &table, lineage.ancestors());
        let mut memory = vec![0; lockstep_wire::DATAGRAM_LEN_MAX];
        let mut open = OpenFrame::default();
        let entry = EntryHeader { kind: EntryKind::EpochStart as u8, ..EntryHeader::zeroed() };
        if !open.push(&mut memory, entry, &payload[..length]) {
            return Err("an epoch's start does not fit a frame".into());
        }
        let header = Header {
            // No log that this release reads has a newer one.
            version: VERSION,
            cluster: self.keys.cluster(),
            history: self.history,
            epoch: epoch.0,
            sender: member.replica,
            incarnation: member.incarnation,
            first_seq: end.next,
            // By the operator's command.
            commit_next: end.next,
            // CLOCK-1: one clock alone moves no time.
            timestamp: end.timestamp,
            chain: end.chain,
            ..Header::new(Kind::Frame)
        };
        let length = open.len();
        open.close(&mut memory, self.keys, header, length);
        memory.truncate(length);
        Ok(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::{Ancestor, EpochStartView, FrameView, Identity};
    use std::sync::LazyLock;

    const FOUNDER: Identity = Identity { replica: 2, incarnation: 0x777 };

    fn end() -> LogEnd {
        let epoch = Epoch::new(4, Identity { replica: 1, incarnation: 0x101 });
        LogEnd { next: 90, epoch, chain: 0xabc, timestamp: 5_000 }
    }

    static KEYS: LazyLock<Keys> = LazyLock::new(|| lockstep_wire::Keyring::none(7).into());

    fn founding<'a>(ancestor: &'a Lineage, epochs: &'a [EpochBase], promised: u32) -> Founding<'a> {
        Founding {
            keys: &KEYS,
            history: 0xb2,
            ancestor,
            end: end(),
            epochs,
            promised: Epoch::new(promised, FOUNDER),
            member: MemberBody::full(FOUNDER, "10.0.0.2:7000".parse().unwrap()),
            window: Window { entries: 10, bytes: 1_000 },
            durability: Durability::Power,
        }
    }

    #[test]
    fn a_founding_follows_the_log_under_a_new_history_above_every_round_that_was_seen() {
        let ancestor = Lineage::of(0xb1);
        let epochs = [EpochBase { epoch: end().epoch.0, base: 60 }];
        for (promised, round) in
            [(1, 4 + ROUNDS_ABOVE), (9, 9 + ROUNDS_ABOVE), (ROUND_MAX - 2, ROUND_MAX - 1)]
        {
            let bytes = founding(&ancestor, &epochs, promised).frame().unwrap();
            let frame = FrameView::from_prefix(&bytes).unwrap();
            let after = end().follow(&frame).expect("it follows");
            assert_eq!(after.epoch, Epoch::new(round, FOUNDER));
            assert_eq!((after.next, after.timestamp), (91, 5_000), "time never falls");
            let header = frame.header;
            assert_eq!(({ header.history }, { header.commit_next }), (0xb2, 90), "all before it is final");
            let start = EpochStartView::parse(frame.entries().next().unwrap().payload).unwrap();
            assert_eq!(start.founded_on(), Some(Ancestor { history: 0xb1, next: 90, chain: 0xabc }));
            assert_eq!(start.members().map(|member| member.identity()).collect::<Vec<_>>(), [FOUNDER]);
            assert_eq!(start.body.durability, 1);
        }
    }

    #[test]
    fn nothing_is_founded_on_nothing_or_beyond_the_last_round() {
        let ancestor = Lineage::of(0xb1);
        let nothing = founding(&ancestor, &[], 1).frame().unwrap_err();
        assert!(nothing.contains("bootstrap"), "{nothing}");
        let epochs = [EpochBase { epoch: end().epoch.0, base: 60 }];
        let used_up = founding(&ancestor, &epochs, ROUND_MAX - 1).frame().unwrap_err();
        assert!(used_up.contains("no room"), "{used_up}");
    }
}
