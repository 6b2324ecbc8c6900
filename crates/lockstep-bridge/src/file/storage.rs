//! The files of a folder: the few operations that make a file complete or leave it out.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What the writer of a folder asks of the file system. One file is open at a time.
pub trait FileStorage {
    /// The bytes of a file; none if there is no such file.
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Opens a file without a byte, whatever it was.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Fails for want of space unless the open file can have so many bytes; it has none behind it.
    fn probe_space(&mut self, bytes: u64) -> io::Result<()>;
    /// Adds to the open file.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the open file durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Closes the open file and gives it its name, durably, in place of a file of that name.
    fn publish(&mut self, from: &str, to: &str) -> io::Result<()>;
}

/// A folder of this machine, which nobody else writes through this type.
#[derive(Debug)]
pub struct FolderStorage {
    path: PathBuf,
    /// Locked for as long as it is open.
    folder: File,
    open: Option<File>,
}

impl FolderStorage {
    /// Makes the folder if it is not there; `None` if another process writes into it.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        std::fs::create_dir_all(path)?;
        let folder = File::open(path)?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), folder, open: None })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.open.as_mut().ok_or_else(|| io::Error::other("no file is open"))
    }
}

impl FileStorage for FolderStorage {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.open = Some(File::create(self.path.join(name))?);
        Ok(())
    }

    fn probe_space(&mut self, bytes: u64) -> io::Result<()> {
        let file = self.file()?;
        match rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // A file system that cannot tell: the next write does.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(0),
            Err(error) => {
                file.set_len(0)?;
                Err(error.into())
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_all()
    }

    fn publish(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open = None;
        std::fs::rename(self.path.join(from), self.path.join(to))?;
        self.folder.sync_all()
    }
}
