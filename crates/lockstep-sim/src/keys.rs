//! The keys of the simulated cluster: one ring for each class of processes, the same in every seed. They have
//! been rotated once: generation 0 is retired, and 1 seals. In a year they are rotated while processes run,
//! and each node has rings of its own.

use crate::check::digest;
use crate::kinds::RotationStep;
use crate::machine::CLUSTER;
use crate::plan::Plan;
use lockstep_wire::{
    GenerationKeys, KeyClass, KeyHolder, KeyRights, Keyring, Keys, OperatorKey, OrderBody, OrderView,
    PublicKey, Signature,
};
use std::sync::LazyLock;

/// The cluster in the same groups that sends what it should not.
pub(crate) const OTHER_CLUSTER: u64 = CLUSTER + 1;

/// The number of the bad publisher's key.
const BAD: u16 = 1;
/// The number and the name of the operator's key.
const OPERATOR: (u16, &str) = (2, "operator");
/// The public key of that operator.
const PUBLIC: PublicKey = [0x0f; 32];
/// The generation that seals at the beginning, and the last one that is rotated to.
pub(crate) const FIRST: u8 = 1;
const LAST: u8 = 11;

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
    for (generation, keys) in [(0, &all(21)), (FIRST, keys)] {
        ring.add(generation, keys).expect("the ring is empty");
    }
    ring.set_generations(FIRST, 1 << FIRST);
    ring
}

/// The seed of the keys of a generation that is rotated to.
fn seed_of(generation: u8) -> u8 {
    assert!((FIRST + 1..=LAST).contains(&generation), "nobody rotates to generation {generation}");
    20 * generation + 1
}

/// Reads and publishes, and is no replica.
fn without_replicas(seed: u8) -> GenerationKeys {
    GenerationKeys { replica: None, ..all(seed) }
}

static REPLICA: LazyLock<Keys> = LazyLock::new(replica_ring);
static JUDGE: LazyLock<Keys> = LazyLock::new(|| {
    let ring = ring(KeyClass::Replica, &all(1));
    let later = FIRST + 1..=LAST;
    for generation in later.clone() {
        ring.add(generation, &all(seed_of(generation))).expect("the ring has no such generation");
    }
    ring.set_generations(FIRST, later.fold(1 << FIRST, |bits, generation| bits | 1 << generation));
    ring.into()
});

fn replica_ring() -> Keys {
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
}

static OPERATOR_RING: LazyLock<Keys> = LazyLock::new(|| outer_ring(KeyClass::Publisher(OPERATOR.0)));
static OPERATOR_KEY: LazyLock<OperatorKey> =
    LazyLock::new(|| OperatorKey::new(CLUSTER, OPERATOR, |signed| signature_of(&PUBLIC, signed)));

/// The ring of a process that is no replica.
fn outer_ring(class: KeyClass) -> Keys {
    ring(class, &without_replicas(1)).into()
}

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
static BAD_PUBLISHER: LazyLock<Keys> = LazyLock::new(|| outer_ring(KeyClass::Publisher(BAD)));
static READER: LazyLock<Keys> = LazyLock::new(|| outer_ring(KeyClass::Reader));
static PUBLISHER: LazyLock<Keys> = LazyLock::new(|| outer_ring(KeyClass::Publisher(0)));
static OTHER: LazyLock<Keys> =
    LazyLock::new(|| Keyring::new(OTHER_CLUSTER, KeyClass::Replica, &all(11)).into());

/// The rings of the processes at one node, and of an operator there.
#[derive(Clone)]
pub(crate) struct HostKeys {
    /// Of its replica or archiver.
    pub(crate) replica: Keys,
    /// Of its readers.
    pub(crate) reader: Keys,
    /// Of its publishers.
    pub(crate) publisher: Keys,
    /// Of the operator. Its key without the operator's secret gives no orders.
    pub(crate) operator: Keys,
}

impl HostKeys {
    /// Those of a node in a run of this plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        if plan.months > 0 { Self::own() } else { Self::shared() }
    }

    /// Those of every node, where the keys stay.
    fn shared() -> Self {
        Self {
            replica: REPLICA.clone(),
            reader: READER.clone(),
            publisher: PUBLISHER.clone(),
            operator: OPERATOR_RING.clone(),
        }
    }

    /// Rings of this node alone, with the same keys until they are rotated.
    fn own() -> Self {
        Self {
            replica: replica_ring(),
            reader: outer_ring(KeyClass::Reader),
            publisher: outer_ring(KeyClass::Publisher(0)),
            operator: outer_ring(KeyClass::Publisher(OPERATOR.0)),
        }
    }

    /// This node takes a step of a rotation, while its processes run.
    pub(crate) fn take(&self, step: RotationStep) {
        for ring in [&self.replica, &self.reader, &self.publisher, &self.operator] {
            let (sealing, accepted) = ring.generations();
            match step {
                RotationStep::Accept(new) => {
                    let keys = match ring.own() {
                        Some(KeyClass::Replica) => all(seed_of(new)),
                        _ => without_replicas(seed_of(new)),
                    };
                    ring.add(new, &keys).expect("the ring has no such generation");
                    ring.set_generations(sealing, accepted | 1 << new);
                }
                RotationStep::Seal(new) => ring.set_generations(new, accepted),
                RotationStep::Retire(old) => ring.set_generations(sealing, accepted & !(1 << old)),
                RotationStep::Forget(old) => ring.forget_but(!(1 << old)),
            }
        }
    }
}

/// The ring of replicas and archivers whose keys stay.
pub(crate) fn replica() -> &'static Keys {
    &REPLICA
}

/// The ring of the judge, who may read everything that a process sends, whatever it seals with.
pub(crate) fn judge() -> &'static Keys {
    &JUDGE
}

/// The ring of readers.
pub(crate) fn reader() -> &'static Keys {
    &READER
}

/// The ring of publishers.
pub(crate) fn publisher() -> &'static Keys {
    &PUBLISHER
}

/// The ring of one that has no key.
pub(crate) fn unkeyed() -> &'static Keys {
    &UNKEYED
}

/// The ring of a reader that poses as a replica: it has the readers' key, and not the replicas'.
pub(crate) fn pretender() -> &'static Keys {
    &PRETENDER
}

/// The ring of one that has the replicas' keys of a retired generation.
pub(crate) fn retired() -> &'static Keys {
    &RETIRED
}

/// The ring of a publisher that submits what its rights do not allow.
pub(crate) fn bad_publisher() -> &'static Keys {
    &BAD_PUBLISHER
}

/// What signs for the operator.
pub(crate) fn operator_key() -> &'static OperatorKey {
    &OPERATOR_KEY
}

/// A signature of the holder of `public`, in place of ed25519: nobody here calls it for another.
fn signature_of(public: &PublicKey, signed: &[u8]) -> Signature {
    let sums = [digest(signed), digest(&[signed, public].concat())].map(u64::to_le_bytes).concat();
    std::array::from_fn(|at| if at < 32 { public[at] } else { sums[at % 16] })
}

/// AUTH-9: a recorded order is signed by its operator, unless a replica's key gave it.
pub(crate) fn check_order(order: &OrderView<'_>) -> Result<(), String> {
    let holds = match order.signature {
        Some(signature) => signature_of(&PUBLIC, &order.signed(CLUSTER)) == *signature,
        None => order.body.key == OrderBody::NO_KEY,
    };
    if holds { Ok(()) } else { Err(format!("AUTH-9: nobody has signed the order {:?}", order.body)) }
}

/// The ring of the other cluster's replicas.
pub(crate) fn other_cluster() -> &'static Keys {
    &OTHER
}
