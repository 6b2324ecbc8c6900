//! # follow: which epoch owns which seqs
//!
//! An epoch is followed from the moment its start is held, never by a rumour of it. The start's table
//! says which epoch owns which seqs from the one in force at the commit on; what lies below the table is
//! committed, and taken only from who says so.

use super::commit::Durability;
use super::membership::Membership;
use crate::wire::{EPOCHS_MAX, Epoch, EpochBase, EpochStartView, Header, Seq};
use bytemuck::Zeroable;

/// The epoch that is followed, and its table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Follow {
    epoch: Epoch,
    base: Seq,
    table: [EpochBase; EPOCHS_MAX],
    rows: u8,
    /// The membership from `base` on.
    pub membership: Membership,
    /// What an ack means in this epoch.
    pub durability: Durability,
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            epoch: Epoch::NONE,
            base: 0,
            table: [EpochBase::zeroed(); EPOCHS_MAX],
            rows: 0,
            membership: Membership::default(),
            durability: Durability::default(),
        }
    }
}

impl Follow {
    /// The epoch whose start is held; [`Epoch::NONE`] at first.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The seq of that start.
    pub fn base(&self) -> Seq {
        self.base
    }

    /// Whether `epoch` is one that we would follow if we held its start.
    pub fn is_news(&self, epoch: Epoch) -> bool {
        epoch > self.epoch && epoch.round() > 0
    }

    /// The start of an epoch that has won is held: it is followed from now on. One that is not above the
    /// present one changes nothing.
    pub fn on_start(&mut self, start: &EpochStartView<'_>) -> bool {
        if !self.is_news(start.epoch()) {
            return false;
        }
        self.epoch = start.epoch();
        self.base = start.body.base;
        self.rows = 0;
        for row in start.epochs() {
            self.table[usize::from(self.rows)] = row;
            self.rows += 1;
        }
        self.membership = Membership::of_start(start, start.body.base);
        self.durability = Durability::from_wire(start.body.durability);
        true
    }

    /// As a recovered log has it: its epoch table, oldest first, and what the last start said.
    pub fn restore(&mut self, table: &[EpochBase], membership: Membership, durability: Durability) {
        let rows = &table[table.len().saturating_sub(EPOCHS_MAX)..];
        self.table[..rows.len()].copy_from_slice(rows);
        self.rows = rows.len() as u8;
        if let Some(last) = rows.last().filter(|row| Epoch(row.epoch).round() > 0) {
            (self.epoch, self.base) = (Epoch(last.epoch), last.base);
        }
        self.membership = membership;
        self.durability = durability;
    }

    /// The epoch that owns `seq`; `None` below the table.
    pub fn owner(&self, seq: Seq) -> Option<Epoch> {
        let rows = &self.table[..usize::from(self.rows)];
        rows.iter().rev().find(|row| row.base <= seq).map(|row| Epoch(row.epoch))
    }

    /// S10 (what may be used): whether a frame belongs to the log of the epoch that is followed: its epoch
    /// owns its seqs, or it lies below the table and whoever gave it calls it committed.
    pub fn admits(&self, header: &Header, called_committed_next: Seq) -> bool {
        match self.owner(header.first_seq) {
            Some(owner) => owner == header.epoch(),
            None => self.rows > 0 && header.next_seq() <= called_committed_next,
        }
    }
}
