//! A reader without the lock, beside the process that writes the journal: whatever the writer does between
//! any two calls of the reader, nothing of it is damage, and what is damaged is found all the same.

use super::overview::take_over;
use super::*;
use crate::journal::ports::{Store, StoreError};
use crate::journal::{ExpectedSegments, overview, stored_log, verify_segments};
use std::cell::{Cell, RefCell};

/// A page of a file becomes visible piece by piece.
const PIECE_LEN: usize = 512;

/// One thing that a writer does to its files.
#[derive(Clone)]
enum Step {
    Piece(FileName, u64, Vec<u8>),
    Reserve(FileName, u64),
    Rename(FileName, FileName),
    Truncate(FileName, u64),
    Replace(FileName, Vec<u8>),
    Remove(FileName),
}

impl Step {
    fn carry_out(&self, store: &mut MemoryStore) {
        match self {
            Self::Piece(file, at, bytes) => {
                let content = store.file_mut(*file).expect("it was reserved");
                let end = *at as usize + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*at as usize..end].copy_from_slice(bytes);
            }
            Self::Reserve(file, len) => store.reserve(*file, *len).unwrap(),
            Self::Rename(from, to) => store.rename(*from, *to).unwrap(),
            Self::Truncate(file, len) => store.truncate(*file, *len).unwrap(),
            Self::Replace(file, bytes) => store.replace(*file, bytes).unwrap(),
            Self::Remove(file) => store.remove(*file).unwrap(),
        }
    }
}

/// The files of a writer, with all that it does to them.
struct Recorded {
    store: MemoryStore,
    steps: Vec<Step>,
}

impl Recorded {
    fn apply(&mut self, step: Step) {
        step.carry_out(&mut self.store);
        self.steps.push(step);
    }
}

impl Store for Recorded {
    fn write_at(&mut self, file: FileName, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        if self.store.len(file).is_err() {
            self.apply(Step::Reserve(file, 0));
        }
        for (index, piece) in bytes.chunks(PIECE_LEN).enumerate() {
            self.apply(Step::Piece(file, offset + (index * PIECE_LEN) as u64, piece.to_vec()));
        }
        Ok(())
    }

    fn read_at(&self, file: FileName, offset: u64, out: &mut [u8]) -> Result<usize, StoreError> {
        self.store.read_at(file, offset, out)
    }

    fn reserve(&mut self, file: FileName, len: u64) -> Result<(), StoreError> {
        self.apply(Step::Reserve(file, len));
        Ok(())
    }

    fn len(&self, file: FileName) -> Result<u64, StoreError> {
        self.store.len(file)
    }

    fn list(&self) -> Result<Vec<FileName>, StoreError> {
        self.store.list()
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<(), StoreError> {
        self.apply(Step::Rename(from, to));
        Ok(())
    }

    fn truncate(&mut self, file: FileName, len: u64) -> Result<(), StoreError> {
        self.apply(Step::Truncate(file, len));
        Ok(())
    }

    fn replace(&mut self, file: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.apply(Step::Replace(file, bytes.to_vec()));
        Ok(())
    }

    fn remove(&mut self, file: FileName) -> Result<(), StoreError> {
        self.apply(Step::Remove(file));
        Ok(())
    }

    fn sync(&mut self, _: FileName) -> Result<(), StoreError> {
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        self.store.free_bytes()
    }
}

/// The same files as a reader sees them: before each of its calls the writer does `pace` steps more.
struct Beside<'a> {
    store: RefCell<MemoryStore>,
    steps: &'a [Step],
    done: Cell<usize>,
    pace: usize,
}

impl<'a> Beside<'a> {
    fn new(before: &MemoryStore, steps: &'a [Step], done: usize, pace: usize) -> Self {
        let mut store = before.clone();
        steps[..done].iter().for_each(|step| step.carry_out(&mut store));
        Self { store: RefCell::new(store), steps, done: Cell::new(done), pace }
    }

    fn go_on(&self) -> std::cell::Ref<'_, MemoryStore> {
        let (from, to) = (self.done.get(), self.steps.len().min(self.done.get() + self.pace));
        self.steps[from..to].iter().for_each(|step| step.carry_out(&mut self.store.borrow_mut()));
        self.done.set(to);
        self.store.borrow()
    }
}

impl Store for Beside<'_> {
    fn write_at(&mut self, file: FileName, _: u64, _: &[u8]) -> Result<(), StoreError> {
        panic!("a reader writes {file}")
    }

    fn read_at(&self, file: FileName, offset: u64, out: &mut [u8]) -> Result<usize, StoreError> {
        self.go_on().read_at(file, offset, out)
    }

    fn reserve(&mut self, file: FileName, _: u64) -> Result<(), StoreError> {
        panic!("a reader reserves {file}")
    }

    fn len(&self, file: FileName) -> Result<u64, StoreError> {
        self.go_on().len(file)
    }

    fn list(&self) -> Result<Vec<FileName>, StoreError> {
        self.go_on().list()
    }

    fn rename(&mut self, from: FileName, _: FileName) -> Result<(), StoreError> {
        panic!("a reader renames {from}")
    }

    fn truncate(&mut self, file: FileName, _: u64) -> Result<(), StoreError> {
        panic!("a reader cuts {file}")
    }

    fn replace(&mut self, file: FileName, _: &[u8]) -> Result<(), StoreError> {
        panic!("a reader replaces {file}")
    }

    fn remove(&mut self, file: FileName) -> Result<(), StoreError> {
        panic!("a reader removes {file}")
    }

    fn sync(&mut self, file: FileName) -> Result<(), StoreError> {
        panic!("a reader syncs {file}")
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        self.go_on().free_bytes()
    }
}

/// A journal whose newest segment is nearly full, and what its writer does next: groups of several sizes, a
/// takeover that replaces a suffix, the seal of the segment, and a new one.
fn busy() -> (MemoryStore, Vec<Step>) {
    let mut journal = Journal::begun();
    while journal.opened.writer.place().1 < 1_000 << 10 {
        journal.grow(40, 3, 200);
        journal.drain();
    }
    let before = journal.store.clone();
    let mut files = Recorded { store: before.clone(), steps: Vec::new() };
    for round in 0..14 {
        if round == 5 {
            let end = journal.end();
            journal.grow(2, 2, 100);
            take_over(&mut journal, end);
        }
        journal.grow(2 + round % 5, 4, 60 + 15 * round as usize);
        let OpenedJournal { tail, writer, .. } = &mut journal.opened;
        while copy_behind(tail.memory_mut(), writer, &mut files, false).unwrap() > 0 {}
    }
    assert!(journal.opened.writer.number() > 1, "a segment was sealed");
    assert!(files.steps.len() > 100);
    (before, files.steps)
}

/// Places at which the reader may have begun, so many steps apart, and paces of the writer.
fn cases(steps: &[Step]) -> impl Iterator<Item = (usize, usize)> + '_ {
    const APART: usize = 19;
    let places = |pace| (pace % APART..steps.len()).step_by(APART).map(move |done| (done, pace));
    [1, 2, 7, 40].into_iter().flat_map(places)
}

#[test]
fn whatever_is_written_while_it_is_verified_is_no_damage() {
    let (before, steps) = busy();
    for (done, pace) in cases(&steps) {
        let read = verify_segments(&Beside::new(&before, &steps, done, pace), 0).unwrap();
        assert_eq!(read.damage, [], "from step {done} on, {pace} at a time");
    }
}

#[test]
fn whatever_is_written_while_its_log_is_read_is_no_damage() {
    let (before, steps) = busy();
    for (done, pace) in cases(&steps) {
        let case = format!("from step {done} on, {pace} at a time");
        let store = Beside::new(&before, &steps, done, pace);
        let log = stored_log(&store, ExpectedSegments::default());
        let log = log.unwrap_or_else(|error| panic!("{case}: {error:?}"));
        assert_eq!((log.damage, log.gone), (None, vec![]), "{case}");
        let rows = overview(&Beside::new(&before, &steps, done, pace)).unwrap();
        assert!(rows.iter().all(Result::is_ok), "{case}: {rows:?}");
    }
}

#[test]
fn a_byte_that_has_changed_is_named_beside_a_writer_and_nothing_else_is() {
    let (mut before, steps) = busy();
    let at = 300 << 10;
    before.file_mut(FileName::Segment(1)).unwrap()[at] ^= 4;
    let alone = verify_segments(&before, 0).unwrap().damage;
    assert_eq!(alone.len(), 1, "{alone:?}");
    for (done, pace) in cases(&steps).step_by(3) {
        let read = verify_segments(&Beside::new(&before, &steps, done, pace), 0).unwrap();
        assert_eq!(read.damage, alone, "from step {done} on, {pace} at a time");
    }
}
