//! The checkers: an oracle outside the system that sees every log, every datagram and every delivery.
//! It knows the rules as sentences, not the code that keeps them.
//!
//! * [`tree`] holds every frame that was ever stamped: S1, S5's start, S8 in every single log.
//! * [`ghost`] counts for itself what is committed, from what replicas really hold: S4, S5, S6.
//! * `replicas` watches logs and promises, `words` what is said of them: S1, S2, S3, S7, S9, S11.
//! * `founding` knows which history is left, and what it had: LINEAGE-1 to LINEAGE-3.
//! * `clients` watches what is delivered and which fates are told: S10 and the four promises.

mod clients;
mod founding;
pub mod ghost;
mod replicas;
pub mod tree;
mod words;

pub use founding::FoundingSaid;
pub use words::Sent;

use super::coverage::Coverage;
use crate::proto::commit::Durability;
use crate::wire::{Epoch, Identity, PublisherId, PublisherSeq, Seq};
use clients::{Reader, Writer};
use founding::Founded;
use ghost::Ghost;
use replicas::{Ballots, Voice};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use tree::{Node, Tree};

/// What went wrong, in words, with the rule's id in front.
pub type Violation = String;

/// A message: whose, its number, and a digest of its payload.
pub type Key = (PublisherId, PublisherSeq, u64);

/// FNV-1a: enough to tell payloads apart in a test.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Oracle {
    cluster: u64,
    durability: Durability,
    /// Every frame.
    pub tree: Tree,
    /// What is committed.
    pub ghost: Ghost,
    /// Who has ever been handed in what.
    published: BTreeSet<Key>,
    /// Digests of committed messages of the edge that came in parts.
    pub whole: BTreeSet<u64>,
    voices: BTreeMap<usize, Voice>,
    /// Where logs ended that replicas exchanged in their last turn: what they said before is about these.
    exchanged: BTreeMap<usize, Vec<Node>>,
    writers: BTreeMap<usize, Writer>,
    readers: BTreeMap<usize, Reader>,
    ballots: BTreeMap<Epoch, Ballots>,
    /// In which run of which process an epoch is stamped.
    stamping: BTreeMap<Epoch, u64>,
    /// Identities that may have forgotten something.
    forgotten: BTreeSet<Identity>,
    /// Requests, by asker and token: the epoch that they follow, and whether they ask for a start.
    /// A process that begins anew counts its tokens from 1 again.
    asked: BTreeMap<(SocketAddrV4, u64), Vec<(Epoch, bool)>>,
    /// The history that was founded on what was left of the first one.
    founding: Option<Founded>,
    /// What was generated.
    pub coverage: Coverage,
}

impl Oracle {
    /// For a cluster whose acks mean this.
    pub fn new(cluster: u64, durability: Durability) -> Self {
        Self {
            cluster,
            durability,
            tree: Tree::default(),
            ghost: Ghost::default(),
            published: BTreeSet::new(),
            whole: BTreeSet::new(),
            voices: BTreeMap::new(),
            exchanged: BTreeMap::new(),
            writers: BTreeMap::new(),
            readers: BTreeMap::new(),
            ballots: BTreeMap::new(),
            stamping: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            asked: BTreeMap::new(),
            founding: None,
            coverage: Coverage::default(),
        }
    }

    /// S9: this identity may have forgotten something. It never counts again.
    pub fn on_forgotten(&mut self, identity: Identity) {
        self.forgotten.insert(identity);
    }

    /// The exclusive bound of what is committed.
    pub fn commit_next(&self) -> Seq {
        self.tree.next(self.ghost.tip())
    }
}
