//! A ring of datagrams between two processes.

use super::inbox::ShmInbox;
use super::ring::{Reader, Writer, ring_words};
use crate::sync::AtomicU64;
use loom::sync::Arc;
use loom::thread;
use std::ops::Deref;

/// Bytes of a datagram here.
const LEN: usize = 16;
const KIND: u8 = 1;

/// Loom's shared memory.
#[derive(Clone)]
struct Memory(Arc<Vec<AtomicU64>>);

impl Deref for Memory {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        &self.0
    }
}

impl Memory {
    fn new() -> Self {
        Self(Arc::new((0..ring_words::<0>(0, LEN)).map(|_| AtomicU64::new(0)).collect()))
    }
}

fn push(writer: &mut Writer<Memory, 0>, number: u8) {
    assert!(writer.push(KIND, [], [&[number; LEN / 2], &[number; LEN / 2]]));
}

/// What one look lends: all of it is whole, and numbers rise. Returns the last one.
fn look(reader: &mut Reader<Memory, 0>, inbox: &mut ShmInbox, mut last: u8) -> u8 {
    inbox.clear();
    reader.read(|_, []| true, inbox);
    for index in 0..inbox.len() {
        let bytes = inbox.datagram(index);
        assert!(bytes.len() == LEN && bytes.iter().all(|byte| *byte == bytes[0]), "torn: {bytes:?}");
        assert!(bytes[0] > last, "{} behind {last}", bytes[0]);
        last = bytes[0];
    }
    last
}

/// Two records are published while somebody reads: each is read whole, in order, or not yet.
pub fn a_record_is_whole_or_not_there() {
    let memory = Memory::new();
    let mut writer = Writer::new(memory.clone());
    let mut reader = Reader::of_all(memory);
    let other = thread::spawn(move || {
        push(&mut writer, 1);
        push(&mut writer, 2);
    });
    let mut inbox = ShmInbox::new(4, LEN);
    let last = look(&mut reader, &mut inbox, 0);
    look(&mut reader, &mut inbox, last);
    assert_eq!((inbox.lost, inbox.broken), (0, 0));
    if other.join().is_err() {
        panic!("the writer ended early");
    }
}

/// A writer enters the block that somebody is reading, a lap later: what is lent is whole all the same.
pub fn what_is_overwritten_is_never_lent() {
    let memory = Memory::new();
    let mut writer = Writer::new(memory.clone());
    let mut reader = Reader::of_all(memory);
    // Until the next record goes where the first one lies.
    let mut number = 0;
    for _ in 0..LAP {
        number += 1;
        push(&mut writer, number);
    }
    let other = thread::spawn(move || push(&mut writer, number + 1));
    let mut inbox = ShmInbox::new(1, LEN);
    look(&mut reader, &mut inbox, 0);
    assert_eq!(inbox.broken, 0);
    if other.join().is_err() {
        panic!("the writer ended early");
    }
}

/// Records of the smallest ring: 16 blocks, and one in each, as a pad takes the rest.
const LAP: u8 = 16;
