//! The superblock: the identity of this journal, and the record of its last run. It has two copies in
//! blocks of their own, written in turn, so that a torn write leaves the other. The state on which a start
//! depends is written to both ([`Superblock::store_both`]): the loss of either copy undoes nothing of it.

use crate::journal::BLOCK_LEN;
use crate::journal::damage::Damage;
use crate::journal::layout::{FORMAT_VERSION, checksum_but_12};
use crate::journal::ports::{FileName, Store, StoreError};
use crate::journal::proof::RunRecord;
use bytemuck::{Pod, Zeroable};
use lockstep_core::proto::commit::Durability;
use lockstep_wire::{Chain, Epoch, Identity, Seq};

/// The content of a superblock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Superblock {
    /// Counts writes; the greater of two copies is in force.
    pub generation: u64,
    /// The cluster.
    pub cluster: u64,
    /// The history of its stream; 0 until bootstrap, or until it is learned.
    pub history: u64,
    /// The replica and its incarnation.
    pub identity: Identity,
    /// The record of acknowledgements and promises: by this a start judges whether anything may be
    /// forgotten.
    pub run: RunRecord,
    /// The highest promised epoch.
    pub promised: Epoch,
    /// High mark of the last stop: the end of the log, ...
    pub high_next: Seq,
    /// ... and its chain there.
    pub high_chain: Chain,
    /// The number of the oldest segment that is to be there: retention, a trim or a copy's begin left out
    /// those below on purpose, and recorded that before. 0: not recorded yet, by a release that did not.
    pub oldest_number: u64,
}

/// Why there is no usable superblock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoSuperblock {
    /// No copy is readable.
    Damaged(Damage),
    /// Written by another version.
    Version(u32),
}

/// The two copies of a superblock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copies {
    /// The one that was written last.
    pub newest: Superblock,
    /// The one before; `None` if it cannot be read.
    pub older: Option<Superblock>,
    /// The error of the one that cannot be read.
    pub damage: Option<Damage>,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Bytes {
    magic: u64,
    version: u32,
    checksum: u32,
    generation: u64,
    cluster: u64,
    history: u64,
    identity: u64,
    boot: [u64; 2],
    flags: u64,
    promised: u64,
    high_next: u64,
    high_chain: u64,
    ring: u64,
    rings: u64,
    synced_to: u64,
    oldest_number: u64,
    begun_to: u64,
}

const SUPER_MAGIC: u64 = u64::from_le_bytes(*b"LKSSUPR\0");
const CLEAN: u64 = 1;
const WEAKEST_PROCESS: u64 = 2;
// A sector: a device writes it as a whole or not at all.
const _: () = assert!(size_of::<Bytes>() == 136 && size_of::<Bytes>() <= 512);

impl Superblock {
    /// The superblock of a replica that has acknowledged and promised nothing.
    pub fn fresh(cluster: u64, identity: Identity, boot: [u64; 2]) -> Self {
        Self {
            generation: 0,
            cluster,
            history: 0,
            identity,
            run: RunRecord::fresh(boot),
            promised: Epoch::NONE,
            high_next: 1,
            high_chain: 0,
            oldest_number: 1,
        }
    }

    /// Writes the older copy and waits for the device. On return its content may be relied upon.
    pub fn store<S: Store>(&mut self, store: &mut S) -> Result<(), StoreError> {
        let mut next = *self;
        next.generation += 1;
        store.write_at(FileName::Superblock, next.generation % 2 * BLOCK_LEN as u64, &next.to_block())?;
        store.sync(FileName::Superblock)?;
        *self = next;
        Ok(())
    }

    /// Writes both copies, one after the other: whichever is lost later, the other one holds this content,
    /// or newer content.
    pub fn store_both<S: Store>(&mut self, store: &mut S) -> Result<(), StoreError> {
        self.store(store)?;
        self.store(store)
    }

    /// Both copies, as far as they can be read.
    pub fn load<S: Store>(store: &S) -> Result<Result<Copies, NoSuperblock>, StoreError> {
        let mut blocks = vec![0; 2 * BLOCK_LEN];
        let taken = store.read_at(FileName::Superblock, 0, &mut blocks)?;
        blocks[taken..].fill(0);
        let copies = [0, 1].map(|copy| Self::from_block(&blocks[copy * BLOCK_LEN..][..BLOCK_LEN], copy));
        Ok(match copies {
            [Ok(a), Ok(b)] => {
                let (newest, older) = if a.generation > b.generation { (a, b) } else { (b, a) };
                Ok(Copies { newest, older: Some(older), damage: None })
            }
            [Ok(newest), Err(NoSuperblock::Damaged(damage))]
            | [Err(NoSuperblock::Damaged(damage)), Ok(newest)] => {
                Ok(Copies { newest, older: None, damage: Some(damage) })
            }
            [Err(version @ NoSuperblock::Version(_)), _] | [_, Err(version @ NoSuperblock::Version(_))] => {
                Err(version)
            }
            [Err(damaged), Err(_)] => Err(damaged),
        })
    }

    fn to_block(self) -> Vec<u8> {
        let bytes = Bytes {
            magic: SUPER_MAGIC,
            version: FORMAT_VERSION,
            checksum: 0,
            generation: self.generation,
            cluster: self.cluster,
            history: self.history,
            identity: self.identity.packed(),
            boot: self.run.boot,
            flags: u64::from(self.run.clean) * CLEAN
                + u64::from(self.run.weakest_durability == Durability::Process) * WEAKEST_PROCESS,
            promised: self.promised.0,
            high_next: self.high_next,
            high_chain: self.high_chain,
            ring: self.run.ring,
            rings: self.run.rings,
            synced_to: self.run.synced_to,
            oldest_number: self.oldest_number,
            begun_to: self.run.begun_to,
        };
        let mut block = vec![0; BLOCK_LEN];
        block[..size_of::<Bytes>()].copy_from_slice(bytemuck::bytes_of(&bytes));
        let checksum = checksum_but_12(&block);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    fn from_block(block: &[u8], copy: usize) -> Result<Self, NoSuperblock> {
        let bytes: Bytes = bytemuck::pod_read_unaligned(&block[..size_of::<Bytes>()]);
        let damage = |what| Damage::new(FileName::Superblock, (copy * BLOCK_LEN) as u64, 0, what);
        if bytes.magic != SUPER_MAGIC {
            return Err(NoSuperblock::Damaged(damage("no superblock")));
        }
        if bytes.checksum != checksum_but_12(block) {
            return Err(NoSuperblock::Damaged(damage("checksum")));
        }
        // An unknown version is accepted only if its checksum is right: a flipped bit is no version.
        if bytes.version != FORMAT_VERSION {
            return Err(NoSuperblock::Version(bytes.version));
        }
        Ok(Self {
            generation: bytes.generation,
            cluster: bytes.cluster,
            history: bytes.history,
            identity: Identity::from_packed(bytes.identity),
            run: RunRecord {
                boot: bytes.boot,
                clean: bytes.flags & CLEAN != 0,
                weakest_durability: match bytes.flags & WEAKEST_PROCESS {
                    0 => Durability::Power,
                    _ => Durability::Process,
                },
                ring: bytes.ring,
                rings: bytes.rings,
                synced_to: bytes.synced_to,
                // 0: written by a release that did not record it.
                begun_to: bytes.begun_to.max(bytes.synced_to),
            },
            promised: Epoch(bytes.promised),
            high_next: bytes.high_next,
            high_chain: bytes.high_chain,
            oldest_number: bytes.oldest_number,
        })
    }
}
