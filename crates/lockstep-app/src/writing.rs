//! A snapshot that is being written to the disk.

use crate::settings::SnapshotMode;
use crate::store::{DigestedFile, SnapshotStore};
use lockstep_client::IoError;
use lockstep_machine::Seq;
use lockstep_process::fork::{ForkedChild, fork};
use std::io;

/// A snapshot that is being written to the disk.
pub(crate) struct Writing {
    /// The child that writes it, and has not ended.
    child: Option<ForkedChild>,
    /// The exclusive bound of its entries.
    pub next: Seq,
    /// Whether it was final when it was begun: then its writer has completed it.
    pub was_final: bool,
}

impl Writing {
    /// Begins to write the snapshot below `next` in this mode, after the removal of old ones: removing a
    /// large file takes longer than a fork.
    ///
    /// # Errors
    /// Those of the disk, if this process writes it; or the kernel has no room for a process.
    pub(crate) fn begin(
        store: &SnapshotStore,
        mode: SnapshotMode,
        (next, was_final): (Seq, bool),
        save: impl FnOnce(&mut DigestedFile) -> io::Result<()>,
    ) -> Result<Self, IoError> {
        let write = || {
            let doing = || format!("write {}", store.part(next).display());
            store.trim(next)?;
            store.write_part(next, save).map_err(|error| IoError::new(doing(), error))?;
            let completed = if was_final { store.complete(next).map(|_| ()) } else { Ok(()) };
            completed.map_err(|error| IoError::new(format!("complete {}", store.part(next).display()), error))
        };
        let child = match mode {
            SnapshotMode::Pause => write().map(|()| None)?,
            // Only the number of the kernel's error reaches the parent, and `source` alone has it.
            _ => Some(fork(|| write().map_err(|error| error.source))?),
        };
        Ok(Self { child, next, was_final })
    }

    /// Whether it is written, or why it is not; `None` while a child writes it. It never waits.
    ///
    /// # Errors
    /// The kernel does not know the child: other code has waited for it.
    pub(crate) fn ended(&mut self) -> Result<Option<io::Result<()>>, IoError> {
        let Some(child) = &mut self.child else { return Ok(Some(Ok(()))) };
        let outcome = child.ended()?;
        if outcome.is_some() {
            self.child = None;
        }
        Ok(outcome)
    }

    /// Whether a child writes it.
    pub(crate) fn is_beside(&self) -> bool {
        self.child.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// The outcome of a snapshot below 7 in a folder with an obstacle, as the kernel's error number.
    fn number_of_what_failed(mode: SnapshotMode, in_the_way: &str) -> Option<i32> {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SnapshotStore::open(folder.path(), 2).expect("a folder");
        std::fs::create_dir(folder.path().join(in_the_way)).expect("a folder");
        let mut writing = match Writing::begin(&store, mode, (7, true), |out| out.write_all(b"state")) {
            Ok(writing) => writing,
            Err(error) => return error.source.raw_os_error(),
        };
        loop {
            if let Some(outcome) = writing.ended().expect("a child") {
                assert!(!writing.is_beside());
                return outcome.expect_err("something is in the way").raw_os_error();
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn whatever_step_of_a_snapshot_fails_the_kernels_number_is_known_also_of_a_child() {
        let is_a_directory = std::fs::write("/", "").expect_err("a folder").raw_os_error();
        for mode in [SnapshotMode::Pause, SnapshotMode::Fork] {
            // The obstacle is in the way of the removed, of the written, and of the completed file.
            for name in
                ["00000000000000000006.part", "00000000000000000007.part", "00000000000000000007.snapshot"]
            {
                assert_eq!(number_of_what_failed(mode, name), is_a_directory, "{mode:?}, {name}");
            }
        }
    }
}
