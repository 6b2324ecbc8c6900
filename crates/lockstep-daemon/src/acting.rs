//! The user as whom a command acts. Root reads files of another user, and makes none beside them: that user's
//! daemons could not use it.

use crate::Failure;
use crate::config::Config;
use crate::failure::USAGE;
use lockstep_io::private::{FileOwner, command_as, named, own_user};
use std::path::Path;

/// Refuses to act as root on keys and journals of another user, before anything is made or changed.
///
/// # Errors
/// They are another user's; the text has the command for that user.
pub fn not_as_root(config: &Config) -> Result<(), Failure> {
    match config.daemons_user() {
        Some((place, owner)) if own_user() == 0 => Err(refusal(&place, owner)),
        _ => Ok(()),
    }
}

/// As [`not_as_root`], for a file or folder that a command writes and its user reads; if it does not exist,
/// the folder above counts.
///
/// # Errors
/// It is another user's.
pub fn not_as_root_in(place: &Path) -> Result<(), Failure> {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = [place, folder].into_iter().find_map(|at| Some((at, FileOwner::of(at)?)));
    match found {
        Some((at, owner)) if own_user() == 0 && owner.user != 0 => Err(refusal(at, owner)),
        _ => Ok(()),
    }
}

fn refusal(place: &Path, owner: FileOwner) -> Failure {
    let what = format!(
        "{} is {}'s, who could not use what root makes there; nothing was changed: run `{}`",
        place.display(),
        named(owner.user),
        command_as(owner)
    );
    Failure::new(USAGE, what)
}
