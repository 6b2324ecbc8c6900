//! The keys of the simulated cluster: one ring for each class of processes, the same in every seed. They have
//! been rotated once: generation 0 is retired, and 1 seals.

use super::check::digest;
use super::machine::CLUSTER;
use lockstep_wire::{
    GenerationKeys, KeyClass, KeyHolder, KeyRights, Keyring, Keys, OperatorKey, OrderBody, OrderView,
    PublicKey, Signature,
};
use std::sync::LazyLock;

/// The cluster in the same groups that sends what it should not.
pub(super) const OTHER_CLUSTER: u64 = CLUSTER + 1;

/// The number of the bad publisher's key.
const BAD: u16 = 1;
/// The number and the name of the operator's key.
const OPERATOR: (u16, &str) = (2, "operator");
/// The public key of that operator.
const PUBLIC: PublicKey = [0x0f; 32];

fn all(seed: u8) -> GenerationKeys {
    GenerationKeys {
        replica: Some([seed; 16]),
        reader: [seed + 1; 16],
        publishers: vec![(0, [seed + 2; 16]), (BAD, [seed + 3; 16]), (OPERATOR.0, [seed + 4; 16])],
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
    let public = PUBLIC.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let orders = [
        "names=nobody",
        "orders=handover,declare-dead,membership,day,upgrade,time",
        &format!("public={public}"),
    ];
    let holder = |key, name: &str, rights: &[&str]| KeyHolder {
        key,
        name: name.to_owned(),
        rights: KeyRights::parse(rights.iter().copied()).expect("rights"),
    };
    ring.set_rights([holder(BAD, "bad", &["names=bad/*"]), holder(OPERATOR.0, OPERATOR.1, &orders)]);
    ring.set_order_verifier(|public, signed, signature| signature_of(public, signed) == *signature);
    ring.into()
});
static OPERATOR_RING: LazyLock<Keys> =
    LazyLock::new(|| ring(KeyClass::Publisher(OPERATOR.0), &without_replicas(1)).into());
static OPERATOR_KEY: LazyLock<OperatorKey> =
    LazyLock::new(|| OperatorKey::new(CLUSTER, OPERATOR, |signed| signature_of(&PUBLIC, signed)));

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

/// The ring of the operator. Its key without the operator's secret gives no orders.
pub(super) fn operator() -> &'static Keys {
    &OPERATOR_RING
}

/// What signs for the operator.
pub(super) fn operator_key() -> &'static OperatorKey {
    &OPERATOR_KEY
}

/// A signature of the holder of `public`, in place of ed25519: nobody here calls it for another.
fn signature_of(public: &PublicKey, signed: &[u8]) -> Signature {
    let sums = [digest(signed), digest(&[signed, public].concat())].map(u64::to_le_bytes).concat();
    std::array::from_fn(|at| if at < 32 { public[at] } else { sums[at % 16] })
}

/// AUTH-9: a recorded order is signed by its operator, unless a replica's key gave it.
pub(super) fn check_order(order: &OrderView<'_>) -> Result<(), String> {
    let holds = match order.signature {
        Some(signature) => signature_of(&PUBLIC, &order.signed(CLUSTER)) == *signature,
        None => order.body.key == OrderBody::NO_KEY,
    };
    if holds { Ok(()) } else { Err(format!("AUTH-9: nobody has signed the order {:?}", order.body)) }
}

/// The ring of the other cluster's replicas.
pub(super) fn other_cluster() -> &'static Keys {
    &OTHER
}
