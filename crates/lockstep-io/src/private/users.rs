//! Names of users, and the command that runs this program as one of them.

use super::own_user;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A program of this name prints its own command line, as it takes no secret as an argument.
const PROGRAM: &str = "lockstep";

/// The owner of a file or folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileOwner {
    /// The number of the user.
    pub user: u32,
    /// The number of the group, for a user without a name.
    pub group: u32,
}

impl FileOwner {
    /// The owner of a file or folder, if it exists.
    pub fn of(place: &Path) -> Option<Self> {
        let metadata = place.metadata().ok()?;
        Some(Self { user: metadata.uid(), group: metadata.gid() })
    }
}

/// The name of a user in the text of `/etc/passwd`.
fn name_in(table: &str, user: u32) -> Option<String> {
    let rows = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut found = rows.filter(|row| row.get(2).is_some_and(|number| number.parse() == Ok(user)));
    found.next().map(|row| row[0].to_owned()).filter(|name| !name.is_empty())
}

fn name_of(user: u32) -> Option<String> {
    name_in(&std::fs::read_to_string("/etc/passwd").ok()?, user)
}

/// A user in words: `user lockstep`, `user 999`.
pub fn named(user: u32) -> String {
    name_of(user).map_or_else(|| format!("user {user}"), |name| format!("user {name}"))
}

/// The argument of `chown` for a user and its group.
pub(super) fn for_chown(user: u32) -> String {
    name_of(user).map_or_else(|| user.to_string(), |name| format!("{name}:"))
}

/// The command line of this process, run as `owner`.
pub fn command_as(owner: FileOwner) -> String {
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    command_of(own_user(), owner, name_of(owner.user).as_deref(), &arguments)
}

fn command_of(own: u32, owner: FileOwner, name: Option<&str>, arguments: &[String]) -> String {
    let FileOwner { user, group } = owner;
    let begin = match (own, name) {
        (0, Some(name)) => format!("runuser -u {name} --"),
        (0, None) => format!("setpriv --reuid {user} --regid {group} --clear-groups --"),
        (_, Some(name)) => format!("sudo -u {name} --"),
        (_, None) => format!("sudo -u '#{user}' --"),
    };
    let program = arguments.first().map(PathBuf::from).unwrap_or_default();
    let is_ours = program.file_name().is_some_and(|file| file.to_string_lossy() == PROGRAM);
    let rest = arguments.iter().skip(1).map(|word| quoted(word));
    match is_ours {
        true => {
            [begin, quoted(&program.to_string_lossy())].into_iter().chain(rest).collect::<Vec<_>>().join(" ")
        }
        false => format!("{begin} {} …", shown_program(&program)),
    }
}

fn shown_program(program: &Path) -> String {
    match program.as_os_str().is_empty() {
        true => "PROGRAM".to_owned(),
        false => quoted(&program.to_string_lossy()),
    }
}

/// A word, quoted for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,+@%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''").replace(char::is_control, "?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_command_of_another_user_is_this_processs_own_command() {
        let owner = FileOwner { user: 999, group: 990 };
        let arguments = words("/usr/bin/lockstep sequencer --replica 1");
        let command = |own, name| command_of(own, owner, name, &arguments);
        let expected = "runuser -u lockstep -- /usr/bin/lockstep sequencer --replica 1";
        assert_eq!(command(0, Some("lockstep")), expected);
        let expected =
            "setpriv --reuid 999 --regid 990 --clear-groups -- /usr/bin/lockstep sequencer --replica 1";
        assert_eq!(command(0, None), expected);
        assert_eq!(
            command(1000, Some("lockstep")),
            "sudo -u lockstep -- /usr/bin/lockstep sequencer --replica 1"
        );
        assert_eq!(command(1000, None), "sudo -u '#999' -- /usr/bin/lockstep sequencer --replica 1");
        // A shell passes each word as this process received it.
        let hard = ["lockstep", "publish", "--name", "it's two", "", "$HOME"].map(str::to_owned);
        let expected = r"runuser -u lockstep -- lockstep publish --name 'it'\''s two' '' '$HOME'";
        assert_eq!(command_of(0, owner, Some("lockstep"), &hard), expected);
    }

    #[test]
    fn a_program_of_somebody_elses_prints_none_of_its_arguments() {
        let owner = FileOwner { user: 999, group: 990 };
        let arguments = words("/opt/reader --password hidden");
        assert_eq!(
            command_of(0, owner, Some("lockstep"), &arguments),
            "runuser -u lockstep -- /opt/reader …"
        );
        assert_eq!(command_of(0, owner, Some("lockstep"), &[]), "runuser -u lockstep -- PROGRAM …");
    }

    #[test]
    fn a_user_is_called_as_the_host_calls_it() {
        let table =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nlockstep:x:999:990::/var/lib/lockstep:/bin/false\n";
        assert_eq!(name_in(table, 999).as_deref(), Some("lockstep"));
        assert_eq!(name_in(table, 0).as_deref(), Some("root"));
        assert_eq!(name_in(table, 990), None);
    }
}
