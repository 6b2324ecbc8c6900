//! The protocol half under every reader of the stream: standby, subscriber and publisher alike. It places
//! received frames behind the log that is followed ([`Followed`]), buffers those that come too early, and
//! requests what is missing. Its owner decides what is done with the next frame.
//!
//! ```text
//!   frame ─▶ history? ─▶ epoch known? ─▶ owned? ─▶ next?  ──yes──▶ owner takes it, `accept`
//!              reject      ask for start   count     └─no, later─▶ store ──(gap filled)──▶ `extend`
//! ```
//! Buffered frames stand in `receiver::buffered`, requests for gaps in `receiver::requests`, which
//! `receiver::ask` writes; a takeover goes through `receiver::takeover`, another history through
//! `receiver::histories`.

mod acks;
mod ask;
mod buffered;
mod divergence;
mod histories;
mod join;
mod placement;
mod replayed;
mod requests;
mod takeover;

use super::counters::{Counter, Counters};
use super::event::Events;
use super::followed::Followed;
use crate::proto::delivered_log::DeliveredLog;
use crate::proto::log::{LogEnd, LogMismatch};
use crate::proto::membership::change_in;
use crate::proto::nack::NackLimits;
use crate::proto::planted::{Mutation, planted};
use crate::proto::repairers::Repairer;
use acks::UnlistedAcks;
pub use ask::NACK_LEN_MAX;
pub use buffered::BufferedFrames;
pub use divergence::LogDivergence;
pub use histories::{OtherHistories, Superseded, UNLED_NS};
pub use join::ReaderStart;
use lockstep_wire::{
    Cursor, Epoch, FrameView, Header, Identity, Keyring, Keys, Nanos, RepairTrailer, Seq, SeqRange,
    frame_len_max,
};
pub use placement::{NextFrame, Placement};
pub use requests::RepairRequests;

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

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Receiver {
    limits: ReceiverLimits,
    /// Where the reader begins.
    pub start: ReaderStart,
    /// Where the passed frames above the own commit ended.
    delivered: DeliveredLog,
    /// The first seq that was passed to the owner and did not survive, until the owner takes it.
    retract_from: Option<Seq>,
    /// The buffered frames.
    pub frames: BufferedFrames,
    /// The requests for what is missing.
    pub requests: RepairRequests,
    /// The exclusive bound of what the leader has announced to have sent; 0 where acks are as good.
    announced_next: Seq,
    /// All that was shown by this time has been read, ...
    read_at: Nanos,
    /// ... and up to here the stream was shown at that one.
    shown: (Nanos, Seq),
    /// Was whole once: what is fetched before that is no gap, but the way into the stream.
    joined: bool,
    /// What contradicts the own log.
    pub divergence: LogDivergence,
    /// No repairer is asked: a replay brings what is missing.
    replaying: bool,
    /// The leader of the own history was received since another history, or what acks of the unlisted show,
    /// was last looked at.
    is_led: bool,
    unlisted: UnlistedAcks,
    /// The other histories that are received.
    pub histories: OtherHistories,
}

impl Receiver {
    /// A receiver that begins at `start`, of what [`Followed::new`] follows with the same arguments.
    pub fn new(limits: ReceiverLimits, start: Start) -> Self {
        let mut delivered = DeliveredLog::default();
        match start {
            Start::From(1) => delivered.begin(LogEnd::BLANK, false),
            Start::Behind(end, _) => delivered.begin(end, false),
            Start::Live | Start::From(_) | Start::Oldest | Start::Cursor(_) => {}
        }
        Self {
            start: ReaderStart::new(start),
            delivered,
            retract_from: None,
            frames: BufferedFrames::new(&limits),
            requests: RepairRequests::new(&limits),
            announced_next: 0,
            read_at: 0,
            shown: (0, 1),
            joined: false,
            divergence: LogDivergence::default(),
            replaying: false,
            is_led: false,
            unlisted: UnlistedAcks::default(),
            histories: OtherHistories::default(),
            limits,
        }
    }

    /// The keys of this process.
    #[inline]
    pub fn keys(&self) -> &Keys {
        &self.limits.keys
    }

    /// The latest time of which is known that all that the stream had shown by then has been read: `now`, but
    /// for what is missing.
    pub fn read_at(&mut self, followed: &Followed, now: Nanos) -> Nanos {
        let (next, seen_next) = (followed.end.map_or(Seq::MAX, |end| end.next), followed.seen_next);
        if next >= seen_next {
            (self.read_at, self.shown) = (now, (now, seen_next));
        } else if next >= self.shown.1.min(seen_next) {
            (self.read_at, self.shown) = (self.shown.0, (now, seen_next));
        }
        self.read_at
    }

    /// Whether the reader holds everything that it has seen.
    pub fn is_whole(&self, followed: &Followed) -> bool {
        self.missing_from(followed).is_none() && !followed.awaits_start()
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        self.delivered.invariants();
        self.frames.invariants();
        self.requests.invariants();
    }

    /// Forgets what only measures time or numbers requests: for an explorer, for whom time stands still.
    pub fn forget_times(&mut self) {
        self.requests.forget();
        self.histories.forget();
        self.unlisted.forget();
        self.joined = true;
    }

    /// The last known boundary of the log at or below its commit, for a reader.
    pub(crate) fn committed_end(&self, followed: &Followed) -> Option<LogEnd> {
        self.delivered.boundary(followed.commit.commit_next())
    }

    /// A heartbeat of the leader.
    pub fn on_heartbeat(
        &mut self,
        followed: &mut Followed,
        header: &Header,
        counters: &mut Counters,
        events: &mut Events,
    ) {
        counters.add(Counter::HeartbeatsIn, 1);
        let epoch = header.epoch();
        if followed.is_stale(epoch, counters) {
            return;
        }
        self.is_led = true;
        followed.commit.on_announced(epoch, header.commit_next);
        if followed.on_epoch_seen(epoch, header.first_seq) {
            return;
        }
        if followed.believes(header, true, counters) {
            followed.seen_next = followed.seen_next.max(header.first_seq);
            self.on_sent_below(header.first_seq);
        }
        self.begin_live(followed, header);
        // It reports the end of its leader's log, and the chain there.
        match followed.comparable_chain(header) {
            None => {}
            Some(own) if own == header.chain => self.divergence.on_agreement(),
            Some(own) => {
                let (proof, chains) = (Some(header.tag), (own, header.chain));
                self.divergence.on_contradiction(followed.end, proof, chains, counters, events);
            }
        }
    }

    /// All below `next` has left, for us as well: what of it is missing is lost.
    fn on_sent_below(&mut self, next: Seq) {
        if self.limits.nack.apart_ns > 0 {
            self.announced_next = next;
            self.requests.rearm();
        }
    }

    /// Judges a frame, live or repaired.
    pub fn on_frame(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
        counters: &mut Counters,
        events: &mut Events,
    ) -> Placement {
        let epoch = frame.header.epoch();
        self.learn_start(followed, frame, counters, events);
        if followed.on_epoch_seen(epoch, frame.header.next_seq()) {
            followed.commit.on_announced(epoch, frame.header.commit_next);
            counters.add(Counter::FramesUnowned, 1);
            return Placement::Dropped;
        }
        let mut attested = None;
        if let Some(trailer) = trailer {
            counters.add(Counter::RepairsIn, 1);
            attested = Some((trailer.commit_next, Epoch(trailer.accepted)));
            followed.commit.on_announced(Epoch(trailer.accepted), trailer.commit_next);
            if planted(Mutation::RepairIsFinal) {
                followed.commit.on_announced(epoch, frame.header.next_seq());
            }
        }
        let admitted = followed.epochs.admits(frame.header, attested);
        if let Some(trailer) = trailer {
            let range = SeqRange { from: frame.header.first_seq, to: frame.header.next_seq() };
            self.requests.on_repair(trailer.repairer(), trailer.token, range, admitted);
        }
        if !admitted {
            counters.add(Counter::FramesUnowned, 1);
            return Placement::Dropped;
        }
        followed.commit.on_announced(epoch, frame.header.commit_next);
        if self.divergence.is_proven() {
            return Placement::Dropped;
        }
        followed.seen_next = followed.seen_next.max(frame.header.next_seq());
        let proof = trailer.map_or([frame.header.number, frame.header.tag[0]], |trailer| trailer.tag);
        self.place(followed, frame, Some(proof), counters, events)
    }

    /// `proof` tells a datagram from every other one: a repair's tag covers the token of the request. What a
    /// replay sends over its connection is a proof by itself.
    fn place(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        proof: Option<[u64; 2]>,
        counters: &mut Counters,
        events: &mut Events,
    ) -> Placement {
        let header = frame.header;
        let end = match (followed.end, self.start.at) {
            (Some(end), _) => end,
            (None, Start::From(seq)) if header.first_seq <= seq && seq < header.next_seq() => {
                if self.start.refuses_chain(header.chain) {
                    return Placement::Dropped;
                }
                let end = LogEnd {
                    next: header.first_seq,
                    epoch: header.epoch(),
                    chain: header.chain,
                    timestamp: header.timestamp,
                };
                self.anchor(followed, end, true);
                end
            }
            (None, _) => return Placement::Dropped,
        };
        let chains = match end.follow(frame) {
            Ok(end) => {
                self.divergence.on_agreement();
                followed.learn_change(change_in(frame));
                return Placement::Next(NextFrame { end });
            }
            Err(LogMismatch::Ahead) => {
                let stored = self.frames.insert(frame);
                counters.add(if stored { Counter::FramesReordered } else { self.frames.refusal() }, 1);
                return if stored { Placement::Stored } else { Placement::Dropped };
            }
            Err(LogMismatch::NoStart | LogMismatch::StartMisfits) => {
                counters.add(Counter::FramesUnowned, 1);
                return Placement::Dropped;
            }
            Err(LogMismatch::Behind) => {
                counters.add(Counter::FramesDuplicate, 1);
                // Frames are atoms: a frame of the log that is read which reaches across its end is of
                // another log.
                (header.next_seq() > end.next).then(|| (end.chain, frame.chain_after()))
            }
            Err(LogMismatch::Chain { have, seen }) => Some((have, seen)),
            // Epochs never fall along a log: this frame and the own end are of two.
            Err(LogMismatch::EpochFalls) => Some((end.chain, header.chain)),
        };
        if let Some(chains) = chains {
            self.divergence.on_contradiction(followed.end, proof, chains, counters, events);
        }
        Placement::Dropped
    }

    fn anchor(&mut self, followed: &mut Followed, end: LogEnd, by_frame: bool) {
        followed.end = Some(end);
        self.delivered.begin(end, by_frame);
        followed.commit.on_anchored(end.next);
    }

    /// The owner took the next frame; no buffered frame may wait before it. Those that follow it are ready
    /// now. A replica's commit waits for [`Followed::on_stored`].
    #[inline]
    pub fn accept(&mut self, followed: &mut Followed, next: NextFrame, counters: &mut Counters) {
        self.pass(followed, next.end);
        self.extend(followed, counters);
    }

    #[inline]
    fn pass(&mut self, followed: &mut Followed, end: LogEnd) {
        followed.end = Some(end);
        if !followed.count_when_accepted {
            followed.commit.on_log_end(end.next);
            self.delivered.push(end, followed.commit.commit_next());
        }
    }
}
