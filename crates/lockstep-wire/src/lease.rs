//! Fan-out by unicast: a node requests the datagrams of some groups, and receives an answer. Both travel
//! between devices; engines see neither.

use super::datagram::write;
use super::{Header, Keyring, Reject};
use bytemuck::{Pod, Zeroable};

/// All three groups, as bits: submit 1, data 2, control 4.
pub const GROUPS_ALL: u32 = 0b111;

/// Follows a join's header. It is as long as its answer, so that a node never sends more than it received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct JoinBody {
    /// The requested groups, as bits of [`GROUPS_ALL`]; 0 leaves all groups.
    pub groups: u32,
    /// Zero.
    pub reserved: u32,
    /// Drawn by the requester at its start: the answer repeats it.
    pub process_nonce: u64,
    /// The proof of [`LeaseReply::Prove`]; 0 at first.
    pub proof: u64,
    /// Zero.
    pub padding: u64,
}

/// The answer to a join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum LeaseReply {
    /// The groups are sent, for `lasts_ms`.
    Granted = 1,
    /// The join must be repeated with this `proof`, which only a node that receives at its address can know.
    Prove = 2,
    /// There is no room for another destination.
    Full = 3,
    /// The node sends by multicast alone.
    Multicast = 4,
}

impl LeaseReply {
    /// The answer with this number, if there is one.
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
    /// The length of the lease in milliseconds; 0 if it is not granted.
    pub lasts_ms: u32,
    /// The join's.
    pub process_nonce: u64,
    /// The proof to send with the next join.
    pub proof: u64,
    /// The number of present destinations.
    pub members: u32,
    /// The most destinations.
    pub members_max: u32,
}

const _: () = assert!(size_of::<JoinBody>() == 32 && size_of::<LeaseBody>() == 32);

impl JoinBody {
    /// Whether it requests only groups that exist.
    pub(super) fn check(self) -> Result<Self, Reject> {
        let is_sound = self.groups & !GROUPS_ALL == 0 && self.reserved == 0 && self.padding == 0;
        is_sound.then_some(self).ok_or(Reject::Body)
    }
}

impl LeaseBody {
    /// Whether its answer exists.
    pub(super) fn check(self) -> Result<Self, Reject> {
        LeaseReply::from_u32(self.term).map(|_| self).ok_or(Reject::Body)
    }
}

/// Writes a join; as [`super::write_heartbeat`].
pub fn write_join(out: &mut [u8], keys: &Keyring, header: Header, body: JoinBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}

/// Writes a lease; as [`super::write_heartbeat`].
pub fn write_lease(out: &mut [u8], keys: &Keyring, header: Header, body: LeaseBody) -> usize {
    write(out, keys, header, bytemuck::bytes_of(&body), &[])
}
