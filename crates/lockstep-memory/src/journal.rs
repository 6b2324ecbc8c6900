//! The journal of one replica, in memory.

use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::journal::memory::{MemoryStore, MemoryTail};
use lockstep_replica::journal::{OpenedJournal, SEGMENT_LEN_MIN, Settings, format, open};
use lockstep_wire::{Identity, Keyring, MemberBody};

/// The files of a journal, and how its process opens them.
#[derive(Clone, Debug)]
pub struct MemoryJournal {
    store: MemoryStore,
    settings: Settings,
}

impl MemoryJournal {
    /// On a fresh disk.
    ///
    /// # Errors
    /// As `format` has them.
    pub fn format(cluster: u64, identity: Identity, frame_len_max: usize) -> Result<Self, String> {
        let mut store = MemoryStore::default();
        let settings = Settings {
            cluster,
            replica: identity.replica,
            boot: [1, 1],
            power: false,
            frame_len_max,
            segment_len: SEGMENT_LEN_MIN,
        };
        format(&mut store, cluster, identity, settings.boot).map_err(|error| error.to_string())?;
        Ok(Self { store, settings })
    }

    /// As a process opens it that begins, with `memory` as its tail.
    ///
    /// # Errors
    /// As `open` has them.
    pub fn open(&mut self, memory: MemoryTail) -> Result<OpenedJournal<MemoryTail>, String> {
        open(&mut self.store, memory, self.settings).map_err(|error| error.to_string())
    }

    /// The same, with a ring of so many bytes in which `history` of `members` is born.
    ///
    /// # Errors
    /// As `open` and `bootstrap` have them.
    pub fn open_born(
        &mut self,
        ring_bytes: usize,
        keys: &Keyring,
        history: u64,
        members: &[MemberBody],
    ) -> Result<OpenedJournal<MemoryTail>, String> {
        let mut tail = self.open(MemoryTail::new(ring_bytes))?.tail;
        bootstrap(&mut tail, keys, history, members)?;
        self.open(tail.into_memory())
    }
}
