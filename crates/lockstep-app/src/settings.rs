//! The settings of a replica of an application.

use crate::store::SnapshotStore;
use lockstep_client::{Delivery, IoError};
use lockstep_machine::{DivergencePolicy, MachineSettings, ReplicaSettings, Seq, StateDigest};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

/// How a snapshot is written while the machine runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SnapshotMode {
    /// A child of this process writes it, from the memory as it was when the child began (`fork`): inputs
    /// wait for the page tables to be copied, about 25 ms for each GiB, and no longer. The default.
    #[default]
    Fork,
    /// This process writes it, and applies nothing meanwhile: for small states, and for a replica that pauses
    /// while others run.
    Pause,
    /// It writes none.
    Never,
}

/// The settings of a replica of an application. [`AppSettings::new`] has the defaults.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AppSettings {
    /// The name under which all replicas publish. Their key must allow it, and `NAME/replica/N` of each.
    pub name: String,
    /// The number of this replica, from 1: each has one of its own.
    pub number: u8,
    /// The folder of its snapshots, for this replica alone.
    pub folder: PathBuf,
    /// Entries from one digest of the state to the next; all replicas have the same. Default 1000. A machine
    /// without a digest of its own takes the time of a snapshot for each.
    pub digest_every: Seq,
    /// What all replicas open the name with; another application with this name has another. Default: by the
    /// name.
    pub nonce: [u64; 2],
    /// What a replica does whose state is not that of most. Default: it stops.
    pub on_divergence: DivergencePolicy,
    /// It applies and compares, and publishes nothing, as another version is in force, until this one
    /// [takes over](crate::App::take_over): from then on the stream says which one is. Default: false.
    pub is_shadow: bool,
    /// When an entry is applied. Default: when it is committed. With `Delivery::Stamped` it is applied as
    /// soon as it is stamped, beside the wait for its commit, and what follows from it is published when it
    /// is committed: outputs are earlier by the time of `apply`. Where a takeover takes entries back, the
    /// state is restored from the newest snapshot, or read again from the beginning, which takes as long as a
    /// start.
    pub delivery: Delivery,
    /// Entries from one snapshot to the next. Default 100,000.
    pub snapshot_every: Seq,
    /// Snapshots that stay, at least 1. Default 3.
    pub snapshots: usize,
    /// Snapshots that are younger stay as well. Default: none.
    pub snapshot_age: Duration,
    /// How they are written.
    pub snapshot_mode: SnapshotMode,
    /// Where metrics, snapshots and queries are served over HTTP; default: nowhere. Reading has no password:
    /// a management network. A version is put in force by it with the key in
    /// [`TAKE_OVER_KEY`](crate::TAKE_OVER_KEY) of the folder.
    pub serve: Option<SocketAddrV4>,
    /// Names by which that page may be asked for, beside addresses, localhost and this host's own name.
    pub hosts: Vec<String>,
    /// Where other replicas serve theirs: a replica without a snapshot fetches the newest one. Default:
    /// nowhere.
    pub peers: Vec<SocketAddrV4>,
    /// How long the stream's announcement of a snapshot that a peer has served may be missing once the stream
    /// was read up to its end: until it comes the replica says nothing, and then it begins again without that
    /// peer. Default 30 s.
    pub proof_wait: Duration,
}

impl AppSettings {
    /// Those of the replica `number` of the application `name`, with its snapshots in `folder`.
    pub fn new(name: impl Into<String>, number: u8, folder: impl Into<PathBuf>) -> Self {
        let name = name.into();
        let nonce = [b"lockstep-app/1", &b"lockstep-app/2"[..]]
            .map(|salt| StateDigest::of(&[salt, name.as_bytes()].concat()));
        Self {
            name,
            number,
            folder: folder.into(),
            digest_every: 1_000,
            nonce,
            on_divergence: DivergencePolicy::Stop,
            is_shadow: false,
            delivery: Delivery::Committed,
            snapshot_every: 100_000,
            snapshots: 3,
            snapshot_age: Duration::ZERO,
            snapshot_mode: SnapshotMode::default(),
            serve: None,
            hosts: Vec::new(),
            peers: Vec::new(),
            proof_wait: Duration::from_secs(30),
        }
    }

    /// Where its snapshots are.
    pub(crate) fn store(&self) -> Result<SnapshotStore, IoError> {
        Ok(SnapshotStore::open(&self.folder, self.snapshots)?.with_age(self.snapshot_age))
    }

    pub(crate) fn machine(&self) -> MachineSettings {
        MachineSettings { name: self.name.clone(), digest_every: self.digest_every.max(1) }
    }

    pub(crate) fn replica(&self) -> ReplicaSettings {
        ReplicaSettings {
            number: self.number,
            nonce: self.nonce,
            on_divergence: self.on_divergence,
            is_shadow: self.is_shadow,
            reads_stamped: self.delivery == Delivery::Stamped,
        }
    }
}
