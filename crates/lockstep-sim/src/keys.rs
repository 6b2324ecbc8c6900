//! The keys of the simulated cluster: one ring for each class of processes, the same in every seed. They have
//! been rotated once: generation 0 is retired, and 1 seals.

use super::machine::CLUSTER;
use lockstep_wire::{GenerationKeys, KeyClass, KeyHolder, KeyRights, Keyring, Keys};
use std::sync::LazyLock;

/// The cluster in the same groups that sends what it should not.
pub(super) const OTHER_CLUSTER: u64 = CLUSTER + 1;

/// The number of the bad publisher's key.
const BAD: u16 = 1;

fn all(seed: u8) -> GenerationKeys {
    GenerationKeys {
        replica: Some([seed; 16]),
        reader: [seed + 1; 16],
        publishers: vec![(0, [seed + 2; 16]), (BAD, [seed + 3; 16])],
    }
}

/// A ring of `class` with these keys, and those of the retired generation.
fn ring(class: KeyClass, keys: &GenerationKeys) -> Keyring {
    let ring = Keyring::empty(CLUSTER, class);
    for (generation, keys) in [(0, &all(21)), (1, keys)] {
        ring.add(generation, keys).expect("the ring is empty");
    }
    ring.set_generations(1, 0b10);
    ring
}

/// Reads and publishes, and is no replica.
fn without_replicas(seed: u8) -> GenerationKeys {
    GenerationKeys { replica: None, ..all(seed) }
}

static REPLICA: LazyLock<Keys> = LazyLock::new(|| {
    let ring = ring(KeyClass::Replica, &all(1));
    let rights = KeyRights::parse(["names=bad/*"]).expect("a right");
    ring.set_rights([KeyHolder { key: BAD, name: "bad".to_owned(), rights }]);
    ring.into()
});
static UNKEYED: LazyLock<Keys> = LazyLock::new(|| Keyring::none(CLUSTER).into());
static PRETENDER: LazyLock<Keys> = LazyLock::new(|| {
    let keys = GenerationKeys { replica: Some([99; 16]), ..all(1) };
    ring(KeyClass::Replica, &keys).into()
});
static RETIRED: LazyLock<Keys> = LazyLock::new(|| {
    let ring = ring(KeyClass::Replica, &all(1));
    ring.set_generations(0, 0b01);
    ring.into()
});
static BAD_PUBLISHER: LazyLock<Keys> =
    LazyLock::new(|| ring(KeyClass::Publisher(BAD), &without_replicas(1)).into());
static READER: LazyLock<Keys> = LazyLock::new(|| ring(KeyClass::Reader, &without_replicas(1)).into());
static PUBLISHER: LazyLock<Keys> =
    LazyLock::new(|| ring(KeyClass::Publisher(0), &without_replicas(1)).into());
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

/// The ring of one that has no key.
pub(super) fn unkeyed() -> &'static Keys {
    &UNKEYED
}

/// The ring of a reader that poses as a replica: it has the readers' key, and not the replicas'.
pub(super) fn pretender() -> &'static Keys {
    &PRETENDER
}

/// The ring of one that has the replicas' keys of a retired generation.
pub(super) fn retired() -> &'static Keys {
    &RETIRED
}

/// The ring of a publisher that submits what its rights do not allow.
pub(super) fn bad_publisher() -> &'static Keys {
    &BAD_PUBLISHER
}

/// The ring of the other cluster's replicas.
pub(super) fn other_cluster() -> &'static Keys {
    &OTHER
}
