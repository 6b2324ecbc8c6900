//! The service of a replica on its unicast port: repairs, refusals, query replies.

use super::repair::RefusedRange;
use super::replica_log::{each_frame, frames};
use super::status::write_status_to;
use super::time_order::write_times_to;
use super::versions::write_release_to;
use super::{Ctx, ReplicaCore, ReplicaEngine, RoleState, Turn, reject_datagram};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use crate::ports::Ports;
use bytemuck::Zeroable;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::Role;
use lockstep_core::engine::ports::Net;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::repair::{RepairRange, grant};
use lockstep_wire::{
    ADDRESS_PROOF_RETURNED, AddressProofBody, CommandReject, CommandResultBody, Datagram, Entry, FrameView,
    Header, Identity, Keyring, Kind, LeaseBody, LeaseReply, NACK_RANGES_MAX, Nanos, OperatorOrder,
    OrderProof, QueryBody, QueryKind, QueryReplyBody, Ranges, Reject, RepairReject, RepairRejectBody,
    SMALL_LEN_MAX, STATUS_LONG_LEN_MAX, SeqRange, repair_trailer, write_address_proof, write_command_result,
    write_lease, write_repair_reject, write_reply,
};
use std::net::SocketAddrV4;

impl<P: Ports> ReplicaEngine<P> {
    /// Polls the unicast socket. Returns the datagrams found there.
    pub(super) fn on_unicast(&mut self, turn: Turn) -> usize {
        let (mut ctx, net, role) = self.parts(turn);
        let count = net.recv_unicast();
        ctx.core.counters.add(Counter::UnicastIn, count as u64);
        for index in 0..count {
            let judged = ctx.unicast(role, net, index);
            let (bytes, from) = net.unicast_datagram(index);
            match judged {
                Ok(()) => ctx.core.noted_key.note(&ctx.core.limits.receiver.keys, bytes, from),
                Err(reject) => reject_datagram(ctx.core, reject, bytes, Some(from)),
            }
        }
        if count > 0
            && let RoleState::Following(following) = role
        {
            following.apply_ready(&mut ctx);
        }
        self.flush_repairs(turn.now);
        count
    }
}

/// A key that may hand over may acknowledge. The stream has no record of it.
fn acknowledge<P: Ports>(ctx: &mut Ctx<'_, P>, header: &Header, name: &str) -> Result<(), CommandReject> {
    let now = ctx.turn.now;
    if let Err(reject) = ctx.core.keys().operator(header, OperatorOrder::Handover) {
        ctx.core.reject(reject);
        return Err(CommandReject::NotAllowed);
    }
    let asked = name.parse().map_err(|()| CommandReject::NotListed)?;
    ctx.core.readers_ahead.acknowledge((&mut ctx.core.conditions, &mut ctx.core.events), now, asked)
}

/// A query or a command, and who sent it.
struct ReceivedQuery<'a> {
    from: SocketAddrV4,
    header: &'a Header,
    body: &'a QueryBody,
    /// The subject.
    name: &'a str,
    /// Of a command.
    proof: Option<OrderProof>,
}

/// The requester, and the token of its request.
#[derive(Clone, Copy)]
pub(super) struct UnicastRequest {
    pub(super) from: SocketAddrV4,
    pub(super) token: u64,
}

impl ReplicaCore {
    /// A requester proves its address, or a repairer asks for a proof of ours.
    fn on_address_proof(&mut self, now: Nanos, from: SocketAddrV4, header: &Header, body: &AddressProofBody) {
        self.rx.on_address_proof(now, Some(from), header, body);
        let is_returned = header.flags & ADDRESS_PROOF_RETURNED != 0;
        if is_returned && self.address_proofs.on_returned(from, body.proof) {
            self.counters.add(Counter::AddressProofsReturned, 1);
        }
    }

    /// A reader that follows our own epoch reports that it has read the committed stream up to
    /// `commit_next`. A leader holds everything that is committed: if its log ends before that, the reader is
    /// wrong, or something final is lost. A reader that follows a later epoch may well know more than a
    /// leader that was superseded.
    fn observe_reader(&mut self, role: Role, end: &LogEnd, header: &Header, from: SocketAddrV4) {
        let is_present = header.history == self.followed.history() && header.epoch() == end.epoch;
        if role == Role::Leader && header.history != 0 && is_present && header.commit_next > end.next {
            let noted = (&mut self.conditions, &mut self.events);
            self.readers_ahead.on_reader(noted, self.turns.polled_at, (header.commit_next - 1, from));
        }
    }

    /// Whether a request in the name of `identity` is a member's: it comes from the address that the
    /// membership has for it. A candidate may be a member by a change that we lack. Any other request counts
    /// as a reader's.
    fn is_members_request(&self, identity: Identity, from: SocketAddrV4) -> bool {
        let mut members = self.log.membership.members().iter();
        match members.find(|member| member.identity() == identity) {
            Some(member) => member.address() == Some(from) || planted(Mutation::MemberByName),
            None => self.is_candidate(identity),
        }
    }

    /// Whether we, a witness, repair our frames to `identity`. We may drop a frame at any moment, so we
    /// refer all others to a replica that stores it. While no node leads, the frame may be nowhere
    /// else, and the requester may become the candidate through it. For frames that we lack we refuse like
    /// every replica.
    fn is_served(&self, role: Role, identity: Identity) -> bool {
        self.is_candidate(identity) || self.misses_leader(role)
    }

    /// Whether we promised `identity` an epoch that has not begun here.
    fn is_candidate(&self, identity: Identity) -> bool {
        let promised = self.acceptor.promised();
        promised.leader() == identity && promised > self.followed.epoch()
    }
}

impl<P: Ports> Ctx<'_, P> {
    fn unicast(&mut self, role: &mut RoleState, net: &mut P::Net, index: usize) -> Result<(), Reject> {
        let now = self.turn.now;
        let (bytes, from) = net.unicast_datagram(index);
        match (Datagram::decode(bytes, &self.core.limits.receiver.keys)?, &mut *role) {
            (Datagram::Frame(frame, trailer), RoleState::Following(following)) => {
                following.on_frame(self, &frame, trailer.as_ref())?;
            }
            (Datagram::RepairReject(header, body), RoleState::Following(following)) => {
                following.on_answer(self, header, &body);
            }
            // A datagram that a group should have brought: MCAST-1.
            (Datagram::Heartbeat(header, body), RoleState::Following(following)) => {
                self.check_group(following.role.into(), header)?;
                if !self.core.is_own_identity(header, body.process_nonce) {
                    following.on_heartbeat(self, header, &body);
                    self.core.unicast_probe.on_answer();
                    self.core.stop_if_diverged();
                }
            }
            (Datagram::Ack(header, body), RoleState::Leading(_)) => {
                self.check_group(Role::Leader, header)?;
                if !self.core.is_own_identity(header, body.process_nonce) {
                    self.on_ack(role, header);
                    self.core.unicast_probe.on_answer();
                }
            }
            // From a publisher that the groups do not connect with us: MCAST-1.
            (Datagram::Submission(header, entries), RoleState::Leading(leading))
                if leading.has_epoch_begun(self.core, self.tail) =>
            {
                let judged = leading.on_submission(self, bytes, header, entries);
                leading.close_frame(self, false);
                judged?;
            }
            (Datagram::AddressProof(header, body), _) => self.core.on_address_proof(now, from, header, &body),
            (Datagram::Nack(header, body, ranges), _) => {
                // The device that sends the repairs lends them.
                let (header, (wanted, count)) = (*header, copied(&ranges));
                let request = UnicastRequest { from, token: body.token };
                self.on_nack(role, net, request, &header, &wanted[..count]);
            }
            // The sender may write any address as its own: nothing longer than the query goes there.
            (Datagram::Query(_, body, ..), _) if body.answer_len() > bytes.len() => {
                self.core.counters.add(Counter::QueriesShort, 1);
            }
            (Datagram::Query(header, body, ..), _) if body.query_kind == QueryKind::Probe as u32 => {
                self.core.observe_reader(role.role(), &self.tail.end(), header, from);
                self.on_unicast_probe(role, net, from);
            }
            (Datagram::Query(header, body, name, proof), _) => {
                self.core.observe_reader(role.role(), &self.tail.end(), header, from);
                let query = ReceivedQuery { from, header, body: &body, name, proof };
                let mut out = [0; STATUS_LONG_LEN_MAX];
                if let Some(length) = self.write_answer_to(role, query, &mut out) {
                    net.send_unicast(from, [&out[..length], &[]]);
                }
            }
            (Datagram::Join(_, asked), _) => self.answer_join(net, from, asked.process_nonce),
            _ => {}
        }
        Ok(())
    }

    /// PROOF-1: frames are longer than the request for them, so the requester proves first that it receives
    /// at its address.
    fn demand_address_proof(&mut self, net: &mut P::Net, request: UnicastRequest) {
        let UnicastRequest { from: to, token } = request;
        self.core.outbox.number += 1;
        let body = AddressProofBody { token, proof: self.core.address_proofs.proof(to) };
        let mut out = [0; SMALL_LEN_MAX];
        let header = self.header(Kind::AddressProof);
        let length = write_address_proof(&mut out, self.core.keys(), header, body);
        net.send_unicast(to, [&out[..length], &[]]);
        self.core.counters.add(Counter::AddressProofsDemanded, 1);
    }

    /// Carries out a query or command, and writes the reply; `None` if it is withheld, or comes later.
    fn write_answer_to(
        &mut self,
        role: &mut RoleState,
        query: ReceivedQuery<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        let ReceivedQuery { from, header, body: asked, name, proof } = query;
        let query_kind = QueryKind::from_u32(asked.query_kind);
        let length = match (query_kind, query_kind.and_then(QueryKind::order)) {
            (Some(QueryKind::Status), _) => write_status_to(self, role, asked, header, out),
            (Some(QueryKind::Release), _) => write_release_to(self, asked.token, out),
            (Some(QueryKind::Times), _) => write_times_to(self, asked.token, out),
            (Some(QueryKind::Events), _) => {
                // The process that runs the engine answers, after this turn.
                self.core.event_queries.push(from, asked.token, name, &mut self.core.counters);
                return None;
            }
            (Some(QueryKind::Acknowledge), _) => {
                let result = acknowledge(self, header, name);
                self.write_command_result_to(asked, result, out)
            }
            (Some(QueryKind::Publisher), _) if !self.knows_committed() => {
                self.core.counters.add(Counter::RepliesWithheld, 1);
                return None;
            }
            (_, Some(order)) => {
                let result = match self.core.keys().operator(header, order) {
                    Ok(operator) => self.on_order(role, header, order, name, operator, proof.as_ref()),
                    Err(reject) => {
                        self.core.reject(reject);
                        Err(CommandReject::NotAllowed)
                    }
                };
                self.write_command_result_to(asked, result, out)
            }
            _ => self.write_query_reply_to(role.role(), asked, name, out),
        };
        self.core.counters.add(Counter::QueriesIn, 1);
        Some(length)
    }

    /// A device that wants groups by unicast asks a node that sends them by multicast: otherwise its own
    /// device would have handled the join.
    fn answer_join(&self, net: &mut P::Net, from: SocketAddrV4, process_nonce: u64) {
        let term = LeaseReply::Multicast as u32;
        let body = LeaseBody { term, process_nonce, ..LeaseBody::zeroed() };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_lease(&mut out, self.core.keys(), self.header(Kind::Lease), body);
        net.send_unicast(from, [&out[..length], &[]]);
    }

    fn on_nack(
        &mut self,
        role: &RoleState,
        net: &mut P::Net,
        request: UnicastRequest,
        header: &Header,
        ranges: &[SeqRange],
    ) {
        self.core.counters.add(Counter::NacksIn, 1);
        if !self.core.address_proofs.is_proved(request.from) {
            return self.demand_address_proof(net, request);
        }
        let holdings = self.core.holdings(self.tail);
        let history = self.core.followed.history();
        let known = history != 0 && (header.history == 0 || header.history == history);
        if ranges.is_empty() {
            let reason = match FrameView::from_prefix(&self.core.log.start_frame) {
                _ if !known => RepairReject::OtherHistory,
                Ok(frame) if frame.header.epoch == header.epoch => {
                    let sent =
                        give(net, self.core.repairer(), &holdings, (request.from, request.token), &frame);
                    return self.core.on_repaired(role.leading().is_some(), u64::from(sent));
                }
                _ if header.epoch() > holdings.end.epoch => RepairReject::Ahead,
                _ => RepairReject::OtherEpoch,
            };
            let none = SeqRange { from: 0, to: 0 };
            return self.write_repair_reject(net, &holdings, request, none, (reason, 0));
        }
        let member = self.core.is_members_request(header.identity(), request.from);
        let last_to = ranges.iter().map(|range| range.to).max().unwrap_or(0);
        let mut left = self.core.limits.repairs_per_request;
        if member {
            self.core.repairs.drop_queued(self.core.turns.polled_at, request.from, ranges);
        }
        for &range in ranges {
            let granted = match grant(&holdings, header.epoch(), range) {
                _ if !known => Err(RepairReject::OtherHistory),
                Ok(_)
                    if self.core.standing.is_witness
                        && !self.core.is_served(role.role(), header.identity()) =>
                {
                    Err(RepairReject::Referred)
                }
                granted => granted,
            };
            match granted {
                Ok(range) => {
                    let now = self.core.turns.polled_at;
                    let pending = if member {
                        self.core.repairs.enqueue_for_member(now, self.tail, request, range, &mut left)
                    } else {
                        self.enqueue(role.leading(), request, range, &mut left)
                    };
                    if let Err((from, (why, wait))) = pending {
                        // The rest would be refused as well: one refusal for all of it.
                        self.core.repairs.on_limited(why, &mut self.core.counters);
                        let rest = SeqRange { from, to: last_to };
                        return self.write_repair_reject(net, &holdings, request, rest, (why, wait));
                    }
                }
                Err(reason) => self.write_repair_reject(net, &holdings, request, range, (reason, 0)),
            }
        }
    }

    /// Salvage: a candidate's log is shorter than ours and of the same epoch. As we have no vote, no
    /// promise of ours will show that to the candidate. We send it the rest unasked, and it takes the rest
    /// if it has not won yet.
    pub(super) fn salvage(&mut self, candidate: &Header) {
        let end = self.tail.end();
        // A candidate that does not know that a change from two members is committed asks us in vain for a
        // vote that we no longer have. The frame in which that commit ends shows it.
        let commit_next = self.core.commit_next();
        let news = if commit_next > candidate.commit_next { commit_next - 1 } else { end.next };
        let range = SeqRange { from: candidate.first_seq.min(news), to: end.next };
        let member = self
            .core
            .log
            .membership
            .members()
            .iter()
            .find(|member| member.identity() == candidate.identity());
        let Some(from) = member.and_then(|member| member.address()) else { return };
        if end.epoch != candidate.epoch() || range.from >= range.to {
            return;
        }
        let (now, mut left) = (self.core.turns.polled_at, self.core.limits.repairs_per_request);
        self.core.repairs.drop_queued(now, from, &[range]);
        let request = UnicastRequest { from, token: 0 };
        // The candidate asks for frames that find no room.
        let _ = self.core.repairs.enqueue_for_member(now, self.tail, request, range, &mut left);
    }

    fn write_repair_reject(
        &mut self,
        net: &mut P::Net,
        holdings: &RepairRange,
        request: UnicastRequest,
        range: SeqRange,
        (reason, retry_after_ns): RefusedRange,
    ) {
        self.core.outbox.number += 1;
        let body = RepairRejectBody {
            token: request.token,
            range,
            oldest_seq: holdings.oldest_seq,
            reason: reason as u32,
            retry_after_ns: retry_after_ns.try_into().unwrap_or(u32::MAX),
        };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_repair_reject(&mut out, self.core.keys(), self.header(Kind::RepairReject), body);
        net.send_unicast(request.from, [&out[..length], &[]]);
        self.core.counters.add(Counter::RefusalsOut, 1);
    }

    fn write_command_result_to(
        &mut self,
        asked: &QueryBody,
        result: Result<(), CommandReject>,
        out: &mut [u8],
    ) -> usize {
        self.core.outbox.number += 1;
        let denied = result.err().map_or(0, |why| why as u32);
        let body = CommandResultBody { token: asked.token, query_kind: asked.query_kind, reject: denied };
        write_command_result(out, self.core.keys(), self.header(Kind::CommandResult), body)
    }

    /// Whether the committed state of a publisher can be derived. The uncommitted entries lie in the ring,
    /// and are subtracted from the table. After a restart, with more uncommitted entries than the ring
    /// holds, or with damage there, that fails; then the requester asks another node.
    fn knows_committed(&self) -> bool {
        each_frame(self.tail, self.core.commit_next(), |_| ()) || planted(Mutation::ReplyFromHalfARing)
    }

    fn write_query_reply_to(&mut self, role: Role, asked: &QueryBody, name: &str, out: &mut [u8]) -> usize {
        self.core.outbox.number += 1;
        let mut body = QueryReplyBody {
            token: asked.token,
            query_kind: asked.query_kind,
            role: role as u32,
            process_nonce: self.core.limits.process_nonce,
            ..QueryReplyBody::zeroed()
        };
        if asked.query_kind == QueryKind::Publisher as u32
            && let commit_next = self.core.commit_next()
            && let Some(state) =
                self.core.log.publishers.committed(name, commit_next, uncommitted(self.tail, commit_next))
        {
            body.publisher = state.id;
            body.incarnation = state.incarnation;
            body.publisher_seq = state.last;
            // A closed publisher belongs to no handle: the next open follows this incarnation.
            body.nonce =
                if state.closed && !planted(Mutation::ReplyKeepsNonce) { [0; 2] } else { state.nonce };
        }
        write_reply(out, self.core.keys(), self.header(Kind::QueryReply), body)
    }
}

/// The ranges of a NACK and their count, copied out of its datagram.
fn copied(ranges: &Ranges<'_>) -> ([SeqRange; NACK_RANGES_MAX], usize) {
    let mut wanted = [SeqRange { from: 0, to: 0 }; NACK_RANGES_MAX];
    let mut count = 0;
    for (place, range) in wanted.iter_mut().zip(ranges.iter()) {
        *place = range;
        count += 1;
    }
    (wanted, count)
}

/// The entries of the log from `commit_next` on.
fn uncommitted<M: TailMemory>(tail: &Tail<M>, commit_next: u64) -> impl Iterator<Item = Entry<'_>> {
    frames(tail, commit_next).flat_map(|frame| frame.entries())
}

/// A repairer: its keys, its identity, and the history of its log.
pub(super) type RepairerSeal<'a> = (&'a Keyring, Identity, u64);

/// Sends one frame as the repair of a request with this address and token.
pub(super) fn give(
    net: &mut impl Net,
    (keys, repairer, history): RepairerSeal<'_>,
    holdings: &RepairRange,
    (to, token): (SocketAddrV4, u64),
    frame: &FrameView<'_>,
) -> bool {
    let RepairRange { end, commit_next, .. } = holdings;
    let trailer = repair_trailer(keys, (repairer, history), end.epoch, *commit_next, token, frame.bytes);
    net.send_unicast(to, [frame.bytes, &trailer])
}
