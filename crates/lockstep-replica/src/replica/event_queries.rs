//! Queries for events. The process that runs the engine records the events, so it answers: after each turn it
//! takes the queries, and hands a page of its record to each.

use super::ReplicaEngine;
use crate::ports::Ports;
use lockstep_core::engine::counters::{Counter, Counters};
use lockstep_core::engine::ports::Net;
use lockstep_wire::{EVENTS_LEN_MAX, EventRow, EventsBody, Kind, Wall, event_number, write_events};
use std::net::SocketAddrV4;

/// Most queries of a turn: others are not answered, and their senders repeat them.
const QUERIES_MAX: usize = 8;

/// A query for the events below a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventQuery {
    to: SocketAddrV4,
    token: u64,
    /// The newest events below this number are asked for.
    pub before: u64,
}

/// The queries of a turn.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct EventQueries(Vec<EventQuery>);

impl Default for EventQueries {
    fn default() -> Self {
        Self(Vec::with_capacity(QUERIES_MAX))
    }
}

impl EventQueries {
    /// A query came from `to`, as long as any answer to it.
    pub(super) fn push(&mut self, to: SocketAddrV4, token: u64, name: &str, counters: &mut Counters) {
        if self.0.len() == QUERIES_MAX {
            counters.add(Counter::EventQueriesLost, 1);
            return;
        }
        let before = event_number(name).unwrap_or(u64::MAX);
        self.0.push(EventQuery { to, token, before });
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// A query that waits for [`ReplicaEngine::send_events`].
    pub fn next_event_query(&mut self) -> Option<EventQuery> {
        self.core.event_queries.0.pop()
    }

    /// Answers a query: with `rows`, the newest first, and with the ring's bounds in `page`.
    pub fn send_events(&mut self, wall: Wall, query: EventQuery, page: EventsBody, rows: &[EventRow]) {
        let Self { net, tail, core, .. } = self;
        core.outbox.number += 1;
        let mut out = [0; EVENTS_LEN_MAX];
        let header = core.header(Kind::Events, wall, &tail.end());
        let body = EventsBody { token: query.token, ..page };
        let length = write_events(&mut out, core.keys(), header, body, rows);
        net.send_unicast(query.to, [&out[..length], &[]]);
        core.counters.add(Counter::QueriesIn, 1);
    }
}
