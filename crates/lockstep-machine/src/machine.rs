//! The machine, and its inputs.

use crate::digest::StateDigest;
use crate::output::Output;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq, Seq};
use std::io::{self, Read, Write};

/// A deterministic program: its state is a function of the inputs in their order. See [`crate`].
pub trait StateMachine: Sized {
    /// The version of its rules and of its snapshots: a snapshot of another version is not restored. Raise it
    /// with each change of `apply`, so that copies with different rules are told apart in the stream.
    const VERSION: u32;

    /// Applies the next input. What follows from it goes to `output`. It neither fails nor panics: an input
    /// that it cannot use is answered or ignored, in every copy alike.
    fn apply(&mut self, input: &Input<'_>, output: &mut Output);

    /// Writes the whole state. Equal states write equal bytes.
    ///
    /// # Errors
    /// Those of `out`.
    fn snapshot(&self, out: &mut impl Write) -> io::Result<()>;

    /// The state that [`snapshot`](Self::snapshot) of the same version wrote. The bytes are checked before:
    /// they are those that were written.
    ///
    /// # Errors
    /// They are no snapshot of this version.
    fn restore(from: &mut impl Read) -> io::Result<Self>;

    /// The version of this machine, where its rules are known at run time alone, as those of a machine in
    /// another language are. By default [`VERSION`](Self::VERSION).
    fn version(&self) -> u32 {
        Self::VERSION
    }

    /// As [`restore`](Self::restore), of a machine of the kind that this one is, where the type alone does
    /// not say which: its version, and whatever it is made with. The state of this one does not matter.
    ///
    /// # Errors
    /// As of [`restore`](Self::restore).
    fn restore_another(&self, from: &mut impl Read) -> io::Result<Self> {
        Self::restore(from)
    }

    /// Why the machine can apply nothing more; `None`: it can. A machine in another language may fail within
    /// `apply`. What it has put out for that input counts for nothing, it gets no input more, and its replica
    /// ends. A machine in Rust does not fail.
    fn fault(&self) -> Option<&str> {
        None
    }

    /// A digest of the whole state; equal states have equal digests, in every copy. Without one of its own it
    /// is that of the snapshot, which takes time in the size of the state: a large machine maintains one.
    fn digest(&self) -> u64 {
        StateDigest::of_state(self)
    }

    /// What all copies have alike beside their rules (a limit, a currency, a switch), as a text for people;
    /// equal settings have equal texts. A copy publishes nothing before the stream shows that the first copy
    /// of this version began with the same text; where it did not, it ends with both. To change a setting,
    /// raise [`VERSION`](Self::VERSION), or make it an input. Without an own implementation nothing is
    /// compared.
    fn settings(&self) -> String {
        String::new()
    }

    /// The state as a text for people, which a debugger prints; `None`, as without an own implementation: it
    /// prints the snapshot.
    fn state_text(&self) -> Option<String> {
        None
    }

    /// Answers a question about the state, which it must not change: appends to `answer`. Without an own
    /// implementation nothing is answered.
    fn query(&self, request: &[u8], answer: &mut Vec<u8>) {
        let _ = (request, answer);
    }
}

/// An input, at its place in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Input<'a> {
    /// The seq of its entry; of a timer, the seq of the entry whose time is at or above the time when it is
    /// due.
    pub seq: Seq,
    /// The stream's time: when the leader stamped that entry, in nanoseconds since the Unix epoch. It falls
    /// at an [`InputEvent::TimeSetBack`], and nowhere else.
    pub time: Nanos,
    /// The event.
    pub event: InputEvent<'a>,
}

/// The event of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InputEvent<'a> {
    /// A message of anybody but this machine.
    Message {
        /// Its publisher: the destination of an answer.
        publisher: PublisherId,
        /// The publisher's number of it.
        publisher_seq: PublisherSeq,
        /// Its destination.
        destination: Destination,
        /// The user, where the publisher is a client of a gateway.
        user: Option<&'a str>,
        /// Its content.
        payload: &'a [u8],
    },
    /// A client has logged in at a gateway.
    Connected {
        /// Its user.
        user: &'a str,
        /// Its id: the publisher of its messages, and the destination of its answers.
        publisher: PublisherId,
    },
    /// A client is gone.
    Disconnected {
        /// Its user.
        user: &'a str,
        /// Its id.
        publisher: PublisherId,
        /// Why.
        reason: DisconnectReason,
        /// Whether its user wants its orders to be cancelled then.
        cancels: bool,
    },
    /// A name that is no gateway's client is opened: a process that had it before is fenced.
    Opened {
        /// Its id.
        publisher: PublisherId,
        /// How often it was opened.
        incarnation: u32,
        /// The name.
        name: &'a str,
    },
    /// A publisher that is no gateway's client is closed.
    Closed {
        /// Its id.
        publisher: PublisherId,
    },
    /// A trading day begins.
    DayStart {
        /// The day's name.
        name: &'a str,
    },
    /// The trading day ends.
    DayEnd,
    /// A timer of this machine is due.
    Timer {
        /// Its key.
        key: u64,
        /// When it was due, by the stream's time.
        due: Nanos,
        /// The bytes that it was set with.
        payload: &'a [u8],
    },
    /// The stream's time has moved, and nothing else.
    Time,
    /// The stream's time, which ran ahead, is set back by an operator's order: to the input's time. Timers
    /// that were set so long behind an input have moved with it.
    TimeSetBack {
        /// The stream's time before.
        before: Nanos,
    },
    /// The cluster has so many members from here on.
    Membership {
        /// How many.
        members: usize,
    },
}
