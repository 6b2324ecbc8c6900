//! Control entries, which the cluster writes into its stream, and the open of a publisher.

use super::{Chain, Epoch, Identity, MEMBERS_MAX, NAME_LEN_MAX, OrderProof, Reject, Seq};
use bytemuck::{Pod, Zeroable};
use std::net::{Ipv4Addr, SocketAddrV4};

/// One listed member: an identity with a vote and the unicast address where it answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct MemberBody {
    /// Replica number.
    pub replica: u32,
    /// Its incarnation.
    pub incarnation: u32,
    /// IPv6, or IPv4 mapped into it (`::ffff:a.b.c.d`).
    pub address: [u8; 16],
    /// UDP port, host order in little-endian like everything here.
    pub port: u16,
    /// [`ROLE_FULL`] or [`ROLE_WITNESS`].
    pub role: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

/// A member that stores, votes and may lead.
pub const ROLE_FULL: u8 = 0;
/// A member that votes, keeps only a ring, and never leads.
pub const ROLE_WITNESS: u8 = 1;

const _: () = assert!(size_of::<MemberBody>() == 32);

impl MemberBody {
    /// A full member at an IPv4 address.
    pub fn full(identity: Identity, address: SocketAddrV4) -> Self {
        Self {
            replica: identity.replica,
            incarnation: identity.incarnation,
            address: address.ip().to_ipv6_mapped().octets(),
            port: address.port(),
            role: ROLE_FULL,
            reserved: [0; 5],
        }
    }

    /// A witness at an IPv4 address.
    pub fn witness(identity: Identity, address: SocketAddrV4) -> Self {
        Self { role: ROLE_WITNESS, ..Self::full(identity, address) }
    }

    /// The next identity of the same replica, in its role, at an IPv4 address.
    pub fn succeeded_by(&self, identity: Identity, address: SocketAddrV4) -> Self {
        Self { role: self.role, ..Self::full(identity, address) }
    }

    /// Whether it votes and never leads.
    pub fn is_witness(&self) -> bool {
        self.role == ROLE_WITNESS
    }

    /// Whether its role exists.
    pub(super) fn is_sound(&self) -> bool {
        self.role <= ROLE_WITNESS
    }

    /// The identity.
    pub fn identity(&self) -> Identity {
        Identity { replica: self.replica, incarnation: self.incarnation }
    }

    /// Where it answers; `None` for an address that is no mapped IPv4 one.
    pub fn address(&self) -> Option<SocketAddrV4> {
        let ip: Ipv4Addr = std::net::Ipv6Addr::from(self.address).to_ipv4_mapped()?;
        Some(SocketAddrV4::new(ip, self.port))
    }
}

/// One row of the epoch table: which epoch owns the seqs from `base` on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EpochBase {
    /// The epoch.
    pub epoch: u64,
    /// The seq of its epoch start.
    pub base: Seq,
}

/// A former history of the stream, and the seq at which the next one was founded on it. Frames below `next`
/// belong to the former history; they keep their bytes, and with them its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Ancestor {
    /// The former history's id.
    pub history: u64,
    /// The first seq of the later history: that of the epoch start that founded it.
    pub next: Seq,
    /// The chain before it.
    pub chain: Chain,
}

/// The most former histories that an epoch start lists: the newest ones. Together with seven members and
/// [`EPOCHS_MAX`] epochs they fit a frame of the smallest MTU.
pub const ANCESTORS_MAX: usize = 8;

/// The fixed part of an epoch start's payload; members, epoch table and former histories follow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EpochStartBody {
    /// The epoch that starts.
    pub epoch: u64,
    /// The seq of this entry.
    pub base: Seq,
    /// The chain before this entry.
    pub chain_at_base: Chain,
    /// SHA-256 of the watcher's secret of this epoch.
    pub secret_hash: [u8; 32],
    /// Most entries that may be stamped and not committed.
    pub window_entries: u32,
    /// The same in bytes.
    pub window_bytes: u32,
    /// 0 `process`, 1 `power`.
    pub durability: u8,
    /// Rows in the member list.
    pub members: u8,
    /// Rows in the epoch table.
    pub epochs: u8,
    /// The number of former histories that follow the epoch table.
    pub ancestors: u8,
    /// Zero.
    pub reserved: [u8; 4],
}

const _: () = assert!(size_of::<EpochStartBody>() == 72 && size_of::<EpochBase>() == 16);
const _: () = assert!(size_of::<Ancestor>() == 24);

/// The most rows of an epoch start's epoch table: that many takeovers may follow one another without a
/// commit. The smallest MTU (`lines.mtu` 1100) carries them beside seven members and eight former histories.
pub const EPOCHS_MAX: usize = 16;

/// A checked epoch start, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct EpochStartView<'a> {
    /// The fixed part.
    pub body: EpochStartBody,
    payload: &'a [u8],
}

impl<'a> EpochStartView<'a> {
    /// Judges the payload of an epoch start.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Reject> {
        let body: EpochStartBody = payload.get(..72).map(bytemuck::pod_read_unaligned).ok_or(Reject::Body)?;
        let (members, epochs) = (body.members as usize, body.epochs as usize);
        let ancestors = body.ancestors as usize;
        let counts = (1..=MEMBERS_MAX).contains(&members)
            && (1..=EPOCHS_MAX).contains(&epochs)
            && ancestors <= ANCESTORS_MAX;
        let len = 72 + members * 32 + epochs * 16 + ancestors * 24;
        if !counts || payload.len() != len || body.durability > 1 {
            return Err(Reject::Body);
        }
        let view = Self { body, payload };
        let is_sound = view.members().all(|member| member.is_sound()) && view.has_sound_ancestors();
        is_sound.then_some(view).ok_or(Reject::Body)
    }

    /// Each former history ended above the one before it, and the newest at or below this start.
    fn has_sound_ancestors(&self) -> bool {
        let mut later: Option<Seq> = None;
        self.ancestors().all(|ancestor| {
            let falls = later.is_none_or(|later| ancestor.next < later);
            later = Some(ancestor.next);
            falls && ancestor.history != 0 && ancestor.next > 1 && ancestor.next <= self.body.base
        }) && self.founded_on().is_none_or(|ancestor| ancestor.chain == self.body.chain_at_base)
    }

    /// The epoch that starts.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.body.epoch)
    }

    /// The membership from here on.
    pub fn members(&self) -> impl ExactSizeIterator<Item = MemberBody> + use<'a> {
        let end = 72 + self.body.members as usize * 32;
        self.payload[72..end].chunks_exact(32).map(bytemuck::pod_read_unaligned)
    }

    /// The epoch table, oldest first; its last row is this epoch.
    pub fn epochs(&self) -> impl ExactSizeIterator<Item = EpochBase> + use<'a> {
        let start = 72 + self.body.members as usize * 32;
        let end = start + self.body.epochs as usize * 16;
        self.payload[start..end].chunks_exact(16).map(bytemuck::pod_read_unaligned)
    }

    /// The former histories of this one, newest first.
    pub fn ancestors(&self) -> impl ExactSizeIterator<Item = Ancestor> + use<'a> {
        let start = 72 + self.body.members as usize * 32 + self.body.epochs as usize * 16;
        self.payload[start..].chunks_exact(24).map(bytemuck::pod_read_unaligned)
    }

    /// The history on which this start founds its own; `None` for a start within a history.
    pub fn founded_on(&self) -> Option<Ancestor> {
        self.ancestors().next().filter(|ancestor| ancestor.next == self.body.base)
    }
}

/// Writes an epoch start's payload into `out` and returns its bytes. Counts in `body` are filled in here;
/// `ancestors` are newest first. More rows than the limits are a caller's error and panic.
pub fn write_epoch_start(
    out: &mut [u8],
    mut body: EpochStartBody,
    members: &[MemberBody],
    epochs: &[EpochBase],
    ancestors: &[Ancestor],
) -> usize {
    assert!((1..=MEMBERS_MAX).contains(&members.len()), "1 to {MEMBERS_MAX} members");
    assert!((1..=EPOCHS_MAX).contains(&epochs.len()), "1 to {EPOCHS_MAX} epochs");
    assert!(ancestors.len() <= ANCESTORS_MAX, "at most {ANCESTORS_MAX} former histories");
    body.members = members.len() as u8;
    body.epochs = epochs.len() as u8;
    body.ancestors = ancestors.len() as u8;
    let rows = [bytemuck::cast_slice(members), bytemuck::cast_slice(epochs), bytemuck::cast_slice(ancestors)];
    let mut at = 0;
    for part in std::iter::once(bytemuck::bytes_of(&body)).chain(rows) {
        out[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    at
}

/// Largest payload that [`write_epoch_start`] writes.
pub const EPOCH_START_LEN_MAX: usize = 72 + MEMBERS_MAX * 32 + EPOCHS_MAX * 16 + ANCESTORS_MAX * 24;

/// The members in the payload of a birth: at least one, at most [`MEMBERS_MAX`], each replica once.
pub fn parse_genesis(payload: &[u8]) -> Result<impl ExactSizeIterator<Item = MemberBody> + use<'_>, Reject> {
    let rows = payload.len() / 32;
    if !payload.len().is_multiple_of(32) || !(1..=MEMBERS_MAX).contains(&rows) {
        return Err(Reject::Body);
    }
    let members = payload.chunks_exact(32).map(bytemuck::pod_read_unaligned::<MemberBody>);
    members.clone().all(|member| member.is_sound()).then_some(members).ok_or(Reject::Body)
}

/// The kind of a membership change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Change {
    /// It joins.
    Add = 1,
    /// It leaves.
    Remove = 2,
    /// The next incarnation of a replica replaces the former one, in one step.
    Replace = 3,
}

impl Change {
    /// The change with this number, if there is one.
    pub fn from_u8(change: u8) -> Option<Self> {
        [Self::Add, Self::Remove, Self::Replace].into_iter().find(|known| *known as u8 == change)
    }
}

/// The fixed part of a membership entry's payload. Behind it a stamped entry has the complete new list, so
/// that a reader needs no earlier entry; a submitted one has only the [`OrderProof`] of an operator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct MembershipBody {
    /// Seq of the membership that this one follows, so a late copy of an old order changes nothing.
    pub after: Seq,
    /// The identity that joins or leaves; of one that leaves only the identity counts. In a replacement it is
    /// the identity that joins when submitted, and the one that leaves when stamped: the other one stands in
    /// the list.
    pub member: MemberBody,
    /// A [`Change`].
    pub change: u8,
    /// Rows that follow; 0 as submitted.
    pub members: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

const _: () = assert!(size_of::<MembershipBody>() == 48);

/// Largest payload that [`write_membership`] writes.
pub const MEMBERSHIP_LEN_MAX: usize = 48 + MEMBERS_MAX * 32;

/// A checked membership entry, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct MembershipView<'a> {
    /// The fixed part.
    pub body: MembershipBody,
    /// In a submitted entry: the proof that an operator signed it.
    pub proof: Option<OrderProof>,
    rows: &'a [u8],
}

impl<'a> MembershipView<'a> {
    /// Judges the payload of a membership entry, stamped or submitted.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Reject> {
        let body: MembershipBody = payload.get(..48).map(bytemuck::pod_read_unaligned).ok_or(Reject::Body)?;
        let count = usize::from(body.members);
        let (rows, proof) =
            if count == 0 { OrderProof::split(&payload[48..], 0) } else { (&payload[48..], None) };
        let view = Self { body, proof, rows };
        let is_sound = Change::from_u8(body.change).is_some()
            && body.member.is_sound()
            && count <= MEMBERS_MAX
            && view.rows.len() == count * 32
            && view.members().all(|member| member.is_sound());
        is_sound.then_some(view).ok_or(Reject::Body)
    }

    /// What happens to the member.
    pub fn change(&self) -> Change {
        Change::from_u8(self.body.change).unwrap_or(Change::Remove) // judged when it was parsed
    }

    /// The membership from this entry on; empty as submitted.
    pub fn members(&self) -> impl ExactSizeIterator<Item = MemberBody> + use<'a> {
        self.rows.chunks_exact(32).map(bytemuck::pod_read_unaligned)
    }
}

/// Writes the payload of a membership entry into `out` and returns its bytes: a stamped one with the new
/// list, a submitted one without. More than [`MEMBERS_MAX`] members are a caller's error and panic.
pub fn write_membership(
    out: &mut [u8],
    after: Seq,
    change: Change,
    member: MemberBody,
    members: &[MemberBody],
) -> usize {
    assert!(members.len() <= MEMBERS_MAX, "{} members, at most {MEMBERS_MAX}", members.len());
    let (change, members_len) = (change as u8, members.len() as u8);
    let body = MembershipBody { after, member, change, members: members_len, reserved: [0; 6] };
    let end = 48 + members.len() * 32;
    out[..48].copy_from_slice(bytemuck::bytes_of(&body));
    out[48..end].copy_from_slice(bytemuck::cast_slice(members));
    end
}

/// The fixed part of an open; the name follows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OpenBody {
    /// Drawn by the opener (or configured, for copies that publish the same messages).
    pub nonce: [u64; 2],
    /// Submitted: the incarnation that this open follows (`after`). Stamped: the new incarnation.
    pub incarnation: u32,
    /// Bytes of the name.
    pub name_len: u32,
}

const _: () = assert!(size_of::<OpenBody>() == 24);

/// A checked open, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenView<'a> {
    /// The fixed part.
    pub body: OpenBody,
    /// The publisher's name, 1 to [`NAME_LEN_MAX`] bytes.
    pub name: &'a str,
}

impl<'a> OpenView<'a> {
    /// Judges the payload of an open.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Reject> {
        let body: OpenBody = payload.get(..24).map(bytemuck::pod_read_unaligned).ok_or(Reject::Body)?;
        let name = &payload[24..];
        if name.is_empty() || name.len() > NAME_LEN_MAX || name.len() != body.name_len as usize {
            return Err(Reject::Body);
        }
        let name = std::str::from_utf8(name).map_err(|_| Reject::Body)?;
        Ok(Self { body, name })
    }
}

/// Writes an open's payload and returns its bytes. The caller has checked the name.
pub fn write_open(out: &mut [u8], nonce: [u64; 2], incarnation: u32, name: &str) -> usize {
    let body = OpenBody { nonce, incarnation, name_len: name.len() as u32 };
    out[..24].copy_from_slice(bytemuck::bytes_of(&body));
    out[24..24 + name.len()].copy_from_slice(name.as_bytes());
    24 + name.len()
}

/// The most bytes of the reason with which a publisher's owner closes it: that of an edge.
pub const CLOSE_LEN_MAX: usize = 16;

/// A process needs the log from `from` on, because its oldest snapshot covers everything below. This is the
/// payload of a message to [`JOURNALS`](crate::JOURNALS); it replaces the former need of the same publisher.
/// Retention respects it as far as there is room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Need {
    /// The first seq that is needed; [`Seq::MAX`] withdraws the need.
    pub from: Seq,
}

impl Need {
    const MAGIC: [u8; 8] = *b"LKSNEED\0";
    /// Bytes of the payload.
    pub const LEN: usize = 16;

    /// Its payload: eight bytes that identify it, and the seq in little-endian order.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&Self::MAGIC);
        bytes[8..].copy_from_slice(&self.from.to_le_bytes());
        bytes
    }

    /// The need in a message's payload; `None` if the payload is none.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (magic, from) = payload.split_first_chunk::<8>()?;
        let from = Seq::from_le_bytes(from.try_into().ok()?);
        (*magic == Self::MAGIC).then_some(Self { from })
    }
}

/// Longest name of a trading day: the width of the field Session of SoupBinTCP and MoldUDP64.
pub const DAY_LEN_MAX: usize = 10;

/// The name of the publisher that marks days.
pub const CALENDAR: &str = "lockstep/day";

/// A trading day begins or ends: the payload of an entry of kind [`EntryKind::Day`](super::EntryKind::Day). A
/// publisher's message is stamped as it was submitted, so the operator's proof stays behind it in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DayMark<'a> {
    /// Whether the day begins; otherwise it ends.
    pub is_start: bool,
    /// The day's name: 1 to [`DAY_LEN_MAX`] ASCII letters and digits; empty where a day ends.
    pub name: &'a str,
}

impl<'a> DayMark<'a> {
    /// Whether a day may have this name.
    pub fn is_name(name: &str) -> bool {
        (1..=DAY_LEN_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// Checks the payload of a day's entry: one byte, 1 where the day begins and 2 where it ends; the name of
    /// a day that begins; the proof, if it is signed.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Reject> {
        let (mark, _) = OrderProof::split(payload, 1 + DAY_LEN_MAX);
        let (what, name) = mark.split_first().ok_or(Reject::Body)?;
        let begins = match what {
            1 => true,
            2 => false,
            _ => return Err(Reject::Body),
        };
        let name = std::str::from_utf8(name).map_err(|_| Reject::Body)?;
        let fits = if begins { Self::is_name(name) } else { name.is_empty() };
        fits.then_some(Self { is_start: begins, name }).ok_or(Reject::Body)
    }

    /// The proof that an operator signed the mark with this payload.
    pub fn proof(payload: &[u8]) -> Option<OrderProof> {
        OrderProof::split(payload, 1 + DAY_LEN_MAX).1
    }

    /// Writes the payload without a proof, and returns its bytes. The caller has checked the name.
    pub fn write(&self, out: &mut [u8; 1 + DAY_LEN_MAX]) -> usize {
        out[0] = if self.is_start { 1 } else { 2 };
        out[1..=self.name.len()].copy_from_slice(self.name.as_bytes());
        1 + self.name.len()
    }
}
