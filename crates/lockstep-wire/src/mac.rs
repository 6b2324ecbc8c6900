//! # mac: AEGIS-128L as a message authentication code, over a datagram
//!
//! AEGIS-128L (draft-irtf-cfrg-aegis-aead, section "MAC") absorbs 32 bytes with eight independent AES rounds,
//! so that a datagram of 168 bytes costs some tens of nanoseconds where the CPU has the instructions. A key
//! is expanded once, to the state behind its initialization ([`MacKey`]); each datagram begins with a copy of
//! that.
//!
//! The rounds are those of the crate `aes`, until `io` selects shorter code for this CPU ([`choose`]). Both
//! compute the same tags. Without AES instructions the crate computes in constant time, and slowly.

use aes::hazmat::{Block8, cipher_round_par};
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroize;

/// Bytes of a key.
pub const MAC_KEY_LEN: usize = 16;

/// The state of AEGIS-128L between two steps: eight blocks of AES.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
struct State([[u8; 16]; 8]);

/// Computes the tag of a datagram with a key. The datagram's own tag (bytes 8 to 24) counts as zeros, and
/// `number` replaces the last word of its header (bytes 96 to 104). The word `behind` may follow the
/// datagram. The datagram's length is a multiple of 8, and at least a header's.
pub type Compute = fn(&MacKey, &[u8], number: u64, behind: Option<u64>) -> [u64; 2];

static CHOSEN: OnceLock<Compute> = OnceLock::new();

/// Selects the function that computes tags from now on. The first choice of a process stays.
pub fn choose(compute: Compute) {
    let _first = CHOSEN.set(compute);
}

/// The constants of the draft: Fibonacci's numbers modulo 256.
const C0: [u8; 16] = [0, 1, 1, 2, 3, 5, 8, 13, 0x15, 0x22, 0x37, 0x59, 0x90, 0xe9, 0x79, 0x62];
const C1: [u8; 16] =
    [0xdb, 0x3d, 0x18, 0x55, 0x6d, 0xc2, 0x2f, 0xf1, 0x20, 0x11, 0x31, 0x42, 0x73, 0xb5, 0x28, 0xdd];

/// Bytes that one step absorbs.
const RATE: usize = 32;

/// The place of a datagram's tag, which counts as zeros.
const TAG: Range<usize> = 8..24;
/// The place of the word that `number` replaces.
const NUMBER: Range<usize> = 96..104;

/// An expanded key: the state behind the initialization, from which the key can be computed. Its words are
/// atomic, so that a key can be wiped while other threads still compute with it; a load of one is an ordinary
/// load. It is overwritten when it is dropped.
pub struct MacKey([AtomicU64; WORDS]);

/// Words of a state.
const WORDS: usize = size_of::<State>() / size_of::<u64>();

impl MacKey {
    /// Expands a key. The nonce is zero: a MAC needs none, and a key seals with one algorithm only.
    pub fn new(key: &[u8; MAC_KEY_LEN]) -> Self {
        let State(blocks) = initial(key, &[0; 16]);
        Self(bytemuck::cast::<_, [u64; WORDS]>(blocks).map(AtomicU64::new))
    }

    /// The tag of a datagram: as [`Compute`].
    #[inline]
    pub fn tag(&self, datagram: &[u8], number: u64, behind: Option<u64>) -> [u64; 2] {
        CHOSEN.get().unwrap_or(&(portable as Compute))(self, datagram, number, behind)
    }

    /// One of the eight blocks of its state, as the two words that lie in memory.
    #[inline(always)]
    pub fn block(&self, at: usize) -> [u64; 2] {
        [self.0[2 * at].load(Ordering::Relaxed), self.0[2 * at + 1].load(Ordering::Relaxed)]
    }

    /// Overwrites the key. A thread that computes with it at that moment gets a meaningless tag, and must
    /// check afterwards whether the key was withdrawn.
    pub(crate) fn wipe(&self) {
        for word in &self.0 {
            word.store(0, Ordering::Relaxed);
        }
    }
}

impl PartialEq for MacKey {
    fn eq(&self, other: &Self) -> bool {
        (0..WORDS / 2).all(|at| self.block(at) == other.block(at))
    }
}

impl Drop for MacKey {
    fn drop(&mut self) {
        for word in &mut self.0 {
            word.get_mut().zeroize();
        }
    }
}

impl fmt::Debug for MacKey {
    /// Prints nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

/// [`Compute`] for every CPU.
pub fn portable(key: &MacKey, datagram: &[u8], number: u64, behind: Option<u64>) -> [u64; 2] {
    assert!(datagram.len() >= NUMBER.end && datagram.len().is_multiple_of(8), "it begins with a header");
    let mut state = State(std::array::from_fn(|at| bytemuck::cast(key.block(at))));
    let block_of = |at: usize, piece: &[u8]| {
        let mut block = [0; RATE];
        block[..piece.len()].copy_from_slice(piece);
        match at {
            0 => block[TAG].fill(0),
            3 => block[..8].copy_from_slice(&number.to_le_bytes()),
            _ => {}
        }
        block
    };
    let (blocks, rest) = datagram.as_chunks::<RATE>();
    for (at, block) in blocks.iter().enumerate() {
        absorb(&mut state, &block_of(at, block));
    }
    let mut last = block_of(blocks.len(), rest);
    if let Some(word) = behind {
        last[rest.len()..rest.len() + 8].copy_from_slice(&word.to_le_bytes());
    }
    if !rest.is_empty() || behind.is_some() {
        absorb(&mut state, &last);
    }
    finish(state, datagram.len() + if behind.is_some() { 8 } else { 0 })
}

/// The state behind the initialization with a key and a nonce.
fn initial(key: &[u8; 16], nonce: &[u8; 16]) -> State {
    let (both, with_c0, with_c1) = (xor(key, nonce), xor(key, &C0), xor(key, &C1));
    let mut state = State([both, C1, C0, C1, both, with_c0, with_c1, with_c0]);
    for _ in 0..10 {
        update(&mut state, nonce, key);
    }
    state
}

/// The tag of 128 bits of a message of `bytes` bytes.
fn finish(mut state: State, bytes: usize) -> [u64; 2] {
    let lengths = (bytes as u128 * 8) | (128 << 64);
    let last = xor(&state.0[2], &lengths.to_le_bytes());
    for _ in 0..7 {
        update(&mut state, &last, &last);
    }
    let tag = state.0[..7].iter().fold([0; 16], |tag, block| xor(&tag, block));
    bytemuck::cast(tag)
}

/// One step: each block becomes the AES round of its neighbour, and two of them absorb the message.
fn update(state: &mut State, front: &[u8; 16], back: &[u8; 16]) {
    let State(old) = *state;
    let mut keys = old;
    keys[0] = xor(&old[0], front);
    keys[4] = xor(&old[4], back);
    let mut blocks =
        Block8::from([old[7], old[0], old[1], old[2], old[3], old[4], old[5], old[6]].map(Into::into));
    cipher_round_par(&mut blocks, &Block8::from(keys.map(Into::into)));
    state.0 = std::array::from_fn(|at| blocks[at].into());
}

fn absorb(state: &mut State, block: &[u8; RATE]) {
    let (halves, _) = block.as_chunks::<16>();
    update(state, &halves[0], &halves[1]);
}

fn xor(a: &[u8; 16], b: &[u8; 16]) -> [u8; 16] {
    (u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The MAC of any message, as the draft describes it: 32 bytes a step, the last ones padded with zeros.
    fn mac_of(mut state: State, message: &[u8]) -> [u64; 2] {
        for piece in message.chunks(RATE) {
            let mut block = [0; RATE];
            block[..piece.len()].copy_from_slice(piece);
            absorb(&mut state, &block);
        }
        finish(state, message.len())
    }

    /// draft-irtf-cfrg-aegis-aead, test vectors, AEGISMAC-128L.
    #[test]
    fn the_vector_of_the_draft_holds() {
        let block = |first: &[u8]| std::array::from_fn(|at| first.get(at).copied().unwrap_or(0));
        let (key, nonce) = (block(&[0x10, 0x01]), block(&[0x10, 0x00, 0x02]));
        let message: Vec<u8> = (0..35).collect();
        let tag = u128::from_be_bytes(bytemuck::cast(mac_of(initial(&key, &nonce), &message)));
        assert_eq!(tag, 0xd3f0_9b28_42ad_3016_87d6_902c_921d_7818);
    }

    #[test]
    fn a_tag_is_the_mac_of_the_datagram_without_its_tag_with_the_number_and_the_word_behind() {
        let key: [u8; 16] = std::array::from_fn(|at| 7 * at as u8 + 1);
        for length in (104..2_000).chain(8_896..8_972).step_by(8) {
            for behind in [None, Some(0x0123_4567_89ab_cdef)] {
                let mut datagram: Vec<u8> = (0..length).map(|at| (at * 31 + length) as u8).collect();
                let tag = portable(&MacKey::new(&key), &datagram, 42, behind);
                datagram[TAG].fill(0);
                datagram[NUMBER].copy_from_slice(&42u64.to_le_bytes());
                datagram.extend(behind.map(u64::to_le_bytes).iter().flatten());
                assert_eq!(tag, mac_of(initial(&key, &[0; 16]), &datagram), "{length} bytes, {behind:?}");
            }
        }
    }

    #[test]
    fn another_implementation_gives_the_same_tags() {
        let key: [u8; 16] = std::array::from_fn(|at| 11 * at as u8 + 5);
        for length in (104..1_500).step_by(8) {
            for behind in [None, Some(0xfedc_ba98_7654_3210)] {
                let mut datagram: Vec<u8> = (0..length).map(|at| (at * 37 + length) as u8).collect();
                let tag = portable(&MacKey::new(&key), &datagram, 4_711, behind);
                datagram[TAG].fill(0);
                datagram[NUMBER].copy_from_slice(&4_711u64.to_le_bytes());
                datagram.extend(behind.map(u64::to_le_bytes).iter().flatten());
                let mut other = aegis::aegis128l::Aegis128LMac::<16>::new(&key);
                other.update(&datagram);
                assert_eq!(
                    bytemuck::cast::<_, [u8; 16]>(tag),
                    other.finalize(),
                    "{length} bytes, {behind:?}"
                );
            }
        }
    }

    #[test]
    fn each_bit_of_key_datagram_and_number_changes_the_tag_and_none_of_the_tag_itself() {
        let key = [3; 16];
        let datagram: [u8; 120] = std::array::from_fn(|at| at as u8);
        let tag = MacKey::new(&key).tag(&datagram, 7, None);
        for bit in 0..128 {
            let mut other = key;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(MacKey::new(&other).tag(&datagram, 7, None), tag, "bit {bit} of the key");
        }
        for bit in 0..8 * datagram.len() {
            let mut other = datagram;
            other[bit / 8] ^= 1 << (bit % 8);
            let same = MacKey::new(&key).tag(&other, 7, None) == tag;
            let is_left_out = TAG.contains(&(bit / 8)) || NUMBER.contains(&(bit / 8));
            assert_eq!(same, is_left_out, "bit {bit} of the datagram");
        }
        for bit in 0..64 {
            assert_ne!(MacKey::new(&key).tag(&datagram, 7 ^ 1 << bit, None), tag, "bit {bit} of the number");
        }
    }
}
