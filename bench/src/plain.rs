//! The plainest device there is: one socket, one datagram per call. The floor that a forwarder stands on
//! which somebody writes in an afternoon, and the fastest where datagrams come one by one.

use crate::node::Role;
use crate::transport::Wakes;
use lockstep::config::Config;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::udp::{UdpSettings, address_of};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

/// A socket with the options of lockstep's own, received and sent on one datagram at a time. It has
/// no second one for unicast: a floor repairs nothing.
pub struct Plain {
    socket: UdpSocket,
    /// Where a datagram for each group goes.
    targets: [Vec<SocketAddrV4>; 3],
    datagram: Vec<u8>,
    len: usize,
}

impl Plain {
    /// Opens the socket and joins.
    ///
    /// # Errors
    /// In words, what the kernel refused.
    pub fn open(settings: &UdpSettings) -> Result<Self, String> {
        Ok(Self {
            socket: socket(settings)?,
            targets: settings.groups.map(|group| vec![SocketAddrV4::new(group, settings.port)]),
            datagram: vec![0; 2048],
            len: 0,
        })
    }

    /// A socket at `own` that sends to each receiver of a group by itself.
    fn unicast(
        own: SocketAddrV4,
        targets: [Vec<SocketAddrV4>; 3],
        settings: &UdpSettings,
    ) -> Result<Self, String> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
            socket.bind(&own.into())?;
            socket.set_recv_buffer_size(settings.receive_buffer_bytes)?;
            socket.set_send_buffer_size(settings.send_buffer_bytes)?;
            Ok(socket.into())
        };
        let socket =
            open().map_err(|error: std::io::Error| format!("opening a plain socket at {own}: {error}"))?;
        Ok(Self { socket, targets, datagram: vec![0; 2048], len: 0 })
    }
}

/// Where leader, standby and client of a cluster's floor are without groups: the client has the groups' port.
fn places(config: &Config, settings: &UdpSettings, client: Ipv4Addr) -> [Option<SocketAddrV4>; 3] {
    let replica = |at: usize| config.replicas.get(at).map(|replica| replica.unicast);
    // A cluster of one has no standby; of three the second is one.
    [replica(0), replica(1), Some(SocketAddrV4::new(client, settings.port))]
}

/// The forwarder of a role, without groups: what it sends goes to each receiver by itself.
///
/// # Errors
/// In words, what the kernel refused.
pub fn of_role(
    config: &Config,
    settings: &UdpSettings,
    role: Role,
    client: Ipv4Addr,
) -> Result<Plain, String> {
    let [leader, standby, client] = places(config, settings, client);
    let own = match role {
        Role::Leader => leader,
        Role::Standby => standby,
    };
    let own = own.ok_or("this cluster has no such replica")?;
    let of = |receivers: [Option<SocketAddrV4>; 2]| receivers.into_iter().flatten().collect();
    Plain::unicast(own, [of([leader, None]), of([standby, client]), of([client, None])], settings)
}

/// The client beside it.
///
/// # Errors
/// In words, what the kernel refused.
pub fn of_client(config: &Config, settings: &UdpSettings) -> Result<Plain, String> {
    let address = address_of(&settings.interface).map_err(|error| error.to_string())?;
    let leader = places(config, settings, address)[0].ok_or("this cluster has no replica")?;
    Plain::unicast(SocketAddrV4::new(address, settings.port), [vec![leader], vec![], vec![]], settings)
}

/// A group socket of the kernel's, joined; it never sleeps.
///
/// # Errors
/// In words, what the kernel refused.
pub fn socket(settings: &UdpSettings) -> Result<UdpSocket, String> {
    let address = address_of(&settings.interface).map_err(|error| error.to_string())?;
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_multicast_all_v4(false)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, settings.port).into())?;
        for group in &settings.joins {
            let by = InterfaceIndexOrAddress::Address(address);
            socket.join_multicast_v4_n(&settings.groups[*group as usize], &by)?;
        }
        socket.set_multicast_if_v4(&address)?;
        socket.set_multicast_ttl_v4(u32::from(settings.ttl))?;
        socket.set_multicast_loop_v4(true)?;
        // What the kernel grants of these is printed for lockstep's device, which asks for the same.
        socket.set_recv_buffer_size(settings.receive_buffer_bytes)?;
        socket.set_send_buffer_size(settings.send_buffer_bytes)?;
        Ok(socket.into())
    };
    open().map_err(|error: std::io::Error| {
        format!("opening a plain group socket on port {}: {error}", settings.port)
    })
}

impl Wakes for Plain {
    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.socket.as_fd()]
    }
}

impl Net for Plain {
    fn recv_groups(&mut self) -> usize {
        // Nothing there, or nothing that a floor could do about it.
        self.len = self.socket.recv(&mut self.datagram).unwrap_or(0);
        usize::from(self.len > 0)
    }

    fn is_drained(&self) -> bool {
        true
    }

    fn group_datagram(&self, _index: usize) -> &[u8] {
        &self.datagram[..self.len]
    }

    fn recv_unicast(&mut self) -> usize {
        0
    }

    fn unicast_datagram(&self, _index: usize) -> (&[u8], SocketAddrV4) {
        (&[], SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let datagrams = bursts.iter().flat_map(|burst| burst.bytes.chunks(burst.stride));
        let to = &self.targets[group as usize];
        datagrams.take_while(|bytes| to.iter().all(|to| self.socket.send_to(bytes, to).is_ok())).count()
    }

    fn send_unicast(&mut self, _to: SocketAddrV4, _parts: [&[u8]; 2]) -> bool {
        false
    }
}
