//! A subscriber on its own: what an application is told, and when.

use crate::net::SimNet;
use crate::world::{Request, address, requests_in, sent, subscriber_limits};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::replay::ReplayStep;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent, SubscriberLimits};
use lockstep_wire::{Epoch, Identity, Nanos, PublisherId, ReplayEndReason, Seq};
use std::ops::ControlFlow;

/// An event, owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// A message, and its text.
    Message(Seq, String),
    /// Everything below is committed.
    Committed(Seq),
    /// From here on all is taken back.
    Retract(Seq),
    /// An epoch begins.
    Epoch(Epoch, Seq),
    /// A list of so many members.
    Membership(Seq, usize),
    /// These are missing.
    Gap(Seq, Seq),
    /// These will not come; the oldest that there is.
    Abandoned(Seq, Seq),
    /// Everything below is delivered.
    CaughtUp(Seq),
    /// So many are stamped and not committed.
    Lag(u64),
    /// Two streams under one name.
    Diverged(Seq),
    /// A journal is read from here on.
    Replaying(Seq),
    /// A journal refuses.
    Refused(Option<ReplayEndReason>),
    /// A name is opened.
    Opened(Seq, PublisherId, String),
    /// A publisher is closed, and why.
    Closed(Seq, PublisherId, Vec<u8>),
    /// A trading day begins or ends.
    Day(Seq, bool, String),
    /// A history is founded.
    Founded(u64, Seq),
    /// This history begins below what was read.
    Forgotten(u64, Seq, Seq),
    /// The reader is ahead of the cluster.
    Ahead(Seq, Seq),
    /// Groups are lost, or back.
    Multicast(bool),
}

/// `None` of an entry that tells nothing.
pub fn owned(event: &SubscriberEvent<'_>) -> Option<News> {
    Some(match event {
        SubscriberEvent::Filtered { .. } | SubscriberEvent::PartsDiscarded { .. } => return None,
        SubscriberEvent::Message(message) => {
            News::Message(message.seq, String::from_utf8_lossy(message.payload).into_owned())
        }
        SubscriberEvent::Committed { next } => News::Committed(*next),
        SubscriberEvent::Epoch { epoch, seq } => News::Epoch(*epoch, *seq),
        SubscriberEvent::Membership { seq, members } => News::Membership(*seq, *members),
        SubscriberEvent::Gap { from, to } => News::Gap(*from, *to),
        SubscriberEvent::Abandoned { from, oldest, .. } => News::Abandoned(*from, *oldest),
        SubscriberEvent::CaughtUp { next } => News::CaughtUp(*next),
        SubscriberEvent::Lag { entries, .. } => News::Lag(*entries),
        SubscriberEvent::Diverged { seq } => News::Diverged(*seq),
        SubscriberEvent::Retract { from } => News::Retract(*from),
        SubscriberEvent::Replaying { from } => News::Replaying(*from),
        SubscriberEvent::Refused { why, .. } => News::Refused(*why),
        SubscriberEvent::Opened { seq, publisher, name, .. } => {
            News::Opened(*seq, *publisher, name.to_string())
        }
        SubscriberEvent::Closed { seq, publisher, reason, .. } => {
            News::Closed(*seq, *publisher, reason.to_vec())
        }
        SubscriberEvent::Day { seq, mark, .. } => News::Day(*seq, mark.is_start, mark.name.to_owned()),
        SubscriberEvent::Founded { history, seq, .. } => News::Founded(*history, *seq),
        SubscriberEvent::Ahead { next, end, .. } => News::Ahead(*next, *end),
        SubscriberEvent::Multicast { lost } => News::Multicast(*lost),
        SubscriberEvent::HistoryLost { history, next, have } => News::Forgotten(*history, *next, *have),
        other => panic!("an event that the tests do not know: {other:?}"),
    })
}

/// A subscriber, its clock, and what it was told.
pub struct Reader {
    /// The engine.
    pub subscriber: SubscriberEngine<SimNet>,
    /// What it was told.
    pub events: Vec<News>,
    /// Most messages of one poll.
    pub limit: usize,
    /// The application says stop at messages that hold this text.
    pub stop_at: Option<&'static str>,
    now: Nanos,
    sent: Vec<Request>,
}

impl Reader {
    /// Of three replicas' stream.
    pub fn new(delivery: Delivery, start: Start) -> Self {
        Self::with(delivery, start, |_| {})
    }

    /// The same with other limits.
    pub fn with(delivery: Delivery, start: Start, change: impl Fn(&mut SubscriberLimits)) -> Self {
        let me = Identity { replica: 2_000, incarnation: 5 };
        let mut limits = subscriber_limits(me, 3, delivery, start);
        change(&mut limits);
        Self {
            subscriber: SubscriberEngine::new(SimNet::default(), limits),
            events: Vec::new(),
            limit: 1_000,
            stop_at: None,
            now: 1_000_000,
            sent: Vec::new(),
        }
    }

    /// One turn. Returns the work done.
    pub fn poll(&mut self) -> usize {
        let Self { subscriber, events, limit, stop_at, now, sent: requests } = self;
        let work = subscriber.poll(*now, *limit, |event| {
            let Some(event) = owned(&event) else { return ControlFlow::Continue(()) };
            let stops = matches!((&event, *stop_at), (News::Message(_, text), Some(stop)) if text == stop);
            events.push(event);
            if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        subscriber.core.invariants();
        requests.extend(requests_in(&sent(subscriber.net_mut())));
        work
    }

    /// Gets bytes of a replay. Returns how many it used up.
    pub fn replay(&mut self, bytes: &[u8]) -> usize {
        let Self { subscriber, events, now, .. } = self;
        subscriber.core.on_replay(*now, bytes, |event| {
            events.extend(owned(&event));
            ControlFlow::Continue(())
        })
    }

    /// The connection to a journal breaks, or cannot be made.
    pub fn lose_replay(&mut self) {
        self.subscriber.core.on_replay_lost(self.now);
    }

    /// The next step of the connection to a journal.
    pub fn step(&mut self) -> Option<ReplayStep> {
        self.poll();
        self.subscriber.core.poll_replay(self.now)
    }

    /// Hears a datagram on a group.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.subscriber.net_mut().groups.push_back(bytes.to_vec());
        self.poll();
    }

    /// Gets a datagram on the unicast port, which is looked at once in eight turns at least.
    pub fn repair(&mut self, bytes: Vec<u8>) {
        self.subscriber.net_mut().unicast.push_back((bytes, Some(address(2))));
        for _ in 0..8 {
            self.poll();
        }
    }

    /// Time passes.
    ///
    /// # Panics
    /// A deadline that has passed is still the next one behind turns that do no work: a process that sleeps
    /// until then never sleeps.
    pub fn wait(&mut self, ns: Nanos) {
        self.poll();
        self.now += ns;
        let is_due = |reader: &Self| reader.subscriber.core.next_deadline() <= reader.now;
        assert!((0..64).any(|_| self.poll() > 0 || !is_due(self)), "a deadline that has passed stays");
    }

    /// The requests since the last look.
    pub fn requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.sent)
    }

    /// The token of the newest request, however often one looks.
    pub fn last_token(&self) -> u64 {
        self.sent.last().expect("a request").token
    }

    /// What the application has after its retracts: (seq, text), each seq once.
    pub fn stream(&self) -> Vec<(Seq, String)> {
        let mut stream: Vec<(Seq, String)> = Vec::new();
        for event in &self.events {
            match event {
                News::Message(seq, text) => {
                    assert!(
                        stream.last().is_none_or(|last| last.0 < *seq),
                        "{seq} again in {:?}",
                        self.events
                    );
                    stream.push((*seq, text.clone()));
                }
                News::Retract(from) => stream.retain(|(seq, _)| seq < from),
                _ => {}
            }
        }
        stream
    }

    /// What was told since the last look of messages, retracts, epochs and commits.
    pub fn news(&mut self) -> Vec<News> {
        let mut events = std::mem::take(&mut self.events);
        events.retain(|event| {
            !matches!(event, News::CaughtUp(_) | News::Gap(..) | News::Membership(..) | News::Lag(_))
        });
        events
    }

    /// The messages told so far.
    pub fn messages(&self) -> Vec<&str> {
        let messages = self.events.iter().filter_map(|event| match event {
            News::Message(_, text) => Some(text.as_str()),
            _ => None,
        });
        messages.collect()
    }

    /// One of its counters.
    pub fn count(&self, counter: Counter) -> u64 {
        self.subscriber.core.counters.get(counter)
    }
}
