//! The rings of others, and the order in which they are read.

use super::folder::MEMBERS_MAX;
use super::inbox::ShmInbox;
use super::members::{ShmMemberChange, ShmMembers, ShmPeer};
use std::sync::atomic::Ordering;

/// The number of receives (minus one) between two checks whether an idle ring has overtaken us.
const POLL_MASK: u64 = 63;

/// All peers whose rings are read.
pub(super) struct Peers {
    peers: Vec<ShmPeer>,
    /// The peer with which the next receive begins, so that none is always read last.
    first: usize,
    /// The number of peers that have left.
    leaving: usize,
    receives: u64,
    members: ShmMembers,
}

impl Peers {
    /// The present peers; `members` reports joins and leaves.
    pub fn new(members: ShmMembers, mut peers: Vec<ShmPeer>) -> Self {
        // A process that has left is read to the end beside its successor.
        peers.reserve(2 * MEMBERS_MAX);
        Self { peers, first: 0, leaving: 0, receives: 0, members }
    }

    /// The number of present peers.
    pub fn there(&self) -> usize {
        self.peers.len() - self.leaving
    }

    /// Files that cannot be used.
    pub fn refused(&self) -> u64 {
        self.members.shared.refused.load(Ordering::Relaxed)
    }

    /// Whether a peer has this packed address.
    #[inline]
    pub fn have(&self, address: u64) -> bool {
        self.peers.iter().any(|peer| peer.address == address && !peer.has_left)
    }

    /// Reads datagrams for joined groups from their group rings.
    #[inline]
    pub fn read_groups(&mut self, joined: [bool; 3], inbox: &mut ShmInbox) {
        let wants = |kind: u8, []: [u64; 0]| joined.get(usize::from(kind.wrapping_sub(1))) == Some(&true);
        self.read(inbox, |peer, inbox| {
            peer.groups.read(wants, inbox);
        });
    }

    /// A receive: handles peers that have joined or left, which usually is one load, and reads the rings in
    /// turn, until all are read or the inbox is full.
    #[inline]
    pub fn read(&mut self, inbox: &mut ShmInbox, mut read: impl FnMut(&mut ShmPeer, &mut ShmInbox)) {
        self.begin();
        inbox.clear();
        let count = self.peers.len();
        let mut index = if self.first < count { self.first } else { 0 };
        for _ in 0..count {
            read(&mut self.peers[index], inbox);
            index = if index + 1 < count { index + 1 } else { 0 };
            if inbox.is_full() {
                self.first = index;
                return;
            }
        }
    }

    #[inline]
    fn begin(&mut self) {
        if self.members.shared.is_changed.load(Ordering::Relaxed) {
            self.change();
        }
        self.receives += 1;
        if self.receives & POLL_MASK == 0 {
            for peer in &mut self.peers {
                peer.groups.look();
                peer.unicast.look();
            }
        }
    }

    #[cold]
    fn change(&mut self) {
        // Changes that were reported before this are found below; a later report sets it again.
        self.members.shared.is_changed.swap(false, Ordering::AcqRel);
        while let Some(change) = self.members.shared.changes.pop() {
            match change {
                ShmMemberChange::Joined(peer) => {
                    if self.peers.len() == 2 * MEMBERS_MAX {
                        self.forget(|peer| peer.has_left);
                    }
                    self.peers.push(peer);
                }
                ShmMemberChange::Left(id) => {
                    for peer in self.peers.iter_mut().filter(|peer| peer.id == id && !peer.has_left) {
                        peer.has_left = true;
                        self.leaving += 1;
                    }
                }
            }
        }
    }

    /// After a receive: unmaps a peer that has left and whose ring is read to the end. One whose ring never
    /// ends is removed when the next peer joins.
    #[inline]
    pub fn dismiss(&mut self) {
        if self.leaving > 0 {
            self.forget(|peer| peer.has_left && peer.groups.is_read() && peer.unicast.is_read());
        }
    }

    #[cold]
    fn forget(&mut self, which: impl Fn(&ShmPeer) -> bool) {
        for index in (0..self.peers.len()).rev() {
            if which(&self.peers[index]) {
                self.leaving -= 1;
                // If the thread is behind, the memory is released here.
                drop(self.members.shared.gone.push(self.peers.swap_remove(index)));
            }
        }
    }
}
