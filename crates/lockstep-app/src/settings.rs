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
    /// A child of this process (`fork`) writes it, from the memory as it was when the child began: inputs
    /// only wait until the page tables are copied, about 25 ms for each GiB. The default.
    #[default]
    Fork,
    /// This process writes it, and applies nothing meanwhile: for small states, and for a replica that pauses
    /// while others run.
    Pause,
    /// No snapshots are written.
    Never,
}

/// The settings of a replica of an application. [`AppSettings::new`] has the defaults.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AppSettings {
    /// The name under which all replicas publish. Their key must allow it, and `NAME/replica/N` of each.
    pub name: String,
    /// The number of this replica, from 1; it must be unique.
    pub number: u8,
    /// The folder of its snapshots, which no other replica uses.
    pub folder: PathBuf,
    /// Entries between two digests of the state; all replicas must have the same value. Default 1000. For a
    /// machine without a digest of its own each costs the time of a snapshot.
    pub digest_every: Seq,
    /// The nonce with which all replicas open the name; another application with this name has another nonce.
    /// The default follows from the name.
    pub nonce: [u64; 2],
    /// What a replica does when its state is not that of most replicas. Default: it stops.
    pub on_divergence: DivergencePolicy,
    /// Whether it is a shadow: another version is in force, so it applies and compares, and publishes no
    /// outputs, until this version [takes over](crate::App::take_over). From then on the stream decides which
    /// one is in force. Default: false.
    pub is_shadow: bool,
    /// When an entry is applied. Default: when it is committed. With `Delivery::Stamped` it is applied as
    /// soon as it is stamped, in parallel with the wait for its commit, and its outputs are published when it
    /// is committed: they are earlier by the time of `apply`. If a takeover takes entries back, the state is
    /// restored from the newest snapshot, or read again from the beginning, which takes as long as a start.
    pub delivery: Delivery,
    /// Entries between two snapshots. Default 100,000.
    pub snapshot_every: Seq,
    /// The number of snapshots that are kept, at least 1. Default 3.
    pub snapshots: usize,
    /// Snapshots younger than this are kept as well. Default: none.
    pub snapshot_age: Duration,
    /// How snapshots are written.
    pub snapshot_mode: SnapshotMode,
    /// The address at which metrics, snapshots and queries are served over HTTP; default: none. Reading needs
    /// no password, so use a management network. Putting a version in force needs the key in
    /// [`TAKE_OVER_KEY`](crate::TAKE_OVER_KEY) of the folder.
    pub serve: Option<SocketAddrV4>,
    /// Host names under which that page may be requested, beside addresses, localhost and this host's own
    /// name.
    pub hosts: Vec<String>,
    /// The addresses at which other replicas serve their pages: a replica without a snapshot fetches the
    /// newest one. Default: none.
    pub peers: Vec<SocketAddrV4>,
    /// How long the stream's announcement of a snapshot that a peer has served may be missing after the
    /// stream was read up to its end. Until it arrives the replica publishes nothing; after this time it
    /// begins again without that peer. Default 30 s.
    pub proof_wait: Duration,
}

impl AppSettings {
    /// The settings of the replica `number` of the application `name`, with its snapshots in `folder`.
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

    /// The store of its snapshots.
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
