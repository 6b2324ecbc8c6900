//! A backup as a single file: a tar archive (ustar, POSIX.1-1988) of the manifest and the files in it.

use super::manifest::{MANIFEST, Manifest};
use super::view::BackupView;
use crate::cli::Failure;
use crate::cli::failure::{FAILED, INTEGRITY, USAGE};
use crate::cli::new_file::write_new;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a block.
const BLOCK: usize = 512;
/// Longest file that an archive's header can describe.
const LEN_MAX: u64 = 0o777_7777_7777;
/// Longest manifest that is read.
pub(super) const MANIFEST_LEN_MAX: u64 = 256 << 20;

/// The header of a file of the archive.
fn header(name: &str, len: u64, time_s: u64) -> Result<[u8; BLOCK], Failure> {
    if name.len() >= 100 || len > LEN_MAX {
        let what = format!("{name} with {len} bytes does not fit an archive: back up into a folder");
        return Err(Failure::new(USAGE, what));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{len:011o}\0"));
    put(136, &format!("{time_s:011o}\0"));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// Writes the backup in the folder of `view` into the new file `path`, which gets its name when it is whole.
pub(super) fn pack(view: &BackupView, path: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(FAILED, format!("writing {}: {error}", path.display()));
    write_new(path, |out| write_all(&view.manifest, view, out, &failed))
}

fn write_all(
    manifest: &Manifest,
    view: &BackupView,
    mut out: &mut dyn Write,
    failed: &impl Fn(std::io::Error) -> Failure,
) -> Result<(), Failure> {
    let time_s = manifest.made_ns / 1_000_000_000;
    let padding = |len: u64| vec![0; (len as usize).next_multiple_of(BLOCK) - len as usize];
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
            return Err(Failure::new(INTEGRITY, what));
        }
        out.write_all(&padding(len)).map_err(failed)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(failed)
}

/// The files of an archive: where each begins, and its bytes.
pub(super) fn members(path: &Path) -> Result<BTreeMap<String, (u64, u64)>, Failure> {
    let wrong = |what: &str| {
        let what = format!("{} is no backup: {what}; give what `lockstep backup --to` made", path.display());
        Failure::new(USAGE, what)
    };
    let file = File::open(path).map_err(|error| wrong(&error.to_string()))?;
    let (mut members, mut at) = (BTreeMap::new(), 0);
    let mut block = [0; BLOCK];
    while file.read_exact_at(&mut block, at).is_ok() && block != [0; BLOCK] {
        let text = |from: usize, to: usize| {
            let field = &block[from..to];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            std::str::from_utf8(&field[..end]).unwrap_or_default()
        };
        let octal = |from: usize, to: usize| u64::from_str_radix(text(from, to).trim(), 8).ok();
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
        let is_sound =
            &block[257..262] == b"ustar" && octal(148, 156) == Some(sum - own + 8 * u64::from(b' '));
        let (Some(len), true) = (octal(124, 136), is_sound) else {
            return match at {
                0 => Err(wrong("neither a folder nor an archive")),
                _ => Err(Failure::new(
                    INTEGRITY,
                    format!("{} is damaged at byte {at}: no header", path.display()),
                )),
            };
        };
        members.insert(text(0, 100).to_owned(), (at + BLOCK as u64, len));
        at += BLOCK as u64 + len.next_multiple_of(BLOCK as u64);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_tar_writes() {
        let block = header("manifest.json", 1_000, 0).expect("it fits");
        assert_eq!(&block[124..136], b"00000001750\0");
        // The sum of all bytes, with blanks in its own place.
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(&block[148..155], format!("{:06o}\0", sum - own + 256).as_bytes());
        assert!(header("manifest.json", LEN_MAX + 1, 0).is_err() && header(&"x".repeat(100), 1, 0).is_err());
    }
}
