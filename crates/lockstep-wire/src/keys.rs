//! # keys: which process may send what, and the tags that prove it
//!
//! A cluster's keys form rings. Each process has the keys of its class, and a datagram's `key_id` names the
//! class of its sender:
//!
//! | class | has | seals | its tag |
//! |---|---|---|---|
//! | replica, witness, archiver | all keys | everything | word 0 with the replicas' key, word 1 with the readers' |
//! | publisher i | its own key, the readers' | submissions, and what readers send | both words with its own key |
//! | reader, feed | the readers' key | requests | both words with the readers' key |
//!
//! A replica checks word 0 of another replica's datagram: no reader and no publisher can write it. It covers
//! word 1, so that a frame is stored as it was sealed. A reader checks word 1, as it cannot know the other
//! key; a holder of the readers' key can therefore deceive readers, and never a replica. A datagram of a
//! reader or of a publisher counts at replicas alone.
//!
//! **Generations.** A ring has up to [`GENERATIONS`] generations of keys. All *accepted* generations open
//! datagrams; one of them seals. So keys change while the stream runs: every process adds the new generation,
//! then every process seals with it, then every process stops accepting the old one. A generation that is no
//! longer accepted still opens the frames of a replay, which are as old as the stream, until it is forgotten.
//!
//! **Memory.** A ring stores expanded keys only, in few pieces of memory ([`Keyring::places`]), which `io`
//! locks. Three kinds of keys are overwritten: publishers' keys of a generation that is no longer accepted,
//! all keys of one that is forgotten, and all keys of a ring that is dropped.
//!
//! The log does not depend on keys: a frame carries the checksum of its content beside its tag, and the
//! journal and the chain are built on that. The trailer's tag vouches for a repaired frame.

mod generation;

use self::generation::Generation;
use crate::mac::{MAC_KEY_LEN, MacKey};
use crate::planted::{Mutation, planted};
use crate::{
    Header, KeyRights, Kind, OperatorOrder, PublicKey, REPAIR_TRAILER_LEN, RecipientRules, Reject, Signature,
    VerifyOrder,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use zeroize::Zeroize;

/// The most generations of keys in a ring: a key's id has four bits for them.
pub const GENERATIONS: usize = 16;

/// The number of publishers' keys of non-sealing generations that are noted until they are taken.
pub const NOTED_KEYS: usize = 8;

/// The most publishers' keys in a generation.
pub const PUBLISHER_KEYS_MAX: u16 = 4_080;

const GENERATION_SHIFT: u32 = 12;
const REPLICA: u16 = 1;
const READER: u16 = 2;
const FIRST_PUBLISHER: u16 = 16;

/// Bytes of a key.
pub type Key = [u8; MAC_KEY_LEN];

/// The class of a sender: which key it seals with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyClass {
    /// A replica, a witness or an archiver.
    Replica,
    /// A reader of the stream.
    Reader,
    /// The publisher with this key, below [`PUBLISHER_KEYS_MAX`].
    Publisher(u16),
}

impl KeyClass {
    /// The class in a key's id; `None` for an unknown number and for id 0.
    #[inline]
    pub fn of(key_id: u16) -> Option<Self> {
        match key_id & ((1 << GENERATION_SHIFT) - 1) {
            REPLICA => Some(Self::Replica),
            READER => Some(Self::Reader),
            key if key >= FIRST_PUBLISHER => Some(Self::Publisher(key - FIRST_PUBLISHER)),
            _ => None,
        }
    }

    /// How a notice of the leader names the holder of a key of this class: the publisher's number plus 1; 0
    /// for the other classes.
    pub fn notice_key(class: Option<Self>) -> u32 {
        match class {
            Some(Self::Publisher(number)) => u32::from(number) + 1,
            _ => 0,
        }
    }

    /// The generation in a key's id.
    pub fn generation(key_id: u16) -> u8 {
        (key_id >> GENERATION_SHIFT) as u8
    }

    fn key_id(self, generation: u8) -> u16 {
        let key = match self {
            Self::Replica => REPLICA,
            Self::Reader => READER,
            Self::Publisher(index) => FIRST_PUBLISHER + index,
        };
        u16::from(generation) << GENERATION_SHIFT | key
    }

    /// AUTH-1 (rights): whether a sender of this class may send datagrams of a kind at all.
    #[inline]
    pub fn may_send(self, kind: Kind) -> bool {
        match kind {
            Kind::Nack | Kind::Query | Kind::Join | Kind::AddressProof | Kind::ReplayRequest => true,
            Kind::Submission => self != Self::Reader,
            _ => self == Self::Replica,
        }
    }
}

/// The keys of one generation, as a key file has them.
#[derive(Clone, Default)]
pub struct GenerationKeys {
    /// The replicas' key, which only replicas have.
    pub replica: Option<Key>,
    /// The readers' key.
    pub reader: Key,
    /// Publishers' keys by their number: all of them at a replica, its own at a publisher.
    pub publishers: Vec<(u16, Key)>,
}

impl GenerationKeys {
    /// Overwrites the keys.
    pub fn wipe(&mut self) {
        self.replica.zeroize();
        self.reader.zeroize();
        for (_, key) in &mut self.publishers {
            key.zeroize();
        }
    }
}

impl fmt::Debug for GenerationKeys {
    /// Prints no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let publishers = self.publishers.iter().map(|(index, _)| index);
        f.debug_struct("GenerationKeys")
            .field("replica", &self.replica.is_some())
            .field("publishers", &publishers.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A publisher's key: its holder, and what it allows.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct KeyHolder {
    /// Its number.
    pub key: u16,
    /// Its name, for people.
    pub name: String,
    /// What it allows.
    pub rights: KeyRights,
}

impl KeyHolder {
    /// The operator who gives `order` under a key of `class`. `holder` is the key's holder, if it has other
    /// rights than the default. `None` with a replica's key, or without keys.
    ///
    /// # Errors
    /// [`Reject::Rights`]: the key does not allow it.
    pub fn operator(
        class: Option<KeyClass>,
        holder: Option<Arc<Self>>,
        order: OperatorOrder,
    ) -> Result<Option<Arc<Self>>, Reject> {
        match class {
            None | Some(KeyClass::Replica) => Ok(None),
            _ => holder.filter(|holder| holder.rights.may_order(order)).map(Some).ok_or(Reject::Rights),
        }
    }
}

/// The ring has other keys under the number of this generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OtherKeys {
    /// The number.
    pub generation: u8,
}

/// A cluster's id and the keys that this process has for it; without keys if `security.mode` is "none".
pub struct Keyring {
    cluster: u64,
    own: Option<KeyClass>,
    generations: [OnceLock<Box<Generation>>; GENERATIONS],
    /// The generation that seals.
    sealing: AtomicU8,
    /// One bit for each generation that opens live datagrams.
    accepted: AtomicU16,
    /// One bit for each generation that opens nothing any more, because its keys are overwritten.
    forgotten: AtomicU16,
    /// Ids of publishers' keys that opened a datagram while another generation seals; 0: no key.
    noted: [AtomicU16; NOTED_KEYS],
    /// The rights of publishers' keys that differ from the default, in the order of the keys' numbers.
    rights: Mutex<Vec<Arc<KeyHolder>>>,
    /// The rules for recipients; `None`: every publisher may address every name.
    recipients: Mutex<Option<Arc<RecipientRules>>>,
    /// How often rights and rules were set.
    rights_version: AtomicU32,
    /// The function that checks the signatures of orders.
    verify_order: OnceLock<VerifyOrder>,
}

impl Keyring {
    /// The ring of a cluster without authentication: datagrams carry a checksum, which finds accidents.
    pub const fn none(cluster: u64) -> Self {
        Self {
            cluster,
            own: None,
            generations: [const { OnceLock::new() }; GENERATIONS],
            sealing: AtomicU8::new(0),
            accepted: AtomicU16::new(0),
            forgotten: AtomicU16::new(0),
            noted: [const { AtomicU16::new(0) }; NOTED_KEYS],
            rights: Mutex::new(Vec::new()),
            recipients: Mutex::new(None),
            rights_version: AtomicU32::new(0),
            verify_order: OnceLock::new(),
        }
    }

    /// A ring without a generation, for a process that seals as `own`. It seals nothing before
    /// [`Keyring::add`] and [`Keyring::set_generations`].
    pub const fn empty(cluster: u64, own: KeyClass) -> Self {
        let mut ring = Self::none(cluster);
        ring.own = Some(own);
        ring
    }

    /// A ring of one generation, 0, for a process that seals as `own`.
    ///
    /// # Panics
    /// If `keys` lacks the key of `own`.
    pub fn new(cluster: u64, own: KeyClass, keys: &GenerationKeys) -> Self {
        let ring = Self::empty(cluster, own);
        let added = ring.add(0, keys);
        assert_eq!(added, Ok(()), "the ring was empty");
        ring.set_generations(0, 1);
        ring
    }

    /// The cluster.
    #[inline]
    pub fn cluster(&self) -> u64 {
        self.cluster
    }

    /// The class as which this process seals; `None` without keys.
    #[inline]
    pub fn own(&self) -> Option<KeyClass> {
        self.own
    }

    /// Adds a generation, or publishers' keys to an existing one. It opens replayed frames at once, and live
    /// datagrams once it is accepted.
    ///
    /// # Errors
    /// The ring has other keys under this number, which it keeps, or has forgotten the keys that it had.
    pub fn add(&self, generation: u8, keys: &GenerationKeys) -> Result<(), OtherKeys> {
        let slot = &self.generations[usize::from(generation)];
        match slot.get_or_init(|| Box::new(Generation::new(keys))).add(keys) {
            true => Ok(()),
            false => Err(OtherKeys { generation }),
        }
    }

    /// From now on `sealing` seals, and the generations whose bits are set in `accepted` open datagrams.
    /// Publishers' keys of the other generations are overwritten: submissions are never replayed.
    ///
    /// # Panics
    /// If `sealing` is not accepted, or an accepted generation was not added with the key by which this
    /// process seals.
    pub fn set_generations(&self, sealing: u8, accepted: u16) {
        assert!(accepted >> sealing & 1 == 1, "generation {sealing} seals, and is not accepted");
        for (generation, keys) in self.generations.iter().enumerate() {
            let has_own = keys.get().is_some_and(|keys| keys.has(self.own));
            assert!(accepted >> generation & 1 == 0 || has_own, "generation {generation} has no own key");
        }
        // The sealing generation is accepted at all times, also for other threads.
        let before = self.accepted.fetch_or(accepted, Ordering::AcqRel);
        self.sealing.store(sealing, Ordering::Release);
        self.accepted.store(accepted, Ordering::Release);
        fence(Ordering::Release); // pairs with the fence in `open`
        let retired = before & !accepted;
        let retired = self.generations.iter().enumerate().filter(|(at, _)| retired >> at & 1 == 1);
        retired.filter_map(|(_, keys)| keys.get()).for_each(|keys| keys.wipe_publishers());
    }

    /// From now on the generations whose bits are not set in `listed` open nothing, and their keys are
    /// overwritten. An accepted generation stays.
    pub fn forget_but(&self, listed: u16) {
        let gone = !(listed | self.accepted.load(Ordering::Acquire));
        let gone = (0..GENERATIONS).filter(|at| gone >> at & 1 == 1 && self.generations[*at].get().is_some());
        let gone = gone.fold(0, |bits, at| bits | 1 << at);
        self.forgotten.fetch_or(gone, Ordering::AcqRel);
        fence(Ordering::Release); // pairs with the fence in `open`
        let keys = self.generations.iter().enumerate().filter(|(at, _)| gone >> at & 1 == 1);
        keys.filter_map(|(_, keys)| keys.get()).for_each(|keys| keys.wipe());
    }

    /// The addresses at which the ring has keys, for the caller that locks memory.
    pub fn places(&self) -> Vec<Range<usize>> {
        self.generations.iter().filter_map(OnceLock::get).flat_map(|keys| keys.places()).collect()
    }

    /// From now on publishers' keys have these rights; a key without a row has those of
    /// [`KeyRights::default`].
    pub fn set_rights(&self, holders: impl IntoIterator<Item = KeyHolder>) {
        let limited = holders.into_iter().filter(|holder| holder.rights != KeyRights::default());
        let mut rows: Vec<_> = limited.map(Arc::new).collect();
        rows.sort_by_key(|holder| holder.key);
        *self.rights.lock().unwrap_or_else(PoisonError::into_inner) = rows;
        self.rights_version.fetch_add(1, Ordering::Release);
    }

    /// From now on these rules decide which publishers may address a name.
    pub fn set_recipients(&self, rules: RecipientRules) {
        let rules = (!rules.is_empty()).then(|| Arc::new(rules));
        *self.recipients.lock().unwrap_or_else(PoisonError::into_inner) = rules;
        self.rights_version.fetch_add(1, Ordering::Release);
    }

    /// From now on `verify` checks the signatures of orders. The first function that is set stays.
    pub fn set_order_verifier(&self, verify: VerifyOrder) {
        self.verify_order.get_or_init(|| verify);
    }

    /// Whether a signature over `signed` is that of the holder of `public`; `false` in a process without a
    /// verifier.
    pub fn is_signed_by(&self, public: &PublicKey, signed: &[u8], signature: &Signature) -> bool {
        self.verify_order.get().is_some_and(|verify| verify(public, signed, signature))
    }

    /// How often rights and rules for recipients were set. A thread that judges by them has a copy, and
    /// renews it when this number has changed.
    #[inline]
    pub fn rights_version(&self) -> u32 {
        self.rights_version.load(Ordering::Acquire)
    }

    /// A copy of the rights of publishers' keys that differ from the default, in the order of the keys'
    /// numbers.
    pub fn rights(&self) -> Vec<Arc<KeyHolder>> {
        self.rights.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The rules for recipients; `None`: every publisher may address every name.
    pub fn recipients(&self) -> Option<Arc<RecipientRules>> {
        self.recipients.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The operator who may give `order` in the datagram of `header`, which has been opened. `None` if a
    /// replica's key sealed it, or the cluster has no keys.
    ///
    /// # Errors
    /// [`Reject::Rights`]: its key does not allow it.
    pub fn operator(&self, header: &Header, order: OperatorOrder) -> Result<Option<Arc<KeyHolder>>, Reject> {
        let class = header.key_class();
        let is_its = |holder: &Arc<KeyHolder>| class == Some(KeyClass::Publisher(holder.key));
        KeyHolder::operator(class, self.rights().into_iter().find(is_its), order)
    }

    /// The generation that seals, and one bit for each accepted one.
    pub fn generations(&self) -> (u8, u16) {
        (self.sealing.load(Ordering::Acquire), self.accepted.load(Ordering::Acquire))
    }

    /// Writes `header` in front of `datagram`, which ends where the datagram ends, and seals it: `length`,
    /// `key_id`, `tag`, and a frame's checksum are filled in here. Returns the sealed header.
    // Inlined by force: a caller that reads some of its fields does not copy the others.
    #[inline(always)]
    pub fn seal(&self, datagram: &mut [u8], header: Header) -> Header {
        let Some(own) = self.own else { return crate::seal(datagram, header) };
        let (generation, keys) = self.sealing();
        let header = Header { key_id: own.key_id(generation), ..header };
        let header = crate::header::write(datagram, header);
        let tag =
            keys.tag(own, datagram, header.number).expect("it was checked when the generation was added");
        crate::header::write_tag(datagram, header, tag)
    }

    #[inline]
    fn sealing(&self) -> (u8, &Generation) {
        let generation = self.sealing.load(Ordering::Acquire);
        (generation, self.generations[usize::from(generation)].get().expect("the generation that seals"))
    }

    /// Checks a datagram that came from the network, or (`replayed`) a frame of a replay, and returns its
    /// header: magic, version, kind, length, cluster, key, rights, tag, in this order. The tag of a repaired
    /// frame is that of its trailer ([`Keyring::opens_trailer`]).
    #[inline(always)]
    pub(crate) fn open<'a>(&self, bytes: &'a [u8], replayed: bool) -> Result<&'a Header, Reject> {
        let (header, kind) = crate::header::parse(bytes)?;
        let behind = bytes.len() - header.length as usize;
        let is_repair = kind == Kind::Frame && behind == REPAIR_TRAILER_LEN;
        if self.own.is_none() {
            // A frame that was sealed while the cluster had keys is repaired and replayed as it is.
            if header.key_id != 0 && !is_repair && !replayed {
                return Err(Reject::Key);
            }
            crate::header::check(header, bytes)?;
        }
        if header.cluster != self.cluster {
            return Err(Reject::Cluster { seen: header.cluster });
        }
        if kind >= Kind::Stage {
            return Err(Reject::Kind);
        }
        if behind != 0 && !is_repair {
            return Err(Reject::Length);
        }
        if self.own.is_some() {
            let class = self.class(header)?;
            if !class.may_send(kind) {
                return Err(Reject::Rights);
            }
            if is_repair {
                // The repairer vouches for what is in its memory; the original checksums show whether that is
                // intact.
                crate::header::check(header, bytes)?;
            } else {
                let is_replayed = replayed && kind == Kind::Frame;
                let keys = self.generation(header, is_replayed)?;
                keys.opens(class, bytes, header)?;
                // A key that was overwritten meanwhile is known to everyone. The sealing one never is
                // overwritten.
                fence(Ordering::Acquire);
                if self.is_other(header.key_id) {
                    self.open_other(class, header, is_replayed)?;
                }
                crate::header::check_seal(header, bytes)?;
            }
        }
        Ok(header)
    }

    /// Whether the sealing generation is another one than this key's.
    #[inline]
    pub fn is_other(&self, key_id: u16) -> bool {
        KeyClass::generation(key_id) != self.sealing.load(Ordering::Acquire)
    }

    /// Judges a datagram that a non-sealing generation has opened: it counts if its keys are still in force.
    #[cold]
    fn open_other(&self, class: KeyClass, header: &Header, replayed: bool) -> Result<(), Reject> {
        self.generation(header, replayed)?;
        if let KeyClass::Publisher(_) = class {
            for slot in &self.noted {
                let known = slot.compare_exchange(0, header.key_id, Ordering::Relaxed, Ordering::Relaxed);
                if known.is_ok() || known == Err(header.key_id) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes the ids of publishers' keys that have opened datagrams since the last call although another
    /// generation seals; 0: no key. A key that finds no room is noted another time.
    pub fn take_noted(&self) -> [u16; NOTED_KEYS] {
        std::array::from_fn(|slot| self.noted[slot].swap(0, Ordering::Relaxed))
    }

    #[inline]
    fn class(&self, header: &Header) -> Result<KeyClass, Reject> {
        match header.key_id {
            0 => Err(Reject::Unkeyed),
            key_id => KeyClass::of(key_id).ok_or(Reject::Key),
        }
    }

    /// AUTH-3 (which generation counts): an accepted one, and for a frame of a replay any that the ring has.
    #[inline]
    fn generation(&self, header: &Header, replayed: bool) -> Result<&Generation, Reject> {
        let generation = KeyClass::generation(header.key_id);
        let keys = self.generations[usize::from(generation)].get().ok_or(Reject::Key)?;
        let accepted = self.accepted.load(Ordering::Acquire);
        let hides = || {
            planted(Mutation::OthersDoNotCount) && accepted.count_ones() == 2 && self.is_other(header.key_id)
        };
        let is_live = accepted >> generation & 1 == 1 && !hides();
        let is_late = replayed && !planted(Mutation::RetiredIsNotReplayed);
        if !is_late && !is_live && !planted(Mutation::RetiredGenerationCounts) {
            return Err(Reject::Generation);
        }
        if !is_live && self.forgotten.load(Ordering::Acquire) >> generation & 1 == 1 {
            return Err(Reject::Generation);
        }
        Ok(keys)
    }

    /// The tag of the trailer behind a repaired frame; `fields` are the trailer's bytes in front of the tag.
    /// It covers the frame as well, so that the repairer's present keys vouch for a frame of any age.
    pub(crate) fn trailer_tag(&self, frame: &[u8], fields: &[u8; 32]) -> [u64; 2] {
        if self.own.is_none() {
            return [crate::repair_checksum(frame, fields), 0];
        }
        let (_, keys) = self.sealing();
        let replica = keys.replica.as_ref().expect("only replicas repair");
        [replica, &keys.reader].map(|key| trailer_word(key, frame, fields))
    }

    /// Whether `tag` is that of a trailer.
    pub(crate) fn opens_trailer(&self, frame: &[u8], fields: &[u8; 32], tag: [u64; 2]) -> bool {
        if self.own.is_none() {
            return tag == [crate::repair_checksum(frame, fields), 0];
        }
        let accepted = self.accepted.load(Ordering::Acquire);
        let live = self.generations.iter().enumerate().filter(|(at, _)| accepted >> at & 1 == 1);
        live.filter_map(|(at, keys)| Some((at, keys.get()?))).any(|(at, keys)| {
            let is_right = match &keys.replica {
                Some(replica) => trailer_word(replica, frame, fields) == tag[0],
                None => trailer_word(&keys.reader, frame, fields) == tag[1],
            };
            fence(Ordering::Acquire); // as in `open`
            is_right && self.accepted.load(Ordering::Acquire) >> at & 1 == 1
        })
    }
}

/// One word of a trailer's tag. It covers the frame's tag, which the frame's own MAC leaves out. The tagged
/// bytes cannot begin with a datagram's magic.
fn trailer_word(key: &MacKey, frame: &[u8], fields: &[u8; 32]) -> u64 {
    let mut covered = [0; 112];
    covered[..8].copy_from_slice(b"trailer\0");
    covered[24..56].copy_from_slice(fields);
    covered[56..72].copy_from_slice(&frame[8..24]);
    let number = Header::look(frame).map_or(0, |header| header.number);
    covered[72..88].copy_from_slice(bytemuck::bytes_of(&key.tag(frame, number, None)));
    key.tag(&covered, 0, None)[0]
}

impl fmt::Debug for Keyring {
    /// Prints no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sealing, accepted) = self.generations();
        f.debug_struct("Keyring")
            .field("cluster", &self.cluster)
            .field("own", &self.own)
            .field("sealing", &sealing)
            .field("accepted", &format_args!("{accepted:#x}"))
            .finish()
    }
}

/// A process's keyring, shared by its threads: a change of the keys concerns all of them.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Keyring>);

impl From<Keyring> for Keys {
    fn from(ring: Keyring) -> Self {
        Self(Arc::new(ring))
    }
}

impl Deref for Keys {
    type Target = Keyring;

    #[inline]
    fn deref(&self) -> &Keyring {
        &self.0
    }
}

impl PartialEq for Keys {
    /// Two rings are equal if they are of one cluster and seal as one class: settings are compared, not keys.
    fn eq(&self, other: &Self) -> bool {
        (self.cluster, self.own) == (other.cluster, other.own)
    }
}

impl Eq for Keys {}

impl Hash for Keys {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.cluster, self.own).hash(state);
    }
}

#[cfg(test)]
mod tests;
