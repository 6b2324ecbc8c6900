//! An attacker on the LAN: it joins the groups, reads identities, epoch, chain and numbers off the wire,
//! seals what it likes, and sends it to whom it likes. It has no file of the cluster but its groups; or a
//! reader's keys, with which it poses as a replica.

use lockstep_io::key_file::KeyFile;
use lockstep_testkit::processes::Cluster;
use lockstep_wire::{
    AckBody, BallotBody, Change, Datagram, EPOCH_START_LEN_MAX, EntryHeader, EntryKind, Epoch, EpochBase,
    EpochStartBody, GenerationKeys, HEADER_LEN, Header, HeartbeatBody, Identity, JoinBody, KeyClass, Keyring,
    Kind, MEMBERSHIP_LEN_MAX, MemberBody, OpenFrame, QueryKind, SMALL_LEN_MAX, SeqRange, StepDownBody, seal,
    write_ack, write_ballot, write_entry, write_epoch_start, write_heartbeat, write_join, write_membership,
    write_nack, write_query, write_step_down,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    /// The ring that it poses with: everything is sent without a key, and once more sealed with this.
    posing: Option<Keyring>,
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
        Self { submit, data, control, submit_in, data_in, control_in, own, posing: None }
    }

    /// The same with keys of its own making.
    pub fn with_made_up_keys(self, cluster: &Cluster) -> Self {
        let file = KeyFile::read(&cluster.path("keys/reader.keys")).unwrap_or_else(|error| panic!("{error}"));
        let keys = GenerationKeys { replica: Some([0x66; 16]), reader: [0x67; 16], publishers: Vec::new() };
        Self { posing: Some(Keyring::new(file.cluster, KeyClass::Replica, &keys)), ..self }
    }

    /// The same with the keys that a reader of the cluster has; a replica's key it must guess.
    pub fn with_readers_keys(self, cluster: &Cluster) -> Self {
        let file = KeyFile::read(&cluster.path("keys/reader.keys")).unwrap_or_else(|error| panic!("{error}"));
        let keys = GenerationKeys {
            replica: Some([0x66; 16]),
            reader: file.generations[0].reader,
            publishers: Vec::new(),
        };
        Self { posing: Some(Keyring::new(file.cluster, KeyClass::Replica, &keys)), ..self }
    }

    /// Listens until it has a heartbeat and the acks of `standbys`.
    pub fn read(&self, standbys: usize) -> Read {
        let (began, mut heartbeat, mut acks) = (Instant::now(), None, BTreeMap::new());
        let mut room = vec![0; ROOM];
        while heartbeat.is_none() || acks.len() < standbys {
            assert!(began.elapsed() < PATIENCE, "nothing is heard: {} acks", acks.len());
            for socket in [&self.data_in, &self.control_in] {
                let Ok(length) = socket.recv(&mut room) else { continue };
                let Some(header) = unsealed(&mut room[..length]) else { continue };
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
            let Some(seen) = unsealed(&mut room[..length]) else { continue };
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

    /// Records what is sent to the groups until it is over, at most so many datagrams of each.
    pub fn record(&self, over: &AtomicBool, most: usize) -> Vec<(SocketAddrV4, Vec<u8>)> {
        let groups =
            [(self.submit, &self.submit_in), (self.data, &self.data_in), (self.control, &self.control_in)];
        std::thread::scope(|scope| {
            let record = |(group, socket): (SocketAddrV4, &UdpSocket)| {
                let (mut recorded, mut room) = (Vec::new(), vec![0; ROOM]);
                while !over.load(Ordering::Acquire) && recorded.len() < most {
                    if let Ok(length) = socket.recv(&mut room) {
                        recorded.push((group, room[..length].to_vec()));
                    }
                }
                recorded
            };
            let recorders = groups.map(|group| scope.spawn(move || record(group)));
            recorders.into_iter().flat_map(|recorder| recorder.join().expect("a recorder")).collect()
        })
    }

    /// Sends these bytes: as they are, or sealed as a reader does, or as a replica's whose word it must
    /// guess. What has no header goes as it is.
    pub fn send_mutated(&self, to: SocketAddrV4, bytes: &[u8]) {
        match Header::peek(bytes).filter(|_| bytes.len().is_multiple_of(8)) {
            Some(_) => drop(self.send(to, bytes)),
            None => drop(self.own.send_to(bytes, to).expect("a datagram leaves")),
        }
    }

    /// Sends what was recorded, as it was.
    pub fn send_again(&self, recorded: &[(SocketAddrV4, Vec<u8>)]) {
        for (group, bytes) in recorded {
            self.own.send_to(bytes, group).expect("a datagram leaves");
        }
    }

    pub fn to_submit(&self, bytes: &[u8]) {
        let _ = self.send(self.submit, bytes);
    }

    pub fn to_data(&self, bytes: &[u8]) {
        let _ = self.send(self.data, bytes);
    }

    pub fn to_control(&self, bytes: &[u8]) {
        let _ = self.send(self.control, bytes);
    }

    /// Sends these to the unicast port of `replica`. Returns the bytes that were sent, and those that came
    /// back until nothing has come for a while.
    pub fn exchange(&self, replica: SocketAddrV4, requests: &[Vec<u8>]) -> (usize, usize) {
        let (mut sent, mut returned, mut room) = (0, 0, vec![0; ROOM]);
        self.own.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        for request in requests {
            sent += self.send(replica, request);
        }
        while let Ok(length) = self.own.recv(&mut room) {
            returned += length;
        }
        (sent, returned)
    }

    /// Returns the bytes that were sent.
    fn send(&self, to: SocketAddrV4, bytes: &[u8]) -> usize {
        let leaves = |bytes: &[u8]| self.own.send_to(bytes, to).expect("a datagram leaves");
        let posed = self.posing.as_ref().map_or(0, |keys| {
            let mut posed = bytes.to_vec();
            keys.seal(&mut posed, Header::peek(bytes).expect("a header"));
            leaves(&posed)
        });
        leaves(bytes) + posed
    }
}

/// Seals what was received by a checksum, as everybody can: multicast is in the clear. Returns the header.
fn unsealed(bytes: &mut [u8]) -> Option<Header> {
    let header = Header::peek(bytes)?;
    (header.length as usize == bytes.len()).then(|| seal(bytes, header))
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

/// A frame of one entry behind the log that a leader's heartbeat tells of.
pub fn frame(header: Header, kind: EntryKind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 1_200];
    let mut open = OpenFrame::default();
    let entry = EntryHeader { kind: kind as u8, ..bytemuck::Zeroable::zeroed() };
    assert!(open.push(&mut bytes, entry, payload));
    let length = open.len();
    open.close(&mut bytes, &Keyring::none(header.cluster), header, length);
    bytes.truncate(length);
    bytes
}

/// The start of the next epoch under the attacker's leadership, with no member but itself.
pub fn epoch_start(seen: &Header) -> Vec<u8> {
    let epoch = Epoch::new(Epoch(seen.epoch).round() + 1, UNLISTED);
    let body = EpochStartBody {
        epoch: epoch.0,
        base: seen.first_seq,
        chain_at_base: seen.chain,
        window_entries: 1_024,
        window_bytes: 1 << 20,
        ..bytemuck::Zeroable::zeroed()
    };
    let address = "127.0.0.1:9".parse().expect("an address");
    let table = [EpochBase { epoch: epoch.0, base: seen.first_seq }];
    let mut payload = [0; EPOCH_START_LEN_MAX];
    let length = write_epoch_start(&mut payload, body, &[MemberBody::full(UNLISTED, address)], &table, &[]);
    let header = Header { epoch: epoch.0, ..header(seen, Kind::Frame, UNLISTED) };
    frame(header, EntryKind::EpochStart, &payload[..length])
}

/// An order as a query: long enough to be answered.
pub fn order(header: Header, query_kind: QueryKind, name: &str) -> Vec<u8> {
    written(|out| write_query(out, &Keyring::none(header.cluster), header, 7, query_kind, name))
}

/// The removal of a member, behind the membership that is in force.
pub fn removal(header: Header, after: u64, member: Identity) -> Vec<u8> {
    let address = "127.0.0.1:9".parse().expect("an address");
    let mut payload = [0; MEMBERSHIP_LEN_MAX];
    let length =
        write_membership(&mut payload, after, Change::Remove, MemberBody::full(member, address), &[]);
    submission(header, EntryKind::Membership, &payload[..length])
}

/// A submission of one entry.
pub fn submission(header: Header, kind: EntryKind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 1_200];
    let entry = EntryHeader { kind: kind as u8, ..bytemuck::Zeroable::zeroed() };
    let written = write_entry(&mut bytes[HEADER_LEN..], entry, payload).expect("room");
    bytes.truncate(HEADER_LEN + written);
    seal(&mut bytes, Header { count: 1, ..header });
    bytes
}

pub fn join(header: Header) -> Vec<u8> {
    let body = JoinBody { groups: 7, reserved: 0, process_nonce: 0x0dd, proof: 0, padding: 0 };
    written(|out| write_join(out, &Keyring::none(header.cluster), header, body))
}
