//! Changes of a true datagram, and its seal.

use super::scenario::Recorded;
use crate::keys;
use crate::machine::CLUSTER;
use crate::rng::Rng;
use lockstep_wire::{
    DATAGRAM_LEN_MAX, Epoch, HEADER_LEN, Header, Identity, KeyClass, Keys, Kind, MAGIC, REPAIR_TRAILER_LEN,
    RepairTrailer, VERSION, repair_trailer,
};

/// What a sender has to seal with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Sealed {
    /// All keys.
    Replica,
    /// The readers' key.
    Reader,
    /// A publisher's key, with rights to every name.
    Publisher,
    /// A publisher's key, with rights to no name that is used.
    OtherPublisher,
    /// No key: a checksum.
    Unkeyed,
    /// All keys of a generation that is retired.
    Retired,
    /// The readers' key; it writes its datagrams as a replica, whose own key it does not have.
    Pretender,
    /// All keys of another cluster.
    OtherCluster,
}

impl Sealed {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Replica,
        Self::Reader,
        Self::Publisher,
        Self::OtherPublisher,
        Self::Unkeyed,
        Self::Retired,
        Self::Pretender,
        Self::OtherCluster,
    ];

    /// Its ring.
    pub fn keys(self) -> &'static Keys {
        match self {
            Self::Replica => keys::replica(),
            Self::Reader => keys::reader(),
            Self::Publisher => keys::publisher(),
            Self::OtherPublisher => keys::bad_publisher(),
            Self::Unkeyed => keys::unkeyed(),
            Self::Retired => keys::retired(),
            Self::Pretender => keys::pretender(),
            Self::OtherCluster => keys::other_cluster(),
        }
    }

    /// Whether a process drops every datagram of this kind under this seal: a replica, or a client.
    pub fn is_powerless(self, kind: u8, at_replica: bool) -> bool {
        let Some(kind) = Kind::from_u8(kind) else { return true };
        match self {
            Self::Unkeyed | Self::Retired | Self::OtherCluster => true,
            Self::Pretender => at_replica,
            Self::Replica => false,
            Self::Reader => !at_replica || !KeyClass::Reader.may_send(kind),
            Self::Publisher | Self::OtherPublisher => !at_replica || !KeyClass::Publisher(0).may_send(kind),
        }
    }
}

/// Numbers at which bounds lie.
const EXTREMES: [u64; 12] =
    [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 63, u64::MAX - 1, u64::MAX];

/// Places and sizes of the header's fields that say who speaks, and in which round.
const IDENTITY: [(usize, usize); 4] = [(40, 8), (48, 8), (56, 4), (60, 4)];
/// Those of its other fields, length, key and tag left out: the seal writes these.
const OTHERS: [(usize, usize); 8] = [(5, 1), (28, 2), (30, 2), (64, 8), (72, 8), (80, 8), (88, 8), (96, 8)];

/// Changes `datagram` at one to sixteen places, of which half of the time none says who speaks and in which
/// round; `other` is one that parts may come from. What comes out is no longer than a datagram may be.
pub fn mutate(rng: &mut Rng, datagram: &mut Vec<u8>, other: &[u8]) {
    let spares = rng.below(2) == 0;
    for _ in 0..rng.log_uniform(1, 16) {
        match rng.below(16) {
            0..=4 => flip(rng, datagram, spares),
            5..=9 => set(rng, datagram, spares),
            10..=11 => step(rng, datagram, spares),
            12 => datagram.truncate(HEADER_LEN + below(rng, datagram.len().saturating_sub(HEADER_LEN))),
            13 => {
                let more = rng.log_uniform(1, 256) as usize;
                let byte = rng.next_u64() as u8 * rng.below(2) as u8;
                datagram.resize((datagram.len() + more).min(DATAGRAM_LEN_MAX), byte);
            }
            14 => splice(rng, datagram, other),
            _ => datagram[5] = rng.below(27) as u8,
        }
    }
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.below(bound as u64) as usize
}

/// A field of the header, or a number in the body.
fn field(rng: &mut Rng, datagram: &[u8], spares: bool) -> (usize, usize) {
    let body = datagram.len().saturating_sub(HEADER_LEN) / 8;
    match rng.below(4) {
        0 if !spares => rng.pick(&IDENTITY),
        0 | 1 => rng.pick(&OTHERS),
        _ if body == 0 => rng.pick(&OTHERS),
        _ => {
            let size = 1 << rng.below(4);
            (HEADER_LEN + 8 * below(rng, body) + size * below(rng, 8 / size), size)
        }
    }
}

fn flip(rng: &mut Rng, datagram: &mut [u8], spares: bool) {
    let (at, size) = field(rng, datagram, spares);
    datagram[at + below(rng, size)] ^= 1 << rng.below(8);
}

fn set(rng: &mut Rng, datagram: &mut [u8], spares: bool) {
    let (at, size) = field(rng, datagram, spares);
    let value = if rng.below(2) == 0 { rng.pick(&EXTREMES) } else { rng.next_u64() };
    datagram[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

/// A number becomes a little larger or smaller.
fn step(rng: &mut Rng, datagram: &mut [u8], spares: bool) {
    let (at, size) = field(rng, datagram, spares);
    let mut value = [0; 8];
    value[..size].copy_from_slice(&datagram[at..at + size]);
    let by = rng.log_uniform(1, 1 << 20);
    let by = if rng.below(2) == 0 { by } else { by.wrapping_neg() };
    let value = u64::from_le_bytes(value).wrapping_add(by);
    datagram[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

/// From some place on it is the other one.
fn splice(rng: &mut Rng, datagram: &mut Vec<u8>, other: &[u8]) {
    let at = HEADER_LEN + 8 * below(rng, 1 + datagram.len().saturating_sub(HEADER_LEN) / 8);
    let from = HEADER_LEN + 8 * below(rng, 1 + other.len().saturating_sub(HEADER_LEN) / 8);
    datagram.truncate(at);
    datagram.extend_from_slice(other.get(from..).unwrap_or_default());
    datagram.truncate(DATAGRAM_LEN_MAX);
}

/// A mutation of a true datagram, sealed as `sealed` can; of a repair its frame and its trailer.
pub fn mutated(rng: &mut Rng, from: &Recorded, other: &Recorded, sealed: Sealed) -> Vec<u8> {
    let length = Header::look(&from.bytes).map_or(0, |header| header.length as usize);
    let is_repair = length + REPAIR_TRAILER_LEN == from.bytes.len();
    let mut datagram = from.bytes[..length.min(from.bytes.len())].to_vec();
    // Some go again as they are.
    if rng.below(16) > 0 {
        mutate(rng, &mut datagram, &other.bytes);
    }
    seal(&mut datagram, sealed);
    if is_repair {
        let mut trailer: RepairTrailer = bytemuck::pod_read_unaligned(&from.bytes[length..]);
        if rng.below(2) == 0 {
            let bytes = bytemuck::bytes_of_mut(&mut trailer);
            bytes[below(rng, 32)] ^= 1 << rng.below(8);
        }
        add_trailer(&mut datagram, trailer, sealed);
    }
    datagram
}

/// Writes a header that is read as far as it can be, and the tag.
pub fn seal(datagram: &mut Vec<u8>, sealed: Sealed) {
    datagram.resize(datagram.len().max(HEADER_LEN).next_multiple_of(8).min(DATAGRAM_LEN_MAX & !7), 0);
    let header = Header::peek(datagram).expect("it was made long enough");
    let cluster = if sealed == Sealed::OtherCluster { keys::OTHER_CLUSTER } else { CLUSTER };
    sealed.keys().seal(datagram, Header { magic: MAGIC, version: VERSION, cluster, ..header });
}

/// Adds a trailer with the fields of `trailer` behind a sealed frame.
fn add_trailer(frame: &mut Vec<u8>, trailer: RepairTrailer, sealed: Sealed) {
    const IDENTITY_BITS: u32 = 36;
    let history = trailer.repairer >> IDENTITY_BITS;
    let repairer = Identity::from_packed(trailer.repairer);
    let keys = match sealed {
        // Nobody else has the key of a trailer.
        Sealed::Replica | Sealed::Retired | Sealed::Pretender | Sealed::OtherCluster => sealed.keys(),
        _ => keys::unkeyed(),
    };
    let RepairTrailer { accepted, commit_next, token, .. } = trailer;
    let bytes = repair_trailer(keys, (repairer, history), Epoch(accepted), commit_next, token, frame);
    frame.extend_from_slice(&bytes);
}
