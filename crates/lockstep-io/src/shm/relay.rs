//! # relay: the datagrams of an xdp owner, for the other processes of its host
//!
//! The program on a card takes the datagrams of the groups away from every socket of the host. So the owner
//! puts the datagrams that it takes from the card into a ring that all others read, whatever groups it has
//! joined itself. Datagrams that come by the kernel's sockets reach the others there as well, and are not
//! relayed.
//!
//! ```text
//!  card ─▶ owner ─▶ its engine            /dev/shm/lockstep-card-…
//!             └──copy──▶ ring of the owner ──copy──▶ Relayed: a listener, beside its own sockets
//!  card ─▶ kernel ─────────────────────── sockets ─▶ the same, where no program is on the card
//! ```
//!
//! A frame goes to the program or to the kernel, never to both: no process receives it twice. A process that
//! listens leaves its sockets joined. So it continues to receive when the owner dies, as the program ends
//! with the owner; and a new owner's ring is read from the beginning, whenever it is found. A folder for each
//! card and cluster lists the present processes, by means of [`super::folder`].

use super::folder::{Mapped, OwnRings, ShmFolder, ShmRole};
use super::inbox::ShmInbox;
use super::members::ShmMembers;
use super::peers::Peers;
use super::ring::{Writer, ring_words};
use super::{DATAGRAMS_PER_RECEIVE, PARENT, group_kind};
use crate::{Effective, IoError, idle};
use lockstep_core::engine::ports::{Burst, Group, Net};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// The card whose owner relays, and the cluster whose datagrams it relays.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// The folder of the folders; `/dev/shm` is memory.
    pub parent: PathBuf,
    /// The index of the interface.
    pub card: u32,
    /// The line's first group and its port, after which the folder is named as well.
    pub group: SocketAddrV4,
    /// The groups that a listener receives at first.
    pub joins: Vec<Group>,
    /// Largest datagram in bytes.
    pub datagram_len_max: usize,
    /// The least size of the owner's ring in bytes: how far a listener may fall behind.
    pub ring_bytes: usize,
}

impl RelaySettings {
    /// All groups joined, Ethernet's datagrams, 4 MiB as a socket has, in `/dev/shm`.
    pub fn new(card: u32, group: SocketAddrV4) -> Self {
        Self {
            parent: PARENT.into(),
            card,
            group,
            joins: Group::ALL.to_vec(),
            datagram_len_max: 1500 - 28,
            ring_bytes: 4 << 20,
        }
    }

    fn folder(&self) -> ShmFolder {
        ShmFolder::of_card(&self.parent, self.card, self.group)
    }

    /// The process that owns the card and relays what it receives, by its number in its own namespace; `None`
    /// if there is no such process.
    pub fn owner(&self) -> Option<u32> {
        let folder = self.folder();
        let others = folder.lock_existing().and_then(|locked| locked.others(&[])).unwrap_or_default();
        others.into_iter().flatten().find_map(|found| found.owner_of_card())
    }
}

/// No process is reached through these files: an address only distinguishes them.
const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// The owner's end.
pub struct Relay {
    ring: Writer<Mapped, 0>,
    folder: ShmFolder,
    own: OwnRings,
    effective: Effective,
}

impl Relay {
    /// Makes the ring.
    ///
    /// # Errors
    /// As [`super::Shm::open`].
    pub fn open(settings: &RelaySettings) -> Result<Self, IoError> {
        let folder = settings.folder();
        let words = [ring_words::<0>(settings.ring_bytes, settings.datagram_len_max), ring_words::<2>(0, 0)];
        let locked = folder.lock()?;
        let (own, rings) = locked.make(ShmRole::Owner, NOWHERE, &locked.all_others()?, words)?;
        drop(locked);
        let effective = Effective::granted("relay", folder.path().display());
        Ok(Self { ring: Writer::new(rings.groups), folder, own, effective })
    }

    /// The setting that reports the ring.
    pub fn effective(&self) -> &Effective {
        &self.effective
    }

    /// Relays a datagram; one that is longer than the settings allow is dropped.
    #[inline]
    pub fn push(&mut self, group: Group, datagram: &[u8]) -> bool {
        self.ring.push(group_kind(group), [], [datagram, &[]])
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Without the lock the file stays until the next process comes.
        if let Ok(locked) = self.folder.lock_existing() {
            locked.leave(&self.own);
        }
    }
}

/// The counts of a [`Relayed`] over owners.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RelayCounts {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Datagrams that were overwritten before they were read, whatever their group.
    pub dropped: u64,
    /// Present owners: one or none, except for a moment.
    pub owners: u64,
}

/// A network, and the datagrams that the owner of its card receives.
pub struct Relayed<N> {
    network: N,
    peers: Peers,
    inbox: ShmInbox,
    joined: [bool; 3],
    counts: RelayCounts,
}

impl<N: Net> Relayed<N> {
    /// Listens to the owner of the card of `network`, now or later.
    ///
    /// # Errors
    /// As [`super::Shm::open`].
    pub fn open(settings: &RelaySettings, network: N) -> Result<Self, IoError> {
        let words = [ring_words::<0>(0, 0), ring_words::<2>(0, 0)];
        let (members, _, peers) = ShmMembers::join(settings.folder(), ShmRole::Listener, NOWHERE, words)?;
        idle::watches_memory();
        Ok(Self {
            network,
            peers: Peers::new(members, peers),
            inbox: ShmInbox::new(DATAGRAMS_PER_RECEIVE, settings.datagram_len_max),
            joined: Group::ALL.map(|group| settings.joins.contains(&group)),
            counts: RelayCounts::default(),
        })
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The counts over owners so far.
    pub fn relay_counts(&self) -> RelayCounts {
        RelayCounts { dropped: self.inbox.lost, owners: self.peers.there() as u64, ..self.counts }
    }
}

impl<N: Net> Net for Relayed<N> {
    #[inline]
    fn recv_groups(&mut self) -> usize {
        self.peers.read_groups(self.joined, &mut self.inbox);
        self.peers.dismiss();
        self.counts.datagrams_in += self.inbox.len() as u64;
        self.counts.bytes_in += self.inbox.bytes;
        self.inbox.len() + self.network.recv_groups()
    }

    #[inline]
    fn is_drained(&self) -> bool {
        !self.inbox.is_full() && self.network.is_drained()
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match index.checked_sub(self.inbox.len()) {
            None => self.inbox.datagram(index),
            Some(index) => self.network.group_datagram(index),
        }
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        self.network.recv_unicast()
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        self.network.unicast_datagram(index)
    }

    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        self.network.send_group(group, bursts)
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.network.send_unicast(to, parts)
    }

    #[inline]
    fn dropped(&self) -> u64 {
        self.inbox.lost + self.network.dropped()
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.joined[group as usize] = joined;
        self.network.set_joined(group, joined);
    }
}
