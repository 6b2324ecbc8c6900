//! Datagrams beside the protocol: heartbeats, statuses, query replies, command results, refusals, notices.
//! Each states facts about the end of its sender's log, or about what is committed.

use super::Violation;
use super::datagrams::SentDatagram;
use super::facts::{OracleFacts, ReplicaModel};
use super::log_tree::{Stem, Tree};
use crate::keys;
use crate::net::To;
use lockstep_core::engine::event::Role;
use lockstep_core::proto::publishers::PublisherState;
use lockstep_wire::{
    BallotBody, CommandReject, CommandResultBody, Entries, EntryKind, Epoch, Header, HeartbeatBody, Identity,
    KeyClass, MemberBody, NoticeRow, PublisherId, PublisherNotice, QueryKind, QueryReplyBody, ReleaseBody,
    RepairReject, RepairRejectBody, StatusBody, StatusMember, StepDownBody, TimesBody, VERSION_MIN,
};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddrV4;

fn broken(
    rule: &str,
    who: usize,
    what: &str,
    reported: &dyn Debug,
    log: &dyn Debug,
) -> Result<(), Violation> {
    Err(format!("{rule}: replica {who} {what} {reported:?}, and it is {log:?}"))
}

/// The frame with which the log of a node ended in the turn of this header, if it still has that.
fn last_frame<'a>(tree: &'a Tree, replica_model: &ReplicaModel, header: &Header) -> Option<&'a Stem> {
    let path = tree.path(None, replica_model.tip);
    let next = header.first_seq;
    path.into_iter().map(|node| tree.stem(node)).find(|stem| stem.next == next)
}

/// A node tells the version of its log, which ended in that turn where its header says.
pub(super) fn check_release(
    tree: &Tree,
    who: usize,
    replica_model: &ReplicaModel,
    header: &Header,
    body: &ReleaseBody,
) -> Result<(), Violation> {
    let next = header.first_seq;
    let last = last_frame(tree, replica_model, header);
    match last {
        _ if next == 1 && body.in_force == 0 => Ok(()),
        Some(stem) if stem.version == body.in_force => Ok(()),
        // Its log was another one by the end of the turn.
        None if next > 1 && body.in_force >= VERSION_MIN => Ok(()),
        _ => broken("VERSION-1", who, "tells", body, &last.map(|stem| stem.version)),
    }
}

/// A node tells the time of its log, which ended in that turn where its header says.
pub(super) fn check_times(
    tree: &Tree,
    who: usize,
    replica_model: &ReplicaModel,
    header: &Header,
    body: &TimesBody,
) -> Result<(), Violation> {
    match last_frame(tree, replica_model, header) {
        Some(stem) if stem.timestamp != body.stream => broken("CLOCK-2", who, "tells", body, &stem.timestamp),
        _ => Ok(()),
    }
}

/// The rules of what datagrams say beside the protocol.
#[derive(Clone, Debug, Default)]
pub struct AnswerCheck {
    /// Requests, by asker and token: the epoch that they follow, and whether they ask for a start. A process
    /// that begins anew counts its tokens from 1 again.
    asked: BTreeMap<(SocketAddrV4, u64), Vec<(Epoch, bool)>>,
    /// Queries of clients, by asker and token: the names in them.
    queries: BTreeMap<(SocketAddrV4, u64), Vec<String>>,
    /// The nonce that each run of a replica's process drew at its start.
    process_nonces: BTreeMap<u64, u64>,
    /// The destination of the last handover command to each replica.
    handovers: BTreeMap<usize, Option<Identity>>,
}

impl AnswerCheck {
    /// A request for frames: what is sent or refused is judged by it.
    pub(super) fn on_request(&mut self, asker: SocketAddrV4, token: u64, what: (Epoch, bool)) {
        self.asked.entry((asker, token)).or_default().push(what);
    }

    /// A leader is commanded to hand over, to this identity or to the one with the longest log.
    pub fn on_handover(&mut self, who: usize, to: Option<Identity>) {
        self.handovers.insert(who, to);
    }

    /// ALIVE-1: a process draws one nonce at its start, and says it in all that it says.
    pub(super) fn check_nonce(
        &mut self,
        who: usize,
        replica_model: &ReplicaModel,
        nonce: u64,
    ) -> Result<(), Violation> {
        let first = *self.process_nonces.entry(replica_model.run).or_insert(nonce);
        if first == nonce {
            return Ok(());
        }
        broken("ALIVE-1", who, "says as its process", &nonce, &first)
    }

    /// The announced commit is not above what the sender knows.
    pub(super) fn check_announced(
        &self,
        who: usize,
        replica_model: &ReplicaModel,
        header: &Header,
    ) -> Result<(), Violation> {
        if header.commit_next <= replica_model.commit_next {
            return Ok(());
        }
        broken("S4", who, "calls committed all below", &{ header.commit_next }, &replica_model.commit_next)
    }

    /// The last frame of the sender's log by this header.
    fn stands_behind<'a>(
        &self,
        facts: &'a OracleFacts,
        replica_model: &ReplicaModel,
        header: &Header,
    ) -> Option<&'a Stem> {
        let logs = [replica_model.tip, replica_model.tip_before];
        let ends = logs.into_iter().filter_map(|log| facts.tree.cut(log, header.first_seq));
        ends.map(|node| facts.tree.stem(node)).find(|stem| {
            (stem.epoch, stem.next, stem.chain) == (header.epoch(), header.first_seq, header.chain)
        })
    }

    /// BEAT-1: what a beat says of its leader's log.
    pub(super) fn check_heartbeat(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        header: &Header,
        body: &HeartbeatBody,
    ) -> Result<(), Violation> {
        let Some(stem) = self.stands_behind(facts, replica_model, header) else { return Ok(()) };
        let (members_seq, start) = (stem.members_seq, stem.started_at());
        if (body.membership_seq, body.epoch_start_seq) != (members_seq, start) {
            let reported = (body.membership_seq, body.epoch_start_seq);
            return broken(
                "BEAT-1",
                who,
                "beats with members and a start at",
                &reported,
                &(members_seq, start),
            );
        }
        if body.oldest_seq > header.first_seq {
            return broken("BEAT-1", who, "has as its oldest", &body.oldest_seq, &{ header.first_seq });
        }
        let named = body.successors.iter().take_while(|number| **number > 0).count();
        let (successors, rest) = body.successors.split_at(named);
        let may_follow = |number: &u8| {
            let listed = stem.members.iter().any(|member| member.replica == u32::from(*number));
            listed && u32::from(*number) != replica_model.identity.replica
        };
        let twice = (1..named).any(|at| successors[..at].contains(&successors[at]));
        if !successors.iter().all(may_follow) || twice || rest.iter().any(|number| *number > 0) {
            return broken("BEAT-1", who, "names as successors", &body.successors, &stem.members);
        }
        Ok(())
    }

    /// ELECT-1: a ballot that is spoken about is of the right one, and above what it is about.
    pub(super) fn check_query(
        &self,
        who: usize,
        replica_model: &ReplicaModel,
        body: &BallotBody,
        asks: bool,
    ) -> Result<(), Violation> {
        let ballot = Epoch(body.ballot);
        if (ballot.leader() == replica_model.identity) != asks || body.about >= body.ballot {
            return broken("ELECT-1", who, "asks for, or grants,", body, &replica_model.identity);
        }
        Ok(())
    }

    /// A query of a client: its reply is judged by it.
    pub(super) fn on_query(&mut self, sent: &SentDatagram<'_>, token: u64, name: &str) {
        let names = self.queries.entry((sent.from, token)).or_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }

    /// OPENS: a reply tells what the committed log has of the name that was asked for.
    pub(super) fn check_reply(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        sent: &SentDatagram<'_>,
        header: &Header,
        body: &QueryReplyBody,
    ) -> Result<(), Violation> {
        let (To::Unicast(to), true) = (sent.to, body.query_kind == QueryKind::Publisher as u32) else {
            return Ok(());
        };
        let Some(names) = self.queries.get(&(to, body.token)) else {
            return broken("OPENS", who, "replies to", body, &"a question that nobody asked");
        };
        let cut = facts.tree.cut(replica_model.tip, header.commit_next);
        if facts.tree.next(cut) != { header.commit_next } {
            return Ok(());
        }
        let reported = (body.publisher, body.incarnation, body.publisher_seq, body.nonce);
        let is_so = |name: &String| {
            let state = facts.tree.publisher(cut, name).filter(|state| state.incarnation > 0);
            let row = state.map(|state| {
                let nonce = if state.closed { [0; 2] } else { state.nonce };
                (state.id, state.incarnation, state.last, nonce)
            });
            reported == row.unwrap_or_default()
        };
        if names.iter().any(is_so) {
            return Ok(());
        }
        let log: Vec<_> = names.iter().map(|name| (name, facts.tree.publisher(cut, name))).collect();
        broken("OPENS", who, "replies with", body, &log)
    }

    /// STATUS: a status tells the sender's own members, promise and leader.
    pub(super) fn check_status(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        header: &Header,
        body: &StatusBody,
        rows: impl Iterator<Item = StatusMember>,
    ) -> Result<(), Violation> {
        let promised = Epoch(body.promised);
        if promised < replica_model.level || promised > replica_model.binding() {
            return broken("STATUS", who, "tells as its promise", &promised, &replica_model.binding());
        }
        if body.denied != 0 && CommandReject::from_u32(body.denied).is_none() {
            return broken("STATUS", who, "tells as the reason of a denial", &body.denied, &"none");
        }
        let Some(stem) = self.stands_behind(facts, replica_model, header) else { return Ok(()) };
        let mut members = Vec::new();
        for row in rows {
            let identity = MemberBody::identity(&row.member);
            if identity == replica_model.identity && row.acked_next != header.first_seq {
                return broken("STATUS", who, "tells of itself", &row, &{ header.first_seq });
            }
            if row.acked_next > header.first_seq && body.role == Role::Leader as u8 {
                return broken("STATUS", who, "leads, and has acks of", &row, &{ header.first_seq });
            }
            members.push(identity);
        }
        if (&members, body.membership_seq) != (&stem.members, stem.members_seq) {
            let reported = (&members, body.membership_seq);
            return broken("STATUS", who, "tells as members", &reported, &(&stem.members, stem.members_seq));
        }
        let leader = header.epoch().leader().packed();
        if !facts.tree.may_follow(header.epoch(), body.leader) && Epoch(body.promised) == header.epoch() {
            return broken("STATUS", who, "tells as its leader", &body.leader, &leader);
        }
        Ok(())
    }

    /// An operator's command is accepted, or denied for a valid reason.
    pub(super) fn check_command_result(&self, who: usize, body: &CommandResultBody) -> Result<(), Violation> {
        let query_kind = QueryKind::from_u32(body.query_kind);
        let is_command = query_kind.is_some_and(QueryKind::is_command);
        if is_command && (body.reject == 0 || CommandReject::from_u32(body.reject).is_some()) {
            return Ok(());
        }
        broken("STATUS", who, "gives as its verdict", body, &query_kind)
    }

    /// REPAIR-1: what is refused was asked for, and the reason is so.
    pub(super) fn check_repair_reject(
        &self,
        who: usize,
        sent: &SentDatagram<'_>,
        header: &Header,
        body: &RepairRejectBody,
    ) -> Result<(), Violation> {
        let (next, commit_next, epoch) = (header.first_seq, header.commit_next, header.epoch());
        let To::Unicast(to) = sent.to else {
            return broken("REPAIR-1", who, "refuses to a group", body, &next);
        };
        let asked = self.queried_by(to, sent.from, body.token);
        if asked.is_empty() {
            return broken("REPAIR-1", who, "refuses", body, &"what nobody asked for");
        }
        let from = body.range.from;
        let of_start = from == 0;
        let asked_for = |is: fn(&Epoch, &Epoch) -> bool| asked.iter().any(|(asked, _)| is(asked, &epoch));
        let is_so = match RepairReject::from_u32(body.reason) {
            Some(RepairReject::Ahead) if of_start => asked_for(|asked, own| asked > own),
            Some(RepairReject::Ahead) => from >= next,
            Some(RepairReject::OtherEpoch) => {
                asked_for(|asked, own| asked != own) && (of_start || from >= commit_next)
            }
            Some(RepairReject::TooOld) => from < body.oldest_seq,
            Some(RepairReject::Limited | RepairReject::Replay | RepairReject::Dropped) => {
                body.retry_after_ns > 0
            }
            Some(RepairReject::Referred) => (body.oldest_seq..next).contains(&from),
            // All frames are of one history; a node that has none yet sends nothing.
            Some(RepairReject::OtherHistory) => true,
            None => false,
        };
        if is_so && body.oldest_seq <= next.max(1) {
            return Ok(());
        }
        broken("REPAIR-1", who, "refuses", body, &(next, commit_next, epoch, asked))
    }

    /// The request of `to` with this token; or that of the replying node, as its own datagrams may return to
    /// it.
    pub(super) fn queried_by(
        &self,
        to: SocketAddrV4,
        answers: SocketAddrV4,
        token: u64,
    ) -> Vec<(Epoch, bool)> {
        let asked = [to, answers].into_iter().filter_map(|asker| self.asked.get(&(asker, token)));
        asked.flatten().copied().collect()
    }

    /// HANDOVER: who stops by an order names the one that was to follow, which may lead and holds everything.
    pub(super) fn check_step_down(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        header: &Header,
        body: &StepDownBody,
    ) -> Result<(), Violation> {
        if header.epoch().leader() != replica_model.identity {
            return broken("S1", who, "stops to lead", &header.epoch(), &replica_model.identity);
        }
        if body.successor == 0 {
            return Ok(());
        }
        let named = self.handovers.get(&who);
        let is_named = |identity: &Identity| {
            let to = named.copied().map(|to| to.is_none_or(|to| to == *identity));
            identity.packed() == body.successor && to == Some(true)
        };
        let stem = self.stands_behind(facts, replica_model, header);
        let successor = stem.and_then(|stem| {
            let may_lead = |one: &&Identity| **one != replica_model.identity && !stem.witnesses.contains(one);
            stem.members.iter().filter(may_lead).find(|one| is_named(one)).copied()
        });
        let Some(successor) = successor else {
            return broken(
                "HANDOVER",
                who,
                "hands over to",
                &body.successor,
                &(named, stem.map(|stem| &stem.members)),
            );
        };
        let all = facts.tree.cut(replica_model.tip, header.first_seq);
        let holds = |other: &ReplicaModel| {
            let has = |log| facts.tree.begins_with(log, all);
            has(other.tip)
                || has(other.replaced)
                || other.promised > header.epoch()
                || facts.tree.next(other.acked) >= header.first_seq
        };
        let other = facts.replicas.values().find(|other| other.identity == successor);
        if facts.forgotten.contains(&successor) || other.is_some_and(holds) {
            return Ok(());
        }
        broken(
            "HANDOVER",
            who,
            "hands over everything below",
            &{ header.first_seq },
            &other.map(|other| other.end),
        )
    }

    /// INGRESS-1: what a leader tells publishers that it misses is not in its log.
    pub(super) fn check_notice(
        &self,
        facts: &OracleFacts,
        who: usize,
        replica_model: &ReplicaModel,
        header: &Header,
        rows: impl Iterator<Item = NoticeRow>,
    ) -> Result<(), Violation> {
        let Some(stem) = self.stands_behind(facts, replica_model, header) else { return Ok(()) };
        for row in rows {
            let line = stem.publisher(row.publisher);
            let is_so = match PublisherNotice::from_u32(row.notice) {
                Some(PublisherNotice::Missing) => {
                    // Something of a fenced process may still wait.
                    let misses = |line: PublisherState| {
                        line.last < row.from && line.incarnation == row.incarnation
                            || line.incarnation > row.incarnation
                    };
                    row.from < row.to && line.is_some_and(misses)
                }
                Some(PublisherNotice::Throttled) => line.is_some_and(|line| line.last < row.from),
                Some(PublisherNotice::TableFull) => row.publisher == 0,
                // The key of one publisher alone allows less than everything.
                Some(PublisherNotice::NotAllowed) => {
                    row.key == KeyClass::notice_key(keys::bad_publisher().own())
                }
                None => false,
            };
            if !is_so {
                return broken("INGRESS-1", who, "tells publishers", &row, &line);
            }
        }
        Ok(())
    }

    /// INTEGRITY: a handle submits what its application handed in.
    pub(super) fn check_submission(
        &self,
        facts: &OracleFacts,
        who: usize,
        entries: Entries<'_>,
    ) -> Result<(), Violation> {
        for entry in entries {
            let (publisher, number): (PublisherId, _) = (entry.header.publisher, entry.header.publisher_seq);
            let known = |key| facts.published.range((publisher, number, 0)..=key).next().is_some();
            let is_so = match entry.kind() {
                EntryKind::Message => {
                    !facts.publishing.contains(&who) || known((publisher, number, u64::MAX))
                }
                EntryKind::Open => publisher == 0 || number == 0,
                EntryKind::Close | EntryKind::Day => publisher > 0 && number > 0,
                EntryKind::Genesis
                | EntryKind::EpochStart
                | EntryKind::Membership
                | EntryKind::ChangeCommitted
                | EntryKind::Order => false,
            };
            if !is_so {
                return Err(format!(
                    "INTEGRITY: process {who} submits {:?}, which nobody handed in",
                    entry.header
                ));
            }
        }
        Ok(())
    }
}
