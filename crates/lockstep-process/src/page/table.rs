//! Which connections stay when there is no room for one more.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Connections of one server at most, ...
pub(super) const CONNECTIONS_MAX: usize = 256;
/// ... and those of one address.
pub(super) const PER_ADDRESS_MAX: usize = 128;

/// What the table knows of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub peer: IpAddr,
    /// Its request is whole, and its answer is on its way.
    pub is_answered: bool,
    /// Connections are numbered as they come.
    pub number: u64,
}

/// The place in `clients` of the connection that is closed to make room for one of `newcomer`; `None`: there
/// is room. A newcomer is never refused: a client that asks at once is served, however many others are
/// silent. If its address has its whole share, one of its own connections is closed, else one of the address
/// with the most: one that has not asked before one that has, and the oldest of these.
pub(super) fn makes_room(clients: &[Client], newcomer: IpAddr) -> Option<usize> {
    let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
    clients.iter().for_each(|one| *counts.entry(one.peer).or_default() += 1);
    let crowded = match counts.get(&newcomer) {
        Some(own) if *own >= PER_ADDRESS_MAX => newcomer,
        _ if clients.len() < CONNECTIONS_MAX => return None,
        _ => counts.into_iter().max_by_key(|(_, count)| *count)?.0,
    };
    let of_it = clients.iter().enumerate().filter(|(_, one)| one.peer == crowded);
    of_it.min_by_key(|(_, one)| (one.is_answered, one.number)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// So many of each address, none of which has asked.
    fn clients(counts: &[(u8, usize)]) -> Vec<Client> {
        let peers = counts.iter().flat_map(|(last, count)| std::iter::repeat_n(address(*last), *count));
        peers.enumerate().map(|(at, peer)| Client { peer, is_answered: false, number: at as u64 }).collect()
    }

    #[test]
    fn a_newcomer_has_room_and_an_address_never_takes_the_share_of_another() {
        assert_eq!(makes_room(&[], address(1)), None);
        let full_share = clients(&[(1, PER_ADDRESS_MAX)]);
        assert_eq!(makes_room(&full_share, address(2)), None);
        assert_eq!(makes_room(&full_share, address(1)), Some(0), "its own oldest");
        let all = clients(&[(2, 1), (1, PER_ADDRESS_MAX), (3, CONNECTIONS_MAX - PER_ADDRESS_MAX - 1)]);
        let goes = makes_room(&all, address(9)).expect("it is full");
        assert_eq!(all[goes].peer, address(1), "the address with the most");
        assert_eq!(goes, 1, "its oldest");
    }

    #[test]
    fn who_is_silent_goes_before_whoever_is_being_answered() {
        let mut all = clients(&[(1, PER_ADDRESS_MAX)]);
        all[0].is_answered = true;
        all[1].is_answered = true;
        assert_eq!(makes_room(&all, address(1)), Some(2));
        all.iter_mut().for_each(|one| one.is_answered = true);
        assert_eq!(makes_room(&all, address(1)), Some(0));
    }
}
