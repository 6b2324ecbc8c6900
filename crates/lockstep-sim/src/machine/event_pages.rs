//! The record of events of a machine, as a node's recorder has it, and its pages for those that ask.

use crate::machine::Machine;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::engine::event_record::record;
use lockstep_wire::{EVENT_ROWS_MAX, EventRow, EventsBody, Nanos};
use std::collections::VecDeque;

/// Events that a record retains: few, so that it wraps.
const RECORDED_MAX: usize = 16;

/// The newest events of a process.
#[derive(Clone, Default)]
pub(crate) struct RecordedEvents {
    rows: VecDeque<EventRow>,
    next: u64,
}

impl RecordedEvents {
    fn record(&mut self, event: ReplicaEvent, now: Nanos, wall: Nanos) {
        let row = EventRow { number: self.next, wall, record: record(event, now, now) };
        self.next += 1;
        self.rows.push_back(row);
        if self.rows.len() > RECORDED_MAX {
            self.rows.pop_front();
        }
    }

    /// The newest events below `before`, the newest first, and the bounds of the page.
    fn page(&self, before: u64) -> (EventsBody, Vec<EventRow>) {
        let oldest = self.next - self.rows.len() as u64;
        let below = self.rows.iter().rev().filter(|row| row.number < before);
        let rows: Vec<_> = below.take(EVENT_ROWS_MAX).copied().collect();
        let from = rows.last().map_or(before.clamp(oldest, self.next), |row| row.number);
        (EventsBody { oldest, next: self.next, from, ..EventsBody::default() }, rows)
    }
}

impl Machine {
    /// Records the events of a turn, and answers those that asked for some in it.
    pub(crate) fn answer_event_queries(&mut self, events: &[ReplicaEvent], now: Nanos, wall: Nanos) {
        events.iter().for_each(|event| self.recorded.record(*event, now, wall));
        let ring = self.starts;
        while let Some(query) = self.replica_mut().and_then(|replica| replica.next_event_query()) {
            let (page, rows) = self.recorded.page(query.before);
            let page = EventsBody { ring, ..page };
            if let Some(replica) = self.replica_mut() {
                replica.send_events(lockstep_wire::Wall(wall), query, page, &rows);
            }
        }
    }
}
