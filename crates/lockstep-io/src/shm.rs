//! # shm: the memory of one host as a [`Net`]
//!
//! Each process has two rings that it alone writes, one for groups and one for unicast, in a file of its own;
//! all others map it and read. The datagrams are the same as on the network, so the engines notice no
//! difference. A datagram costs two copies, in and out, and a cache line or two that move between cores: no
//! system call, no lock, no waiting.
//!
//! ```text
//!   process A                          /dev/shm/lockstep-rings-…            process B
//!   send_group ──copy──▶ ring-a: groups │ unicast ──────copy──▶ recv_groups, recv_unicast
//!   recv_*  ◀──copy───── ring-b: groups │ unicast ◀─────copy─── send_*
//! ```
//!
//! * A reader skips datagrams for groups that it has not joined, and datagrams for others. It never writes to
//!   a ring, so a slow, stopped or dead reader harms no other process: it is overtaken, and counts its loss
//!   ([`Net::dropped`]).
//! * A lent datagram is a copy, since the writer overwrites its ring at any time.
//! * A late process receives what is sent from then on, as one that joins a group does. No process misses the
//!   first datagrams of a newcomer.
//! * No descriptor signals a change of memory. A thread that parks therefore sleeps for at most a tenth of a
//!   millisecond once its process has such a device (`io::idle`). A wake-up would cost each writer a fence
//!   and a check of each reader for each datagram, and processes that need low latency do not park.

mod beside;
mod folder;
mod host;
mod inbox;
mod members;
mod peers;
mod relay;
mod ring;

pub use beside::Beside;
pub use host::HostMemory;
pub use relay::{Relay, RelayCounts, RelaySettings, Relayed};

use crate::idle;
use crate::{Effective, IoError};
use folder::{Mapped, ShmFolder, ShmRole};
use inbox::ShmInbox;
use lockstep_core::engine::counters::counter_group;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_wire::{packed_address, unpacked_address};
use members::ShmMembers;
use peers::Peers;
use ring::{Writer, ring_words};
use std::io::ErrorKind;
use std::net::SocketAddrV4;
use std::path::PathBuf;

/// The most datagrams that one receive lends.
const DATAGRAMS_PER_RECEIVE: usize = 64;
/// The kind of unicast records; those of groups are numbered from 1.
const UNICAST: u8 = 4;

/// The kind of records for this group.
fn group_kind(group: Group) -> u8 {
    group as u8 + 1
}

/// The factor by which the unicast ring is smaller than the group ring.
const UNICAST_SHARE: usize = 4;
/// Longest datagram: the limit of UDP.
const DATAGRAM_LEN_MAX: usize = 65_535 - 28;

/// How to open a [`Shm`].
#[derive(Clone, Debug)]
pub struct ShmSettings {
    /// The folder of the clusters' folders; `/dev/shm` is memory.
    pub parent: PathBuf,
    /// The cluster's first group and its port, after which the folder is named.
    pub group: SocketAddrV4,
    /// This process's unicast address; port 0 chooses a port that no process here has.
    pub address: SocketAddrV4,
    /// The groups that this node receives at first.
    pub joins: Vec<Group>,
    /// Largest datagram in bytes.
    pub datagram_len_max: usize,
    /// The least size of the group ring in bytes: how far a reader may fall behind. The unicast ring has a
    /// quarter.
    pub ring_bytes: usize,
}

/// A folder in memory.
const PARENT: &str = "/dev/shm";

/// Refuses a device without memory if other processes of the cluster use memory: it would not receive from
/// them.
///
/// # Errors
/// One of them runs.
pub fn is_unused(group: SocketAddrV4) -> Result<(), IoError> {
    let folder = ShmFolder::new(PARENT.as_ref(), group);
    // A folder that cannot be used is assumed to belong to no process of this cluster.
    let others = || folder.lock_existing().and_then(|locked| locked.others(&[])).unwrap_or_default();
    if !folder.path().exists() || others().is_empty() {
        return Ok(());
    }
    let doing = format!(
        "open a device without shared memory: other processes of this host exchange datagrams of groups by \
         memory ({}) and would not be received; set `network.shm = true` here too",
        folder.path().display()
    );
    Err(IoError::because(doing, ErrorKind::InvalidInput, "all processes of a host have to be alike"))
}

impl ShmSettings {
    /// All groups joined, Ethernet's datagrams, 4 MiB as a socket has, in `/dev/shm`.
    pub fn new(group: SocketAddrV4, address: SocketAddrV4) -> Self {
        Self {
            parent: PARENT.into(),
            group,
            address,
            joins: vec![Group::Submit, Group::Data, Group::Control],
            datagram_len_max: 1500 - 28,
            ring_bytes: 4 << 20,
        }
    }
}

counter_group! {
    /// The counts of a [`Shm`] since it was opened.
    pub struct ShmCounts {
        datagrams_in count "shm_datagrams_in" "Datagrams received by memory.",
        datagrams_out count "shm_datagrams_out" "Datagrams put into our rings.",
        bytes_in count "shm_in_bytes" "Bytes received by memory.",
        bytes_out count "shm_out_bytes" "Bytes put into our rings.",
        dropped count "shm_dropped" "Datagrams overwritten before they were read, whatever their destination.",
        truncated count "shm_truncated" "Datagrams longer than any of ours may be.",
        forbidden_sends count "shm_forbidden_sends" "Sends that broke a limit and were not made: a bug of the caller.",
        members gauge "shm_members" "Other processes whose rings we read.",
        refused_members gauge "shm_refused_members" "Files of the folder that cannot be used: of another release, or damaged.",
        broken_rings count "shm_broken_rings" "Invalid rings that are no longer read.",
    }
}

/// The rings of this process, and those of all others.
pub struct Shm {
    groups: Writer<Mapped, 0>,
    unicast: Writer<Mapped, 2>,
    peers: Peers,
    joined: [bool; 3],
    group_inbox: ShmInbox,
    unicast_inbox: ShmInbox,
    address: SocketAddrV4,
    datagram_len_max: usize,
    counts: ShmCounts,
    effective: Vec<Effective>,
}

impl Shm {
    /// Makes this process's rings, and maps those of all running processes. From now on no thread of this
    /// process parks for long.
    ///
    /// # Errors
    /// The folder may be changed by others, is full, or has no room; it has files that are not rings or of
    /// another release; another process has the address.
    pub fn open(settings: ShmSettings) -> Result<Self, IoError> {
        let len_max = settings.datagram_len_max;
        if len_max == 0 || len_max > DATAGRAM_LEN_MAX {
            let doing = format!("use datagrams of {len_max} bytes in memory: 1 to {DATAGRAM_LEN_MAX} can be");
            return Err(IoError::because(doing, ErrorKind::InvalidInput, "settings cannot work"));
        }
        let folder = ShmFolder::new(&settings.parent, settings.group);
        let path = folder.path().display().to_string();
        let words = [
            ring_words::<0>(settings.ring_bytes, len_max),
            ring_words::<2>(settings.ring_bytes / UNICAST_SHARE, len_max),
        ];
        let (members, rings, peers) = ShmMembers::join(folder, ShmRole::Member, settings.address, words)?;
        idle::watches_memory();
        Ok(Self {
            groups: Writer::new(rings.groups),
            unicast: Writer::new(rings.unicast),
            peers: Peers::new(members, peers),
            joined: Group::ALL.map(|group| settings.joins.contains(&group)),
            group_inbox: ShmInbox::new(DATAGRAMS_PER_RECEIVE, len_max),
            unicast_inbox: ShmInbox::new(DATAGRAMS_PER_RECEIVE, len_max),
            address: rings.address,
            datagram_len_max: len_max,
            counts: ShmCounts::default(),
            effective: vec![
                Effective::granted("shm", path),
                Effective::granted("shm_rings", format!("{} KiB", words.iter().sum::<usize>() / 128)),
            ],
        })
    }

    /// Each setting with the value in force.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The counts so far.
    pub fn counts(&self) -> ShmCounts {
        let [groups, unicast] = [&self.group_inbox, &self.unicast_inbox];
        ShmCounts {
            dropped: groups.lost + unicast.lost,
            truncated: groups.truncated + unicast.truncated,
            broken_rings: groups.broken + unicast.broken,
            members: self.peers.there() as u64,
            refused_members: self.peers.refused(),
            ..self.counts
        }
    }

    /// The address at which other processes reach this one.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Whether a process with this address reads our rings.
    #[inline]
    pub fn reaches(&self, address: SocketAddrV4) -> bool {
        self.peers.have(packed_address(address))
    }
}

impl Net for Shm {
    #[inline]
    fn recv_groups(&mut self) -> usize {
        self.peers.read_groups(self.joined, &mut self.group_inbox);
        self.counts.datagrams_in += self.group_inbox.len() as u64;
        self.counts.bytes_in += self.group_inbox.bytes;
        self.group_inbox.len()
    }

    #[inline]
    fn is_drained(&self) -> bool {
        !self.group_inbox.is_full()
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        self.group_inbox.datagram(index)
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        let own = packed_address(self.address);
        let wants = |kind: u8, [_, to]: [u64; 2]| kind == UNICAST && to == own;
        self.peers.read(&mut self.unicast_inbox, |peer, inbox| {
            peer.unicast.read(wants, inbox);
        });
        self.counts.datagrams_in += self.unicast_inbox.len() as u64;
        self.counts.bytes_in += self.unicast_inbox.bytes;
        self.peers.dismiss();
        self.unicast_inbox.len()
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        (self.unicast_inbox.datagram(index), unpacked_address(self.unicast_inbox.from(index)))
    }

    /// Takes all datagrams, whether any process reads them or not; an oversized burst ends the send.
    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let mut taken = 0;
        for burst in bursts.iter().filter(|burst| !burst.bytes.is_empty()) {
            if burst.stride == 0 || burst.stride.min(burst.bytes.len()) > self.datagram_len_max {
                self.counts.forbidden_sends += 1;
                break;
            }
            for datagram in burst.bytes.chunks(burst.stride) {
                self.groups.push(group_kind(group), [], [datagram, &[]]);
                taken += 1;
            }
            self.counts.bytes_out += burst.bytes.len() as u64;
        }
        self.counts.datagrams_out += taken as u64;
        taken
    }

    /// Like UDP, it takes datagrams that may never be read.
    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        let bytes = parts[0].len() + parts[1].len();
        if bytes > self.datagram_len_max || to.ip().is_multicast() {
            self.counts.forbidden_sends += 1;
            return false;
        }
        self.unicast.push(UNICAST, [packed_address(self.address), packed_address(to)], parts);
        self.counts.datagrams_out += 1;
        self.counts.bytes_out += bytes as u64;
        true
    }

    #[inline]
    fn dropped(&self) -> u64 {
        self.group_inbox.lost + self.unicast_inbox.lost
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.joined[group as usize] = joined;
    }
}
