//! The header that every datagram, frame and journal record begins with, and its seal.
//!
//! The tag covers every byte of the datagram but itself: a MAC under the sender's key ([`crate::Keyring`]),
//! or a CRC-32C where the cluster has no keys. A frame also has a checksum of its content, in `number`: the
//! journal and the chain rest on it, as they outlive every key. [`crate::Datagram::decode`] is the only way
//! in from the network: its result has been checked, and its refusals are counted by [`Reject`].

use super::{Epoch, Identity, KeyClass, Reject, crc};
use bytemuck::{Pod, Zeroable};

/// `LKST` in memory order.
pub const MAGIC: u32 = u32::from_le_bytes(*b"LKST");
/// The newest version of the wire and of the journal's records that this release writes and reads.
///
/// A frame has the version of its log, which never falls along it and rises by an order of the operator alone
/// (VERSION-1). Every other datagram and record has the version in which its layout changed last, so that
/// an older peer reads it. Anything newer is refused by name. `docs/COMPATIBILITY.md` says what each version
/// brought.
pub const VERSION: u8 = 4;
/// The oldest version that this release reads. A cluster that is upgraded node by node stays at it until the
/// operator has ended the upgrade.
pub const VERSION_MIN: u8 = 3;
/// The versions from [`VERSION_MIN`] to [`VERSION`].
const VERSIONS: usize = (VERSION - VERSION_MIN) as usize + 1;
/// Bytes of a [`Header`].
pub const HEADER_LEN: usize = size_of::<Header>();
/// Largest UDP payload over IPv4 that any configuration may ask for (MTU 9000).
pub const DATAGRAM_LEN_MAX: usize = 9000 - 28;

/// What a datagram (or a journal record) is. The table of messages stands in [`crate`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Entries of the stream, stamped by the leader.
    Frame = 1,
    /// A frame header without entries: the leader lives, and its position.
    Heartbeat = 2,
    /// Messages of publishers, not yet stamped.
    Submission = 3,
    /// A replica holds the leader's log up to a seq.
    Ack = 4,
    /// A request for missing frames.
    Nack = 5,
    /// The reason why a request brings no frames.
    RepairReject = 6,
    /// A unicast question about a node or a publisher.
    Query = 7,
    /// Its reply.
    QueryReply = 8,
    /// A candidate asks for promises of a ballot.
    Prepare = 9,
    /// A promise to refuse every epoch below a ballot, and where the log of the promising replica ends.
    Promise = 10,
    /// The answer to a datagram of an epoch below the promise.
    Refuse = 11,
    /// A standby that suspects the leader asks which others do.
    PreVote = 12,
    /// A replica suspects the leader too.
    Grant = 13,
    /// The watcher of a leader announces its death.
    DeathNotice = 14,
    /// A leader stops stamping and names its successor.
    StepDown = 15,
    /// A node's position, and the members from which it receives: for operators.
    Status = 16,
    /// Whether an operator's order is accepted.
    CommandResult = 17,
    /// Between devices: a node requests the groups by unicast, or cancels that.
    Join = 18,
    /// Between devices: whether the groups are sent to the node.
    Lease = 19,
    /// Over TCP: a reader asks for a part of the log.
    ReplayRequest = 20,
    /// Over TCP: the range that follows, or the reason why none does.
    ReplayAnswer = 21,
    /// Over TCP, between frames: there is no frame at present, or none follows any more.
    ReplayMark = 22,
    /// The leader reports to publishers which of their messages it misses.
    PublisherNotice = 24,
    /// Between two processes under one identity: which one lives, and since when.
    IdentityProbe = 25,
    /// A replica asks a requester to prove its address, and the proof.
    AddressProof = 26,
    /// A page of the newest events of a node: for operators.
    Events = 27,
    /// The versions that a node speaks, and its release.
    Release = 28,
    /// Over TCP: a part of the checkpoint at which the sender's journal begins.
    ReplayCheckpoint = 29,
    /// The stream's time at a node, and the clocks by which the node judges it: for operators.
    Times = 30,
    /// Journal only: from here on frames are staged beside the log (S7).
    Stage = 128,
    /// Journal only: the staged frames are the log now (S7).
    Switch = 129,
}

impl Kind {
    /// The kind with this number, if there is one.
    #[inline]
    pub fn from_u8(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::Frame,
            2 => Self::Heartbeat,
            3 => Self::Submission,
            4 => Self::Ack,
            5 => Self::Nack,
            6 => Self::RepairReject,
            7 => Self::Query,
            8 => Self::QueryReply,
            9 => Self::Prepare,
            10 => Self::Promise,
            11 => Self::Refuse,
            12 => Self::PreVote,
            13 => Self::Grant,
            14 => Self::DeathNotice,
            15 => Self::StepDown,
            16 => Self::Status,
            17 => Self::CommandResult,
            18 => Self::Join,
            19 => Self::Lease,
            20 => Self::ReplayRequest,
            21 => Self::ReplayAnswer,
            22 => Self::ReplayMark,
            24 => Self::PublisherNotice,
            25 => Self::IdentityProbe,
            26 => Self::AddressProof,
            27 => Self::Events,
            28 => Self::Release,
            29 => Self::ReplayCheckpoint,
            30 => Self::Times,
            128 => Self::Stage,
            129 => Self::Switch,
            _ => return None,
        })
    }
}

/// The first 104 bytes of every datagram and record. Little-endian, each field at a multiple of its size. A
/// datagram may lie anywhere in memory (behind 42 bytes of a card's frame), so the struct has no alignment
/// and is read where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u32,
    /// From [`VERSION_MIN`] to [`VERSION`].
    pub version: u8,
    /// A [`Kind`].
    pub kind: u8,
    /// The key of the tag, its generation in the upper four bits; 0 is "checksum, no key".
    pub key_id: u16,
    /// The words of a MAC. With key 0: CRC-32C in the low 32 bits of the first word, the rest zero; in frames
    /// zeros.
    pub tag: [u64; 2],
    /// Bytes of the datagram, header and padding included; a multiple of 8.
    pub length: u32,
    /// Entries or items behind the header.
    pub count: u16,
    /// Bits that the kind defines; all others must be zero.
    pub flags: u16,
    /// The cluster's id.
    pub cluster: u64,
    /// The history of the stream; 0 while the sender knows none.
    pub history: u64,
    /// Frames and heartbeats: the leader's epoch. Others: the epoch that the sender follows.
    pub epoch: u64,
    /// Replica number, or a publisher handle's random number (see `incarnation`).
    pub sender: u32,
    /// The replica's incarnation, or the rest of a handle's random identity.
    pub incarnation: u32,
    /// Frames: seq of the first entry. Heartbeats: next seq. Acks: the exclusive bound held.
    pub first_seq: u64,
    /// The exclusive bound up to which the sender knows the log to be committed.
    pub commit_next: u64,
    /// Nanoseconds since the Unix epoch; in frames it decreases along the stream only at an order of time.
    pub timestamp: u64,
    /// The chain before `first_seq`.
    pub chain: u64,
    /// Number per sender and incarnation (replay protection, loss per line). A frame's seq is its number, so
    /// here it has two CRC-32C: in the low 32 bits that of the content (all bytes but key, tag and this
    /// field), in the high ones that of the first 24 bytes, with key and tag.
    pub number: u64,
}

const _: () = {
    assert!(size_of::<Header>() == 104 && align_of::<Header>() == 1);
    assert!(std::mem::offset_of!(Header, tag) == 8);
    assert!(std::mem::offset_of!(Header, length) == 24);
    assert!(std::mem::offset_of!(Header, cluster) == 32);
    assert!(std::mem::offset_of!(Header, history) == 40);
    assert!(std::mem::offset_of!(Header, epoch) == 48);
    assert!(std::mem::offset_of!(Header, sender) == 56);
    assert!(std::mem::offset_of!(Header, first_seq) == 64);
    assert!(std::mem::offset_of!(Header, commit_next) == 72);
    assert!(std::mem::offset_of!(Header, timestamp) == 80);
    assert!(std::mem::offset_of!(Header, chain) == 88);
    assert!(std::mem::offset_of!(Header, number) == 96);
};

impl Header {
    /// A header of `kind` with everything else zero. Its version is the one in which that kind's layout
    /// changed last; a frame is given the version of its log.
    pub fn new(kind: Kind) -> Self {
        Self { magic: MAGIC, version: VERSION_MIN, kind: kind as u8, ..Self::zeroed() }
    }

    /// The header in front of `bytes`, not judged; `None` if there are too few.
    #[inline]
    pub fn look(bytes: &[u8]) -> Option<&Self> {
        bytes.first_chunk::<HEADER_LEN>().map(|header| bytemuck::from_bytes(header))
    }

    /// A copy of that header.
    #[inline]
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        Self::look(bytes).copied()
    }

    /// The epoch field, typed.
    #[inline]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// Sender and incarnation, typed.
    #[inline]
    pub fn identity(&self) -> Identity {
        Identity { replica: self.sender, incarnation: self.incarnation }
    }

    /// The class of the sender's key; `None` without a key.
    #[inline]
    pub fn key_class(&self) -> Option<KeyClass> {
        KeyClass::of(self.key_id)
    }

    /// The generation of the sender's key; `None` without a key.
    pub fn key_generation(&self) -> Option<u8> {
        self.key_class().map(|_| KeyClass::generation(self.key_id))
    }

    /// The checksum of a frame's content.
    #[inline]
    pub fn content_checksum(&self) -> u32 {
        self.number as u32
    }

    /// The number as the tag covers it: for a frame the checksum of its content alone, because the other
    /// checksum covers the tag.
    #[inline]
    pub(crate) fn tagged_number(&self) -> u64 {
        if self.kind == Kind::Frame as u8 { u64::from(self.content_checksum()) } else { self.number }
    }

    /// Exclusive end of the entries behind this header (frames).
    #[inline]
    pub fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.count))
    }
}

/// The checksum's state behind the 8 bytes before the tag, by version and kind: of an unkeyed datagram
/// nothing else in them varies. A call for 8 bytes costs as much as one for a hundred.
const STATES: [[u32; 256]; VERSIONS] = {
    let mut states = [[0; 256]; VERSIONS];
    let mut at = 0;
    while at < VERSIONS * 256 {
        let (version, kind) = (VERSION_MIN + (at / 256) as u8, (at % 256) as u8);
        let [a, b, c, d] = MAGIC.to_le_bytes();
        let (mut crc, front) = (!0, [a, b, c, d, version, kind, 0, 0]);
        let mut bit = 0;
        while bit < 64 {
            let odd = (crc ^ (front[bit / 8] >> (bit % 8)) as u32) & 1;
            // Castagnoli's polynomial, bits reversed.
            crc = (crc >> 1) ^ (0x82f6_3b78 * odd);
            bit += 1;
        }
        states[at / 256][at % 256] = !crc;
        at += 1;
    }
    states
};

/// CRC-32C over everything but the tag; for frames over everything but key, tag and checksum. `header` is
/// what stands in front.
// Inlined by force: a caller that seals or opens knows already that the header is usual.
#[inline(always)]
fn checksum(header: &Header, datagram: &[u8]) -> u64 {
    const NUMBER: usize = std::mem::offset_of!(Header, number);
    let is_frame = header.kind == Kind::Frame as u8;
    let states = STATES.get(usize::from(header.version.wrapping_sub(VERSION_MIN)));
    let usual = states.filter(|_| header.magic == MAGIC && (header.key_id == 0 || is_frame));
    let state = usual.map_or_else(|| crc::crc32c(&datagram[..8]), |states| states[header.kind as usize]);
    u64::from(match is_frame {
        true => crc::append(crc::append(state, &datagram[24..NUMBER]), &datagram[HEADER_LEN..]),
        false => crc::append(state, &datagram[24..]),
    })
}

/// The publisher of a datagram that is not checked yet, as one number; `None` if it is no submission.
#[inline]
pub fn submitter(datagram: &[u8]) -> Option<u64> {
    const SENDER: usize = std::mem::offset_of!(Header, sender);
    let sender = datagram.get(SENDER..SENDER + 8)?;
    (datagram[5] == Kind::Submission as u8).then(|| bytemuck::pod_read_unaligned(sender))
}

/// Writes `header` in front of `datagram`, with its length and, in a frame, the checksum of its content. The
/// tag stays zero, and so does a frame's other checksum.
#[inline(always)]
pub(crate) fn write(datagram: &mut [u8], mut header: Header) -> Header {
    header.length = datagram.len() as u32;
    header.tag = [0; 2];
    if header.kind == Kind::Frame as u8 {
        header.number = 0;
    }
    datagram[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    if header.kind == Kind::Frame as u8 {
        header.number = checksum(&header, datagram);
        let number = header.number;
        datagram[HEADER_LEN - 8..HEADER_LEN].copy_from_slice(&number.to_le_bytes());
    }
    header
}

/// Writes the tag of a datagram that [`write`] has begun, and in a frame the checksum of the tag. Returns the
/// sealed header.
#[inline(always)]
pub(crate) fn write_tag(datagram: &mut [u8], mut header: Header, tag: [u64; 2]) -> Header {
    header.tag = tag;
    datagram[8..24].copy_from_slice(bytemuck::bytes_of(&tag));
    if header.kind == Kind::Frame as u8 {
        header.number |= seal_checksum(datagram);
        let number = header.number;
        datagram[HEADER_LEN - 8..HEADER_LEN].copy_from_slice(&number.to_le_bytes());
    }
    header
}

/// The checksum of a frame's first 24 bytes, at its place in `number`.
#[inline(always)]
fn seal_checksum(frame: &[u8]) -> u64 {
    u64::from(crc::crc32c(&frame[..24])) << 32
}

/// Checks the checksum over a frame's tag, which the tag itself does not cover.
#[inline(always)]
pub(crate) fn check_seal(header: &Header, datagram: &[u8]) -> Result<(), Reject> {
    let is_frame = header.kind == Kind::Frame as u8;
    if is_frame && header.number >> 32 != seal_checksum(datagram) >> 32 {
        return Err(Reject::Checksum);
    }
    Ok(())
}

/// Writes `header` in front of a record of the journal, or of a datagram without a key, and seals it by a
/// checksum: `length`, `tag`, and a frame's `number` are filled in here. Returns the sealed header.
// Inlined by force: a caller that reads some of its fields does not copy the others.
#[inline(always)]
pub fn seal(datagram: &mut [u8], header: Header) -> Header {
    let header = write(datagram, Header { key_id: 0, ..header });
    let is_frame = header.kind == Kind::Frame as u8;
    let tag = if is_frame { 0 } else { checksum(&header, datagram) };
    write_tag(datagram, header, [tag, 0])
}

/// The header in front of `bytes` and its kind, if this release reads its version and its length fits.
#[inline(always)]
pub(crate) fn parse(bytes: &[u8]) -> Result<(&Header, Kind), Reject> {
    let header = Header::look(bytes).ok_or(Reject::Short)?;
    if header.magic != MAGIC {
        return Err(Reject::Magic);
    }
    if !(VERSION_MIN..=VERSION).contains(&header.version) {
        return Err(Reject::Version { seen: header.version });
    }
    let kind = Kind::from_u8(header.kind).ok_or(Reject::Kind)?;
    let length = header.length as usize;
    if length < HEADER_LEN || !length.is_multiple_of(8) || length > bytes.len() || length > DATAGRAM_LEN_MAX {
        return Err(Reject::Length);
    }
    Ok((header, kind))
}

/// Checks the checksums of a datagram or record in front of `bytes` that [`parse`] accepts. Only a frame may
/// have a key: it is stored as it was sent.
#[inline(always)]
pub(crate) fn check(header: &Header, bytes: &[u8]) -> Result<(), Reject> {
    let is_frame = header.kind == Kind::Frame as u8;
    if !is_frame && header.key_id != 0 {
        return Err(Reject::Key);
    }
    let sum = checksum(header, &bytes[..header.length as usize]);
    let (number, tag) = (header.number, header.tag);
    let is_right = match is_frame {
        true => number == sum | seal_checksum(bytes),
        false => tag == [sum, 0],
    };
    if is_right { Ok(()) } else { Err(Reject::Checksum) }
}

/// Checks the record in front of `bytes` and returns its header: magic, version, kind, length, checksum, in
/// this order. Bytes behind its length are ignored: they are the journal's next record.
#[inline(always)]
pub fn open_prefix(bytes: &[u8]) -> Result<&Header, Reject> {
    let (header, _) = parse(bytes)?;
    check(header, bytes)?;
    Ok(header)
}
