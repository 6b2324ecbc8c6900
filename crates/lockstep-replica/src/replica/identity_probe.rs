//! Other users of our name: another process of our identity (ALIVE-1), or another history under our
//! cluster's id (S12). One datagram proves neither: the network may have delayed it from before a restart.

use super::replica_log::ReplicaLog;
use super::{ReplicaCore, ReplicaEngine, ReplicaLimits, Turn};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{Events, ReplicaEvent, Role};
use lockstep_core::proto::failure_detector;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::presence::{DuplicateIdentity, IdentityProbe};
use lockstep_wire::{Datagram, Epoch, Header, Identity, IdentityProbeBody, Kind, Nanos};

/// Another history, and the number of heartbeats in which it was received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct ForeignHistory {
    history: u64,
    heartbeats: u32,
    at: Nanos,
}

/// The other users of our identity, or of our cluster's id.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct IdentityWatch {
    /// Whether another process has our identity.
    pub(super) probe: IdentityProbe,
    /// Tokens that were drawn for probes.
    pub(super) tokens: u64,
    /// Another history was received before our own.
    foreign_history: ForeignHistory,
    /// Another node of our history was received.
    pub(super) own_history_seen: bool,
    /// The leader of another history that was reported last.
    other_leader: Option<(u64, Identity)>,
}

impl IdentityWatch {
    pub(super) fn new(limits: &ReplicaLimits) -> Self {
        let (again_ns, probe_ns) = (limits.failure_detector.timeout_ns / 2, limits.identity_probe_ns);
        Self {
            probe: IdentityProbe::new(limits.process_nonce, limits.started_at, again_ns, probe_ns),
            tokens: 0,
            foreign_history: ForeignHistory::default(),
            own_history_seen: false,
            other_leader: None,
        }
    }

    /// Somebody leads, or means to, in a history that is neither ours nor an ancestor of ours: the leader of
    /// a history reports it once, and the only member of one. A learner may receive the one that it goes over
    /// to.
    #[cold]
    pub(super) fn note_other_leader(
        &mut self,
        log: &ReplicaLog,
        role: Role,
        header: &Header,
        events: &mut Events,
    ) {
        let is_ours = role == Role::Leader || role == Role::Standby && log.membership.members().len() == 1;
        let (history, identity) = (header.history, header.identity());
        let own = log.lineage.history();
        let is_known = history == 0 || own == 0 || history == own || log.lineage.left_at(history).is_some();
        let leads = [Kind::Heartbeat, Kind::Prepare].iter().any(|kind| *kind as u8 == header.kind);
        if is_ours
            && leads
            && !is_known
            && self.other_leader.replace((history, identity)) != Some((history, identity))
        {
            events.push(ReplicaEvent::OtherLeader { history, identity });
        }
    }
}

/// This many heartbeats of another history while ours is silent prove a live group, and no echo.
const FOREIGN_HEARTBEATS: u32 = 16;

impl<P: Ports> ReplicaEngine<P> {
    /// S12: a process that begins looks whether another one of its identity lives. It sends what is due at
    /// once.
    #[cold]
    pub(super) fn poll_identity_probe(&mut self, turn: Turn) {
        let Turn { now, drained, .. } = turn;
        let (mut ctx, net, _) = self.parts(turn);
        let core = &mut *ctx.core;
        if core.stopped {
            return;
        }
        let tokens = core.identity_watch.tokens + 1;
        let fresh = || token(&core.limits.secret_seed, tokens);
        if let Some(query) = core.identity_watch.probe.look(now, drained, fresh) {
            core.identity_watch.tokens = tokens;
            core.outbox.probe_due = Some(query);
            ctx.send_identity_probe(net);
        }
    }
}

impl ReplicaCore {
    /// Another history is received, and none of ours. A node that continues to receive it is misplaced (S12).
    #[cold]
    pub(super) fn on_foreign_history(&mut self, have: u64, seen: u64) {
        let now = self.turns.polled_at;
        let foreign = &mut self.identity_watch.foreign_history;
        if foreign.history != seen {
            *foreign = ForeignHistory { history: seen, heartbeats: 0, at: 0 };
        }
        if foreign.heartbeats == 0 || now >= foreign.at + self.limits.heartbeat.interval_ns {
            (foreign.heartbeats, foreign.at) = (foreign.heartbeats + 1, now);
        }
        if foreign.heartbeats >= FOREIGN_HEARTBEATS {
            self.stop_for_foreign_history(have, seen);
        }
    }

    /// S12: the group lives in another history than ours.
    pub(super) fn stop_for_foreign_history(&mut self, have: u64, seen: u64) {
        self.events.push(ReplicaEvent::OtherHistory { have, seen });
        self.stopped = true;
    }

    /// Whether a datagram has our identity: ours looped back, or another process's. Its content is ignored.
    pub(super) fn is_own_identity(&mut self, header: &Header, process_nonce: u64) -> bool {
        let own = header.identity() == self.identity();
        if own && process_nonce != self.limits.process_nonce {
            self.on_duplicate_identity();
        }
        own
    }

    #[cold]
    fn on_duplicate_identity(&mut self) {
        self.counters.add(Counter::DuplicateIdentityIn, 1);
        if planted(Mutation::EchoIsImpostor) {
            self.events.push(ReplicaEvent::DuplicateIdentityOlder { identity: self.identity() });
            self.stopped = true;
        }
        let (seed, tokens) = (&self.limits.secret_seed, self.identity_watch.tokens + 1);
        if let Some(query) =
            self.identity_watch.probe.on_foreign_nonce(self.turns.polled_at, || token(seed, tokens))
        {
            self.identity_watch.tokens = tokens;
            self.outbox.probe_due = Some(query);
        }
    }

    /// A leader that probes before it begins its epoch processes only answers about another process of its
    /// identity.
    #[cold]
    pub(super) fn on_identity_probe(&mut self, bytes: &[u8]) {
        if let Ok(Datagram::IdentityProbe(header, body)) = Datagram::decode(bytes, &self.limits.receiver.keys)
        {
            self.on_presence(header, &body);
        }
    }

    /// Whether it has finished the probe for another process of its identity: before that it has no vote
    /// (S12).
    pub fn has_probed(&self) -> bool {
        self.identity_watch.probe.is_complete()
    }

    /// A process under our identity asks whether we live, or answers that it does.
    pub(super) fn on_presence(&mut self, header: &Header, body: &IdentityProbeBody) {
        if header.identity() != self.identity() || body.process_nonce == self.limits.process_nonce {
            return;
        }
        if body.is_query() {
            self.outbox.probe_reply_due = Some(self.identity_watch.probe.write_reply(body));
            return self.on_duplicate_identity();
        }
        match self.identity_watch.probe.on_answer(self.turns.polled_at, body) {
            DuplicateIdentity::Nothing => {}
            DuplicateIdentity::Earlier if planted(Mutation::DuplicateStays) => {}
            DuplicateIdentity::Earlier => {
                self.events.push(ReplicaEvent::DuplicateIdentityOlder { identity: self.identity() });
                self.stopped = true;
            }
            DuplicateIdentity::Later => {
                self.events.push(ReplicaEvent::DuplicateIdentity { identity: self.identity() })
            }
        }
    }
}

/// The token of a probe, by its number: derived from a value that no other node knows, and distinct
/// from every other secret.
fn token(seed: &[u8; 32], number: u64) -> u64 {
    let secret = failure_detector::secret(seed, Epoch(!number));
    u64::from_le_bytes(std::array::from_fn(|index| secret[index]))
}
