//! # replay: which source is asked for frames that no ring holds, and what its answers mean
//!
//! A range that a reader lacks and no repairer has in memory is read from a journal, over one TCP
//! connection at a time. The question here is only which source to ask and when to give one up; the
//! connection is the outside's, and the frames go through the reader's rules like any other.
//!
//! ```text
//!        begin           time            answer: frames follow
//!  Idle ──────▶ Waiting ──────▶ Opening ──────────────────────▶ Reading ──▶ (caught up) Idle
//!                 ▲                │ refused, lost, silent         │ ended, lost, silent, bad bytes
//!                 └── next source ─┴───────────────────────────────┘
//! ```
//!
//! A source that dies in the middle is followed by the next one, which continues behind the last frame that
//! was taken: the request names the chain there. It fails only when every source has reported why it cannot
//! help, cannot be reached for long, is damaged for long, or lies behind for long what the others have
//! removed: it waits for them, as this reader does.

mod stall;
#[cfg(test)]
mod tests;

use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{
    Chain, Datagram, FrameView, HEADER_LEN, Header, Identity, Keyring, Keys, Kind, Nanos, REPLAY_CHAIN,
    REPLAY_CHECKPOINT, REPLAY_LEN, REPLAY_STAY, Reject, ReplayBody, ReplayCheckpointBody, ReplayEndReason,
    ReplayRequestBody, Seq, write_replay_request,
};
pub use stall::StallDetector;
use std::net::SocketAddrV4;

/// How replays are asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReplayLimits {
    /// The cluster, and the keys of this process.
    pub keys: Keys,
    /// Under which name requests are made.
    pub me: Identity,
    /// The sources with journals: archivers and standbys first.
    pub sources: Vec<SocketAddrV4>,
    /// With which of them to begin, so that readers spread.
    pub first: u32,
    /// First wait before a round of sources is asked again: about what a restart of a process takes.
    pub retry_ns_min: Nanos,
    /// The doubling ends here.
    pub retry_ns_max: Nanos,
    /// A source that sends nothing for this long is given up: some times the second of its marks.
    pub silence_ns: Nanos,
    /// A subscriber that lacks more entries than this reads a journal at once: repairers, who have them in
    /// memory, would bring them one request at a time.
    pub far_behind: Seq,
}

/// [`ReplayLimits::far_behind`] by default: a fifth of a second of repairs, or some milliseconds of a
/// replay.
const FAR_BEHIND: Seq = 1 << 16;

impl ReplayLimits {
    /// The usual times.
    pub fn new(keys: Keys, me: Identity, sources: Vec<SocketAddrV4>) -> Self {
        Self {
            keys,
            me,
            sources,
            first: me.incarnation,
            retry_ns_min: 10_000_000,
            retry_ns_max: 1_000_000_000,
            silence_ns: 5_000_000_000,
            far_behind: FAR_BEHIND,
        }
    }
}

/// Rounds of sources after which one that cannot be reached, is damaged, or lies behind, counts as gone.
/// Where the others have refused, the reader goes on without it. A process that restarts is back by then: its
/// host refuses connections at once, so that the rounds take seconds.
const LOST_ROUNDS: u32 = 8;
/// A source that does not answer at all has had [`ReplayLimits::silence_ns`] for it: that counts as so many
/// rounds, or a host that is gone would be waited for eight times as long.
const SILENT_ROUNDS: u32 = 4;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum ReplayState {
    #[default]
    Idle,
    Waiting {
        until: Nanos,
    },
    Opening {
        since: Nanos,
    },
    Reading {
        received_at: Nanos,
    },
}

/// What the outside is to do with the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReplayStep {
    /// Close the present one, if there is one.
    Close,
    /// Close it, connect to this source and send the request.
    Open(SocketAddrV4),
}

/// What the source of a replay that is under way does for the present.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SourceState {
    /// None has answered yet: one is being opened, or they are asked again in a while.
    Awaited,
    /// It gives, or not all that it gave was taken.
    Sending,
    /// All that it has for the present was taken.
    AtEnd,
}

/// The last answer of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum SourceAnswer {
    #[default]
    Nothing,
    /// It cannot be reached, for so many rounds.
    Lost(u32),
    /// It does not have as much itself, for so many rounds; one that is empty is to be given the log itself.
    Behind { rounds: u32, is_empty: bool },
    /// Its journal is damaged there, for so many rounds: it mends that from its peers.
    Damaged(u32),
    /// Why, and the oldest that it holds; where its history begins with [`ReplayEndReason::BeyondCommit`].
    Refused(ReplayEndReason, Seq),
}

impl SourceAnswer {
    /// Its reason not to give anything, and the oldest that it holds.
    fn reason(&self) -> Option<(ReplayEndReason, Seq)> {
        match self {
            Self::Refused(end, oldest) => Some((*end, *oldest)),
            Self::Damaged(_) => Some((ReplayEndReason::Damaged, 0)),
            Self::Nothing | Self::Lost(_) | Self::Behind { .. } => None,
        }
    }
}

/// No source can help.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReplayFailed {
    /// The reason; `None`: none of them can be reached.
    pub why: Option<ReplayEndReason>,
    /// The oldest seq that one of them holds, where that is the reason; with
    /// [`ReplayEndReason::BeyondCommit`] the seq at which the history begins that was founded on the one that
    /// was read.
    pub oldest_seq: Seq,
}

/// One piece of a connection's bytes.
#[derive(Clone, Copy, Debug)]
pub enum ReplayItem<'a> {
    /// A frame of the committed log.
    Frame(FrameView<'a>),
    /// An answer.
    Answer(Header, ReplayBody),
    /// A mark.
    Mark(Header, ReplayBody),
    /// A part of the checkpoint at which the source's journal begins.
    Checkpoint(Header, ReplayCheckpointBody, &'a [u8]),
}

/// The piece in front of `bytes` and its length; `None` while it is not whole.
///
/// # Errors
/// The bytes are no replay.
pub fn piece<'a>(bytes: &'a [u8], keys: &Keyring) -> Result<Option<(ReplayItem<'a>, usize)>, Reject> {
    let Some(header) = Header::peek(bytes) else { return Ok(None) };
    let len = header.length as usize;
    if header.magic != lockstep_wire::MAGIC {
        return Err(Reject::Magic);
    }
    if !(HEADER_LEN..=lockstep_wire::DATAGRAM_LEN_MAX).contains(&len) {
        return Err(Reject::Length);
    }
    let Some(whole) = bytes.get(..len) else { return Ok(None) };
    Ok(Some(match Datagram::decode_replayed(whole, keys)? {
        Datagram::Frame(frame, None) => (ReplayItem::Frame(frame), len),
        Datagram::ReplayAnswer(header, body) => (ReplayItem::Answer(*header, body), len),
        Datagram::ReplayMark(header, body) => (ReplayItem::Mark(*header, body), len),
        Datagram::ReplayCheckpoint(header, body, part) => (ReplayItem::Checkpoint(*header, body, part), len),
        _ => return Err(Reject::Kind),
    }))
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReplayReader {
    limits: ReplayLimits,
    state: ReplayState,
    target: u32,
    /// Sources asked since one of them was of use.
    tries: u32,
    answers: Vec<SourceAnswer>,
    /// The source has nothing more for the present.
    at_end: bool,
    /// A connection is to be closed.
    close: bool,
}

impl ReplayReader {
    /// Nothing is asked for yet.
    pub fn new(limits: ReplayLimits) -> Self {
        Self {
            target: limits.first,
            answers: vec![SourceAnswer::Nothing; limits.sources.len()],
            limits,
            state: ReplayState::default(),
            tries: 0,
            at_end: false,
            close: false,
        }
    }

    /// Whether there is anybody to ask.
    pub fn is_possible(&self) -> bool {
        !self.limits.sources.is_empty()
    }

    /// A journal brings more entries than this faster than repairers.
    pub fn far_behind(&self) -> Seq {
        self.limits.far_behind
    }

    /// Whether one is under way.
    pub fn is_active(&self) -> bool {
        self.state != ReplayState::Idle
    }

    /// Whether a source was asked, and has not answered.
    pub fn is_opening(&self) -> bool {
        matches!(self.state, ReplayState::Opening { .. })
    }

    /// Whether frames come, or have come up to where the source stands.
    pub fn is_reading(&self) -> bool {
        matches!(self.state, ReplayState::Reading { .. })
    }

    /// Whether the source has sent all that it has for the present.
    pub fn is_at_end(&self) -> bool {
        self.at_end && self.is_reading()
    }

    /// What the source does for the present.
    pub fn supply(&self) -> SourceState {
        match (self.is_reading(), self.at_end) {
            (false, _) if !planted(Mutation::SlowSourceLeft) => SourceState::Awaited,
            (false, _) => SourceState::AtEnd,
            (true, false) => SourceState::Sending,
            (true, true) => SourceState::AtEnd,
        }
    }

    /// Something is missing that no ring holds. Changes nothing while one is under way.
    pub fn begin(&mut self, now: Nanos) {
        if !self.is_active() && self.is_possible() {
            self.state = ReplayState::Waiting { until: now };
            self.tries = 0;
            self.answers.fill(SourceAnswer::Nothing);
        }
    }

    /// Something is missing that no ring holds, whether or not one is under way. Where that is at the end of
    /// its source, the source lies behind itself: the next one is asked, and where none helps the waits go on
    /// doubling. Returns whether it begins from nothing.
    pub fn restart(&mut self, now: Nanos) -> bool {
        if self.is_at_end() {
            self.on_behind(now);
            return false;
        }
        self.finish();
        self.begin(now);
        true
    }

    /// Nothing more is needed.
    pub fn finish(&mut self) {
        self.close |= matches!(self.state, ReplayState::Opening { .. } | ReplayState::Reading { .. });
        self.state = ReplayState::Idle;
        self.at_end = false;
    }

    /// The next step of the connection now.
    pub fn poll(&mut self, now: Nanos) -> Option<ReplayStep> {
        match self.state {
            ReplayState::Waiting { until } if now >= until => {
                self.close = false;
                self.state = ReplayState::Opening { since: now };
                return Some(ReplayStep::Open(self.limits.sources[self.source()]));
            }
            ReplayState::Opening { since: at } | ReplayState::Reading { received_at: at }
                if now > at + self.limits.silence_ns =>
            {
                self.lose(now, SILENT_ROUNDS);
                self.close = true;
            }
            _ => {}
        }
        std::mem::take(&mut self.close).then_some(ReplayStep::Close)
    }

    fn source(&self) -> usize {
        self.target as usize % self.limits.sources.len().max(1)
    }

    /// Writes the request for what follows `from` (0: the oldest), whose chain is `chain` where it is known;
    /// `history` is 0 where any will do. Returns its bytes.
    pub fn write_request(
        &self,
        out: &mut [u8],
        history: u64,
        (from, chain): (Seq, Option<Chain>),
        to: Seq,
    ) -> usize {
        let header = Header {
            cluster: self.limits.keys.cluster(),
            history,
            sender: self.limits.me.replica,
            incarnation: self.limits.me.incarnation,
            chain: chain.unwrap_or(0),
            flags: if chain.is_some() { REPLAY_CHAIN } else { 0 },
            ..Header::new(Kind::ReplayRequest)
        };
        write_replay_request(out, &self.limits.keys, header, ReplayRequestBody { from, to })
    }

    /// Writes the request of a node without a log for the checkpoint at which the source's journal begins, if
    /// that ends at `until` or below, and for what follows it. Returns its bytes.
    pub fn write_checkpoint_request(&self, out: &mut [u8], history: u64, until: Seq) -> usize {
        let header = Header {
            cluster: self.limits.keys.cluster(),
            history,
            sender: self.limits.me.replica,
            incarnation: self.limits.me.incarnation,
            flags: REPLAY_CHECKPOINT,
            ..Header::new(Kind::ReplayRequest)
        };
        let body = ReplayRequestBody { from: until, to: REPLAY_STAY };
        write_replay_request(out, &self.limits.keys, header, body)
    }

    /// This source lies behind itself ([`StallDetector`]): the next one is asked.
    pub fn on_behind(&mut self, now: Nanos) {
        if self.is_at_end() {
            self.go_on(now, self.refused(ReplayEndReason::Ahead, 1));
            self.close = true;
        }
    }

    /// The connection was refused, broke, or brought bytes that are none of ours: the next source.
    pub fn on_lost(&mut self, now: Nanos) {
        self.lose(now, 1);
    }

    fn lose(&mut self, now: Nanos, counts: u32) {
        if matches!(self.state, ReplayState::Opening { .. } | ReplayState::Reading { .. }) {
            let source = self.source();
            let rounds = if let SourceAnswer::Lost(rounds) = self.answers[source] { rounds } else { 0 };
            // A source that was of use just now is not gone for long.
            let lost =
                if self.is_reading() { SourceAnswer::Lost(0) } else { SourceAnswer::Lost(rounds + counts) };
            self.go_on(now, lost);
        }
    }

    /// An answer. Returns whether frames follow.
    pub fn on_answer(&mut self, now: Nanos, body: &ReplayBody) -> bool {
        if !matches!(self.state, ReplayState::Opening { .. }) {
            return false;
        }
        if let Some(end) = ReplayEndReason::from_u32(body.end) {
            let seq = if end == ReplayEndReason::BeyondCommit { body.next } else { body.oldest_seq };
            self.go_on(now, self.refused(end, seq));
            self.close = true;
            return false;
        }
        self.state = ReplayState::Reading { received_at: now };
        self.at_end = false;
        let source = self.source();
        // One that lies behind, or is damaged there, gives what it has: nothing, until a frame comes.
        if !matches!(self.answers[source], SourceAnswer::Behind { .. } | SourceAnswer::Damaged(_)) {
            self.answers[source] = SourceAnswer::Nothing;
        }
        true
    }

    /// A mark.
    pub fn on_mark(&mut self, now: Nanos, body: &ReplayBody) {
        let ReplayState::Reading { received_at } = &mut self.state else { return };
        *received_at = now;
        self.at_end = true;
        if let Some(end) = ReplayEndReason::from_u32(body.end) {
            self.go_on(now, self.refused(end, body.oldest_seq));
            self.close = true;
        }
    }

    /// The source's answer where it gives nothing for this reason.
    fn refused(&self, end: ReplayEndReason, seq: Seq) -> SourceAnswer {
        let is_empty = seq == 0;
        match (end, self.answers[self.source()]) {
            (ReplayEndReason::Ahead, SourceAnswer::Behind { rounds, is_empty: was_empty })
                if was_empty == is_empty =>
            {
                SourceAnswer::Behind { rounds: rounds + 1, is_empty }
            }
            (ReplayEndReason::Ahead, _) => SourceAnswer::Behind { rounds: 1, is_empty },
            (ReplayEndReason::Damaged, SourceAnswer::Damaged(rounds)) => SourceAnswer::Damaged(rounds + 1),
            (ReplayEndReason::Damaged, _) => SourceAnswer::Damaged(1),
            _ => SourceAnswer::Refused(end, seq),
        }
    }

    /// A frame, or a part of a checkpoint, came. Returns whether it was asked for.
    pub fn on_frame(&mut self, now: Nanos) -> bool {
        let ReplayState::Reading { received_at } = &mut self.state else { return false };
        *received_at = now;
        self.at_end = false;
        // It was of use: whatever the others said before is asked anew.
        if self.tries > 0 {
            self.tries = 0;
            self.answers.fill(SourceAnswer::Nothing);
        }
        true
    }

    fn go_on(&mut self, now: Nanos, answer: SourceAnswer) {
        let source = self.source();
        self.answers[source] = answer;
        self.at_end = false;
        self.target = self.target.wrapping_add(1);
        self.tries += 1;
        let (count, tries) = (self.limits.sources.len() as u32, self.tries);
        let pause = if tries.is_multiple_of(count) {
            (self.limits.retry_ns_min << (tries / count).min(16)).min(self.limits.retry_ns_max)
        } else {
            0
        };
        self.state = ReplayState::Waiting { until: now + pause };
    }

    /// Whether every source has reported why it cannot help, and nothing that passes by itself, or does
    /// neither for some rounds. The most telling reason stands for all.
    pub fn failed(&self) -> Option<ReplayFailed> {
        if !self.is_active() || self.answers.is_empty() {
            return None;
        }
        let any_refuses = |wanted: ReplayEndReason| {
            self.answers
                .iter()
                .any(|answer| matches!(answer, SourceAnswer::Refused(end, _) if *end == wanted))
        };
        // A source that holds nothing waits for the others: it never gets what one of them has removed.
        let is_removed = any_refuses(ReplayEndReason::TooOld);
        let is_contradicted =
            any_refuses(ReplayEndReason::BeyondCommit) || any_refuses(ReplayEndReason::ChainMismatch);
        let is_final = |answer: &SourceAnswer| match answer {
            SourceAnswer::Nothing => false,
            SourceAnswer::Lost(rounds) => *rounds >= LOST_ROUNDS && !planted(Mutation::LostNeverGone),
            SourceAnswer::Behind { rounds, is_empty } => {
                (*is_empty && is_removed || *rounds >= LOST_ROUNDS) && !planted(Mutation::BehindNeverGone)
            }
            // It may have what the others have removed, but no other log than they.
            SourceAnswer::Damaged(rounds) => is_contradicted || *rounds >= LOST_ROUNDS,
            SourceAnswer::Refused(end, _) => {
                !matches!(end, ReplayEndReason::Done | ReplayEndReason::TooMany | ReplayEndReason::Stopping)
            }
        };
        if !self.answers.iter().all(is_final) {
            return None;
        }
        let lies_behind = |answer: &SourceAnswer| matches!(answer, SourceAnswer::Behind { .. });
        let has_own_history =
            |answer: &SourceAnswer| matches!(answer, SourceAnswer::Behind { is_empty: false, .. });
        let is_followed = self.answers.iter().any(has_own_history);
        let refuses = |answer: &SourceAnswer| match answer.reason() {
            // It says nothing of what a follower will have: it may have joined behind a checkpoint of a
            // former history and follow into this one, its own disk may be damaged, or it leads and leaves
            // replays to others.
            Some((
                ReplayEndReason::OtherHistory | ReplayEndReason::Damaged | ReplayEndReason::IsLeader,
                _,
            )) => !is_followed,
            reason => reason.is_some(),
        };
        if self.answers.iter().any(lies_behind) && !self.answers.iter().any(refuses) {
            return None; // none has removed it: more may be committed a moment later
        }
        let refused = self.answers.iter().filter_map(SourceAnswer::reason);
        let order = [
            ReplayEndReason::BeyondCommit,
            ReplayEndReason::ChainMismatch,
            // A source that has the request's own history judges what it still has; one that has not, has
            // stayed in another.
            ReplayEndReason::TooOld,
            ReplayEndReason::OtherHistory,
            ReplayEndReason::Damaged,
            ReplayEndReason::IsLeader,
        ];
        let rank = |end: ReplayEndReason| order.iter().position(|known| *known == end).unwrap_or(order.len());
        let worst = refused.min_by_key(|(end, oldest)| (rank(*end), *oldest));
        Some(ReplayFailed {
            why: worst.map(|(end, _)| end),
            oldest_seq: worst.map_or(0, |(_, oldest)| oldest),
        })
    }
}

/// Bytes that a reader of a connection keeps at least: a largest frame, and a mark behind it.
pub const REPLAY_BUFFER_LEN: usize = 256 << 10;

const _: () = assert!(REPLAY_BUFFER_LEN > lockstep_wire::DATAGRAM_LEN_MAX + REPLAY_LEN);
