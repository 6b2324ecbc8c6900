//! # election: who takes over, and with which log
//!
//! The question: the leader is gone, or seems so; who follows, and what of the stream survives? Everything
//! that a quorum may have committed, in the same place. So a candidate collects promises, adopts the best of
//! the logs that they describe as a whole, and only then stamps.
//!
//! ```text
//!            suspected              a quorum misses it too          promise stored
//!   Idle ───────────────▶ Waiting ────▶ PreVoting ───────────▶ Preparing ────────────▶ won
//!     ▲   (by rank, after    │  Down, StepDown: no need to ask      ▲ │ no quorum, preempted, refused
//!     │    a stagger)        └──────────────────────────────────────┘ └─▶ Waiting, longer each time
//!     └── the leader speaks again (before Preparing), or a new epoch has begun
//! ```
//!
//! Single-decree Paxos's phase 1 for the whole log at once, as in Sequence Paxos and Viewstamped Replication:
//! Lamport, *Paxos Made Simple*, §2.2; Liskov and Cowling, *Viewstamped Replication Revisited*, §4.2. The
//! pre-vote is Ongaro's (*Raft*, §9.6).

use super::failure_detector::FailureDetectorLimits;
use super::membership::{Electorate, Membership};
use super::planted::{Mutation, planted};
use super::rounds::Rounds;
use super::sequence::Leadership;
use crate::proto::log::LogEnd;
use lockstep_wire::{Chain, Epoch, Identity, LeaderLossReason, MEMBERS_MAX, Nanos, ROUND_MAX, Seq};

/// An election's times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ElectionLimits {
    /// A successor of rank n waits n times this long, so that the first is not disturbed.
    pub stagger_ns: Nanos,
    /// What was asked and not answered is asked again after this.
    pub again_ns: Nanos,
    /// A candidate that has no quorum by then gives up; who promised to another waits as long.
    pub timeout_ns: Nanos,
    /// Where the doubling of the wait after a failure ends.
    pub backoff_ns_max: Nanos,
}

/// The wait between candidacies that fail doubles up to so many timeouts.
const BACKOFF_TIMEOUTS: u64 = 32;

impl ElectionLimits {
    /// Those of a cluster whose leader beats once in `heartbeat_interval_ns`, and is suspected after
    /// `timeout_ns` of silence.
    pub fn of(heartbeat_interval_ns: Nanos, timeout_ns: Nanos) -> Self {
        Self {
            stagger_ns: heartbeat_interval_ns.min(timeout_ns / 4),
            again_ns: heartbeat_interval_ns.min(timeout_ns / 8),
            timeout_ns,
            backoff_ns_max: BACKOFF_TIMEOUTS * timeout_ns,
        }
    }
}

impl Default for ElectionLimits {
    fn default() -> Self {
        let silence = FailureDetectorLimits::default();
        Self::of(silence.heartbeat_interval_ns, silence.timeout_ns)
    }
}

/// Whether the others must miss the leader as well before anybody is deposed.
fn needs_votes(why: LeaderLossReason) -> bool {
    !matches!(why, LeaderLossReason::Down | LeaderLossReason::StepDown)
}

/// What a promise describes: the log of the one who gave it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Promise {
    /// The voter.
    pub by: Identity,
    /// The epoch of its log's last frame.
    pub accepted: Epoch,
    /// Where its log ends.
    pub next: Seq,
    /// The chain there.
    pub chain: Chain,
    /// What it knows to be committed.
    pub commit_next: Seq,
}

/// What a candidate is to say now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BallotRequest {
    /// Who misses the leader too?
    PreVote(Epoch),
    /// Promise me this ballot. It is stored already.
    Prepare(Epoch),
}

/// What a candidate is to do with the promises that it has.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ElectionStep {
    /// Wait for more.
    Wait,
    /// This log is better than ours: get it.
    Adopt(Promise),
    /// Ours is the best of a quorum: lead, and call committed what a promise called so.
    Won {
        /// The right to stamp.
        leadership: Leadership,
        /// The greatest commit among the promises.
        commit_next: Seq,
    },
    /// The log so chosen does not list us: somebody else must lead.
    Unlisted,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Idle,
    Waiting { until: Nanos, why: LeaderLossReason },
    PreVoting { since: Nanos, sent_at: Nanos, why: LeaderLossReason },
    Preparing { since: Nanos, sent_at: Nanos, ballot: Epoch, why: LeaderLossReason },
}

/// One replica's candidacy.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Election {
    limits: ElectionLimits,
    me: Identity,
    phase: Phase,
    /// The rounds that were seen anywhere.
    rounds: Rounds,
    /// Candidacies that failed in a row.
    failures: u32,
    grants: Vec<Identity>,
    promises: Vec<Promise>,
}

/// Identities that may speak in one election: members, and some that are no longer or not yet.
const VOTERS_MAX: usize = 2 * MEMBERS_MAX;

impl Election {
    /// A replica that follows.
    pub fn new(limits: ElectionLimits, me: Identity) -> Self {
        Self {
            limits,
            me,
            phase: Phase::Idle,
            rounds: Rounds::default(),
            failures: 0,
            grants: Vec::with_capacity(VOTERS_MAX),
            promises: Vec::with_capacity(VOTERS_MAX),
        }
    }

    /// Somebody speaks of an epoch: a candidate's round is above all of them. Returns whether it is believed:
    /// one whose round is too far above what was seen is not.
    #[inline]
    pub fn on_epoch_seen(&mut self, now: Nanos, epoch: Epoch) -> bool {
        self.rounds.on_epoch(now, epoch)
    }

    /// An epoch was promised, or its start is held.
    pub fn on_proven(&mut self, epoch: Epoch) {
        self.rounds.on_proven(epoch.round());
    }

    /// For an exploration in which no time passes.
    pub fn forget_times(&mut self) {
        self.rounds.forget_times();
    }

    /// The greatest round that counts as seen.
    pub fn round_seen(&self) -> u32 {
        self.rounds.seen()
    }

    /// Whether this replica follows a leader that it does not suspect.
    #[inline]
    pub fn is_calm(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self, promised: Epoch) {
        let replica_models = self.grants.len().max(self.promises.len());
        assert!(replica_models <= VOTERS_MAX, "ELECT-1: {replica_models} voices, at most {VOTERS_MAX}");
        for (at, promise) in self.promises.iter().enumerate() {
            let twice = self.promises[..at].iter().any(|other| other.by == promise.by);
            assert!(!twice, "S5: each identity promises once: {:?}", self.promises);
        }
        if let Some(ballot) = self.ballot() {
            assert!(ballot.leader() == self.me, "S5: we ask for {ballot}, which is another's");
            assert!(ballot <= promised, "S2: we ask for {ballot}, and have promised {promised}");
        }
        assert!(self.rounds.seen() >= promised.round(), "ELECT-2: {promised} is promised, and not seen");
    }

    /// Why the leader is missed; `None` while it is not.
    pub fn missing(&self) -> Option<LeaderLossReason> {
        match self.phase {
            Phase::Idle => None,
            Phase::Waiting { why, .. } | Phase::PreVoting { why, .. } | Phase::Preparing { why, .. } => {
                Some(why)
            }
        }
    }

    /// The ballot that promises are collected for.
    pub fn ballot(&self) -> Option<Epoch> {
        match self.phase {
            Phase::Preparing { ballot, .. } => Some(ballot),
            _ => None,
        }
    }

    /// When the next thing is due.
    pub fn next_deadline(&self) -> Option<Nanos> {
        match self.phase {
            Phase::Idle => None,
            Phase::Waiting { until, .. } => Some(until),
            Phase::PreVoting { sent_at, .. } | Phase::Preparing { sent_at, .. } => {
                Some(sent_at + self.limits.again_ns)
            }
        }
    }

    /// The leader is missed; `rank` is our place among its successors, 0 the first. A known death outweighs
    /// mere silence, and nothing interrupts who collects promises already. A candidate that failed before
    /// asks first, also after a death (whoever is heard again lives).
    pub fn on_missed(&mut self, now: Nanos, why: LeaderLossReason, rank: usize) {
        self.miss(now + self.stagger_ns(rank), why);
    }

    /// The leader stepped down and named another than us: that one has the time of a candidate that we
    /// promised to. Where a promise is flushed before it is given, some staggers are too short for that.
    pub fn on_successor_named(&mut self, now: Nanos, rank: usize) {
        self.miss(now + self.patience_ns() + self.stagger_ns(rank), LeaderLossReason::StepDown);
    }

    fn stagger_ns(&self, rank: usize) -> Nanos {
        rank as u64 * self.limits.stagger_ns
    }

    fn miss(&mut self, until: Nanos, why: LeaderLossReason) {
        match self.phase {
            Phase::Idle => self.phase = Phase::Waiting { until, why },
            Phase::Waiting { why: before, until: later } if needs_votes(before) && !needs_votes(why) => {
                let until = if self.failures == 0 { until } else { later };
                self.phase = Phase::Waiting { until, why };
            }
            Phase::PreVoting { why: before, .. } if needs_votes(before) && !needs_votes(why) => {
                self.phase = Phase::Waiting { until, why };
            }
            _ => {}
        }
    }

    /// The leader speaks: nobody is missed. A ballot that is asked for already is not taken back.
    #[inline]
    pub fn on_life(&mut self) {
        if matches!(self.phase, Phase::Waiting { why, .. } | Phase::PreVoting { why, .. } if needs_votes(why))
        {
            self.phase = Phase::Idle;
        }
    }

    /// The start of a new epoch is held: somebody has won.
    pub fn on_started(&mut self) {
        self.phase = Phase::Idle;
        self.failures = 0;
    }

    /// How long a candidate is given: a timeout, and twice as long each time that nobody won. A promise that
    /// must be on the device first may take longer than a timeout, and then nobody would ever win.
    fn patience_ns(&self) -> Nanos {
        (self.limits.timeout_ns << self.failures.min(16)).min(self.limits.backoff_ns_max)
    }

    /// Another candidate was promised a ballot: it has its time.
    pub fn on_preempted(&mut self, now: Nanos, rank: usize) {
        let wait = self.patience_ns() + self.stagger_ns(rank);
        let wait = if planted(Mutation::PromiseNeverReleased) { Nanos::MAX / 4 } else { wait };
        self.failures += 1;
        self.phase = Phase::Waiting { until: now + wait, why: LeaderLossReason::Silence };
    }

    /// Our ballot, or our leadership, was refused in favour of a higher promise, or nobody followed: later
    /// each time, by rank, and not without asking.
    pub fn on_failed(&mut self, now: Nanos, rank: usize) {
        let wait = self.patience_ns() + self.stagger_ns(rank);
        self.failures += 1;
        self.phase = Phase::Waiting { until: now + wait, why: LeaderLossReason::Refused };
    }

    /// ELECT-1 (what a candidate says): it waits for its turn; asks whether a quorum misses the leader too
    /// unless that leader is known to be gone (who failed before asks all the same); then asks for promises,
    /// again and again, until it has won or its time is over. `promised` is our own promise, `rank` our
    /// place.
    ///
    /// ELECT-3 (who may lead): where the journal has no room (`has_room`), nobody is asked for anything: the
    /// epoch's start would find none either. It votes, and waits.
    pub fn poll(
        &mut self,
        now: Nanos,
        promised: Epoch,
        membership: &Membership,
        rank: usize,
        has_room: bool,
    ) -> Option<BallotRequest> {
        if !has_room && !planted(Mutation::FullCampaigns) {
            self.on_journal_full(now);
        }
        if let Phase::Waiting { until, why } = self.phase
            && now >= until
        {
            self.grants.clear();
            self.grants.push(self.me);
            if needs_votes(why) || self.failures > 0 {
                self.phase = Phase::PreVoting { since: now, sent_at: 0, why };
            } else {
                return self.prepare(now, promised, why);
            }
        }
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } => None,
            Phase::PreVoting { why, .. } if membership.is_quorum(&self.grants) => {
                self.prepare(now, promised, why)
            }
            // A standby that misses the leader alone goes on asking: the others may miss it yet.
            Phase::PreVoting { sent_at, since, why } if now >= sent_at + self.limits.again_ns => {
                self.phase = Phase::PreVoting { since, sent_at: now, why };
                // Grants grow old: they are asked for anew, so that a quorum misses the leader at one time.
                if now >= since + self.limits.timeout_ns {
                    self.grants.truncate(1);
                    self.phase = Phase::PreVoting { since: now, sent_at: now, why };
                }
                Some(BallotRequest::PreVote(self.next_ballot(promised)?))
            }
            Phase::Preparing { since, .. } if now >= since + self.patience_ns() => {
                self.on_failed(now, rank);
                None
            }
            Phase::Preparing { sent_at, ballot, since, why } if now >= sent_at + self.limits.again_ns => {
                self.phase = Phase::Preparing { since, sent_at: now, ballot, why };
                Some(BallotRequest::Prepare(ballot))
            }
            _ => None,
        }
    }

    #[cold]
    fn on_journal_full(&mut self, now: Nanos) {
        let Some(why) = self.missing() else { return };
        if !matches!(self.phase, Phase::Waiting { until, .. } if until > now) {
            self.phase = Phase::Waiting { until: now + self.limits.timeout_ns, why };
        }
    }

    fn prepare(&mut self, now: Nanos, promised: Epoch, why: LeaderLossReason) -> Option<BallotRequest> {
        let ballot = self.next_ballot(promised)?;
        self.promises.clear();
        self.rounds.on_proven(ballot.round());
        self.phase = Phase::Preparing { since: now, sent_at: now, ballot, why };
        Some(BallotRequest::Prepare(ballot))
    }

    /// A round above every round in our log, promised, or heard; none once rounds are used up.
    pub fn next_ballot(&self, promised: Epoch) -> Option<Epoch> {
        let round = self.rounds.seen().max(promised.round()) + 1;
        (round <= ROUND_MAX).then(|| Epoch::new(round, self.me))
    }

    /// Somebody misses the leader too.
    pub fn on_grant(&mut self, by: Identity) {
        if matches!(self.phase, Phase::PreVoting { .. })
            && !self.grants.contains(&by)
            && self.grants.len() < VOTERS_MAX
        {
            self.grants.push(by);
        }
    }

    /// A promise of `ballot`, or our own. Each identity's newest counts.
    pub fn on_promise(&mut self, ballot: Epoch, promise: Promise) {
        if self.ballot() != Some(ballot) {
            return;
        }
        self.promises.retain(|known| known.by != promise.by);
        if self.promises.len() < VOTERS_MAX {
            self.promises.push(promise);
        }
    }

    /// S5 (which log survives): among the promises, our own log included, the greatest (accepted, next) is
    /// adopted as a whole; when it is ours, the promises must be a quorum of the membership at its end, and
    /// where that membership changes one of two members above the promised commit, of the one before as
    /// well. Then our commit is the greatest that a promise named. `own` is our own stored promise's log.
    pub fn assess(&self, end: &LogEnd, commit_next: Seq, electorate: &Electorate) -> ElectionStep {
        let Some(ballot) = self.ballot() else { return ElectionStep::Wait };
        let own = promise_order(end.epoch, end.next);
        let best = self.promises.iter().max_by_key(|promise| promise_order(promise.accepted, promise.next));
        if let Some(best) = best.filter(|best| promise_order(best.accepted, best.next) > own) {
            // A quorum of the membership that we know: fewer would make us fetch for nothing. But what is
            // committed and not ours may be the change that makes those who promised one.
            let enough = electorate.elects(&self.promised_by(), commit_next) || best.commit_next > end.next;
            return if enough { ElectionStep::Adopt(*best) } else { ElectionStep::Wait };
        }
        if !electorate.lists(self.me) {
            return ElectionStep::Unlisted;
        }
        let promised_commit = self.promises.iter().map(|promise| promise.commit_next).max().unwrap_or(1);
        let commit_next = commit_next.max(promised_commit);
        if !electorate.elects(&self.promised_by(), commit_next) && !self.skips_promises() {
            return ElectionStep::Wait;
        }
        ElectionStep::Won { leadership: Leadership::granted(ballot), commit_next }
    }

    /// What a promise described is coming in, or our own promise is still on its way to the device: the
    /// candidate has as long again.
    pub fn on_progress(&mut self, now: Nanos) {
        if let Phase::Preparing { since, .. } = &mut self.phase {
            *since = now;
        }
    }

    /// Whether the successor of a handover goes without promises: it never does.
    fn skips_promises(&self) -> bool {
        planted(Mutation::HandoverWithoutPromises) && self.missing() == Some(LeaderLossReason::StepDown)
    }

    fn promised_by(&self) -> Vec<Identity> {
        std::iter::once(self.me)
            .chain(self.promises.iter().map(|promise| promise.by).filter(|by| *by != self.me))
            .collect()
    }
}

/// By what logs are compared: the epoch of the last frame first, then the length.
fn promise_order(accepted: Epoch, next: Seq) -> (Epoch, Seq) {
    if planted(Mutation::NoAdoption) {
        (Epoch::NONE, 0)
    } else if planted(Mutation::GreatestLastOnly) {
        (Epoch::NONE, next)
    } else if planted(Mutation::GreatestAcceptedOnly) {
        (accepted, 0)
    } else {
        (accepted, next)
    }
}

#[cfg(test)]
mod tests;
