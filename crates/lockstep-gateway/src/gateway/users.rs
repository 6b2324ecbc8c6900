//! The users of gateways: a file beside the configuration, the same for all gateways of a cluster.
//!
//! ```toml
//! [[users]]
//! name = "alice"                    # 1 to 6 letters and digits: SoupBinTCP's field
//! password = "$argon2id$v=19$…"     # what `lockstep gateway user add` writes
//! hear = ["self", "channel:7"]      # whose messages are its sequence
//! destination = "everybody"         # whom its messages are for
//! ```

use lockstep_wire::CHANNEL_NUMBER_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Longest name of a user: SoupBinTCP's field Username.
pub const USER_LEN_MAX: usize = 6;
/// The most destinations that one user receives: merging visits each.
pub const RECIPIENTS_MAX: usize = 16;

/// A destination as a user's row names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recipient {
    /// The user itself.
    Own,
    /// Destination 0.
    Everybody,
    /// The client of another user.
    Client(String),
    /// A channel, at most [`CHANNEL_NUMBER_MAX`]; its destination is this number plus
    /// [`CHANNELS`](lockstep_wire::CHANNELS).
    Channel(u32),
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is no destination: write self, everybody, client:NAME or channel:NUMBER");
        match text.split_once(':') {
            None if text == "self" => Ok(Self::Own),
            None if text == "everybody" => Ok(Self::Everybody),
            Some(("client", name)) => user_name(name).map(Self::Client),
            Some(("channel", number)) => {
                let known = number.parse().ok().filter(|number| *number <= CHANNEL_NUMBER_MAX);
                known.map(Self::Channel).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("self"),
            Self::Everybody => f.write_str("everybody"),
            Self::Client(name) => write!(f, "client:{name}"),
            Self::Channel(number) => write!(f, "channel:{number}"),
        }
    }
}

impl TryFrom<String> for Recipient {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Recipient> for String {
    fn from(whom: Recipient) -> Self {
        whom.to_string()
    }
}

/// A user's name as it is compared and stored: in lower case, because SoupBinTCP's names are
/// case-insensitive.
///
/// # Errors
/// It does not fit the protocol's field.
pub fn user_name(text: &str) -> Result<String, String> {
    let fits =
        (1..=USER_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!(
            "'{text}' is no user's name: SoupBinTCP has room for 1 to {USER_LEN_MAX} letters and digits"
        ))
    }
}

/// One user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its name, in lower case.
    pub name: String,
    /// The argon2id hash of its password in lower case, as a PHC string.
    pub password: String,
    /// Whether it may not log in.
    #[serde(default)]
    pub disabled: bool,
    /// The recipients whose messages are its sequence; `self` alone by default.
    #[serde(default = "only_self")]
    pub hear: Vec<Recipient>,
    /// The destination of its messages.
    #[serde(default = "everybody")]
    pub destination: Recipient,
    /// Whether it logs in by FIX, and only by FIX.
    #[serde(default)]
    pub fix: bool,
    /// Whether its messages begin with a number of their own, by which they are stamped exactly once.
    #[serde(default)]
    pub numbered: bool,
    /// Whether it also receives messages when they are stamped, without a final number (`gateway.delivery =
    /// "stamped"`).
    #[serde(default)]
    pub early: bool,
    /// How long it may be disconnected before its disconnect is stamped, in milliseconds.
    #[serde(default = "grace_ms")]
    pub grace_ms: u32,
    /// Whether the disconnect asks the application to cancel its orders.
    #[serde(default)]
    pub cancel_on_disconnect: bool,
    /// The messages a second that are taken from it; the rest waits in its socket.
    #[serde(default = "rate")]
    pub rate: u32,
}

fn only_self() -> Vec<Recipient> {
    vec![Recipient::Own]
}

fn everybody() -> Recipient {
    Recipient::Everybody
}

fn grace_ms() -> u32 {
    2_000
}

fn rate() -> u32 {
    10_000
}

impl User {
    /// A user with this name and hash, and defaults for the rest.
    pub fn new(name: String, password: String) -> Self {
        Self {
            name,
            password,
            disabled: false,
            hear: only_self(),
            destination: everybody(),
            fix: false,
            numbered: false,
            early: false,
            grace_ms: grace_ms(),
            cancel_on_disconnect: false,
            rate: rate(),
        }
    }
}

/// All users.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Users {
    by_name: BTreeMap<String, User>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct UsersFile {
    #[serde(default)]
    users: Vec<User>,
}

impl Users {
    /// Parses the file's text.
    ///
    /// # Errors
    /// The text names the error and its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: UsersFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut by_name = BTreeMap::new();
        for user in file.users {
            let name = user_name(&user.name)?;
            if name != user.name {
                return Err(format!("user '{}': write names in lower case", user.name));
            }
            if user.hear.is_empty() || user.hear.len() > RECIPIENTS_MAX {
                return Err(format!(
                    "user '{name}' hears {} destinations: 1 to {RECIPIENTS_MAX}",
                    user.hear.len()
                ));
            }
            if user.rate == 0 {
                return Err(format!("user '{name}' has rate 0: disable it if it may not send"));
            }
            if user.fix && (user.numbered || user.early || user.hear != only_self()) {
                return Err(format!(
                    "user '{name}' speaks FIX, which numbers messages by itself: it hears only self, and is \
                     neither numbered nor early"
                ));
            }
            if by_name.insert(name.clone(), user).is_some() {
                return Err(format!("user '{name}' is listed twice"));
            }
        }
        Ok(Self { by_name })
    }

    /// Prints the file's text.
    pub fn write(&self) -> String {
        let file = UsersFile { users: self.by_name.values().cloned().collect() };
        // Strings, numbers and lists of strings can always be printed as a table.
        toml::to_string_pretty(&file).unwrap_or_default()
    }

    /// The user of this name in lower case.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// As [`get`](Self::get), for changes.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut User> {
        self.by_name.get_mut(name)
    }

    /// Adds a user, or replaces the one with the same name.
    pub fn insert(&mut self, user: User) {
        self.by_name.insert(user.name.clone(), user);
    }

    /// Removes a user. Returns whether it existed.
    pub fn remove(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// All users, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.by_name.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_reads_as_it_was() {
        let mut users = Users::default();
        let mut alice = User::new("alice".into(), "$argon2id$x".into());
        alice.hear = vec![
            Recipient::Own,
            Recipient::Client("bob".into()),
            Recipient::Channel(7),
            Recipient::Everybody,
        ];
        (alice.numbered, alice.grace_ms) = (true, 0);
        users.insert(alice);
        users.insert(User::new("bob".into(), "y".into()));
        assert_eq!(Users::parse(&users.write()), Ok(users));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let users = Users::parse("[[users]]\nname = \"a1\"\npassword = \"h\"\n").unwrap();
        assert_eq!(users.get("a1"), Some(&User::new("a1".into(), "h".into())));
    }

    #[test]
    fn a_wrong_file_is_refused_with_what_is_wrong() {
        let user = |more: &str| format!("[[users]]\nname = \"alice\"\npassword = \"h\"\n{more}");
        for (text, reason) in [
            (user("colour = 1"), "unknown field `colour`"),
            (user("hear = []"), "hears 0"),
            (user("hear = [\"nobody\"]"), "write self, everybody, client:NAME"),
            (user("destination = \"channel:2147483647\""), "is no destination"),
            (user("rate = 0"), "rate 0"),
            (user("fix = true\nnumbered = true"), "speaks FIX"),
            (user("fix = true\nhear = [\"everybody\"]"), "speaks FIX"),
            (user(&user("")), "is listed twice"),
            (user("").replace("alice", "Alice"), "lower case"),
            (user("").replace("alice", "alice77"), "1 to 6 letters"),
        ] {
            let error = Users::parse(&text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
