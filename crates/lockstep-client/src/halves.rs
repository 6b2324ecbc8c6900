//! The halves of a handle, as its engine has them: the one that publishes, the one that reads, or both.
//!
//! ```text
//!                    PublisherEngine   SubscriberEngine   ParticipantEngine
//!  [`Publishes`]           yes                                  yes
//!  [`Reads`]                                  yes               yes
//! ```
//! Which halves a handle has is known when a program is compiled: a call of the half that it lacks is none of
//! its methods, and what a turn does for that half is not in its code.

use lockstep_core::engine::participant::{ParticipantEngine, ParticipantEvent};
use lockstep_core::engine::ports::Net;
use lockstep_core::engine::publisher::{PublisherCore, PublisherEngine};
use lockstep_core::engine::subscriber::{SubscriberCore, SubscriberEngine};
use lockstep_io::clock::Clock;
use lockstep_wire::{Nanos, Wall};
use std::ops::ControlFlow;

/// An engine with one half or both.
pub trait Halves {
    /// Its device.
    type Net: Net;

    /// Its device.
    fn net(&self) -> &Self::Net;

    /// The half that publishes, and the half that reads.
    fn halves_mut(&mut self) -> (Option<&mut PublisherCore>, Option<&mut SubscriberCore>);

    /// One turn of each half. With an event of the half that reads comes the one that publishes.
    fn turn(
        &mut self,
        now: Nanos,
        clock: &Clock,
        limit: usize,
        f: impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> usize;

    /// Sends what is written. Returns the datagrams sent.
    fn flush(&mut self, now: Nanos, clock: &Clock) -> usize;

    /// Whether it follows a leader's stream.
    fn is_connected(&self) -> bool;

    /// When it is to be called again although nothing arrives.
    fn next_deadline(&self) -> Nanos;
}

/// One with the half that publishes.
pub trait Publishes: Halves {
    /// That half.
    fn publisher(&self) -> &PublisherCore;

    /// The same, for a call that changes it.
    fn publisher_mut(&mut self) -> &mut PublisherCore;
}

/// One with the half that reads.
pub trait Reads: Halves {
    /// That half.
    fn subscriber(&self) -> &SubscriberCore;

    /// The same, for a call that changes it.
    fn subscriber_mut(&mut self) -> &mut SubscriberCore;
}

impl<N: Net> Halves for PublisherEngine<N> {
    type Net = N;

    fn net(&self) -> &N {
        self.net()
    }

    #[inline]
    fn halves_mut(&mut self) -> (Option<&mut PublisherCore>, Option<&mut SubscriberCore>) {
        (Some(&mut self.core), None)
    }

    #[inline]
    fn turn(
        &mut self,
        now: Nanos,
        clock: &Clock,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> usize {
        self.poll(now, Wall(clock.wall(now)), limit, |event| _ = f(ParticipantEvent::Publisher(event), None))
    }

    #[inline]
    fn flush(&mut self, now: Nanos, clock: &Clock) -> usize {
        self.flush(now, Wall(clock.wall(now)))
    }

    fn is_connected(&self) -> bool {
        self.core.is_connected()
    }

    fn next_deadline(&self) -> Nanos {
        self.core.next_deadline()
    }
}

impl<N: Net> Publishes for PublisherEngine<N> {
    #[inline]
    fn publisher(&self) -> &PublisherCore {
        &self.core
    }

    #[inline]
    fn publisher_mut(&mut self) -> &mut PublisherCore {
        &mut self.core
    }
}

impl<N: Net> Halves for SubscriberEngine<N> {
    type Net = N;

    fn net(&self) -> &N {
        self.net()
    }

    #[inline]
    fn halves_mut(&mut self) -> (Option<&mut PublisherCore>, Option<&mut SubscriberCore>) {
        (None, Some(&mut self.core))
    }

    #[inline]
    fn turn(
        &mut self,
        now: Nanos,
        _: &Clock,
        limit: usize,
        mut f: impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> usize {
        self.poll(now, limit, |event| f(ParticipantEvent::Subscriber(event), None))
    }

    /// It writes nothing that waits.
    #[inline]
    fn flush(&mut self, _: Nanos, _: &Clock) -> usize {
        0
    }

    fn is_connected(&self) -> bool {
        self.core.is_connected()
    }

    fn next_deadline(&self) -> Nanos {
        self.core.next_deadline()
    }
}

impl<N: Net> Reads for SubscriberEngine<N> {
    #[inline]
    fn subscriber(&self) -> &SubscriberCore {
        &self.core
    }

    #[inline]
    fn subscriber_mut(&mut self) -> &mut SubscriberCore {
        &mut self.core
    }
}

impl<N: Net> Halves for ParticipantEngine<N> {
    type Net = N;

    fn net(&self) -> &N {
        self.net()
    }

    #[inline]
    fn halves_mut(&mut self) -> (Option<&mut PublisherCore>, Option<&mut SubscriberCore>) {
        (Some(&mut self.publisher), Some(&mut self.subscriber))
    }

    #[inline]
    fn turn(
        &mut self,
        now: Nanos,
        clock: &Clock,
        limit: usize,
        f: impl FnMut(ParticipantEvent<'_>, Option<&mut PublisherCore>) -> ControlFlow<()>,
    ) -> usize {
        self.poll_with(now, Wall(clock.wall(now)), limit, f)
    }

    #[inline]
    fn flush(&mut self, now: Nanos, clock: &Clock) -> usize {
        self.flush(now, Wall(clock.wall(now)))
    }

    fn is_connected(&self) -> bool {
        self.publisher.is_connected()
    }

    fn next_deadline(&self) -> Nanos {
        self.next_deadline()
    }
}

impl<N: Net> Publishes for ParticipantEngine<N> {
    #[inline]
    fn publisher(&self) -> &PublisherCore {
        &self.publisher
    }

    #[inline]
    fn publisher_mut(&mut self) -> &mut PublisherCore {
        &mut self.publisher
    }
}

impl<N: Net> Reads for ParticipantEngine<N> {
    #[inline]
    fn subscriber(&self) -> &SubscriberCore {
        &self.subscriber
    }

    #[inline]
    fn subscriber_mut(&mut self) -> &mut SubscriberCore {
        &mut self.subscriber
    }
}
