//! A folder in memory, which crashes at a chosen operation or is full.

use crate::file::storage::FileStorage;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// What a crash leaves of bytes that were not made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// All: the process was killed.
    Process,
    /// Half of them: the power failed.
    Power,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    open: Option<String>,
    /// Bytes of the open file that are durable.
    synced: usize,
    operations: usize,
    crash_at: Option<(usize, Crash)>,
    capacity: Option<usize>,
}

/// The folder. Clones are the same one.
#[derive(Clone, Default)]
pub struct MemoryFolder(Rc<RefCell<State>>);

impl MemoryFolder {
    /// Its files.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.borrow().files.clone()
    }

    pub fn operations(&self) -> usize {
        self.0.borrow().operations
    }

    /// Operation `at`, from now, fails, and so does every one behind it.
    pub fn crash_at(&self, at: usize, crash: Crash) {
        let mut state = self.0.borrow_mut();
        state.crash_at = Some((state.operations + at, crash));
    }

    /// The process starts again.
    pub fn restart(&self) {
        let mut state = self.0.borrow_mut();
        let crash = state.crash_at.take();
        if let (Some(open), Some((_, Crash::Power))) = (state.open.take(), crash) {
            let synced = state.synced;
            if let Some(bytes) = state.files.get_mut(&open) {
                bytes.truncate(synced + (bytes.len() - synced) / 2);
            }
        }
    }

    /// The bytes that all files may have.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.0.borrow_mut().capacity = bytes;
    }

    /// Counts an operation; whether it is done as a whole, or interrupted.
    fn begin(&self) -> Result<(), bool> {
        let mut state = self.0.borrow_mut();
        state.operations += 1;
        match state.crash_at {
            Some((at, _)) if state.operations == at => Err(true),
            Some((at, _)) if state.operations > at => Err(false),
            _ => Ok(()),
        }
    }
}

fn crashed() -> io::Error {
    io::Error::other("the process is gone")
}

impl FileStorage for MemoryFolder {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.begin().map_err(|_| crashed())?;
        Ok(self.0.borrow().files.get(name).cloned())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.begin().map_err(|_| crashed())?;
        let mut state = self.0.borrow_mut();
        state.files.insert(name.to_owned(), Vec::new());
        (state.open, state.synced) = (Some(name.to_owned()), 0);
        Ok(())
    }

    fn probe_space(&mut self, bytes: u64) -> io::Result<()> {
        self.begin().map_err(|_| crashed())?;
        let state = self.0.borrow();
        let used: usize = state.files.values().map(Vec::len).sum();
        match state.capacity {
            Some(capacity) if used + bytes as usize > capacity => Err(ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let begun = self.begin();
        let mut state = self.0.borrow_mut();
        let used: usize = state.files.values().map(Vec::len).sum();
        let room = state.capacity.map_or(bytes.len(), |capacity| capacity.saturating_sub(used));
        let open = state.open.clone().expect("a file is open");
        let file = state.files.get_mut(&open).expect("the open file");
        match begun {
            Ok(()) => {
                file.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if room < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
            }
            Err(interrupted) => {
                file.extend_from_slice(&bytes[..if interrupted { bytes.len() / 2 } else { 0 }]);
                Err(crashed())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.begin().map_err(|_| crashed())?;
        let mut state = self.0.borrow_mut();
        state.synced = state.files[state.open.as_ref().expect("a file is open")].len();
        Ok(())
    }

    fn publish(&mut self, from: &str, to: &str) -> io::Result<()> {
        let begun = self.begin();
        // Interrupted, it may have been done and not answered: that is the case of more states.
        if begun != Err(false) {
            let mut state = self.0.borrow_mut();
            let bytes = state.files.remove(from).expect("the file");
            state.files.insert(to.to_owned(), bytes);
            state.open = None;
        }
        begun.map_err(|_| crashed())
    }
}
