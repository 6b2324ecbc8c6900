//! The file of a notary that says how far it has signed.

use crate::Failure;
use crate::failure::USAGE;
use lockstep_wire::Cursor;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Where the notary stands; `None` before it has signed anything.
pub fn read_cursor(path: &Path) -> Result<Option<Cursor>, Failure> {
    let wrong = |what: String| Failure::new(USAGE, format!("{}: {what}", path.display()));
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|error| {
            wrong(format!(
                "{error}; name another file at --cursor, and the notary signs the stream from its oldest entry on"
            ))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Writes where the notary stands: readers see the old file or the new one.
pub fn write_cursor(path: &Path, cursor: Cursor) -> std::io::Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    fs::write(&draft, format!("{cursor}\n"))?;
    fs::rename(&draft, path)
}
