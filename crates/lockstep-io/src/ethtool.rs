//! # ethtool: the settings of a network card that no file shows
//!
//! Reads settings by ethtool(8)'s requests. A card whose driver does not know a request has no value for it.

use crate::IoError;
use crate::udp::interface::request;
use socket2::{Domain, Socket, Type};
use std::io::Error;
use std::os::fd::AsRawFd;

/// `SIOCETHTOOL` of `linux/sockios.h`, and its commands of `linux/ethtool.h`.
const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GCOALESCE: u32 = 0x0e;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// `ETH_FLAG_LRO`.
const FLAG_LRO: u32 = 1 << 15;

/// Words of `struct ethtool_ringparam`, `ethtool_coalesce`, `ethtool_value`, `ethtool_channels`; the first
/// word of each is the command.
const RING_WORDS: usize = 9;
const COALESCE_WORDS: usize = 23;
const VALUE_WORDS: usize = 2;
const CHANNEL_WORDS: usize = 9;

/// The settings of a card.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CardSettings {
    /// Slots of the receive ring, and the most that it can have.
    pub ring: Option<(u32, u32)>,
    /// How long the card may delay an interrupt for received packets, in microseconds, and whether it chooses
    /// the delay itself.
    pub coalescing: Option<(u32, bool)>,
    /// Whether it joins received TCP packets into large ones in hardware (LRO).
    pub lro: Option<bool>,
    /// The number of receive queues.
    pub queues: Option<u32>,
}

/// The settings of the card of this name.
///
/// # Errors
/// No socket can be opened for the requests.
pub fn settings(name: &str) -> Result<CardSettings, IoError> {
    let socket = requester()?;
    let rings: Result<[u32; RING_WORDS], _> = ask(&socket, name, ETHTOOL_GRINGPARAM);
    let coalescing: Result<[u32; COALESCE_WORDS], _> = ask(&socket, name, ETHTOOL_GCOALESCE);
    let flags: Result<[u32; VALUE_WORDS], _> = ask(&socket, name, ETHTOOL_GFLAGS);
    Ok(CardSettings {
        ring: rings.ok().map(|words| (words[5], words[1])).filter(|(_, most)| *most > 0),
        coalescing: coalescing.ok().map(|words| (words[1], words[10] != 0)),
        lro: flags.ok().map(|words| words[1] & FLAG_LRO != 0),
        queues: queues_of(&socket, name).ok(),
    })
}

/// The number of a card's receive queues; a card that cannot report it has one.
pub(crate) fn queues(name: &str) -> Result<u32, IoError> {
    Ok(queues_of(&requester()?, name).unwrap_or(1))
}

fn queues_of(socket: &Socket, name: &str) -> Result<u32, Error> {
    let words: [u32; CHANNEL_WORDS] = ask(socket, name, ETHTOOL_GCHANNELS)?;
    Ok((words[5] + words[8]).max(1))
}

/// A socket for requests about cards.
pub(crate) fn requester() -> Result<Socket, IoError> {
    Socket::new(Domain::IPV4, Type::DGRAM, None)
        .map_err(|error| IoError::new("open a socket to ask about cards by", error))
}

/// The reply to a command: the command's struct as words of 32 bits.
fn ask<const WORDS: usize>(socket: &Socket, name: &str, command: u32) -> Result<[u32; WORDS], Error> {
    let mut words = [0_u32; WORDS];
    words[0] = command;
    let mut request = request(name);
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: the request points to a structure of the size that its command implies, which lives across the
    // call.
    let failed = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) } < 0;
    if failed { Err(Error::last_os_error()) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_no_rings_and_a_card_that_does_not_exist_has_nothing() {
        let loopback = settings("lo").unwrap();
        assert_eq!((loopback.ring, loopback.queues), (None, None), "{loopback:?}");
        assert_eq!(loopback.lro, Some(false), "every card of the kernel has this flag");
        assert_eq!(settings("no-such-card").unwrap(), CardSettings::default());
        assert_eq!(queues("no-such-card").unwrap(), 1);
    }
}
