//! The subscriptions of one process of a set, one in each world. What they deliver is merged by the code that
//! production runs.

use super::tap::{Tap, TappedStream};
use crate::clients::{ClientProcess, ReaderSlot, WorldWork};
use crate::world::World;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_set::{MergedEvent, MergedReader};
use lockstep_wire::{Epoch, Nanos, Seq};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;

/// The number of the home stream: streams are numbered as their worlds, from 1.
pub(super) const HOME: u64 = 1;

/// The payloads that a coordinator has handed to its publisher.
pub(super) type Notes = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// See the module.
pub(super) struct Subscriptions {
    /// The node in each world.
    nodes: Vec<usize>,
    pub(super) taps: Vec<Tap>,
}

impl Subscriptions {
    /// Those of a process that begins then. `notes`: it publishes them into the home stream.
    pub(super) fn new(worlds: &mut [World], name: &str, notes: Option<&Notes>, begins_at: Nanos) -> Self {
        let (mut nodes, mut taps) = (Vec::new(), Vec::new());
        for (index, world) in worlds.iter_mut().enumerate() {
            let tap = Tap::default();
            let mut reading = ReaderSlot::new(Delivery::Committed, Start::From(1));
            (reading.tap, reading.restart_at) = (Some(Rc::clone(&tap)), begins_at);
            let process = match notes.filter(|_| index == 0) {
                Some(notes) => {
                    let mut work = WorldWork::new(format!("lockstep/set/1/{name}"), 0, 1_000);
                    work.notes = Some(Rc::clone(notes));
                    ClientProcess::Participant(None, work, reading)
                }
                None => ClientProcess::Subscriber(None, reading),
            };
            nodes.push(world.add_of_set(process, name.to_owned()));
            taps.push(tap);
        }
        Self { nodes, taps }
    }

    /// The process is killed; the next one begins each stream as `start` says.
    pub(super) fn restart(&self, worlds: &mut [World], now: Nanos, start: impl Fn(u64) -> Start) {
        for stream in 1..=self.nodes.len() as u64 {
            self.restart_stream(worlds, now, stream, start(stream));
        }
    }

    fn restart_stream(&self, worlds: &mut [World], now: Nanos, stream: u64, start: Start) {
        let index = stream as usize - 1;
        let (world, node) = (&mut worlds[index], self.nodes[index]);
        world.clients.crash(&mut world.ctx, node);
        if let Some(reading) = world.clients.get_mut(node).and_then(ClientProcess::reading_mut) {
            (reading.start, reading.ended) = (start, false);
            reading.restart_at = reading.restart_at.min(now + 1);
        }
        let history = if let Start::Cursor(cursor) = start { cursor.history } else { 0 };
        *self.taps[index].borrow_mut() = TappedStream { history, ..TappedStream::default() };
    }

    /// The clients in all worlds, in words.
    pub(super) fn described(&self, worlds: &[World]) -> String {
        let clients = worlds.iter().zip(&self.nodes);
        let states = clients.map(|(world, node)| world.clients.described(&world.ctx, *node).1);
        states.collect::<Vec<_>>().join("; ")
    }

    /// The first subscription that has ended, in words.
    pub(super) fn ended(&self) -> Option<String> {
        self.taps.iter().find_map(|tap| tap.borrow().ended.clone())
    }

    /// The epoch that is followed in a stream, and what is committed there.
    pub(super) fn committed(&self, stream: u64) -> Option<(Epoch, Seq)> {
        self.taps[stream as usize - 1].borrow().committed
    }

    /// Whether all that was delivered is merged.
    pub(super) fn is_empty(&self) -> bool {
        self.taps.iter().all(|tap| tap.borrow().events.is_empty())
    }

    /// Merges what has come, and says how far each subscription may deliver.
    pub(super) fn pump(
        &self,
        (worlds, now): (&mut [World], Nanos),
        reader: &mut MergedReader,
        f: &mut impl FnMut(MergedEvent<'_>) -> ControlFlow<()>,
    ) {
        let mut moves = true;
        while moves {
            moves = reader.deliver_waiting(f).is_some();
            let turn = reader.turn();
            let others = (1..=self.taps.len() as u64).filter(|stream| *stream != turn);
            for stream in std::iter::once(turn).chain(others) {
                let mut tap = self.taps[stream as usize - 1].borrow_mut();
                while tap.events.front().is_some_and(|first| first.seq() < reader.bound_of(stream))
                    && let Some(first) = tap.events.pop_front()
                {
                    moves = true;
                    let stops = reader.on_event(stream, first.event(), f).is_break();
                    // All that one entry says is reported together.
                    if stops && tap.events.front().is_none_or(|next| next.seq() > first.seq()) {
                        break;
                    }
                }
            }
        }
        for (stream, tap) in (1..).zip(&self.taps) {
            let mut of_stream = tap.borrow_mut();
            of_stream.bound = reader.bound_of(stream);
            let first = of_stream.events.front().map(|first| first.seq());
            let at = first.or(of_stream.deliver_next);
            drop(of_stream);
            // A list may take a stream in again from further back.
            if let Some((at, from)) = at.zip(reader.read_next(stream))
                && !reader.goes_on_at(stream, at)
            {
                self.restart_stream(worlds, now, stream, Start::From(from));
            }
        }
    }
}
