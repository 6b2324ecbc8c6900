//! True datagrams: what processes sent while a small cluster worked, lost datagrams, repaired, and took over.

use super::cluster::{HISTORY, NODES, PUBLISHER, REPLICAS, SmallCluster, address, identity};
use crate::keys;
use crate::machine::CLUSTER;
use crate::rng::Rng;
use bytemuck::Zeroable;
use lockstep_core::engine::event::Role;
use lockstep_core::engine::ports::Group;
use lockstep_wire::{
    BallotBody, Change, EntryHeader, EntryKind, Epoch, Header, IdentityProbeBody, JoinBody, Kind, LeaseBody,
    LeaseReply, MEMBERSHIP_LEN_MAX, MemberBody, OpenFrame, QueryKind, ReplayBody, ReplayRequestBody,
    SMALL_LEN_MAX, STATUS_LEN_MAX, write_ballot, write_join, write_lease, write_membership, write_presence,
    write_query, write_replay, write_replay_request,
};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// The way of a datagram to a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// By a group.
    Group(Group),
    /// To its own address, from this one.
    Unicast(SocketAddrV4),
}

/// A true datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// How it went.
    pub route: Arrival,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// At most so many of each kind: the rare ones are as many as the usual ones.
const KIND_MAX: usize = 48;
/// The turns of each part of the recording.
const TURNS: u32 = 400;
const TURN_NS: u64 = 50_000;

/// The datagrams recorded so far, by kind.
#[derive(Default)]
struct Recording(BTreeMap<u8, Vec<Recorded>>);

impl Recording {
    fn add(&mut self, rng: &mut Rng, recorded: Recorded) {
        let Some(header) = Header::peek(&recorded.bytes) else { return };
        let is_repair = recorded.bytes.len() != header.length as usize;
        let of_kind = self.0.entry(header.kind | u8::from(is_repair) << 7).or_default();
        match of_kind.len() {
            KIND_MAX.. => of_kind[rng.below(KIND_MAX as u64) as usize] = recorded,
            _ => of_kind.push(recorded),
        }
    }
}

/// True datagrams of every kind that goes over the network.
///
/// # Panics
/// If the cluster does not work.
pub fn record() -> Vec<Recorded> {
    let (mut rng, mut recording) = (Rng::new(20_261_124), Recording::default());
    let mut cluster = SmallCluster::begun();
    // Some are lost, so that processes ask for them.
    for turn in 0..TURNS {
        cluster.publish(&vec![turn as u8; 1 << rng.below(11)]);
        cluster
            .turn_all(TURN_NS, &mut |node, sent| recording.add(&mut rng, SmallCluster::recorded(sent, node)));
        let (lossy, net) = (rng.below(NODES as u64) as usize, rng.below(8) == 0);
        if net {
            cluster.net_mut(lossy).groups.pop_front();
        }
    }
    for recorded in requests(&cluster) {
        let node = rng.below(REPLICAS as u64) as usize;
        recording.add(&mut rng, recorded.clone());
        cluster.arrive(node, recorded.bytes, recorded.route);
    }
    let mut record = |cluster: &mut SmallCluster, turns: u32| {
        for _ in 0..turns {
            cluster.publish(b"while a leader is missed");
            cluster.turn_all(TURN_NS, &mut |node, sent| {
                recording.add(&mut rng, SmallCluster::recorded(sent, node));
            });
        }
    };
    record(&mut cluster, TURNS);
    // The leader is gone for a while, and then returns to a later epoch.
    cluster.paused[0] = true;
    record(&mut cluster, 4 * TURNS);
    cluster.paused[0] = false;
    record(&mut cluster, TURNS);
    // And one hands over.
    let leader =
        cluster.replicas.iter().position(|replica| replica.role() == Role::Leader).expect("a leader");
    let mut notice = vec![0; SMALL_LEN_MAX];
    let length = cluster.replicas[leader].death_notice(&mut notice);
    notice.truncate(length);
    let now = cluster.now;
    assert!(cluster.replicas[leader].start_handover(now, None), "another member can take over");
    record(&mut cluster, 4 * TURNS);
    recording.add(&mut rng, Recorded { route: Arrival::Group(Group::Control), bytes: notice });
    recording.0.into_values().flatten().collect()
}

/// What processes and operators ask now and then: queries, commands, leases, probes, replays.
fn requests(cluster: &SmallCluster) -> Vec<Recorded> {
    let end = cluster.replicas[0].tail().end();
    let header = |kind, sender: u32| Header {
        cluster: CLUSTER,
        history: HISTORY,
        epoch: end.epoch.0,
        sender,
        incarnation: identity(sender as usize).incarnation,
        first_seq: end.next,
        commit_next: end.next,
        chain: end.chain,
        number: 9,
        ..Header::new(kind)
    };
    let mut made = Vec::new();
    let mut add = |route, write: &dyn Fn(&mut [u8]) -> usize| {
        let mut bytes = vec![0; STATUS_LEN_MAX.max(SMALL_LEN_MAX)];
        let length = write(&mut bytes);
        bytes.truncate(length);
        made.push(Recorded { route, bytes });
    };
    let (ring, from) = (keys::replica(), Arrival::Unicast(address(PUBLISHER)));
    let query = |kind, name: &'static str| {
        move |out: &mut [u8]| write_query(out, ring, header(Kind::Query, 900), 77, kind, name)
    };
    add(from, &query(QueryKind::Node, ""));
    add(from, &query(QueryKind::Publisher, super::cluster::NAME));
    add(from, &query(QueryKind::Status, ""));
    add(from, &query(QueryKind::Probe, ""));
    add(from, &query(QueryKind::Events, "4096"));
    add(from, &query(QueryKind::Release, ""));
    add(from, &query(QueryKind::Upgrade, "4"));
    add(from, &query(QueryKind::Time, "1700000000000000000"));
    add(from, &query(QueryKind::Times, ""));
    add(from, &query(QueryKind::Handover, "9:0000109"));
    add(from, &query(QueryKind::DeclareDead, "9:0000109"));
    let lease = LeaseBody { term: LeaseReply::Multicast as u32, ..Zeroable::zeroed() };
    let nonce = IdentityProbeBody { ..Zeroable::zeroed() };
    add(Arrival::Group(Group::Control), &|out| {
        write_presence(out, ring, header(Kind::IdentityProbe, 2), nonce)
    });
    let refused = BallotBody { ballot: Epoch::new(2, identity(2)).0, ..Zeroable::zeroed() };
    add(Arrival::Group(Group::Control), &|out| write_ballot(out, ring, header(Kind::Refuse, 2), refused));
    add(from, &|out| write_join(out, ring, header(Kind::Join, 2), JoinBody::zeroed()));
    add(from, &|out| write_lease(out, ring, header(Kind::Lease, 2), lease));
    let range = ReplayRequestBody { from: 1, to: end.next };
    add(from, &|out| write_replay_request(out, ring, header(Kind::ReplayRequest, 2), range));
    for kind in [Kind::ReplayAnswer, Kind::ReplayMark] {
        let body = ReplayBody { next: 1, oldest_seq: 1, ..Zeroable::zeroed() };
        add(from, &|out| write_replay(out, ring, header(kind, 2), body));
    }
    let change = |out: &mut [u8], change| {
        let mut payload = [0; MEMBERSHIP_LEN_MAX];
        let member = MemberBody::full(identity(REPLICAS - 1), address(REPLICAS - 1));
        let length = write_membership(&mut payload, 1, change, member, &[]);
        let (mut open, entry) = (OpenFrame::default(), EntryKind::Membership as u8);
        assert!(open.push(out, EntryHeader { kind: entry, ..Zeroable::zeroed() }, &payload[..length]));
        let length = open.len();
        open.close(out, ring, header(Kind::Submission, 900), length);
        length
    };
    for which in [Change::Add, Change::Remove] {
        add(Arrival::Group(Group::Submit), &|out| change(out, which));
    }
    made
}
