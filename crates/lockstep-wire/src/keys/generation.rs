//! The expanded keys of one generation.

use super::{GenerationKeys, Key, KeyClass, PUBLISHER_KEYS_MAX};
use crate::mac::MacKey;
use crate::planted::{Mutation, planted};
use crate::{Header, Reject};
use std::ops::Range;
use std::sync::OnceLock;

const _: () = assert!(PUBLISHER_KEYS_MAX as usize <= KEYS_PER_PIECE * KEYS_PER_PIECE);

/// The number of publishers' keys in one piece of memory.
const KEYS_PER_PIECE: usize = 64;

/// Keys of publishers, which are added while others read.
#[derive(Debug)]
pub(super) struct Publishers([OnceLock<Box<[OnceLock<MacKey>; KEYS_PER_PIECE]>>; KEYS_PER_PIECE]);

impl Publishers {
    #[inline]
    fn get(&self, index: u16) -> Option<&MacKey> {
        let index = usize::from(index);
        self.0.get(index / KEYS_PER_PIECE)?.get()?[index % KEYS_PER_PIECE].get()
    }

    /// Adds a key, if the index is free. Returns the key that is stored there.
    fn add(&self, index: u16, key: &Key) -> Option<&MacKey> {
        let index = usize::from(index);
        let piece = self.0.get(index / KEYS_PER_PIECE)?;
        let piece = piece.get_or_init(|| Box::new([const { OnceLock::new() }; KEYS_PER_PIECE]));
        Some(piece[index % KEYS_PER_PIECE].get_or_init(|| MacKey::new(key)))
    }

    fn pieces(&self) -> impl Iterator<Item = &[OnceLock<MacKey>; KEYS_PER_PIECE]> {
        self.0.iter().filter_map(|piece| piece.get().map(|piece| &**piece))
    }

    pub(super) fn wipe(&self) {
        self.pieces().flatten().filter_map(OnceLock::get).for_each(MacKey::wipe);
    }
}

#[derive(Debug)]
pub(super) struct Generation {
    pub(super) replica: Option<MacKey>,
    pub(super) reader: MacKey,
    publishers: Publishers,
}

impl Generation {
    /// Without publishers' keys.
    pub(super) fn new(keys: &GenerationKeys) -> Self {
        let publishers = Publishers([const { OnceLock::new() }; KEYS_PER_PIECE]);
        let replica = keys.replica.as_ref().map(MacKey::new);
        Self { replica, reader: MacKey::new(&keys.reader), publishers }
    }

    /// Adds publishers' keys that were missing. Returns whether all keys that were there already are the
    /// same.
    pub(super) fn add(&self, keys: &GenerationKeys) -> bool {
        let Self { replica, reader, .. } = Self::new(keys);
        let is_same = |(index, key): &(u16, Key)| {
            self.publishers.add(*index, key).is_some_and(|own| *own == MacKey::new(key))
        };
        (self.replica == replica) & (self.reader == reader) && keys.publishers.iter().all(is_same)
    }

    /// Whether it has the key with which a process of `class` seals.
    pub(super) fn has(&self, class: Option<KeyClass>) -> bool {
        match class {
            None => false,
            Some(KeyClass::Replica) => self.replica.is_some(),
            Some(KeyClass::Reader) => true,
            Some(KeyClass::Publisher(own)) => self.publishers.get(own).is_some(),
        }
    }

    /// Overwrites publishers' keys.
    pub(super) fn wipe_publishers(&self) {
        self.publishers.wipe();
    }

    /// The addresses of its pieces of memory.
    pub(super) fn places(&self) -> impl Iterator<Item = Range<usize>> {
        std::iter::once(place(self)).chain(self.publishers.pieces().map(place))
    }

    /// Overwrites all keys.
    pub(super) fn wipe(&self) {
        self.replica.iter().chain([&self.reader]).for_each(MacKey::wipe);
        self.publishers.wipe();
    }

    /// The tag by which a sender of `class` seals a datagram; `None` without its key.
    #[inline]
    pub(super) fn tag(&self, class: KeyClass, datagram: &[u8], number: u64) -> Option<[u64; 2]> {
        Some(match class {
            KeyClass::Replica => {
                let [readers, _] = self.reader.tag(datagram, number, None);
                [self.replica.as_ref()?.tag(datagram, number, Some(readers))[0], readers]
            }
            KeyClass::Reader => self.reader.tag(datagram, number, None),
            KeyClass::Publisher(index) => self.publishers.get(index)?.tag(datagram, number, None),
        })
    }

    /// AUTH-2 (which word counts): whether the tag is that of a sender of `class`, as far as this process can
    /// judge. It checks a replica by the word that only replicas can write, and all others by the word that
    /// they can write.
    #[inline]
    pub(super) fn opens(&self, class: KeyClass, datagram: &[u8], header: &Header) -> Result<(), Reject> {
        let (tag, number) = (header.tag, header.tagged_number());
        let is_right = match (class, &self.replica) {
            (KeyClass::Replica, Some(_)) if planted(Mutation::ReadersWordCounts) => {
                self.reader.tag(datagram, number, None)[0] == tag[1]
            }
            (KeyClass::Replica, Some(replica)) => replica.tag(datagram, number, Some(tag[1]))[0] == tag[0],
            (KeyClass::Replica, None) => self.reader.tag(datagram, number, None)[0] == tag[1],
            // Requests are addressed to replicas.
            (_, None) => return Err(Reject::Rights),
            (KeyClass::Reader, Some(_)) => self.reader.tag(datagram, number, None) == tag,
            (KeyClass::Publisher(index), Some(_)) => {
                self.publishers.get(index).ok_or(Reject::Key)?.tag(datagram, number, None) == tag
            }
        };
        if is_right { Ok(()) } else { Err(Reject::Tag) }
    }
}

fn place<T>(of: &T) -> Range<usize> {
    let from = std::ptr::from_ref(of).addr();
    from..from + size_of::<T>()
}
