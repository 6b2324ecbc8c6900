//! What a command does when it reads the stream and cannot read on: it reports the reason and the remedy. If
//! the stream's beginning is gone, it serves from the oldest entry.

use crate::Failure;
use crate::failure::{INTEGRITY, NOT_READY};
use lockstep_client::{PartsBound, ReplayEndReason, Start, SubscriberEvent};
use lockstep_wire::{PublisherId, RepairReject, Seq};

/// The text when the groups do not bring the leader to a handle.
pub const READS_BY_UNICAST: &str = "nothing from the leader arrives by the groups, and replicas answer by \
                                    unicast: the process continues, slower; check lines.*.data, \
                                    lines.*.control and lines.*.interface, and the network's IGMP snooping";
/// The text when they do again.
pub const READS_BY_GROUPS: &str = "the leader is received by the groups again";

/// Serves with the whole stream until a stop is requested. If no journal has the stream's beginning any more,
/// it reports what must wait for the next trading day (`until_then`), and serves from the oldest entry.
///
/// # Errors
/// Those of `serve`.
pub fn serve_whole_or_oldest(
    until_then: &str,
    mut serve: impl FnMut(&mut ReadingEnd) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let mut whole = ReadingEnd::from_start(true);
    serve(&mut whole)?;
    if whole.lacks_beginning() {
        tracing::warn!("no journal holds the stream from seq 1 on: {until_then}");
        serve(&mut ReadingEnd::from_start(false))?;
    }
    Ok(0)
}

/// The state of a command that must read the whole stream, because it counts.
#[derive(Debug)]
pub struct ReadingEnd {
    whole: bool,
    /// Whether the end of the stream was reached once: clients rely on the counts from then on.
    has_begun: bool,
    lacks_beginning: bool,
    /// The number of messages in parts that no reader, or not this one, delivers: the first one is logged.
    discarded: u64,
}

impl ReadingEnd {
    fn from_start(whole: bool) -> Self {
        Self { whole, has_begun: false, lacks_beginning: false, discarded: 0 }
    }

    /// Whether it has the stream from its first entry on; otherwise from the oldest available one.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The start of its subscription.
    pub fn start(&self) -> Start {
        if self.whole { Start::From(1) } else { Start::Oldest }
    }

    /// Handles an event of the subscription. Returns the failure that follows from it, if any.
    pub fn on_event(&mut self, event: &SubscriberEvent<'_>) -> Option<Failure> {
        match *event {
            SubscriberEvent::CaughtUp { .. } => self.has_begun = true,
            SubscriberEvent::Abandoned { .. } if self.whole && !self.has_begun => self.lacks_beginning = true,
            SubscriberEvent::Abandoned { from, oldest, why } => {
                let hint = "it fell behind by more than journals keep; start it again, and it waits for the \
                            start of a trading day; an archiver, or a journal that retains more, avoids this";
                return Some(abandoned(from, oldest, why, hint));
            }
            SubscriberEvent::PartsDiscarded { publisher, from, bound } => {
                self.on_discarded(publisher, from, bound)
            }
            SubscriberEvent::Multicast { lost: true } => tracing::warn!("{READS_BY_UNICAST}"),
            SubscriberEvent::Multicast { lost: false } => tracing::info!("{READS_BY_GROUPS}"),
            _ => return ended(event, Again::Start),
        }
        None
    }

    fn on_discarded(&mut self, publisher: PublisherId, seq: Seq, bound: PartsBound) {
        self.discarded += 1;
        if bound == PartsBound::Beginning {
            tracing::warn!(
                publisher,
                seq,
                "a message ends here whose first part lies before the oldest entry that journals keep: the trading day \
                 that it is in cannot be counted"
            );
        } else if self.discarded == 1 {
            tracing::warn!(
                publisher,
                seq,
                "a message that begins here was left unfinished by its publisher, and no reader delivers \
                 it; counted as parts_discarded"
            );
        }
    }

    /// Whether the stream's beginning is not available, so that this reading is over.
    pub fn lacks_beginning(&self) -> bool {
        self.lacks_beginning
    }
}

/// The failure when the entries from `from` on are gone, and were not delivered.
pub fn abandoned(from: Seq, oldest: Seq, why: RepairReject, hint: &str) -> Failure {
    let why = why.name();
    let what =
        format!("seq {from} is no longer available ({why}): the oldest available one is {oldest}; {hint}");
    Failure::new(INTEGRITY, what)
}

/// How a user makes a command read the stream anew. Each command names only the way that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// By its flag `--from`.
    From,
    /// It reads from the beginning at every start.
    Start,
    /// It resumes from a file, which `--cursor` names.
    CursorFile,
}

impl Again {
    fn words(self) -> &'static str {
        match self {
            Self::From => "begin with --from oldest",
            Self::Start => "start it again, and it reads the stream that is there now",
            Self::CursorFile => {
                "start it again with another file at --cursor, and it begins with the oldest entry"
            }
        }
    }
}

/// The failure that an event means for a command that must read the whole stream; `None` if it continues.
/// [`ReadingEnd`] and [`abandoned`] handle entries that are gone.
pub fn ended(event: &SubscriberEvent<'_>, again: Again) -> Option<Failure> {
    Some(match *event {
        SubscriberEvent::Refused { why, next } => refused(why, next, again),
        SubscriberEvent::HistoryLost { history, next, have } => {
            let known = match again {
                Again::From => {
                    format!("begin anew from what was known before seq {next}, or with --from oldest")
                }
                Again::Start | Again::CursorFile => again.words().to_owned(),
            };
            let what = format!(
                "this reader has seen {} entries that the stream does not have any more (seqs {next} to {}): history \
                 {history:016x} was founded at seq {next} on what was left of the one that was read. Take back what \
                 was derived from them, and {known}",
                have - next,
                have - 1
            );
            Failure::new(INTEGRITY, what)
        }
        SubscriberEvent::Ahead { next, end, epoch } => Failure::new(
            INTEGRITY,
            format!(
                "this reader has read up to seq {}, and the log of the leader of epoch {epoch} ends with \
                 seq {}: the cluster has lost what was final, or the cursor is another cluster's; find out \
                 which before you continue: `lockstep status` shows what each node holds",
                next.saturating_sub(1),
                end.saturating_sub(1)
            ),
        ),
        SubscriberEvent::Diverged { seq } => Failure::new(
            INTEGRITY,
            format!(
                "what was received differs from the cluster's log at seq {seq}: two clusters share one \
                 id, or a replica is damaged; run `lockstep format --verify` on each"
            ),
        ),
        _ => return None,
    })
}

/// Why nothing is delivered from `next` on, and the remedy.
fn refused(why: Option<ReplayEndReason>, next: Seq, again: Again) -> Failure {
    let what = why.map_or("no journal can be reached", ReplayEndReason::name);
    let (code, hint) = match why {
        Some(ReplayEndReason::OtherHistory) => (
            INTEGRITY,
            format!(
                "the cluster was founded anew since: what was read before and what would be read now are two streams; forget \
                 what was derived from the old one, and {}",
                again.words()
            ),
        ),
        Some(ReplayEndReason::ChainMismatch) => (
            INTEGRITY,
            format!(
                "what was read before is not what the cluster has committed there (it was read with --stamped, or \
                 the cursor is another cluster's); {}",
                again.words()
            ),
        ),
        Some(ReplayEndReason::Damaged) => {
            let hint = "run `lockstep format --verify` on each journal, and replace what is damaged";
            (INTEGRITY, hint.to_owned())
        }
        Some(ReplayEndReason::IsLeader) => {
            (NOT_READY, "start a standby or an archiver, or set replay.by_leader = true".to_owned())
        }
        _ => {
            let hint =
                "start a standby or an archiver; they listen on the port of their unicast address, TCP";
            (NOT_READY, hint.to_owned())
        }
    };
    Failure::new(code, format!("seq {next} cannot be delivered: {what}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: SubscriberEvent<'_> =
        SubscriberEvent::Abandoned { from: 5, oldest: 9, why: RepairReject::TooOld };

    #[test]
    fn who_cannot_have_the_beginning_serves_with_the_oldest_and_fails_if_that_is_gone_too() {
        let mut starts = Vec::new();
        let code = serve_whole_or_oldest("it waits", |reading| {
            starts.push(reading.start());
            assert!(reading.is_whole() == (starts.len() == 1) && !reading.lacks_beginning());
            if reading.is_whole() { reading.on_event(&GONE).map_or(Ok(()), Err) } else { Ok(()) }
        });
        assert_eq!((code.ok(), starts), (Some(0), vec![Start::From(1), Start::Oldest]));
        let failed = serve_whole_or_oldest("it waits", |reading| reading.on_event(&GONE).map_or(Ok(()), Err));
        assert_eq!(failed.map_err(|failure| failure.code()), Err(INTEGRITY));
    }

    #[test]
    fn who_is_to_read_anew_is_told_of_no_flag_that_it_lacks() {
        let lost = SubscriberEvent::HistoryLost { history: 7, next: 5, have: 9 };
        let other = SubscriberEvent::Refused { why: Some(ReplayEndReason::OtherHistory), next: 5 };
        for event in [&lost, &other] {
            let text = |again| ended(event, again).expect("it ends").to_string();
            assert!(text(Again::From).contains("--from oldest"));
            for (again, words) in
                [(Again::Start, "start it again, and it reads"), (Again::CursorFile, "--cursor")]
            {
                let text = text(again);
                assert!(text.contains(words) && !text.contains("--from"), "{text}");
            }
        }
    }

    #[test]
    fn who_falls_behind_for_good_after_its_start_fails_and_says_what_to_do() {
        let mut served = 0;
        let failed = serve_whole_or_oldest("it waits", |reading| {
            served += 1;
            assert!(reading.on_event(&SubscriberEvent::CaughtUp { next: 5 }).is_none());
            reading.on_event(&GONE).map_or(Ok(()), Err)
        });
        let failure = failed.expect_err("it is cut off");
        assert_eq!((served, failure.code()), (1, INTEGRITY));
        let text = failure.to_string();
        assert!(text.contains("seq 5") && text.contains("is 9") && text.contains("start it again"), "{text}");
    }
}
