//! A new file that a command makes of the stream: an export, or a backup's archive.

use super::Failure;
use super::failure::{FAILED, INTEGRITY, USAGE};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes that are written at once.
const OUT_BYTES: usize = 1 << 20;

/// Writes a file that gets its name when it is whole, and leaves nothing behind otherwise. One that exists
/// stays. It is its user's alone, as a journal's files are.
pub fn write_new(
    path: &Path,
    write_all: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    write(path, false, write_all)
}

/// The same; what damage of the source left of it stays under the name with `.partial` behind it, as the
/// failure says.
pub fn write_new_or_part(
    path: &Path,
    write_all: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    write(path, true, write_all)
}

fn write(
    path: &Path,
    leaves_part: bool,
    write_all: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(FAILED, format!("writing {}: {error}", path.display()));
    if path.exists() {
        return Err(Failure::new(USAGE, format!("{} exists: give the name of a new file", path.display())));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let options = File::options().write(true).create(true).truncate(true).mode(0o600).clone();
    let mut out = BufWriter::with_capacity(OUT_BYTES, options.open(&partial).map_err(failed)?);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = write_all(&mut out).and_then(|()| {
        out.flush()
            .and_then(|()| out.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&partial, path))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(failed)
    });
    match written {
        Err(failure) if leaves_part && failure.code() == INTEGRITY => {
            let is_written = out.flush().and_then(|()| out.get_ref().sync_all()).is_ok();
            let name = Path::new(&partial).display();
            Err(if is_written {
                failure.explained(INTEGRITY, || format!("it is in {name}"))
            } else {
                failure
            })
        }
        Err(failure) => {
            let _ = std::fs::remove_file(&partial); // the error to report is the first one
            Err(failure)
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
        let fails = |out: &mut dyn Write| {
            out.write_all(b"a part")?;
            Err(Failure::new(FAILED, "no more"))
        };
        assert_eq!(write_new(&path, fails).expect_err("it failed").to_string(), "no more");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left");
        let lacks = |out: &mut dyn Write| {
            out.write_all(b"a part")?;
            Err(Failure::new(INTEGRITY, "the rest is damaged"))
        };
        let failure = write_new_or_part(&path, lacks).expect_err("it lacks something");
        let partial = folder.path().join("new.partial");
        assert!(failure.code() == INTEGRITY && failure.to_string().contains(&partial.display().to_string()));
        assert_eq!(
            (std::fs::read(&partial).expect("a part").as_slice(), path.exists()),
            (&b"a part"[..], false)
        );
        write_new(&path, |out| Ok(out.write_all(b"all")?)).expect("it can be written");
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!((std::fs::read(&path).expect("a file").as_slice(), mode & 0o777), (&b"all"[..], 0o600));
        let failure = write_new(&path, |out| Ok(out.write_all(b"more")?)).expect_err("it exists");
        assert_eq!((failure.code(), std::fs::read(&path).expect("a file").as_slice()), (USAGE, &b"all"[..]));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
