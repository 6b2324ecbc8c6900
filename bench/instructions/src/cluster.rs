//! The world's cluster: journals of its own, formatted, and a history begun. Nothing of it has a socket, so
//! its addresses are names. Its limits are those of a configuration's defaults.

use crate::MTU;
use crate::frames::{CLUSTER, HISTORY};
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::window::Window;
use lockstep_io::IoError;
use lockstep_io::key_file::KeyFile;
use lockstep_node::io::journal_files::{self, JournalConfig, draw_incarnation};
use lockstep_node::local::Folders;
use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::journal::SEGMENT_LEN_MIN;
use lockstep_wire::{Identity, KeyClass, Keys, MemberBody, frame_len_max};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The ring comes round several times in a measurement, so that its turn is paid for.
const RING_BYTES: u64 = 256 << 10;

/// Where process `process` is: replica `process` + 1, or one of those who publish and read.
pub fn address(process: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7_001 + process as u16)
}

/// Replicas that have their journals, and the history on the first one's.
pub struct Cluster {
    folders: Folders,
    keys: KeyFile,
    /// Its number.
    pub number: u64,
    /// The id of the history.
    pub history: u64,
    /// The members, replica 1 first.
    pub identities: Vec<Identity>,
}

/// What a replica needs to know.
pub struct Node {
    /// Its journal.
    pub journal: JournalConfig,
    /// How much may be stamped and not committed.
    pub window: Window,
    /// Most names of publishers.
    pub publishers_max: u32,
    /// The leader's heartbeat interval.
    pub heartbeat: HeartbeatLimits,
}

impl Cluster {
    /// A cluster of `replicas`, formatted and begun.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn new(replicas: u32) -> Result<Self, String> {
        let fails = |error: IoError| error.to_string();
        let folders = Folders::create("lockstep-instructions").map_err(fails)?;
        let keys = KeyFile::draw(CLUSTER).map_err(fails)?;
        let mut cluster = Self { folders, keys, number: CLUSTER, history: HISTORY, identities: Vec::new() };
        for replica in 1..=replicas {
            let identity = Identity { replica, incarnation: draw_incarnation().map_err(fails)? };
            let formatted = journal_files::format(&cluster.node(replica).journal.dir, CLUSTER, identity);
            cluster.identities.push(formatted.map_err(|error| error.to_string())?.identity);
        }
        let member = |(process, &identity): (usize, &Identity)| MemberBody::full(identity, address(process));
        let members: Vec<MemberBody> = cluster.identities.iter().enumerate().map(member).collect();
        let mut first = journal_files::open(&cluster.node(1).journal).map_err(|error| error.to_string())?;
        bootstrap(&mut first.opened.tail, &cluster.keys(KeyClass::Replica), HISTORY, &members)?;
        Ok(cluster)
    }

    /// The keys of a process.
    pub fn keys(&self, class: KeyClass) -> Keys {
        self.keys.export(class).ring().into()
    }

    /// What `replica`, from 1, needs to know.
    pub fn node(&self, replica: u32) -> Node {
        // Journals of a measurement lie in memory, as tails do.
        let path = |name: &str| self.folders.memory().join(format!("{name}-{replica}"));
        Node {
            journal: JournalConfig {
                dir: path("journal"),
                tail: path("tail"),
                tail_len: RING_BYTES,
                segment_len: SEGMENT_LEN_MIN,
                cluster: CLUSTER,
                replica,
                power: false,
                frame_len_max: frame_len_max(MTU),
            },
            window: Window { entries: 65_536, bytes: 8 << 20 },
            publishers_max: 100_000,
            heartbeat: HeartbeatLimits::default(),
        }
    }
}
