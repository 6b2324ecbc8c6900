//! # attestation: the statement that a notary signs
//!
//! One message of the stream to [`NOTARIES`](lockstep_wire::NOTARIES), 160 bytes:
//!
//! ```text
//!   0  history        8  first_seq     16  next_seq     24  frames u32, version u32
//!  32  root: of the Merkle tree over the frames with first_seq to next_seq, whole, as they are stored
//!  64  notary: its public key           96  signature: ed25519 over "lockstep attestation\n" and bytes 0 to 96
//! ```

use crate::tree::{Hash, MerkleTree, leaf_hash};
use bytemuck::{Pod, Zeroable};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use lockstep_wire::{Cursor, FrameView, Seq};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Most frames that one attestation is over: a reader has so many, and those that come until it is
/// committed, before it may deliver the first one.
pub const FRAMES_MAX: u32 = 1_024;
/// Most entries that one attestation is over: a reader that begins at a seq begins so much before it.
pub const ENTRIES_MAX: u64 = 65_536;
/// Bytes of an attestation.
pub const ATTESTATION_LEN: usize = size_of::<Attestation>();

const VERSION: u32 = 1;
/// The signed text begins with it, so that no signature of another protocol is valid here.
const CONTEXT: &[u8] = b"lockstep attestation\n";

/// The signed part of an attestation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct AttestationBody {
    /// The history of all these frames.
    pub history: u64,
    /// The first seq of the first frame.
    pub first_seq: Seq,
    /// The exclusive end of the last frame.
    pub next_seq: Seq,
    /// How many frames.
    pub frames: u32,
    version: u32,
    /// The root of the tree over them.
    pub root: Hash,
    /// The notary's public key.
    pub notary: [u8; 32],
}

/// A signed attestation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Attestation {
    /// The signed part.
    pub body: AttestationBody,
    signature: [u8; 64],
}

const _: () = assert!(size_of::<AttestationBody>() == 96 && ATTESTATION_LEN == 160);

impl Attestation {
    /// The payload of its message.
    pub fn bytes(&self) -> &[u8; ATTESTATION_LEN] {
        bytemuck::cast_ref(self)
    }

    /// From a message's payload; `None` if that is no attestation of this version, or names a range that no
    /// attestation may have. Its signature is not checked.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let attestation: Self = bytemuck::try_pod_read_unaligned(payload).ok()?;
        let body = &attestation.body;
        let entries = body.next_seq.checked_sub(body.first_seq)?;
        let is_sound = body.version == VERSION
            && body.first_seq > 0
            && (1..=FRAMES_MAX).contains(&body.frames)
            && (u64::from(body.frames)..=ENTRIES_MAX).contains(&entries);
        is_sound.then_some(attestation)
    }

    /// Whether one of `notaries` has signed it.
    pub fn is_signed_by(&self, notaries: &[NotaryKey]) -> bool {
        let mut notaries = notaries.iter();
        let Some(key) = notaries.find(|key| *key.0.as_bytes() == self.body.notary) else { return false };
        key.0.verify_strict(&signed(&self.body), &Signature::from_bytes(&self.signature)).is_ok()
    }
}

fn signed(body: &AttestationBody) -> Vec<u8> {
    [CONTEXT, bytemuck::bytes_of(body)].concat()
}

/// A notary's public key, or an operator's: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotaryKey(pub(crate) VerifyingKey);

impl NotaryKey {
    /// From its bytes; `None` if these are no key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        // A key of small order would sign anything.
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl FromStr for NotaryKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no public key: 64 hexadecimal digits, as `lockstep` prints them");
        let bytes: [u8; 32] = from_hex(text).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
        Self::from_bytes(&bytes).ok_or_else(wrong)
    }
}

impl fmt::Display for NotaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(self.0.as_bytes()))
    }
}

/// The public keys in `text`: one a line, and behind it a name for people; empty lines and lines from `#` on
/// are left out.
///
/// # Errors
/// A line that is no key, with its number.
pub fn parse_notaries(text: &str) -> Result<Vec<NotaryKey>, String> {
    Ok(parse_public_keys(text)?.into_iter().map(|(key, _)| key).collect())
}

/// As [`parse_notaries`], with the names.
///
/// # Errors
/// A line that is no key, with its number.
pub fn parse_public_keys(text: &str) -> Result<Vec<(NotaryKey, String)>, String> {
    let lines = (1..).zip(text.lines().map(|line| line.split('#').next().unwrap_or_default()));
    let rows = lines.filter_map(|(number, line)| {
        let mut words = line.split_whitespace();
        Some((number, words.next()?, words.next().unwrap_or_default()))
    });
    rows.map(|(number, key, name)| match key.parse() {
        Ok(key) => Ok((key, name.to_owned())),
        Err(error) => Err(format!("line {number}: {error}")),
    })
    .collect()
}

/// A notary's secret: it signs. It is overwritten when it is dropped.
pub struct Notary(Box<SigningKey>);

impl Notary {
    /// From 32 random bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Box::new(SigningKey::from_bytes(secret)))
    }

    /// The addresses of the secret, for a caller that locks memory.
    pub fn place(&self) -> Range<usize> {
        let from = std::ptr::from_ref(&*self.0).addr();
        from..from + size_of::<SigningKey>()
    }

    /// The key by which its signatures are checked.
    pub fn public(&self) -> NotaryKey {
        NotaryKey(self.0.verifying_key())
    }

    /// Signs what `interval` is over; `None` if that is no frame.
    pub fn attest(&self, interval: &Interval) -> Option<Attestation> {
        let (first, next) = interval.range?;
        let body = AttestationBody {
            history: first.history,
            first_seq: first.seq,
            next_seq: next.seq,
            frames: interval.frames,
            version: VERSION,
            root: interval.tree.root()?,
            notary: self.public().0.to_bytes(),
        };
        Some(Attestation { body, signature: self.0.sign(&signed(&body)).to_bytes() })
    }
}

impl fmt::Debug for Notary {
    /// Shows the public key alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notary({})", self.public())
    }
}

/// The frames that the next attestation will be over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interval {
    tree: MerkleTree,
    frames: u32,
    /// Where its first frame begins, and where its last one ends.
    range: Option<(Cursor, Cursor)>,
}

impl Interval {
    /// Whether `frame` may be the next. A notary signs whole committed frames, each behind the one before, of
    /// one history, and no more than an attestation may be over.
    pub fn takes(&self, frame: &FrameView<'_>) -> bool {
        let header = frame.header;
        self.range.is_none_or(|(first, next)| {
            self.frames < FRAMES_MAX
                && header.next_seq() - first.seq <= ENTRIES_MAX
                && (header.history, header.first_seq, header.chain) == (next.history, next.seq, next.chain)
        })
    }

    /// Adds the next frame, which it [takes](Interval::takes).
    pub fn push(&mut self, frame: &FrameView<'_>) {
        assert!(self.takes(frame), "the frame {:?} does not follow {:?}", frame.header, self.range);
        let (history, header) = (frame.header.history, frame.header);
        let first = Cursor { history, seq: header.first_seq, chain: header.chain };
        let next = Cursor { history, seq: header.next_seq(), chain: frame.chain_after() };
        self.range = Some((self.range.map_or(first, |(first, _)| first), next));
        self.tree.push(leaf_hash(frame.bytes));
        self.frames += 1;
    }

    /// How many frames it is over.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Where the next one begins; `None` without a frame.
    pub fn end(&self) -> Option<Cursor> {
        self.range.map(|(_, next)| next)
    }
}

/// Bytes as hexadecimal text, two digits each.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal text, two digits each.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}
