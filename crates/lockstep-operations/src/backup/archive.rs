//! A backup as a single file: a tar archive of the manifest and the files in it.

use super::manifest::{BackupManifest, MANIFEST};
use super::view::BackupView;
use crate::OperationError;
use crate::new_file::write_new;
use crate::tar::{self, BLOCK, padding};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Longest manifest that is read.
pub(super) const MANIFEST_LEN_MAX: u64 = 256 << 20;

/// The header of a file of the archive.
fn header(name: &str, len: u64, time_s: u64) -> Result<[u8; BLOCK], OperationError> {
    tar::header(name, len, time_s).ok_or_else(|| {
        let what = format!("{name} with {len} bytes does not fit an archive: back up into a folder");
        OperationError::refused(what)
    })
}

/// Writes the backup in the folder of `view` into the new file `path`, which gets its name when it is whole.
pub(super) fn pack(view: &BackupView, path: &Path) -> Result<(), OperationError> {
    let failed =
        |error: std::io::Error| OperationError::failed(format!("writing {}: {error}", path.display()));
    write_new(path, |out| write_all(&view.manifest, view, out, &failed))
}

fn write_all(
    manifest: &BackupManifest,
    view: &BackupView,
    mut out: &mut dyn Write,
    failed: &impl Fn(std::io::Error) -> OperationError,
) -> Result<(), OperationError> {
    let time_s = manifest.made_ns / 1_000_000_000;
    let text = manifest.text()?;
    out.write_all(&header(MANIFEST, text.len() as u64, time_s)?).map_err(failed)?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(&padding(text.len() as u64)))
        .map_err(failed)?;
    for file in manifest.files() {
        out.write_all(&header(&file.file, file.bytes, time_s)?).map_err(failed)?;
        let (len, sha256) = view.copy(file.name()?, &mut out).map_err(failed)?;
        if (len, &sha256) != (file.bytes, &file.sha256) {
            let what = format!("{} of the backup is damaged: run `lockstep backup verify` on it", file.file);
            return Err(OperationError::integrity(what));
        }
        out.write_all(&padding(len)).map_err(failed)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(failed)
}

/// The files of an archive: where each begins, and its bytes.
pub(super) fn members(path: &Path) -> Result<BTreeMap<String, (u64, u64)>, OperationError> {
    let wrong = |what: &str| {
        let what = format!("{} is no backup: {what}; give what `lockstep backup --to` made", path.display());
        OperationError::refused(what)
    };
    let file = File::open(path).map_err(|error| wrong(&error.to_string()))?;
    let (mut members, mut at) = (BTreeMap::new(), 0);
    let mut block = [0; BLOCK];
    while file.read_exact_at(&mut block, at).is_ok() && block != [0; BLOCK] {
        let Some(entry) = tar::entry(&block) else {
            return match at {
                0 => Err(wrong("neither a folder nor an archive")),
                _ => Err(OperationError::integrity(format!(
                    "{} is damaged at byte {at}: no header",
                    path.display()
                ))),
            };
        };
        let len = entry.len;
        members.insert(entry.name, (at + BLOCK as u64, len));
        at += BLOCK as u64 + len.next_multiple_of(BLOCK as u64);
    }
    Ok(members)
}
