//! A new file that a command makes of the stream: an export, or a backup's archive.

use crate::OperationError;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes that are written at once.
const OUT_BYTES: usize = 1 << 20;

/// Why there is no new file.
#[derive(Debug)]
pub struct NewFileError<E> {
    /// Why.
    pub error: E,
    /// The file with what could be written, where it was to stay.
    pub part: Option<PathBuf>,
}

/// Writes a file that gets its name when it is whole, and leaves nothing behind otherwise. One that exists
/// stays. It is its user's alone, as a journal's files are.
///
/// # Errors
/// Those of `write_all`, there is such a file, or it cannot be written.
pub fn write_new<E: From<OperationError>>(
    path: &Path,
    write_all: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    write_new_or_part(path, |_| false, write_all).map_err(|failed| failed.error)
}

/// The same; what was written before an error that `leaves_part` stays under the name with `.partial` behind
/// it.
///
/// # Errors
/// Those of [`write_new`].
pub fn write_new_or_part<E: From<OperationError>>(
    path: &Path,
    leaves_part: impl FnOnce(&E) -> bool,
    write_all: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), NewFileError<E>> {
    let failed = |error: std::io::Error| E::from(OperationError::of_file("writing", path, &error));
    let bare = |error: E| NewFileError { error, part: None };
    if path.exists() {
        let what = format!("{} exists: give the name of a new file", path.display());
        return Err(bare(OperationError::Refused(what).into()));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let options = File::options().write(true).create(true).truncate(true).mode(0o600).clone();
    let opened = options.open(&partial).map_err(|error| bare(failed(error)))?;
    let mut out = BufWriter::with_capacity(OUT_BYTES, opened);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = write_all(&mut out).and_then(|()| {
        out.flush()
            .and_then(|()| out.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&partial, path))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(failed)
    });
    match written {
        Err(error) if leaves_part(&error) => {
            let is_written = out.flush().and_then(|()| out.get_ref().sync_all()).is_ok();
            Err(NewFileError { error, part: is_written.then(|| partial.into()) })
        }
        Err(error) => {
            let _ = std::fs::remove_file(&partial); // the error to report is the first one
            Err(bare(error))
        }
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_gets_its_name_when_it_is_whole_and_one_that_exists_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new");
        let put = |out: &mut dyn Write, bytes: &[u8]| {
            out.write_all(bytes).map_err(|error| OperationError::Failed(error.to_string()))
        };
        let fails = |out: &mut dyn Write| {
            put(out, b"a part")?;
            Err(OperationError::Failed("no more".to_owned()))
        };
        assert_eq!(write_new(&path, fails).expect_err("it failed").to_string(), "no more");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left");
        let lacks = |out: &mut dyn Write| {
            put(out, b"a part")?;
            Err(OperationError::Integrity("the rest is damaged".to_owned()))
        };
        let is_damage = |error: &OperationError| matches!(error, OperationError::Integrity(_));
        let failure = write_new_or_part(&path, is_damage, lacks).expect_err("it lacks something");
        let partial = folder.path().join("new.partial");
        assert!(is_damage(&failure.error) && failure.part.as_ref() == Some(&partial));
        assert_eq!(
            (std::fs::read(&partial).expect("a part").as_slice(), path.exists()),
            (&b"a part"[..], false)
        );
        write_new(&path, |out| put(out, b"all")).expect("it can be written");
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!((std::fs::read(&path).expect("a file").as_slice(), mode & 0o777), (&b"all"[..], 0o600));
        let failure = write_new(&path, |out| put(out, b"more")).expect_err("it exists");
        assert!(matches!(failure, OperationError::Refused(_)));
        assert_eq!(std::fs::read(&path).expect("a file").as_slice(), b"all");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
