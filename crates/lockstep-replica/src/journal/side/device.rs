//! What the device has: the words that acks rest on, and the superblock's record of it.

use super::{Inputs, SideThread};
use crate::journal::ports::{Store, TailSource, Word};
use crate::journal::segments::{WriteError, publish_position};
use crate::journal::start::NOTHING_DURABLE;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::planted::{Mutation, planted};

impl SideThread {
    /// If acks wait for the device, all earlier writes are brought to the device, of whichever run; if they
    /// no longer do, the hot thread is notified first that nothing is known of the device.
    pub(super) fn reach_device<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &mut T,
        inputs: &Inputs,
    ) -> Result<(), WriteError> {
        let wanted = self.settings.power || inputs.device;
        if wanted && !self.on_device {
            self.bring_to_device(store, source)?;
            publish_position(source, &self.writer, true);
        } else if !wanted && self.on_device {
            self.on_device = false;
            source.set_word(Word::DurableSeq, NOTHING_DURABLE);
        }
        if self.on_device && self.settings.power {
            self.writer.is_through();
        }
        Ok(())
    }

    /// The device gets all that was written, and by `power` the record of the newest segment. Until both are
    /// done nothing is reported, and they are tried again as a whole.
    pub(super) fn bring_to_device<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &mut T,
    ) -> Result<(), WriteError> {
        let is_through = std::mem::replace(&mut self.on_device, false) && self.settings.power;
        if !is_through && !planted(Mutation::OlderCountedDurable) {
            self.writer.sync_all(store)?;
        }
        if self.is_begun_unrecorded() {
            let mut wanted = self.superblock;
            wanted.run.begun_to = self.writer.number();
            self.store_superblock(store, source, wanted)?;
        }
        self.on_device = true;
        Ok(())
    }

    /// By `power` acks are about to rest on a segment that the superblock does not name. A lost file of a run
    /// by `process` is missed by its tail, or the record of the run.
    pub(super) fn is_begun_unrecorded(&self) -> bool {
        let is_recorded = self.superblock.run.begun_to >= self.writer.number();
        self.settings.power && !is_recorded && !planted(Mutation::BegunUnrecorded)
    }

    /// A run in `power` has brought to the device everything that earlier runs acknowledged or promised:
    /// the superblock records it.
    pub(super) fn prove<S: Store, T: TailSource>(
        &mut self,
        store: &mut S,
        source: &mut T,
    ) -> Result<(), WriteError> {
        let published = self.published_pos.unwrap_or(u64::MAX);
        let proven = self.on_device && self.writer.pos() >= published || planted(Mutation::ProvenTooEarly);
        if !self.settings.power || self.superblock.run.weakest_durability == Durability::Power || !proven {
            return Ok(());
        }
        let mut wanted = self.superblock;
        wanted.run.weakest_durability = Durability::Power;
        self.store_superblock(store, source, wanted)
    }
}
