//! Fan-out by unicast: who wants the datagrams of which groups sent to it, and what it is told. These go
//! between devices; engines see neither.

use super::datagram::write;
use super::{Header, Reject};
use bytemuck::{Pod, Zeroable};

/// All three groups, as bits: submit 1, data 2, control 4.
pub const GROUPS_ALL: u32 = 0b111;

/// Behind a join's header. As long as its answer, so that nobody is made to send more than was sent to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct JoinBody {
    /// The groups that are wanted, as bits of [`GROUPS_ALL`]; none leaves all of them.
    pub groups: u32,
    /// Zero.
    pub reserved: u32,
    /// Drawn by the asker at its start: an answer to it repeats this.
    pub process_nonce: u64,
    /// What the giver asked to be told back, by [`LeaseReply::Prove`]; 0 at first.
    pub proof: u64,
    /// Zero.
    pub padding: u64,
}

/// What a join has brought.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum LeaseReply {
    /// The groups are sent, for `lasts_ms`.
    Granted = 1,
    /// Not yet: the join is to come again with this `proof`, which only who hears at its address can know.
    Prove = 2,
    /// There is no room for one more.
    Full = 3,
    /// The node sends by multicast alone.
    Multicast = 4,
}

impl LeaseReply {
    /// The one with this number, if there is one.
    pub fn from_u32(term: u32) -> Option<Self> {
        [Self::Granted, Self::Prove, Self::Full, Self::Multicast]
            .into_iter()
            .find(|known| *known as u32 == term)
    }
}

/// Behind a lease's header: the answer to a join.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct LeaseBody {
    /// A [`LeaseReply`].
    pub term: u32,
    /// For how long it is given, in milliseconds; 0 if it is not.
    pub lasts_ms: u32,
    /// The join's.
    pub process_nonce: u64,
    /// The answers to send.
    pub proof: u64,
    /// The present destinations.
    pub members: u32,
    /// How many there may be.
    pub members_max: u32,
}

const _: () = assert!(size_of::<JoinBody>() == 32 && size_of::<LeaseBody>() == 32);

impl JoinBody {
    /// Whether it asks for groups that there are, and for nothing else.
    pub(super) fn check(self) -> Result<Self, Reject> {
        let is_sound = self.groups & !GROUPS_ALL == 0 && self.reserved == 0 && self.padding == 0;
        is_sound.then_some(self).ok_or(Reject::Body)
    }
}

impl LeaseBody {
    /// Whether it says something.
    pub(super) fn check(self) -> Result<Self, Reject> {
        LeaseReply::from_u32(self.term).map(|_| self).ok_or(Reject::Body)
    }
}

/// Writes a join; as [`super::write_heartbeat`].
pub fn write_join(out: &mut [u8], header: Header, body: JoinBody) -> usize {
    write(out, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a lease; as [`super::write_heartbeat`].
pub fn write_lease(out: &mut [u8], header: Header, body: LeaseBody) -> usize {
    write(out, header, bytemuck::bytes_of(&body), &[])
}
