//! The machine, and its inputs.

use crate::digest::StateDigest;
use crate::output::Output;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq, Seq};
use std::io::{self, Read, Write};

/// A deterministic program: its state is a function of the inputs in order. See [`crate`].
pub trait StateMachine: Sized {
    /// The version of its rules and of its snapshots: a snapshot of another version is not restored. Raise it
    /// with each change of `apply`, so that copies with different rules are distinguished in the stream.
    const VERSION: u32;

    /// Applies the next input, and puts its effects into `output`. It neither fails nor panics: an input that
    /// it cannot use is answered or ignored, in every copy alike.
    fn apply(&mut self, input: &Input<'_>, output: &mut Output);

    /// Writes the whole state. Equal states write equal bytes.
    ///
    /// # Errors
    /// Those of `out`.
    fn snapshot(&self, out: &mut impl Write) -> io::Result<()>;

    /// Restores the state that [`snapshot`](Self::snapshot) of the same version wrote. The bytes were checked
    /// before: they are those that were written.
    ///
    /// # Errors
    /// They are no snapshot of this version.
    fn restore(from: &mut impl Read) -> io::Result<Self>;

    /// The version of this machine, if its rules are known only at run time, as for a machine in another
    /// language. The default is [`VERSION`](Self::VERSION).
    fn version(&self) -> u32 {
        Self::VERSION
    }

    /// As [`restore`](Self::restore), for a machine of the same kind as this one, if the type alone does not
    /// determine the kind: its version, and the parameters with which it is made. The state of this machine
    /// does not matter.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    fn restore_another(&self, from: &mut impl Read) -> io::Result<Self> {
        Self::restore(from)
    }

    /// Why the machine can apply no further input; `None`: it can. A machine in another language may fail
    /// within `apply`. Its output for that input is discarded, it gets no further input, and its replica
    /// ends. A machine in Rust does not fail.
    fn fault(&self) -> Option<&str> {
        None
    }

    /// A digest of the whole state; equal states have equal digests, in every copy. The default is a digest
    /// of the snapshot, which takes time proportional to the state: a large machine maintains its own.
    fn digest(&self) -> u64 {
        StateDigest::of_state(self)
    }

    /// Everything beside its rules that all copies share (a limit, a currency, a switch), as a text for
    /// people; equal settings have equal texts. A copy publishes nothing until the stream shows that the
    /// first copy of this version began with the same text; if it did not, the copy ends with both texts. To
    /// change a setting, raise [`VERSION`](Self::VERSION), or make it an input. By default nothing is
    /// compared.
    fn settings(&self) -> String {
        String::new()
    }

    /// The state as a text for people, which a debugger prints. The default is `None`: the debugger prints
    /// the snapshot.
    fn state_text(&self) -> Option<String> {
        None
    }

    /// Answers a question about the state, which it must not change: it appends to `answer`. The default
    /// answers nothing.
    fn query(&self, request: &[u8], answer: &mut Vec<u8>) {
        let _ = (request, answer);
    }
}

/// An input, with its position in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Input<'a> {
    /// The seq of its entry; for a timer, the seq of the first entry whose time is at or above the timer's.
    pub seq: Seq,
    /// The stream's time: when the leader stamped that entry, in nanoseconds since the Unix epoch. It
    /// decreases only at an [`InputEvent::TimeSetBack`].
    pub time: Nanos,
    /// The event.
    pub event: InputEvent<'a>,
}

/// The event of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InputEvent<'a> {
    /// A message of any publisher but this machine.
    Message {
        /// Its publisher: the destination of an answer.
        publisher: PublisherId,
        /// The message's number at its publisher.
        publisher_seq: PublisherSeq,
        /// Its destination.
        destination: Destination,
        /// The user, if the publisher is a client of a gateway.
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
    /// A client has disconnected.
    Disconnected {
        /// Its user.
        user: &'a str,
        /// Its id.
        publisher: PublisherId,
        /// The reason.
        reason: DisconnectReason,
        /// Whether its user wants its orders to be cancelled.
        cancels: bool,
    },
    /// A name that is not a gateway's client is opened: a process that had it before is fenced.
    Opened {
        /// Its id.
        publisher: PublisherId,
        /// The number of its opens.
        incarnation: u32,
        /// The name.
        name: &'a str,
    },
    /// A publisher that is not a gateway's client is closed.
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
        /// The bytes with which it was set.
        payload: &'a [u8],
    },
    /// The stream's time has advanced, and nothing else.
    Time,
    /// The stream's time, which ran ahead, is set back by an operator's order, to the input's time. Timers
    /// that were set relative to an input have moved with it. An order is no input where the machine's time
    /// was not ahead: the entries that were, as the start of an epoch, have moved neither inputs nor timers.
    TimeSetBack {
        /// The stream's former time, as the machine had it.
        before: Nanos,
    },
    /// The number of the cluster's members has changed.
    Membership {
        /// The number of members from here on.
        members: usize,
    },
}
