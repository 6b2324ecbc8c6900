//! A receiver of feeds: production's MoldUDP64 receiver behind a lossy network.

use super::books::EdgeModel;
use super::process::BLOCK_LEN_MAX;
use super::users::CHANNEL;
use crate::check::Violation;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{CHANNELS, Destination, Nanos};
use moldudp64::{Client, ClientLimits, Event, Start};
use std::collections::VecDeque;

/// Requests for one gap before it is abandoned: more than any run has time for.
const TRIES_MAX: u32 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct FeedReceiver {
    client: Client,
    /// Datagrams under way to it.
    under_way: VecDeque<(Nanos, Vec<u8>)>,
    /// The number of the next message of its session, as it counts.
    next: u64,
    pub(super) received: u64,
}

/// The destination that a feed carries, if it carries the channel.
pub(super) fn carried(channel: bool) -> Option<Destination> {
    channel.then_some(CHANNELS + CHANNEL)
}

impl FeedReceiver {
    pub(super) fn new(feeds: usize) -> Self {
        let limits = ClientLimits {
            guard_ns: 300_000,
            retry_ns: 1_000_000,
            tries_max: TRIES_MAX,
            servers: feeds as u32,
            count_max: 64,
            ahead_max: 64,
            ahead_bytes_max: 64 << 10,
        };
        Self {
            client: Client::new(None, Start::At(1), limits),
            under_way: VecDeque::new(),
            next: 1,
            received: 0,
        }
    }

    /// A datagram of a feed is under way to it.
    pub(super) fn send(&mut self, at: Nanos, bytes: &[u8]) {
        let place = self.under_way.partition_point(|(other, _)| *other <= at);
        self.under_way.insert(place, (at, bytes.to_vec()));
    }

    /// The time of the next arrival or the next request.
    pub(super) fn next_at(&self) -> Nanos {
        let come = self.under_way.front().map_or(Nanos::MAX, |(at, _)| *at);
        come.min(self.client.next_deadline())
    }

    /// Takes the datagrams that have arrived. The delivered messages are compared with the books.
    pub(super) fn hear(&mut self, now: Nanos, books: &EdgeModel, channel: bool) -> Result<(), Violation> {
        while self.under_way.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, bytes)) = self.under_way.pop_front()
        {
            let session = self.client.session().map(|session| name_of(session.as_bytes()));
            let session = session.unwrap_or_else(|| name_of(&bytes[..10.min(bytes.len())]));
            let mut changed = None;
            let mut intake = self
                .client
                .on_datagram(now, &bytes)
                .map_err(|error| format!("EDGE: a feed sends {error}"))?;
            while let Some(event) = intake.next_event() {
                match event {
                    Event::Message { seq, bytes } => {
                        judge(books, &session, channel, (seq, self.next), bytes)?;
                        if planted(Mutation::CopyDelivered) {
                            judge(books, &session, channel, (seq, self.next + 1), bytes)?;
                        }
                        (self.next, self.received) = (self.next + 1, self.received + 1);
                    }
                    Event::SessionChanged { to, .. } => changed = Some(to),
                    Event::Ended { next_seq } => {
                        let all = count(books, &session, channel);
                        if all + 1 != next_seq {
                            return Err(format!(
                                "EDGE: a feed's session ends at {next_seq}, it has {all} messages"
                            ));
                        }
                    }
                    Event::Lost { from, to } => {
                        return Err(format!("EDGE: a receiver gives up {from} to {to}"));
                    }
                }
            }
            drop(intake);
            // One feed may be behind the other: the receiver goes to later days only.
            if let Some(to) = changed
                && books.day_of(&name_of(to.as_bytes())) > books.day_of(&session)
            {
                self.client.pin(to, Start::At(1));
                self.next = 1;
                self.under_way.push_front((now, bytes));
            }
        }
        Ok(())
    }

    /// The request that is due, and its feed.
    pub(super) fn ask(&mut self, now: Nanos) -> Option<(u32, Vec<u8>)> {
        let (server, request) = self.client.on_timer(now)?;
        (!planted(Mutation::GapNotSeen)).then(|| (server, request.to_vec()))
    }

    /// What it lacks of the open day, in words.
    pub(super) fn lacks(&self, books: &EdgeModel, channel: bool) -> Option<String> {
        let day = books.open_day()?;
        let name = &books.days[day].name;
        let is_there = self.client.session().is_some_and(|session| name_of(session.as_bytes()) == *name);
        let all = books.fed(day, carried(channel), BLOCK_LEN_MAX).count() as u64;
        let next = self.client.next_seq();
        (!is_there || next != all + 1)
            .then(|| format!("a receiver of {name} is at {next} of {all}, there: {is_there}"))
    }
}

fn name_of(session: &[u8]) -> String {
    String::from_utf8_lossy(session).trim().to_owned()
}

fn count(books: &EdgeModel, session: &str, channel: bool) -> u64 {
    books.day_of(session).map_or(0, |day| books.fed(day, carried(channel), BLOCK_LEN_MAX).count() as u64)
}

fn judge(
    books: &EdgeModel,
    session: &str,
    channel: bool,
    (seq, next): (u64, u64),
    bytes: &[u8],
) -> Result<(), Violation> {
    let day = books.day_of(session);
    let expected = day.and_then(|day| books.fed(day, carried(channel), BLOCK_LEN_MAX).nth(seq as usize - 1));
    if expected == Some(bytes) && seq == next {
        return Ok(());
    }
    Err(format!(
        "EDGE: a feed gives {} bytes as {seq} of {session:?} to who counts {next}, and there stands {:?} bytes",
        bytes.len(),
        expected.map(<[u8]>::len)
    ))
}
