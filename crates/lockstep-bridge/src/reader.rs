//! The subscription: a `committed` subscriber that begins where the target ends.

use crate::batch::PendingRecords;
use crate::failure::{BridgeFailure, FAILED, INTEGRITY, NOT_READY};
use crate::target::TargetPosition;
use lockstep_client::internal::{PARTS_BOUNDS, QueryClient};
use lockstep_client::{
    Cursor, Delivery, Destination, Endpoint, PartsBound, ReplayEndReason, Seq, Start, Subscriber,
    SubscriberEvent,
};
use lockstep_names::OpenedNames;
use lockstep_wire::FrameView;
use std::ops::ControlFlow;
use std::time::Duration;

/// Most messages of one poll.
const POLL_MAX: usize = 4096;
/// How long a round of questions waits for the last replica.
const QUERY_ROUND: Duration = Duration::from_millis(250);

/// Where a bridge begins whose target is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// At the oldest seq that a journal stores.
    Oldest,
    /// At this seq.
    Seq(Seq),
}

/// Where a bridge ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BridgeEnd {
    /// The exclusive bound.
    pub next: Seq,
    /// It is an end in this history; `None` for a seq that the caller named.
    pub history: Option<u64>,
}

impl BridgeEnd {
    /// The greatest commit that a majority of the replicas reports, or whoever answers in time.
    ///
    /// # Errors
    /// None answers.
    pub fn of_stream(endpoint: &Endpoint, patience: Duration) -> Result<Self, BridgeFailure> {
        let mut questioner = QueryClient::open(endpoint)?;
        let quorum = endpoint.replicas().len() / 2 + 1;
        let deadline = crate::clock::now() + patience;
        loop {
            let answers = questioner.nodes(endpoint.replicas(), QUERY_ROUND);
            let states: Vec<_> = answers.into_iter().flatten().filter(|state| state.history != 0).collect();
            if states.len() >= quorum || crate::clock::now() >= deadline {
                let last = states.iter().max_by_key(|state| state.commit_next);
                return last
                    .map(|state| Self { next: state.commit_next, history: Some(state.history) })
                    .ok_or_else(|| {
                        let what = format!(
                            "--until-end: no replica with a history answered within {patience:?}; start the sequencers"
                        );
                        BridgeFailure::new(NOT_READY, what)
                    });
            }
        }
    }
}

/// The subscription of one connection to the target.
pub struct BridgeReader {
    endpoint: Endpoint,
    subscriber: Subscriber,
    /// Messages that the target is to be given.
    pub pending: PendingRecords,
    /// Messages before this seq are not wanted.
    from: Seq,
    /// Where the subscription begins, if that is a seq: messages that end at `from` may begin there.
    start: Option<Seq>,
    /// What the target has of the message at `from - 1`, where it stores no cursor.
    unverified: Option<u64>,
    /// The oldest entry that journals have lies behind `start` and not behind `from`.
    oldest: Option<Seq>,
    end: Option<BridgeEnd>,
    /// The cursor is of another history than the end: whether the stream goes on from it is not known yet.
    other_than_end: bool,
    destinations: Vec<Destination>,
    batch_bytes: usize,
    failed: Option<BridgeFailure>,
}

impl BridgeReader {
    /// Begins behind `position`, or at `from` where there is none.
    ///
    /// # Errors
    /// The device cannot be opened.
    pub fn open(
        endpoint: &Endpoint,
        position: Option<&TargetPosition>,
        from: From,
        end: Option<BridgeEnd>,
        destinations: &[Destination],
        batch_bytes: usize,
    ) -> Result<Self, BridgeFailure> {
        // A message that ends at a seq may begin so far before it.
        let before = |seq: Seq| seq.saturating_sub(PARTS_BOUNDS.span).max(1);
        let first = match (position, from) {
            (Some(TargetPosition { seq: seq @ 1.., .. }), _) => *seq + 1,
            (_, From::Seq(seq)) => seq,
            (_, From::Oldest) => 0,
        };
        let begin = match (position, from) {
            (Some(TargetPosition { cursor: Some(cursor), .. }), _) => Start::Cursor(*cursor),
            (Some(TargetPosition { seq, .. }), _) => Start::From(before(*seq)),
            (None, From::Oldest) => Start::Oldest,
            (None, From::Seq(seq)) => Start::From(before(seq)),
        };
        Self::begin(endpoint, (begin, first), position, end, destinations, batch_bytes)
    }

    /// Begins at `start`, and has messages from `first` on.
    fn begin(
        endpoint: &Endpoint,
        (start, first): (Start, Seq),
        position: Option<&TargetPosition>,
        end: Option<BridgeEnd>,
        destinations: &[Destination],
        batch_bytes: usize,
    ) -> Result<Self, BridgeFailure> {
        let cursor = position.and_then(|position| position.cursor);
        let unverified =
            position.filter(|position| position.cursor.is_none()).map(|position| position.history);
        let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, start)?;
        subscriber.report_frames();
        let other_than_end = cursor.zip(end.and_then(|end| end.history));
        Ok(Self {
            endpoint: endpoint.clone(),
            subscriber,
            pending: PendingRecords::new(cursor, end.map_or(Seq::MAX, |end| end.next)),
            from: first,
            start: match start {
                Start::From(seq) => Some(seq),
                _ => None,
            },
            unverified,
            oldest: None,
            end,
            other_than_end: other_than_end.is_some_and(|(cursor, history)| cursor.history != history),
            destinations: destinations.to_vec(),
            batch_bytes,
            failed: None,
        })
    }

    /// One turn: complete messages are in `pending` behind it, and `names` has what was opened from where
    /// messages are wanted. Returns the work done.
    ///
    /// # Errors
    /// The stream cannot be had from here on.
    pub fn poll(&mut self, names: &mut OpenedNames) -> Result<usize, BridgeFailure> {
        let Self {
            subscriber,
            pending,
            from,
            start,
            unverified,
            oldest,
            end,
            destinations,
            batch_bytes,
            failed,
            ..
        } = self;
        let end_next = end.map_or(Seq::MAX, |end| end.next);
        let work = subscriber.poll(POLL_MAX, |event| {
            let outcome = match event {
                SubscriberEvent::Message(message) => {
                    let is_wanted = destinations.is_empty() || destinations.contains(&message.destination);
                    if is_wanted && (*from..end_next).contains(&message.seq) {
                        pending.push(&message);
                    }
                    Ok(())
                }
                SubscriberEvent::Opened { seq, publisher, name, .. } => {
                    if (*from..end_next).contains(&seq) {
                        names.open(publisher, seq, name);
                    }
                    Ok(())
                }
                SubscriberEvent::Frame { bytes } => on_frame(bytes, pending, (*from, *start), unverified),
                // The journals have all that is wanted, and not all before it in which that may begin.
                SubscriberEvent::Abandoned { oldest: stored, .. }
                    if start.is_some_and(|start| start < stored)
                        && stored <= from.saturating_sub(u64::from(unverified.is_some())) =>
                {
                    *oldest = Some(stored);
                    Ok(())
                }
                SubscriberEvent::PartsDiscarded { publisher, from: seq, bound: PartsBound::Beginning }
                    if (*from..end_next).contains(&seq) =>
                {
                    Err(begins_before(publisher, seq))
                }
                event => {
                    report(&event);
                    why_ended(&event).map_or(Ok(()), Err)
                }
            };
            *failed = failed.take().or(outcome.err());
            let is_enough = failed.is_some() || pending.bytes() >= *batch_bytes;
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        if let Some(oldest) = self.oldest.take() {
            self.begin_again(oldest)?;
        }
        let end_history = self.end.and_then(|end| end.history);
        if self.other_than_end && self.cursor().map(|cursor| cursor.history) == end_history {
            self.other_than_end = false;
        }
        Ok(work)
    }

    /// Another subscription, which begins with the oldest entry that journals have.
    fn begin_again(&mut self, oldest: Seq) -> Result<(), BridgeFailure> {
        let (endpoint, destinations) = (self.endpoint.clone(), std::mem::take(&mut self.destinations));
        let (end, unverified, batch_bytes) = (self.end, self.unverified, self.batch_bytes);
        let start = (Start::From(oldest), self.from);
        *self = Self { unverified, ..Self::begin(&endpoint, start, None, end, &destinations, batch_bytes)? };
        Ok(())
    }

    /// Where another subscription goes on.
    pub fn cursor(&self) -> Option<Cursor> {
        self.subscriber.cursor()
    }

    /// Whether everything up to the end is in `pending` or has been.
    pub fn is_done(&self) -> bool {
        let is_behind = |end: BridgeEnd| self.subscriber.deliver_next() >= end.next;
        !self.other_than_end && !self.pending.is_open() && self.end.is_some_and(is_behind)
    }

    /// The exclusive bound of what is committed, as far as it was received.
    pub fn commit_next(&self) -> Seq {
        self.subscriber.commit_next()
    }

    /// The next seq of the stream.
    pub fn deliver_next(&self) -> Seq {
        self.subscriber.deliver_next()
    }

    /// Sleeps until there may be work.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn wait(&mut self, timeout: Duration) -> Result<(), BridgeFailure> {
        self.subscriber.wait(timeout)?;
        Ok(())
    }
}

/// A message ends here that the target is to have, and begins before the oldest entry that journals have.
fn begins_before(publisher: u32, seq: Seq) -> BridgeFailure {
    let what = format!(
        "the message of publisher {publisher} that ends at seq {seq} begins before the oldest entry that a journal stores, \
         and cannot be had: an archiver that stores more has it; or begin an empty target behind it, with --from {}",
        seq + 1
    );
    BridgeFailure::new(INTEGRITY, what)
}

/// A frame is complete. `unverified` is the history that its message before `from` must have.
fn on_frame(
    bytes: &[u8],
    pending: &mut PendingRecords,
    (from, start): (Seq, Option<Seq>),
    unverified: &mut Option<u64>,
) -> Result<(), BridgeFailure> {
    let Some(frame) = FrameView::known(bytes) else {
        return Err(BridgeFailure::new(FAILED, format!("a frame of {} bytes was reported", bytes.len())));
    };
    let header = frame.header;
    let judged = if header.next_seq() >= from { unverified.take() } else { None };
    if let Some(history) = judged.filter(|history| *history != header.history) {
        let what = format!(
            "the target ends with seq {} of history {history:016x}, and the cluster's message there is of history \
             {:016x}: the cluster was founded anew, or is another one; name another target, or move this one away",
            from.saturating_sub(1),
            { header.history }
        );
        return Err(BridgeFailure::new(INTEGRITY, what));
    }
    pending.on_frame(header, frame.chain_after(), frame.entries(), start.unwrap_or(0));
    Ok(())
}

/// What of the stream an operator is told.
fn report(event: &SubscriberEvent<'_>) {
    match *event {
        SubscriberEvent::Founded { history, seq, ancestor } => {
            say!(
                "lockstep-bridge: from seq {seq} on the stream is of history {history:016x}, which was founded \
                 on what was left of {ancestor:016x}"
            );
        }
        SubscriberEvent::Multicast { lost } => {
            let state = if lost { "is received by unicast only, slower" } else { "is received again" };
            say!("lockstep-bridge: the leader's multicast {state}");
        }
        _ => {}
    }
}

/// The failure that an event means; `None` if the subscription goes on.
fn why_ended(event: &SubscriberEvent<'_>) -> Option<BridgeFailure> {
    let (code, what) = match *event {
        SubscriberEvent::Abandoned { from, oldest, why } => {
            let what = format!(
                "seq {from} is no longer available ({}): the oldest that a journal stores is {oldest}. An archiver, or \
                 journals that store more, prevent that; this target lacks what lies between: begin another target \
                 with --from {oldest}",
                why.name()
            );
            (INTEGRITY, what)
        }
        SubscriberEvent::Refused { why, next } => refused(why, next),
        SubscriberEvent::HistoryLost { history, next, have } => {
            let what = format!(
                "the target has entries that the stream does not have any more (seqs {next} to {}): history \
                 {history:016x} was founded at seq {next} on what was left. Take back in the target what lies at or \
                 above seq {next}, or begin another target",
                have - 1
            );
            (INTEGRITY, what)
        }
        SubscriberEvent::Ahead { next, end, epoch } => {
            let what = format!(
                "the target has the stream up to seq {}, and the log of the leader of epoch {epoch} ends with seq {}: \
                 the cluster has lost what was final, or the target is of another cluster; `lockstep status` shows \
                 who holds what",
                next.saturating_sub(1),
                end.saturating_sub(1)
            );
            (INTEGRITY, what)
        }
        SubscriberEvent::Diverged { seq } => {
            let what = format!(
                "what was received differs from the cluster's log at seq {seq}: two clusters share one id, or a \
                 replica is damaged; run `lockstep format --verify` on each"
            );
            (INTEGRITY, what)
        }
        _ => return None,
    };
    Some(BridgeFailure::new(code, what))
}

/// Why nothing is delivered from `next` on, and what to do.
fn refused(why: Option<ReplayEndReason>, next: Seq) -> (u8, String) {
    let what = why.map_or("no journal can be reached", ReplayEndReason::name);
    let (code, hint) = match why {
        Some(ReplayEndReason::OtherHistory | ReplayEndReason::ChainMismatch) => (
            INTEGRITY,
            "the cluster was founded anew since the target was written, or is another one; name another target, or \
             move this one away",
        ),
        Some(ReplayEndReason::Damaged) => {
            (INTEGRITY, "run `lockstep format --verify` on each journal, and replace what is damaged")
        }
        Some(ReplayEndReason::IsLeader) => {
            (NOT_READY, "start a standby or an archiver, or set replay.by_leader = true")
        }
        _ => (
            NOT_READY,
            "start a standby or an archiver; they listen on the port of their unicast address, TCP",
        ),
    };
    (code, format!("seq {next} cannot be delivered: {what}; {hint}"))
}
