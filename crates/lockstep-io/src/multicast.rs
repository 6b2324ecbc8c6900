//! # multicast: a plain sender to a group of another protocol
//!
//! [`super::udp`] serves lockstep's own datagrams; a feed of another protocol sends one datagram at a time.

use super::IoError;
use super::links::{self, FollowingSocket, Link};
use super::udp::interface::{self, Card};
use super::udp::{Interface, Place};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::Ordering;

/// A socket that sends to `group` out of `interface`, across `ttl` networks, and to this host's members.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn sender(group: SocketAddrV4, interface: &Interface, ttl: u8) -> Result<FollowingSocket, IoError> {
    let card = interface::find(interface)?;
    let socket = sender_by(group, &card, ttl)?;
    let (link, place) = (Link::new(card.index, [false; 3]), Place::of(&socket));
    let followed = links::follow(interface, &card, link.clone(), move |card, _| {
        place.put(&sender_by(group, card, ttl)?)?;
        link.card.store(card.index, Ordering::SeqCst);
        Ok(())
    })?;
    Ok(FollowingSocket::new(followed, socket))
}

fn sender_by(group: SocketAddrV4, card: &Card, ttl: u8) -> Result<UdpSocket, IoError> {
    let fails = |what: &str| {
        let doing = format!("{what} for {group}");
        move |error| IoError::new(doing, error)
    };
    let socket =
        Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).map_err(fails("open a socket"))?;
    socket.set_multicast_if_v4(&card.address).map_err(fails("choose the interface"))?;
    socket.set_multicast_ttl_v4(u32::from(ttl)).map_err(fails("set the TTL"))?;
    socket.set_multicast_loop_v4(true).map_err(fails("hand datagrams to this host's members"))?;
    let own = SocketAddr::from((card.address, 0));
    socket.bind(&own.into()).map_err(fails("bind a socket"))?;
    socket.connect(&SocketAddr::from(group).into()).map_err(fails("connect a socket"))?;
    socket.set_nonblocking(true).map_err(fails("make a socket that does not block"))?;
    Ok(socket.into())
}

/// A socket that receives requests and sends answers; it does not block.
///
/// # Errors
/// The address is not this host's, or is in use.
pub fn requests(address: SocketAddr) -> Result<UdpSocket, IoError> {
    let socket = UdpSocket::bind(address)
        .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        .map_err(|error| IoError::of_bind(format!("listen for requests on {address}"), error))?;
    Ok(socket)
}
