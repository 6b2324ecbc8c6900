//! The parameters with which a journal is opened, the errors of an opening, and the creation of a journal.
//! [`super::inspect`] inspects one, [`super::start`] uses it.

use crate::journal::damage::Damage;
use crate::journal::layout::FORMAT_VERSION;
use crate::journal::ports::{Store, StoreError, StoreFault};
use crate::journal::recover::RecoverError;
use crate::journal::superblock::{NoSuperblock, Superblock};
use lockstep_core::proto::commit::Durability;
use lockstep_wire::Identity;
use std::fmt;

/// The caller's expectations of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The cluster's id.
    pub cluster: u64,
    /// The replica's number.
    pub replica: u32,
    /// The machine's present boot.
    pub boot: [u64; 2],
    /// Durability `power` is configured for this run: the replica acknowledges and promises what the device
    /// holds.
    pub power: bool,
    /// Most bytes of a frame.
    pub frame_len_max: usize,
    /// Bytes of a segment.
    pub segment_len: u64,
}

impl Settings {
    /// The weakest durability by which a run with these settings acknowledges.
    pub(super) fn durability(&self) -> Durability {
        if self.power { Durability::Power } else { Durability::Process }
    }
}

/// A torn end that was cut: the replica never acknowledged or promised anything by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The segment.
    pub file: String,
    /// Where it ends now.
    pub offset: u64,
    /// Bytes of the incomplete group; 0 if unknown.
    pub len: u64,
}

/// Why a journal was not opened, or not created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JournalOpenError {
    /// There is no journal.
    Missing,
    /// `format` found a journal.
    NotEmpty(String),
    /// Another cluster's journal.
    Cluster {
        /// Its cluster.
        seen: u64,
        /// Ours.
        want: u64,
    },
    /// Another replica's journal.
    Replica {
        /// Its identity.
        seen: Identity,
        /// Our number.
        want: u32,
    },
    /// Written by another version.
    Version(u32),
    /// The tail file is another node's.
    Tail {
        /// Its cluster.
        cluster: u64,
        /// Its replica.
        identity: Identity,
    },
    /// Sizes that are invalid, or invalid now.
    Settings(String),
    /// Damage that leaves no usable log.
    Damaged(Damage),
    /// The journal may have forgotten something that its replica acknowledged or promised (S9), and why.
    Incomplete(String),
    /// The error of the files.
    Store(StoreError),
}

impl fmt::Display for JournalOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "there is no journal here: `format` creates one; if there should be one, look for its disk, \
                 because a replica that forgets must not vote",
            ),
            Self::NotEmpty(what) => {
                write!(f, "the directory is not empty ({what}): `format` never overwrites")
            }
            Self::Cluster { seen, want } => {
                write!(
                    f,
                    "a journal of cluster {seen:#x}, this is cluster {want:#x}: give the right directory"
                )
            }
            Self::Replica { seen, want } => {
                write!(
                    f,
                    "the journal of replica {}, this is replica {want}: give each its own",
                    seen.replica
                )
            }
            Self::Version(seen) => {
                write!(
                    f,
                    "format version {seen}, this release reads {FORMAT_VERSION}: run the one that wrote it"
                )
            }
            Self::Tail { cluster, identity } => write!(
                f,
                "the tail file is that of replica {} in cluster {cluster:#x}: give each node its own",
                identity.replica
            ),
            Self::Settings(what) => f.write_str(what),
            Self::Damaged(damage) => {
                write!(f, "{damage}; `format` a new directory and rejoin, or bring the disk back")
            }
            Self::Incomplete(why) => write!(
                f,
                "{why}; a replica that may have forgotten what it acknowledged must not vote under its old identity: \
                 bring back what is missing, or format a new journal and let the cluster replace the member"
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JournalOpenError {}

impl From<NoSuperblock> for JournalOpenError {
    fn from(none: NoSuperblock) -> Self {
        match none {
            NoSuperblock::Damaged(damage) => Self::Damaged(damage),
            NoSuperblock::Version(version) => Self::Version(version),
        }
    }
}

impl From<StoreError> for JournalOpenError {
    fn from(error: StoreError) -> Self {
        if error.fault == StoreFault::Missing { Self::Missing } else { Self::Store(error) }
    }
}

impl From<RecoverError> for JournalOpenError {
    fn from(disk_fault: RecoverError) -> Self {
        match disk_fault {
            RecoverError::Store(error) => Self::Store(error),
            RecoverError::Damage(damage) => Self::Damaged(damage),
        }
    }
}

/// Creates the journal of a replica that has never acknowledged or promised anything. The caller drew
/// `identity`.
pub fn format<S: Store>(
    store: &mut S,
    cluster: u64,
    identity: Identity,
    boot: [u64; 2],
) -> Result<Superblock, JournalOpenError> {
    if let Some(file) = store.list()?.first() {
        return Err(JournalOpenError::NotEmpty(file.to_string()));
    }
    let mut superblock = Superblock::fresh(cluster, identity, boot);
    superblock.store_both(store)?;
    Ok(superblock)
}
