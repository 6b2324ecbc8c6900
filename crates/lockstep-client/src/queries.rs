//! Queries and commands to nodes, for programs that run once: identity, status, handover.

use super::endpoint::{Endpoint, draw_handle};
use super::status::NodeStatus;
use bytemuck::Zeroable;
use lockstep_core::engine::event::Role;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::device::Device;
use lockstep_io::idle::Parker;
use lockstep_wire::{
    Acknowledgement, Change, CommandReject, Datagram, EntryHeader, EntryKind, Epoch, EventRow, EventsBody,
    HEADER_LEN, Header, Identity, Kind, MEMBERSHIP_LEN_MAX, MemberBody, Nanos, ORDER_PROOF_LEN, OperatorKey,
    OperatorOrder, OrderProof, OrderStatement, QueryKind, SMALL_LEN_MAX, STATUS_LONG_LEN_MAX, Seq,
    named_arguments, write_entry, write_membership, write_order, write_status_query,
};
use std::net::SocketAddrV4;
use std::time::Duration;

/// A node's answer about itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeState {
    /// The address from which it answered.
    pub address: SocketAddrV4,
    /// Its identity.
    pub identity: Identity,
    /// The history of its log; 0 if it is blank.
    pub history: u64,
    /// The epoch of its log.
    pub accepted: Epoch,
    /// The end of its log.
    pub accept_next: Seq,
    /// How far it knows the log to be committed.
    pub commit_next: Seq,
    /// Its role.
    pub role: Role,
}

/// A node's answer about its release.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeRelease {
    /// The oldest version of wire and log that it speaks.
    pub oldest: u8,
    /// The newest one.
    pub newest: u8,
    /// The version of its log; `None` while that is empty.
    pub in_force: Option<u8>,
    /// The name of the release.
    pub release: String,
}

/// A node's answer about the stream's time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeTimes {
    /// The time of its log's last frame; `None` while that is empty.
    pub stream: Option<Nanos>,
    /// Its own clock.
    pub clock: Nanos,
    /// The time that the clocks of a quorum have reached, as this node judges; `None`: it has not received
    /// the clocks of a quorum.
    pub quorum: Option<Nanos>,
}

/// A page of a node's events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeEvents {
    /// Its identity.
    pub identity: Identity,
    /// The ring of the events, and the range of its events.
    pub page: EventsBody,
    /// The events, the newest first.
    pub rows: Vec<EventRow>,
}

/// Queries nodes, and sleeps until they answer. It joins no group.
pub struct QueryClient {
    net: Device,
    parker: Parker,
    endpoint: Endpoint,
    clock: Clock,
    me: Identity,
    number: u64,
    token: u64,
    /// The operator who signs its commands, and the number of a command, which stays the same however often
    /// it is sent.
    operator: Option<(OperatorKey, u64)>,
}

/// A query or a command to a node.
#[derive(Clone, Copy)]
struct Query<'a> {
    query_kind: QueryKind,
    name: &'a str,
    /// The epoch and the seq of the membership for which a command is given; zeros otherwise.
    judged: (Epoch, Seq),
    /// The operator's signature of a command.
    proof: Option<&'a OrderProof>,
}

impl Query<'_> {
    /// A query of this kind that concerns no particular node.
    fn of(query_kind: QueryKind) -> Self {
        Self { query_kind, name: "", judged: (Epoch::NONE, 0), proof: None }
    }
}

/// Time between two datagrams of an unanswered query.
const AGAIN_NS: Nanos = 20_000_000;

impl QueryClient {
    /// Opens a device.
    ///
    /// # Errors
    /// As for every handle.
    pub fn open(endpoint: &Endpoint) -> Result<Self, IoError> {
        let me = draw_handle()?;
        let net = endpoint.open_query()?;
        Ok(Self {
            parker: Parker::new(&net.sockets())?,
            net,
            endpoint: endpoint.clone(),
            clock: Clock::start(),
            me,
            number: 0,
            token: 1,
            operator: None,
        })
    }

    /// From now on `operator` signs the commands. `nonce` is drawn for one command.
    pub fn sign_by(&mut self, operator: OperatorKey, nonce: u64) {
        self.operator = Some((operator, nonce));
    }

    fn prove(&self, order: &OrderStatement<'_>) -> Option<OrderProof> {
        self.operator.as_ref().map(|(operator, nonce)| operator.prove(order, *nonce))
    }

    /// Queries the nodes at `addresses` until all have answered or `timeout` has elapsed. Returns the
    /// answers in the order of the addresses.
    pub fn nodes(&mut self, addresses: &[SocketAddrV4], timeout: Duration) -> Vec<Option<NodeState>> {
        self.query_all(addresses, Query::of(QueryKind::Node), timeout, read_reply)
    }

    /// Queries their status; as [`QueryClient::nodes`].
    pub fn statuses(&mut self, addresses: &[SocketAddrV4], timeout: Duration) -> Vec<Option<NodeStatus>> {
        self.query_all(addresses, Query::of(QueryKind::Status), timeout, NodeStatus::read)
    }

    /// Queries their releases; as [`QueryClient::nodes`]. A release that speaks at most version 3 does not
    /// answer.
    pub fn releases(&mut self, addresses: &[SocketAddrV4], timeout: Duration) -> Vec<Option<NodeRelease>> {
        self.query_all(addresses, Query::of(QueryKind::Release), timeout, read_release)
    }

    /// Queries their times; as [`QueryClient::nodes`]. A release that speaks at most version 3 does not
    /// answer.
    pub fn times(&mut self, addresses: &[SocketAddrV4], timeout: Duration) -> Vec<Option<NodeTimes>> {
        self.query_all(addresses, Query::of(QueryKind::Times), timeout, read_times)
    }

    /// Queries each node's newest events below a number (`u64::MAX`: the newest of all); as
    /// [`QueryClient::nodes`].
    pub fn events(
        &mut self,
        addresses: &[(SocketAddrV4, u64)],
        timeout: Duration,
    ) -> Vec<Option<NodeEvents>> {
        let numbers: Vec<String> = addresses.iter().map(|(_, before)| before.to_string()).collect();
        let query = |name| Query { name, ..Query::of(QueryKind::Events) };
        let each = addresses.iter().zip(&numbers).map(|((address, _), name)| (*address, query(name)));
        self.query_every(AGAIN_NS, &each.collect::<Vec<_>>(), timeout, read_events)
    }

    /// [`QueryClient::statuses`] by one datagram to each address, for a caller that asks repeatedly: a node
    /// gets at most one query for each call.
    pub fn statuses_once(
        &mut self,
        addresses: &[SocketAddrV4],
        timeout: Duration,
    ) -> Vec<Option<NodeStatus>> {
        let query = Query::of(QueryKind::Status);
        self.query_every(Nanos::MAX, &each_asked(addresses, query), timeout, NodeStatus::read)
    }

    /// Sends a node a command about `identity` (or about no particular node). It is valid only for the epoch
    /// and the members of `status`, by which the operator has judged. `None`: no answer.
    pub fn send_command(
        &mut self,
        status: &NodeStatus,
        query_kind: QueryKind,
        identity: Option<Identity>,
        timeout: Duration,
    ) -> Option<Result<(), CommandReject>> {
        let name = identity.map_or_else(String::new, |identity| identity.to_string());
        self.send_order(status, query_kind, &name, timeout)
    }

    /// Commands the leader to let its log rise to `version`; as [`QueryClient::send_command`].
    pub fn send_upgrade(
        &mut self,
        leader: &NodeStatus,
        version: u8,
        timeout: Duration,
    ) -> Option<Result<(), CommandReject>> {
        self.send_order(leader, QueryKind::Upgrade, &version.to_string(), timeout)
    }

    /// Commands the leader to set the stream's time, which stands at `before`, back to that of a quorum's
    /// clocks; as [`QueryClient::send_command`].
    pub fn send_time_order(
        &mut self,
        leader: &NodeStatus,
        before: Nanos,
        timeout: Duration,
    ) -> Option<Result<(), CommandReject>> {
        self.send_order(leader, QueryKind::Time, &before.to_string(), timeout)
    }

    /// Acknowledges a node's condition, as it was shown; as [`QueryClient::send_command`].
    pub fn send_acknowledgement(
        &mut self,
        status: &NodeStatus,
        asked: Acknowledgement,
        timeout: Duration,
    ) -> Option<Result<(), CommandReject>> {
        self.send_order(status, QueryKind::Acknowledge, &asked.to_string(), timeout)
    }

    /// `name` has all arguments of the order, both for its signature and for the node that judges it.
    fn send_order(
        &mut self,
        status: &NodeStatus,
        query_kind: QueryKind,
        name: &str,
        timeout: Duration,
    ) -> Option<Result<(), CommandReject>> {
        let judged = (status.accepted, status.membership_seq);
        let proof = query_kind.order().and_then(|order| {
            self.prove(&OrderStatement {
                order,
                history: status.history,
                epoch: status.accepted,
                membership_seq: status.membership_seq,
                subject: name.parse().ok(),
                arguments: &named_arguments(order, name),
            })
        });
        let command = Query { query_kind, name, judged, proof: proof.as_ref() };
        self.query_all(&[status.address], command, timeout, read_command_result).pop().flatten()
    }

    /// Submits a change of the membership for the epoch and the members of `leader`, once. The status shows
    /// its outcome.
    pub fn submit(&mut self, leader: &NodeStatus, change: Change, member: MemberBody) {
        let mut payload = [0; MEMBERSHIP_LEN_MAX + ORDER_PROOF_LEN];
        let mut length = write_membership(&mut payload, leader.membership_seq, change, member, &[]);
        let proof = self.prove(&OrderStatement {
            order: OperatorOrder::Membership,
            history: leader.history,
            epoch: leader.accepted,
            membership_seq: leader.membership_seq,
            subject: Some(member.identity()),
            arguments: &payload[..length],
        });
        if let Some(proof) = &proof {
            payload[length..length + ORDER_PROOF_LEN].copy_from_slice(bytemuck::bytes_of(proof));
            length += ORDER_PROOF_LEN;
        }
        let mut out = [0; SMALL_LEN_MAX];
        let entry = EntryHeader { kind: EntryKind::Membership as u8, ..EntryHeader::zeroed() };
        let written = write_entry(&mut out[HEADER_LEN..], entry, &payload[..length]);
        let end = HEADER_LEN + written.unwrap_or_default();
        let (history, epoch) = (leader.history, leader.accepted.0);
        let header = Header { history, epoch, count: 1, ..self.header(Kind::Submission) };
        self.endpoint.keys.seal(&mut out[..end], header);
        self.net.send_group(Group::Submit, &[Burst { bytes: &out[..end], stride: end }]);
    }

    fn query_all<T: Clone>(
        &mut self,
        addresses: &[SocketAddrV4],
        query: Query<'_>,
        timeout: Duration,
        read: impl Fn(&Datagram<'_>, SocketAddrV4) -> Option<(u64, T)>,
    ) -> Vec<Option<T>> {
        self.query_every(AGAIN_NS, &each_asked(addresses, query), timeout, read)
    }

    /// Sends each query again to the nodes that have not answered, `again` after the time before.
    fn query_every<T: Clone>(
        &mut self,
        again: Nanos,
        queries: &[(SocketAddrV4, Query<'_>)],
        timeout: Duration,
        read: impl Fn(&Datagram<'_>, SocketAddrV4) -> Option<(u64, T)>,
    ) -> Vec<Option<T>> {
        // Tokens never repeat, so that a late answer to an earlier query is not taken for an answer to this
        // one.
        let first = self.token;
        self.token += queries.len() as u64;
        let mut found = vec![None; queries.len()];
        let deadline = self.clock.now() + timeout.as_nanos() as u64;
        let mut due_at = 0;
        while found.iter().any(Option::is_none) && self.clock.now() < deadline {
            let now = self.clock.now();
            if now >= due_at {
                due_at = now.saturating_add(again);
                for (index, &(address, query)) in queries.iter().enumerate() {
                    if found[index].is_none() {
                        self.query(address, first + index as u64, query);
                    }
                }
            }
            for index in 0..self.net.recv_unicast() {
                let (bytes, from) = self.net.unicast_datagram(index);
                if let Ok(datagram) = Datagram::decode(bytes, &self.endpoint.keys)
                    && let Some((token, answer)) = read(&datagram, from)
                    && let Some(place) = token.checked_sub(first)
                    && let Some(slot) = found.get_mut(place as usize)
                {
                    *slot = Some(answer);
                }
            }
            let due = deadline.min(due_at).saturating_sub(self.clock.now());
            if found.iter().any(Option::is_none) {
                self.parker.park(due);
            }
        }
        found
    }

    fn header(&mut self, kind: Kind) -> Header {
        self.number += 1;
        Header {
            cluster: self.endpoint.cluster(),
            sender: self.me.replica,
            incarnation: self.me.incarnation,
            number: self.number,
            ..Header::new(kind)
        }
    }

    fn query(&mut self, to: SocketAddrV4, token: u64, query: Query<'_>) {
        let Query { query_kind, name, judged: (epoch, first_seq), proof } = query;
        let header = Header { epoch: epoch.0, first_seq, ..self.header(Kind::Query) };
        let mut out = [0; STATUS_LONG_LEN_MAX];
        let length = match query_kind {
            QueryKind::Status => {
                write_status_query(&mut out, &self.endpoint.keys, header, token, STATUS_LONG_LEN_MAX)
            }
            _ => write_order(&mut out, &self.endpoint.keys, header, token, (query_kind, name), proof),
        };
        self.net.send_unicast(to, [&out[..length], &[]]);
    }
}

/// The same query for each of these.
fn each_asked<'a>(addresses: &[SocketAddrV4], query: Query<'a>) -> Vec<(SocketAddrV4, Query<'a>)> {
    addresses.iter().map(|address| (*address, query)).collect()
}

fn read_reply(datagram: &Datagram<'_>, from: SocketAddrV4) -> Option<(u64, NodeState)> {
    let Datagram::QueryReply(header, body) = datagram else { return None };
    let state = NodeState {
        address: from,
        identity: header.identity(),
        history: header.history,
        accepted: header.epoch(),
        accept_next: header.first_seq,
        commit_next: header.commit_next,
        role: Role::from_u32(body.role)?,
    };
    Some((body.token, state))
}

fn read_release(datagram: &Datagram<'_>, _from: SocketAddrV4) -> Option<(u64, NodeRelease)> {
    let Datagram::Release(_, body) = datagram else { return None };
    let release = NodeRelease {
        oldest: body.oldest,
        newest: body.newest,
        in_force: (body.in_force > 0).then_some(body.in_force),
        release: body.release().into_owned(),
    };
    Some((body.token, release))
}

fn read_times(datagram: &Datagram<'_>, _from: SocketAddrV4) -> Option<(u64, NodeTimes)> {
    let Datagram::Times(header, body) = datagram else { return None };
    let known = |time: Nanos| (time > 0).then_some(time);
    let times = NodeTimes { stream: known(body.stream), clock: header.timestamp, quorum: known(body.quorum) };
    Some((body.token, times))
}

fn read_events(datagram: &Datagram<'_>, _from: SocketAddrV4) -> Option<(u64, NodeEvents)> {
    let Datagram::Events(header, body, rows) = datagram else { return None };
    Some((body.token, NodeEvents { identity: header.identity(), page: *body, rows: rows.iter().collect() }))
}

fn read_command_result(
    datagram: &Datagram<'_>,
    _from: SocketAddrV4,
) -> Option<(u64, Result<(), CommandReject>)> {
    let Datagram::CommandResult(_, body) = datagram else { return None };
    Some((body.token, CommandReject::from_u32(body.reject).map_or(Ok(()), Err)))
}
