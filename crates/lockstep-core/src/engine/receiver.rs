//! The protocol half under every reader of the stream: standby, subscriber and publisher alike. It knows
//! which epoch it follows, where its log ends, what is missing, and how far the stream is committed; its
//! owner decides what is done with the next frame.
//!
//! ```text
//!   frame ─▶ history? ─▶ epoch known? ─▶ owned? ─▶ next?  ──yes──▶ owner takes it, `accept`
//!              reject      ask for start   count     └─no, later─▶ store ──(gap filled)──▶ `extend`
//! ```
//! Buffered frames stand in `receiver::buffered`, requests for gaps in `receiver::ask`; a takeover goes
//! through `receiver::takeover`, another history through `receiver::histories`.

mod acks;
mod ask;
mod buffered;
mod divergence;
mod histories;
mod join;
mod placement;
mod replayed;
mod takeover;

use super::counters::{Counter, Counters};
use super::event::Events;
use super::store::FrameStore;
use crate::proto::commit::Commit;
use crate::proto::delivered_log::DeliveredLog;
use crate::proto::divergence::DivergenceProof;
use crate::proto::follow::Follow;
use crate::proto::lineage::Lineage;
use crate::proto::log::{LogEnd, LogMismatch};
use crate::proto::membership::{Membership, change_in};
use crate::proto::nack::NackLimits;
use crate::proto::planted::{Mutation, planted};
use crate::proto::repairers::Repairer;
use acks::UnlistedAcks;
pub use ask::NACK_LEN_MAX;
use ask::RepairRequests;
use histories::OtherHistories;
pub use histories::{Superseded, UNLED_NS};
use lockstep_wire::{
    Chain, Cursor, Epoch, FrameView, Header, HeartbeatBody, Identity, Keyring, Keys, Kind, Nanos,
    RepairTrailer, Seq, SeqRange, frame_len_max,
};
pub use placement::{NextFrame, Placement};
use std::net::SocketAddrV4;

/// Where a reader begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Start {
    /// With what is stamped from now on.
    Live,
    /// With this seq.
    From(Seq),
    /// Behind a log that the owner holds already, of which everything below the seq is committed.
    Behind(LogEnd, Seq),
    /// With the oldest that any journal holds.
    Oldest,
    /// Where a reader stopped before, in the same log or not at all.
    Cursor(Cursor),
}

/// A receiver's settings.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReceiverLimits {
    /// The cluster, and the keys of this process.
    pub keys: Keys,
    /// The history, if it is known; 0 adopts the first one received.
    pub history: u64,
    /// Under which name requests are sent (and own datagrams are dropped).
    pub me: Identity,
    /// The repairers; whom to ask first follows from NACK-3.
    pub repairers: Vec<Repairer>,
    /// Timers of requests.
    pub nack: NackLimits,
    /// Memory for frames that cannot be passed on at once.
    pub store_bytes: usize,
    /// Largest frame.
    pub frame_len_max: usize,
    /// Whether an epoch's acks count only when the replica log has reached its start (replicas, S4).
    pub count_when_accepted: bool,
}

impl Default for ReceiverLimits {
    /// A reader of cluster 0, without keys, name and repairers: its process sets them.
    fn default() -> Self {
        Self {
            keys: Keyring::none(0).into(),
            history: 0,
            me: Identity::default(),
            repairers: Vec::new(),
            nack: NackLimits::default(),
            store_bytes: 8 << 20,
            frame_len_max: frame_len_max(1_500),
            count_when_accepted: false,
        }
    }
}

/// Acks that a live reader hears out before it begins without having heard a leader: some beats' worth.
const ACKS_TRACKED: u8 = 16;

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Receiver {
    limits: ReceiverLimits,
    start: Start,
    /// Nothing below is ever asked for.
    floor: Seq,
    end: Option<LogEnd>,
    /// Which epoch is followed.
    pub follow: Follow,
    /// How far it is committed.
    pub commit: Commit,
    /// Epochs below are neither followed nor asked for: a replica's promise (S2).
    pub follow_floor: Epoch,
    /// Except this one, whose log a candidate adopts.
    pub adopting: Epoch,
    /// The repairer to ask first, and in every second try: a candidate asks who promised the best log.
    pub prefer: Option<SocketAddrV4>,
    /// Where the passed frames above the own commit ended.
    delivered: DeliveredLog,
    /// The first seq that was passed to the owner and did not survive, until the owner takes it.
    retract_from: Option<Seq>,
    store: FrameStore,
    /// Kept frames at the front that the log contains already.
    ready: usize,
    requests: RepairRequests,
    /// The greatest exclusive bound that was seen stamped in the followed epoch.
    seen_next: Seq,
    /// What was said of it last by who sends no copies of it any more; 0 where acks are as good.
    announced_next: Seq,
    /// All that was shown by this time has been read, ...
    read_at: Nanos,
    /// ... and up to here the stream was shown at that one.
    shown: (Nanos, Seq),
    /// An epoch that is heard of and whose start is not held, and how far it was heard to be stamped.
    epoch_update: (Epoch, Seq),
    /// Was whole once: what is fetched before that is no gap, but the way into the stream.
    joined: bool,
    /// What contradicts the own log.
    divergence: DivergenceProof,
    /// The own log is proven to differ, or a new epoch contradicts what is committed: the owner stops.
    contradicted: bool,
    /// Acks that a live reader has heard of an epoch before it began, and the furthest.
    acked: (u8, Header),
    /// Whose ack was last found to be of another log.
    divergent: Option<Identity>,
    /// The chain before the frame with which one begins, where a cursor tells it.
    chain_wanted: Option<Chain>,
    /// The cursor's chain is not the chain of this log.
    chain_refused: bool,
    /// Nothing is asked of repairers: a replay brings what is missing.
    replaying: bool,
    /// The history that is read, and its ancestors.
    lineage: Lineage,
    /// Its leader was heard since another history, or what the unlisted tell, was last looked at.
    is_led: bool,
    unlisted: UnlistedAcks,
    other_histories: OtherHistories,
    superseded: Option<Superseded>,
    /// The member that was last told to speak in a former history.
    ancestor_reported: (u64, Identity),
}

impl Receiver {
    /// A receiver that begins at `start`.
    pub fn new(limits: ReceiverLimits, start: Start) -> Self {
        let (end, commit) = match start {
            Start::Live => (None, Commit::new(1)),
            Start::From(1) => (Some(LogEnd::BLANK), Commit::new(1)),
            Start::From(_) | Start::Oldest | Start::Cursor(_) => (None, Commit::new(1)),
            Start::Behind(end, commit_next) => (Some(end), Commit::new(commit_next)),
        };
        let mut limits = limits;
        let (mut start, mut chain_wanted) = (start, None);
        if let Start::Cursor(cursor) = start {
            // What it was read from is known: another history is refused like on any other day.
            limits.history = cursor.history;
            chain_wanted = Some(cursor.chain);
            start = Start::From(cursor.seq);
        }
        let mut commit = commit;
        let mut delivered = DeliveredLog::default();
        if let Some(end) = end {
            commit.on_log_end(end.next);
            delivered.begin(end, false);
        }
        Self {
            follow_floor: Epoch::NONE,
            adopting: Epoch::NONE,
            prefer: None,
            delivered,
            retract_from: None,
            store: FrameStore::new(limits.store_bytes, limits.frame_len_max),
            requests: RepairRequests::new(&limits),
            start,
            floor: if let Start::From(seq) = start { seq } else { 1 },
            end,
            follow: Follow::default(),
            commit,
            ready: 0,
            seen_next: 1,
            announced_next: 0,
            read_at: 0,
            shown: (0, 1),
            epoch_update: (Epoch::NONE, 0),
            joined: false,
            divergence: DivergenceProof::default(),
            contradicted: false,
            acked: (0, Header::new(Kind::Ack)),
            divergent: None,
            chain_wanted,
            chain_refused: false,
            replaying: false,
            lineage: Lineage::of(limits.history),
            is_led: false,
            unlisted: UnlistedAcks::default(),
            other_histories: OtherHistories::default(),
            superseded: None,
            ancestor_reported: (0, Identity::default()),
            limits,
        }
    }

    /// The keys of this process.
    #[inline]
    pub fn keys(&self) -> &Keys {
        &self.limits.keys
    }

    /// The history that is read; 0 while none was received.
    pub fn history(&self) -> u64 {
        self.lineage.history()
    }

    /// Where the own log ends; `None` before it is anchored.
    pub fn end(&self) -> Option<LogEnd> {
        self.end
    }

    /// The exclusive bound of what was seen stamped.
    pub fn seen_next(&self) -> Seq {
        self.seen_next
    }

    /// The latest time of which is known that all that the stream had shown by then has been read: `now`, but
    /// for what is missing.
    pub fn read_at(&mut self, now: Nanos) -> Nanos {
        let next = self.end.map_or(Seq::MAX, |end| end.next);
        if next >= self.seen_next {
            (self.read_at, self.shown) = (now, (now, self.seen_next));
        } else if next >= self.shown.1.min(self.seen_next) {
            (self.read_at, self.shown) = (self.shown.0, (now, self.seen_next));
        }
        self.read_at
    }

    /// Where the log begins that is read: as the owner asked, or where a takeover made it begin anew.
    pub fn start(&self) -> Start {
        self.start
    }

    /// Whether the reader holds everything that it has seen.
    pub fn is_whole(&self) -> bool {
        self.missing_from().is_none() && self.epoch_update.0 == Epoch::NONE
    }

    /// As a recovered log has it: the epoch that it ends in is followed, and counted where it may be.
    pub fn restore(
        &mut self,
        table: &[lockstep_wire::EpochBase],
        membership: crate::proto::membership::Membership,
        durability: crate::proto::commit::Durability,
    ) {
        self.follow.restore(table, membership, durability);
        // Of what waits behind the log, a leader stamps the seqs itself.
        self.drop_buffered();
        if let Some(end) = self.end
            && end.epoch == self.follow.epoch()
            && end.epoch.round() > 0
        {
            self.count();
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        self.follow.invariants();
        self.commit.invariants();
        self.delivered.invariants();
        self.store.invariants();
        self.requests.invariants();
        let (ready, stored) = (self.ready, self.store.len());
        assert!(ready <= stored, "{ready} frames follow at once, and {stored} are kept");
        assert!(
            self.adopting == Epoch::NONE || self.limits.count_when_accepted,
            "S5: a reader adopts nobody's log",
        );
    }

    /// Forgets what only measures time or numbers requests: for an explorer, for whom time stands still.
    pub fn forget_times(&mut self) {
        self.requests.forget();
        self.other_histories.forget();
        self.unlisted.forget();
        self.joined = true;
        self.prefer = None;
    }

    /// The last known boundary of the log at or below its commit, for a reader.
    pub(crate) fn committed_end(&self) -> Option<LogEnd> {
        self.delivered.boundary(self.commit.commit_next())
    }

    /// Whether the own log is proven to differ from the leader's, or from what is committed: the owner must
    /// stop.
    pub fn has_diverged(&self) -> bool {
        self.contradicted
    }

    /// A heartbeat of the leader.
    pub fn on_heartbeat(&mut self, header: &Header, counters: &mut Counters, events: &mut Events) {
        counters.add(Counter::HeartbeatsIn, 1);
        let epoch = header.epoch();
        if self.is_stale(epoch, counters) {
            return;
        }
        self.is_led = true;
        self.commit.on_announced(epoch, header.commit_next);
        if self.on_epoch_seen(epoch, header.first_seq) {
            return;
        }
        if self.believes(header, true, counters) {
            self.seen_next = self.seen_next.max(header.first_seq);
            self.on_sent_below(header.first_seq);
        }
        self.begin_live(header);
        self.compare_chains(header, counters, events);
    }

    /// Whether what a header of the followed epoch tells of the stream's end is possible: no log of that
    /// epoch reaches further beyond its commit than its window allows. An impossible seq is asked for by
    /// nobody, and counted.
    #[inline]
    pub(super) fn believes(&self, header: &Header, led: bool, counters: &mut Counters) -> bool {
        header.first_seq <= self.seen_next || self.believes_new(header, led, counters)
    }

    fn believes_new(&self, header: &Header, led: bool, counters: &mut Counters) -> bool {
        let known = self.commit.known_next().max(header.commit_next);
        let believed = self.follow.is_within_window(header.first_seq, known, led);
        if !believed {
            counters.add(Counter::BoundsRefused, 1);
        }
        believed
    }

    /// All below `next` has left, for us as well: what of it is missing is lost.
    fn on_sent_below(&mut self, next: Seq) {
        if self.limits.nack.apart_ns > 0 {
            self.announced_next = next;
            self.requests.rearm();
        }
    }

    fn is_stale(&self, epoch: Epoch, counters: &mut Counters) -> bool {
        let stale = epoch < self.follow.epoch();
        if stale {
            counters.add(Counter::FramesStale, 1);
        }
        stale
    }

    /// Judges a frame, live or repaired.
    pub fn on_frame(
        &mut self,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
        counters: &mut Counters,
        events: &mut Events,
    ) -> Placement {
        let epoch = frame.header.epoch();
        self.learn_start(frame, counters, events);
        if self.on_epoch_seen(epoch, frame.header.next_seq()) {
            self.commit.on_announced(epoch, frame.header.commit_next);
            counters.add(Counter::FramesUnowned, 1);
            return Placement::Dropped;
        }
        let mut attested = None;
        if let Some(trailer) = trailer {
            counters.add(Counter::RepairsIn, 1);
            attested = Some((trailer.commit_next, Epoch(trailer.accepted)));
            self.commit.on_announced(Epoch(trailer.accepted), trailer.commit_next);
            if planted(Mutation::RepairIsFinal) {
                self.commit.on_announced(epoch, frame.header.next_seq());
            }
        }
        let admitted = self.follow.admits(frame.header, attested);
        if let Some(trailer) = trailer {
            let range = SeqRange { from: frame.header.first_seq, to: frame.header.next_seq() };
            self.requests.on_repair(trailer.repairer(), trailer.token, range, admitted);
        }
        if !admitted {
            counters.add(Counter::FramesUnowned, 1);
            return Placement::Dropped;
        }
        self.commit.on_announced(epoch, frame.header.commit_next);
        if self.contradicted {
            return Placement::Dropped;
        }
        self.seen_next = self.seen_next.max(frame.header.next_seq());
        let proof = trailer.map_or([frame.header.number, frame.header.tag[0]], |trailer| trailer.tag);
        self.place(frame, Some(proof), counters, events)
    }

    /// `proof` tells a datagram from every other one: a repair's tag covers the token of the request. What a
    /// replay sends over its connection is a proof by itself.
    fn place(
        &mut self,
        frame: &FrameView<'_>,
        proof: Option<[u64; 2]>,
        counters: &mut Counters,
        events: &mut Events,
    ) -> Placement {
        let header = frame.header;
        let end = match (self.end, self.start) {
            (Some(end), _) => end,
            (None, Start::From(seq)) if header.first_seq <= seq && seq < header.next_seq() => {
                if self.refuses_chain(header.chain) {
                    return Placement::Dropped;
                }
                let end = LogEnd {
                    next: header.first_seq,
                    epoch: header.epoch(),
                    chain: header.chain,
                    timestamp: header.timestamp,
                };
                self.anchor(end, true);
                end
            }
            (None, _) => return Placement::Dropped,
        };
        match end.follow(frame) {
            Ok(end) => {
                self.divergence.on_agreement();
                self.learn_change(change_in(frame));
                Placement::Next(NextFrame { end })
            }
            Err(LogMismatch::Behind) => {
                // Frames are atoms: what belongs to the log that is read and reaches across its end is of
                // another log.
                if header.next_seq() > end.next {
                    self.on_contradiction(proof, (end.chain, frame.chain_after()), counters, events);
                }
                counters.add(Counter::FramesDuplicate, 1);
                Placement::Dropped
            }
            Err(LogMismatch::Ahead) => {
                if self.store.insert(frame, self.ready) {
                    counters.add(Counter::FramesReordered, 1);
                    Placement::Stored
                } else {
                    let full = !self.store.has_room();
                    counters.add(if full { Counter::FramesDropped } else { Counter::FramesDuplicate }, 1);
                    Placement::Dropped
                }
            }
            Err(LogMismatch::Chain { have, seen }) => {
                self.on_contradiction(proof, (have, seen), counters, events);
                Placement::Dropped
            }
            // Epochs never fall along a log: this frame and the own end are of two.
            Err(LogMismatch::EpochFalls) => {
                self.on_contradiction(proof, (end.chain, { header.chain }), counters, events);
                Placement::Dropped
            }
            Err(LogMismatch::NoStart | LogMismatch::StartMisfits) => {
                counters.add(Counter::FramesUnowned, 1);
                Placement::Dropped
            }
        }
    }

    fn anchor(&mut self, end: LogEnd, by_frame: bool) {
        self.end = Some(end);
        self.delivered.begin(end, by_frame);
        self.commit.on_anchored(end.next);
    }

    /// The next frame of the log may change who votes. A replica tells what its own log says itself, once it
    /// is stored: what it stages belongs to another log than the acks that it counts.
    fn learn_change(&mut self, change: Option<(Membership, Membership)>) {
        if let Some((before, after)) = change
            && !self.limits.count_when_accepted
        {
            self.commit.on_membership(after.seq, before, after);
        }
    }

    /// The leader says which membership is in force where its log ends: a reader that began in the middle
    /// of an epoch counts acks from then on.
    pub fn on_announced_membership(&mut self, header: &Header, body: &HeartbeatBody) {
        self.commit.on_membership_announced(header.epoch(), body.membership_seq, header.first_seq);
    }

    /// The owner took the next frame; no buffered frame may wait before it. Those that follow it are ready
    /// now. A replica's commit waits for [`Receiver::on_stored`].
    #[inline]
    pub fn accept(&mut self, next: NextFrame, counters: &mut Counters) {
        self.pass(next.end);
        self.extend(counters);
    }

    /// A leader's own frame is in its journal, which ends at `end` now.
    #[inline]
    pub fn on_stamped(&mut self, end: LogEnd) {
        self.pass(end);
        // The start of an epoch is not followed yet, and not counted by the epoch before: this replica may
        // have led that one alone, by another durability (S4).
        if self.follow.epoch() == end.epoch {
            self.on_stored(&end);
        }
    }

    #[inline]
    pub(super) fn pass(&mut self, end: LogEnd) {
        self.end = Some(end);
        if !self.limits.count_when_accepted {
            self.commit.on_log_end(end.next);
            self.delivered.push(end, self.commit.commit_next());
        }
    }

    /// Everything below `next` in a replica's own log is shown to be committed, although no frame of the
    /// followed epoch has said so of it.
    pub fn on_proven(&mut self, next: Seq) {
        self.commit.on_final(next);
        self.commit.on_log_end(next);
    }

    /// A replica's journal ends at `end` now: what waits for room there is not held, and neither
    /// acknowledged nor committed here.
    #[inline]
    pub fn on_stored(&mut self, end: &LogEnd) {
        if end.epoch == self.follow.epoch() && self.commit.epoch() != end.epoch {
            self.count();
        }
        self.commit.on_log_end(end.next);
    }
}
