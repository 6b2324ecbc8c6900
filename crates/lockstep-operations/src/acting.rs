//! The user as whom a command acts. Root reads what is another user's, and makes no file beside it: that
//! user's daemons could not use it.

use crate::OperationError;
use lockstep_config::Config;
use lockstep_io::private::{FileOwner, command_as, named, own_user};
use std::path::Path;

/// Refuses to act as root on keys and journals of another user, before anything is made or changed.
///
/// # Errors
/// They are another user's; the text has the command that acts as that user.
pub fn not_as_root(config: &Config) -> Result<(), OperationError> {
    match config.daemons_user() {
        Some((place, owner)) if own_user() == 0 => Err(refusal(&place, owner)),
        _ => Ok(()),
    }
}

/// The same of a file or folder that a command writes, which its own user reads: where it lies, if it is not
/// there yet.
///
/// # Errors
/// It is another user's.
pub fn not_as_root_in(place: &Path) -> Result<(), OperationError> {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = [place, folder].into_iter().find_map(|at| Some((at, FileOwner::of(at)?)));
    match found {
        Some((at, owner)) if own_user() == 0 && owner.user != 0 => Err(refusal(at, owner)),
        _ => Ok(()),
    }
}

fn refusal(place: &Path, owner: FileOwner) -> OperationError {
    let what = format!(
        "{} is {}'s, who could not use what root makes there; nothing was changed: run `{}`",
        place.display(),
        named(owner.user),
        command_as(owner)
    );
    OperationError::Refused(what)
}
