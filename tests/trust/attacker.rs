//! An attacker on the LAN: it joins the groups, reads identities, epoch, chain and numbers off the wire,
//! seals what it likes, and sends it to whom it likes. It has no key and no file of the cluster but its
//! groups.

use lockstep_wire::{
    AckBody, BallotBody, Datagram, EntryHeader, EntryKind, HEADER_LEN, Header, HeartbeatBody, Identity,
    JoinBody, Keyring, Kind, QueryKind, SMALL_LEN_MAX, SeqRange, StepDownBody, seal, write_ack, write_ballot,
    write_entry, write_heartbeat, write_join, write_nack, write_query, write_step_down,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};
use tools::processes::Cluster;

/// How long what is awaited may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any datagram.
const ROOM: usize = 1 << 14;

/// See the module.
pub struct Attacker {
    submit: SocketAddrV4,
    data: SocketAddrV4,
    control: SocketAddrV4,
    submit_in: UdpSocket,
    data_in: UdpSocket,
    control_in: UdpSocket,
    /// The socket that it sends from.
    own: UdpSocket,
}

/// What it has read of the cluster.
pub struct Read {
    /// The leader's latest heartbeat.
    pub heartbeat: (Header, HeartbeatBody),
    /// The latest ack of each standby.
    pub acks: BTreeMap<u32, (Header, AckBody)>,
}

impl Attacker {
    pub fn near(cluster: &Cluster) -> Self {
        let [submit, data, control] = cluster.groups();
        let own = UdpSocket::bind("127.0.0.1:0").expect("a socket on loopback");
        own.set_multicast_ttl_v4(0).expect("a time to live");
        socket2::SockRef::from(&own).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).expect("loopback");
        let [submit_in, data_in, control_in] = [submit, data, control].map(member);
        Self { submit, data, control, submit_in, data_in, control_in, own }
    }

    /// Listens until it has a heartbeat and the acks of `standbys`.
    pub fn read(&self, standbys: usize) -> Read {
        let (began, mut heartbeat, mut acks) = (Instant::now(), None, BTreeMap::new());
        let mut room = vec![0; ROOM];
        while heartbeat.is_none() || acks.len() < standbys {
            assert!(began.elapsed() < PATIENCE, "nothing is heard: {} acks", acks.len());
            for socket in [&self.data_in, &self.control_in] {
                let Ok(length) = socket.recv(&mut room) else { continue };
                let Some(header) = Header::peek(&room[..length]) else { continue };
                match Datagram::decode(&room[..length], &Keyring::none(header.cluster)) {
                    Ok(Datagram::Heartbeat(header, body)) => heartbeat = Some((*header, body)),
                    Ok(Datagram::Ack(header, body)) => drop(acks.insert(header.sender, (*header, body))),
                    _ => {}
                }
            }
        }
        Read { heartbeat: heartbeat.expect("heard"), acks }
    }

    /// Listens for the next submission of a message, and returns it with `payload` under the next number.
    pub fn forged_submission(&self, payload: &[u8]) -> Vec<u8> {
        let (began, mut room) = (Instant::now(), vec![0; ROOM]);
        loop {
            assert!(began.elapsed() < PATIENCE, "nothing is submitted");
            let Ok(length) = self.submit_in.recv(&mut room) else { continue };
            let Some(seen) = Header::peek(&room[..length]) else { continue };
            let Ok(Datagram::Submission(header, entries)) =
                Datagram::decode(&room[..length], &Keyring::none(seen.cluster))
            else {
                continue;
            };
            let last = entries.filter(|entry| entry.kind() == EntryKind::Message).last();
            let Some(entry) = last.map(|entry| *entry.header) else { continue };
            let mut forged = vec![0; SMALL_LEN_MAX];
            let next = EntryHeader { publisher_seq: entry.publisher_seq + 1, ..entry };
            let written = write_entry(&mut forged[HEADER_LEN..], next, payload).expect("room");
            forged.truncate(HEADER_LEN + written);
            let header = Header { count: 1, number: header.number + 1, ..*header };
            seal(&mut forged, header);
            return forged;
        }
    }

    pub fn to_submit(&self, bytes: &[u8]) {
        self.send(self.submit, bytes);
    }

    pub fn to_data(&self, bytes: &[u8]) {
        self.send(self.data, bytes);
    }

    pub fn to_control(&self, bytes: &[u8]) {
        self.send(self.control, bytes);
    }

    /// Sends these to the unicast port of `replica`. Returns the bytes that were sent, and those that came
    /// back until nothing has come for a while.
    pub fn exchange(&self, replica: SocketAddrV4, requests: &[Vec<u8>]) -> (usize, usize) {
        let (mut sent, mut returned, mut room) = (0, 0, vec![0; ROOM]);
        self.own.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        for request in requests {
            self.send(replica, request);
            sent += request.len();
        }
        while let Ok(length) = self.own.recv(&mut room) {
            returned += length;
        }
        (sent, returned)
    }

    fn send(&self, to: SocketAddrV4, bytes: &[u8]) {
        assert_eq!(self.own.send_to(bytes, to).expect("a datagram leaves"), bytes.len());
    }
}

fn member(group: SocketAddrV4) -> UdpSocket {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an address for several");
    socket.bind(&group.into()).expect("a socket on a group's port");
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST).expect("a group on loopback");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    socket.into()
}

/// An identity that no membership lists.
pub const UNLISTED: Identity = Identity { replica: 9, incarnation: 0x0666 };

fn written(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0; SMALL_LEN_MAX];
    let length = write(&mut out);
    out.truncate(length);
    out
}

/// `seen` as `kind`, from `identity`.
pub fn header(seen: &Header, kind: Kind, identity: Identity) -> Header {
    let (sender, incarnation) = (identity.replica, identity.incarnation);
    Header { kind: kind as u8, sender, incarnation, count: 0, flags: 0, tag: [0; 2], ..*seen }
}

pub fn ballot(header: Header, process_nonce: u64, ballot: u64, about: u64) -> Vec<u8> {
    written(|out| {
        write_ballot(out, &Keyring::none(header.cluster), header, BallotBody { process_nonce, ballot, about })
    })
}

pub fn heartbeat(header: Header, body: HeartbeatBody) -> Vec<u8> {
    written(|out| write_heartbeat(out, &Keyring::none(header.cluster), header, body))
}

pub fn ack(header: Header, process_nonce: u64) -> Vec<u8> {
    written(|out| write_ack(out, &Keyring::none(header.cluster), header, AckBody { process_nonce }))
}

pub fn step_down(header: Header, process_nonce: u64) -> Vec<u8> {
    written(|out| {
        write_step_down(
            out,
            &Keyring::none(header.cluster),
            header,
            StepDownBody { process_nonce, successor: 0 },
        )
    })
}

/// A request for `from..to`, or for the start of its epoch if that is nothing.
pub fn nack(header: Header, token: u64, from: u64, to: u64) -> Vec<u8> {
    let range = [SeqRange { from, to }];
    written(|out| {
        write_nack(out, &Keyring::none(header.cluster), header, token, if from < to { &range } else { &[] })
    })
}

/// A query as short as it may be.
pub fn short_query(header: Header, query_kind: QueryKind) -> Vec<u8> {
    let mut bytes =
        written(|out| write_query(out, &Keyring::none(header.cluster), header, 7, query_kind, ""));
    bytes.truncate(HEADER_LEN + 16);
    let header = Header::peek(&bytes).expect("a header");
    seal(&mut bytes, header);
    bytes
}

pub fn join(header: Header) -> Vec<u8> {
    let body = JoinBody { groups: 7, reserved: 0, process_nonce: 0x0dd, proof: 0, padding: 0 };
    written(|out| write_join(out, &Keyring::none(header.cluster), header, body))
}
