//! The keys of the simulated cluster: one ring for each class of processes, the same in every seed.

use super::machine::CLUSTER;
use lockstep_wire::{GenerationKeys, KeyClass, Keyring, Keys};
use std::sync::LazyLock;

/// The cluster in the same groups that sends what it should not.
pub(super) const OTHER_CLUSTER: u64 = CLUSTER + 1;

fn all(seed: u8) -> GenerationKeys {
    GenerationKeys {
        replica: Some([seed; 16]),
        reader: [seed + 1; 16],
        publishers: vec![(0, [seed + 2; 16])],
    }
}

static REPLICA: LazyLock<Keys> = LazyLock::new(|| Keyring::new(CLUSTER, KeyClass::Replica, &all(1)).into());
static READER: LazyLock<Keys> = LazyLock::new(|| {
    let keys = GenerationKeys { replica: None, publishers: Vec::new(), ..all(1) };
    Keyring::new(CLUSTER, KeyClass::Reader, &keys).into()
});
static PUBLISHER: LazyLock<Keys> = LazyLock::new(|| {
    let keys = GenerationKeys { replica: None, ..all(1) };
    Keyring::new(CLUSTER, KeyClass::Publisher(0), &keys).into()
});
static OTHER: LazyLock<Keys> =
    LazyLock::new(|| Keyring::new(OTHER_CLUSTER, KeyClass::Replica, &all(11)).into());

/// The ring of replicas and archivers, and of the judge, who may read everything.
pub(super) fn replica() -> &'static Keys {
    &REPLICA
}

/// The ring of readers.
pub(super) fn reader() -> &'static Keys {
    &READER
}

/// The ring of publishers.
pub(super) fn publisher() -> &'static Keys {
    &PUBLISHER
}

/// The ring of the other cluster's replicas.
pub(super) fn other_cluster() -> &'static Keys {
    &OTHER
}
