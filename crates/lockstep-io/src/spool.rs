//! # spool: a file for data that is larger than memory and may be lost
//!
//! The question: where does an edge store a day's messages, which the stream has anyway? In a file without a
//! name, so that nothing is left of it however the process ends. Records are gathered in memory and written
//! in one call; records that are not written yet are read from there.

use super::IoError;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes that are gathered for one write.
const GATHERED: usize = 256 << 10;

/// An append-only file without a name, bounded.
#[derive(Debug)]
pub struct Spool {
    file: File,
    /// Bytes in the file; the gathered records follow.
    written: u64,
    gathered: Vec<u8>,
    len_max: u64,
}

impl Spool {
    /// A spool of at most `len_max` bytes on the file system of `directory`.
    ///
    /// # Errors
    /// The directory is not there, not writable, or its file system has no unnamed files.
    pub fn open(directory: &Path, len_max: u64) -> Result<Self, IoError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .mode(0o600)
            .open(directory)
            .map_err(|error| {
                IoError::new(format!("open an unnamed file in {}", directory.display()), error)
            })?;
        Ok(Self { file, written: 0, gathered: Vec::with_capacity(GATHERED), len_max })
    }

    fn flush(&mut self) -> Result<(), BacklogError> {
        self.file
            .write_all_at(&self.gathered, self.written)
            .map_err(|error| failed("write the spool of messages", error))?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }
}

fn failed(doing: &str, error: std::io::Error) -> BacklogError {
    BacklogError(IoError::new(doing, error).to_string())
}

impl Backlog for Spool {
    fn len(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    fn has_room(&self, len: usize) -> bool {
        self.len() + len as u64 <= self.len_max
    }

    fn append(&mut self, parts: [&[u8]; 2]) -> Result<u64, BacklogError> {
        let at = self.len();
        if self.gathered.len() + parts[0].len() + parts[1].len() > GATHERED {
            self.flush()?;
        }
        parts.iter().for_each(|part| self.gathered.extend_from_slice(part));
        Ok(at)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), BacklogError> {
        let in_file = self.written.saturating_sub(at).min(out.len() as u64) as usize;
        let (from_file, from_memory) = out.split_at_mut(in_file);
        self.file
            .read_exact_at(from_file, at)
            .map_err(|error| failed("read the spool of messages", error))?;
        let begin = (at + in_file as u64).saturating_sub(self.written) as usize;
        let stored = self.gathered.get(begin..begin + from_memory.len());
        let stored = stored
            .ok_or_else(|| failed("read the spool of messages", std::io::ErrorKind::UnexpectedEof.into()))?;
        from_memory.copy_from_slice(stored);
        Ok(())
    }

    fn cut(&mut self, at: u64) -> Result<(), BacklogError> {
        if at >= self.written {
            self.gathered.truncate((at - self.written) as usize);
            return Ok(());
        }
        self.gathered.clear();
        self.written = at;
        self.file.set_len(at).map_err(|error| failed("cut the spool of messages", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_back_wherever_it_lies_and_a_cut_forgets_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 4 << 20).unwrap();
        let record = |number: u32| vec![number as u8; 1 + number as usize * 37 % 3_000];
        let mut places = Vec::new();
        for number in 0..1_000 {
            let record = record(number);
            assert!(spool.has_room(record.len()));
            places.push(spool.append([&record[..1], &record[1..]]).unwrap());
        }
        let reads = |spool: &Spool, number: u32| {
            let mut out = vec![0xff; record(number).len()];
            spool.read(places[number as usize], &mut out).map(|()| out == record(number))
        };
        assert!((0..1_000).all(|number| reads(&spool, number).unwrap()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        for cut in [990, 500, 0] {
            spool.cut(places[cut]).unwrap();
            assert!((0..cut as u32).all(|number| reads(&spool, number).unwrap()));
            assert!(reads(&spool, cut as u32).is_err() && spool.len() == places[cut]);
        }
        assert!(!spool.has_room((4 << 20) + 1) && spool.is_empty());
    }
}
