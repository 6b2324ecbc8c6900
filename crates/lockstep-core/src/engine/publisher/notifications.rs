//! Notifications to a publisher's application: why a message was not taken, and its outcome.

use lockstep_wire::{CHANNELS, Destination, PublisherId, PublisherSeq, Seq};

/// Why a message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishError {
    /// The window is full: poll, and try again.
    Backpressure,
    /// The id is not open (yet) on this handle.
    NotOpen,
    /// The message is longer than the limit, or than what can be claimed in place.
    TooLong {
        /// Its bytes.
        len: usize,
        /// The limit: of `stream.message_len_max`, of the window, or of one frame where it was to be claimed.
        max: usize,
    },
    /// The message is longer than what its destination takes, however many parts it would go out in.
    TooLongFor {
        /// The destination.
        destination: Destination,
        /// Its bytes.
        len: usize,
        /// The destination's limit.
        max: usize,
    },
    /// The message was to have a number behind the next one: what lies between was not handed in here, and
    /// this handle has not read it in the stream either. Where another process publishes under the name, poll
    /// and try again.
    Ahead {
        /// The number that it was to have.
        number: PublisherSeq,
        /// The next one.
        next: PublisherSeq,
    },
    /// A newer process publishes under this name.
    Fenced,
    /// The publisher is closed.
    Closed,
    /// The handle was made in another process, of which this one is a fork.
    OtherProcess,
}

/// The failure of a call with a handle in another process than that which made it.
pub const ELSEWHERE: &str = "the handle was made in another process, of which this one is a fork: both would go on with \
    its numbers, and one message would have two outcomes; make a handle of this process's own";

impl PublishError {
    /// The name that this failure has in every language: `NOT_OPEN` is `LOCKSTEP_STATUS_NOT_OPEN` of C.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Backpressure => "BACKPRESSURE",
            Self::NotOpen => "NOT_OPEN",
            Self::TooLong { .. } | Self::TooLongFor { .. } => "TOO_LONG",
            Self::Ahead { .. } => "AHEAD_OF_NUMBER",
            Self::Fenced => "FENCED",
            Self::Closed => "CLOSED",
            Self::OtherProcess => "OTHER_PROCESS",
        }
    }
}

/// As `Display`: this is what a `main` prints that returns it.
impl std::fmt::Debug for PublishError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for PublishError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Backpressure => {
                f.write_str("the window is full of messages that are not committed yet: poll, then try again")
            }
            Self::NotOpen => f.write_str("this publisher id is not open on this handle: open its name first"),
            Self::TooLong { len, max } => write!(
                f,
                "a message of {len} bytes is too long, the limit is {max}: raise `stream.message_len_max` and \
                 `publisher.buffer`; what is written in place fits one datagram of `mtu`"
            ),
            Self::TooLongFor { destination, len, max } => {
                let whom = match destination.checked_sub(CHANNELS) {
                    Some(number) => format!("channel {number}"),
                    None => format!("destination {destination}"),
                };
                write!(
                    f,
                    "a message of {len} bytes is too long for {whom}, the limit is {max}: shorten it, publish it \
                     for another destination, or raise `channels.*.message_len_max` if the datagrams of its \
                     feeds take more"
                )
            }
            Self::Ahead { number, next } => write!(
                f,
                "a message was handed in as number {number} of its publisher, and {next} is the next one: hand in what \
                 lies between first; if another process publishes it, poll until it is read here"
            ),
            Self::Fenced => {
                f.write_str("a newer process has opened this publisher's name: this one is fenced")
            }
            Self::Closed => f.write_str("this publisher is closed"),
            Self::OtherProcess => f.write_str(ELSEWHERE),
        }
    }
}

impl std::error::Error for PublishError {}

/// Why a leader refuses to open a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum OpenRefusal {
    /// Its table of publishers is full. Room comes only by a larger `stream.publishers_max`.
    TableFull {
        /// How many names the leader takes.
        publishers_max: u32,
    },
    /// The key of this process does not allow the name.
    NotAllowed,
}

/// What became of the messages that a handle took, in numbers of messages. One in parts counts once; a close
/// is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct Outcomes {
    /// In the stream for ever.
    pub committed: u64,
    /// In the stream, and delivered by no reader ([`PublisherEvent::Discarded`]).
    pub discarded: u64,
    /// Another message stands under its number ([`PublisherEvent::Diverged`]).
    pub diverged: u64,
    /// Never stamped, as a newer process has opened the name ([`PublisherEvent::Fenced`]).
    pub fenced: u64,
    /// Never stamped, as the publisher was closed before ([`PublisherEvent::Closed`]).
    pub closed: u64,
    /// Nobody knows ([`PublisherEvent::OutcomesUnknown`]).
    pub unknown: u64,
    /// Without an outcome so far.
    pub open: u64,
}

impl Outcomes {
    /// Whether each message that was taken is in the stream for ever, and readers deliver it.
    pub fn are_all_committed(&self) -> bool {
        *self == Self { committed: self.committed, ..Self::default() }
    }

    /// The outcomes behind `earlier`, which is of the same handle; the messages that are open now stay open.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            committed: self.committed.saturating_sub(earlier.committed),
            discarded: self.discarded.saturating_sub(earlier.discarded),
            diverged: self.diverged.saturating_sub(earlier.diverged),
            fenced: self.fenced.saturating_sub(earlier.fenced),
            closed: self.closed.saturating_sub(earlier.closed),
            unknown: self.unknown.saturating_sub(earlier.unknown),
            open: self.open,
        }
    }
}

/// `3 committed, 2 fenced`: what is 0 is left out, but for `committed`.
impl std::fmt::Display for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} committed", self.committed)?;
        let others = [
            (self.discarded, "discarded"),
            (self.diverged, "diverged"),
            (self.fenced, "fenced"),
            (self.closed, "closed"),
            (self.unknown, "unknown"),
            (self.open, "without an outcome"),
        ];
        others
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

/// An event that is reported to a publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublisherEvent {
    /// A name is open: messages may be published under this id.
    Opened {
        /// Which name, by the order of the calls to `open`.
        ticket: usize,
        /// Its id, for the life of the stream.
        publisher: PublisherId,
        /// The number of its next message.
        publisher_seq: PublisherSeq,
        /// The number of its last committed message, whoever published it; 0 if there is none. A process
        /// that begins anew knows by it how much of its predecessor's is in the stream for ever.
        last: PublisherSeq,
    },
    /// The leader refuses the name: it was not opened, and is not tried again by itself. After `reason` is
    /// mended the name can be opened again.
    Refused {
        /// Which name.
        ticket: usize,
        /// Why.
        reason: OpenRefusal,
    },
    /// The leader does not stamp a message, as the key of this process does not allow its name or its
    /// destination. The message has no outcome: it is sent again, and refused again, until the key's rights
    /// change or the handle is closed, and so is what was published behind it. Told each time.
    NotAllowed {
        /// Whose.
        publisher: PublisherId,
        /// Its number.
        publisher_seq: PublisherSeq,
    },
    /// A message has its place; a takeover may still take it away. Then
    /// [`Unstamped`](PublisherEvent::Unstamped) is told, and this again once it has another one.
    Stamped {
        /// Whose.
        publisher: PublisherId,
        /// Its number.
        publisher_seq: PublisherSeq,
        /// Its place.
        seq: Seq,
    },
    /// The reported place of a message did not survive a takeover. The message is sent again by itself:
    /// there is nothing to do.
    Unstamped {
        /// Whose.
        publisher: PublisherId,
        /// Its number.
        publisher_seq: PublisherSeq,
    },
    /// A message has its place for ever. Of one that a copy of this publisher had stamped before it was
    /// handed in here, this is the only report.
    Committed {
        /// Whose.
        publisher: PublisherId,
        /// Its number.
        publisher_seq: PublisherSeq,
        /// Its place; 0 where a copy had it stamped longer ago than this handle remembers.
        seq: Seq,
    },
    /// A message in parts has its place for ever, and no reader delivers it: by the time its last part was
    /// stamped, 262,144 entries stood behind its first, or 64 MiB of unfinished messages were begun behind
    /// it, as this process was held up for so long. Told in the place of
    /// [`Committed`](PublisherEvent::Committed): what it said is to be published again, if it still holds.
    Discarded {
        /// Its publisher.
        publisher: PublisherId,
        /// Its number.
        publisher_seq: PublisherSeq,
        /// Its place.
        seq: Seq,
    },
    /// No group brings the leader, and replicas answer by unicast: or the groups bring it again. A message
    /// published then goes by unicast meanwhile, slower. Groups or interface of this process are wrong, or
    /// the network has lost them.
    Multicast {
        /// Whether that begins.
        lost: bool,
    },
    /// The cluster's window is full, or this publisher's share of it: messages wait here.
    Throttled,
    /// That is over: the cluster takes messages again.
    Unthrottled,
    /// Under a number that was handed in here stands another message: a copy of this publisher has
    /// published something else, so the copies are not deterministic. Told right before
    /// [`Committed`](PublisherEvent::Committed) of that number, for what stands there is final.
    Diverged {
        /// Whose.
        publisher: PublisherId,
        /// The number.
        publisher_seq: PublisherSeq,
        /// The place of what stands under it.
        seq: Seq,
    },
    /// A newer process has opened the name: nothing from `publisher_seq` on was or will be stamped.
    Fenced {
        /// Which publisher.
        publisher: PublisherId,
        /// The first number without a place.
        publisher_seq: PublisherSeq,
    },
    /// The publisher is closed: nothing from `publisher_seq` on was or will be stamped.
    Closed {
        /// Which publisher.
        publisher: PublisherId,
        /// The first number without a place.
        publisher_seq: PublisherSeq,
    },
    /// A new history was founded at `seq` on the one in which this handle published: a quorum was lost for
    /// good. Whatever was told as committed is in it; what has no place there is sent again by itself, under
    /// its number.
    Founded {
        /// The new history.
        history: u64,
        /// Its first seq.
        seq: Seq,
    },
    /// A new history was founded at `next`, and this handle knew everything below `have` to be committed:
    /// messages that were told as committed at `next` or above are lost.
    /// [`OutcomesUnknown`](PublisherEvent::OutcomesUnknown) follows; whoever opens the names anew is told the
    /// last number of each that is in the stream ([`Opened`](PublisherEvent::Opened)).
    HistoryLost {
        /// The new history.
        history: u64,
        /// Its first seq.
        next: Seq,
        /// The exclusive bound of what was committed here.
        have: Seq,
    },
    /// Outcomes are unknown, and the handle is of no more use; open the names anew. The handle fell further
    /// behind the stream than any replica remembers; or a takeover took back more of what a copy published
    /// than this handle remembers; or what it read contradicts the cluster's log; or a new history was
    /// founded on less than this handle knew to be committed.
    OutcomesUnknown,
}
