//! The clients.

use lockstep_gateway::gateway::users::{Recipient, User, Users};
use lockstep_wire::{CHANNELS, Destination, PublisherId};

/// Their number.
pub(super) const USERS: usize = 6;
/// The first of those that speak FIX; those before it speak SoupBinTCP.
pub(super) const FIX_FIRST: usize = 4;
const NAMES: [&str; USERS] = ["alice", "bob", "carol", "dave", "erin", "frank"];
/// The channel on which some of them send and receive, and that feeds may carry.
pub(super) const CHANNEL: u32 = 7;

pub(super) fn name(user: usize) -> &'static str {
    NAMES[user]
}

/// Whether the user of this name speaks FIX.
pub(super) fn is_fix(name: &str) -> bool {
    NAMES[FIX_FIRST..].contains(&name)
}

/// Whether a user numbers its messages.
pub(super) fn is_numbered(user: usize) -> bool {
    matches!(NAMES[user], "alice" | "dave")
}

/// The destinations that a user receives; `id` gives that of a user's client.
pub(super) fn destinations(user: usize, id: impl Fn(usize) -> Option<PublisherId>) -> Vec<Destination> {
    match NAMES[user] {
        "carol" => [Some(0), id(0), Some(CHANNELS + CHANNEL)].into_iter().flatten().collect(),
        "dave" => [id(user), Some(CHANNELS + CHANNEL)].into_iter().flatten().collect(),
        _ => id(user).into_iter().collect(),
    }
}

/// The file of all of them.
pub(super) fn file() -> Users {
    let mut users = Users::default();
    for (user, name) in NAMES.into_iter().enumerate() {
        let mut row = User::new(name.to_owned(), "secret".to_owned());
        (row.numbered, row.grace_ms, row.early) = (is_numbered(user), user as u32, user % 2 == 0);
        match name {
            "carol" => {
                row.hear = vec![
                    Recipient::Everybody,
                    Recipient::Client(NAMES[0].to_owned()),
                    Recipient::Channel(CHANNEL),
                ];
                row.destination = Recipient::Channel(CHANNEL);
            }
            "dave" => {
                row.hear = vec![Recipient::Own, Recipient::Channel(CHANNEL)];
                row.destination = Recipient::Channel(CHANNEL);
            }
            "bob" => row.cancel_on_disconnect = true,
            name if is_fix(name) => (row.fix, row.early) = (true, false),
            _ => {}
        }
        users.insert(row);
    }
    users
}
