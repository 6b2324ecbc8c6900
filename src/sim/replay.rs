//! Replays between machines: what has left every ring is read from the segments of another one.
//!
//! The shelf that gives, the rules that ask and those that take are production's. Between them a connection is
//! reliable: it lives while both run and neither way is broken, and what it brings was not altered on the way
//! (on the disk it came from it may have been).

use super::check::Violation;
use super::coverage::Event;
use super::machine::{CLUSTER, Machine};
use super::story::Happening;
use super::world::{Actor, World};
use crate::engine::replay::{Piece, piece};
use crate::engine::replica::{ReplayOrder, ReplayWish};
use crate::journal::packed::read_segment;
use crate::journal::shelf::{Shelf, ShelfError, Written};
use crate::wire::{FrameView, Nanos, ReplayEnd, Seq, chain_after};

/// About so many bytes are read at once.
const STRETCH_LEN: u64 = 4 << 10;
/// After a source that could not help, the next one is asked.
const AGAIN_NS: Nanos = 1_000_000;

/// What a machine reads from others.
#[derive(Clone, Debug)]
pub(super) struct Fetching {
    order: ReplayOrder,
    /// Whom it reads from.
    giver: Option<usize>,
    at_end: bool,
    again_at: Nanos,
}

/// What others may read from a machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Giving {
    pub(super) shelf: Shelf,
    pub(super) written: Written,
}

/// What a source says.
pub(super) enum Given {
    /// Frames from there on, perhaps none for the present.
    Frames(Vec<u8>),
    /// It cannot help; and the oldest seq that it has.
    Denied(ReplayEnd, Seq),
}

/// What follows a frame.
fn behind(frame: &FrameView<'_>) -> ReplayOrder {
    let header = frame.header;
    ReplayOrder { history: header.history, from: header.next_seq(), chain: Some(chain_after(header)) }
}

/// What follows the frames in `bytes`; `None` if there is none.
pub(super) fn next_order(bytes: &[u8]) -> Option<ReplayOrder> {
    let (mut at, mut order) = (0, None);
    while let Ok(Some((Piece::Frame(frame), len))) = piece(&bytes[at..], CLUSTER) {
        (at, order) = (at + len, Some(behind(&frame)));
    }
    order
}

impl Machine {
    /// Committed frames from what is ordered on, as the server of replays gives them.
    fn give(&mut self, order: &ReplayOrder) -> Result<Given, ShelfError> {
        let (Giving { shelf, written }, store) = self.giving();
        shelf.refresh(store, written)?;
        let bound = written.commit_next.min(shelf.end().next);
        if let Err((why, at)) = written.admits(order.history, order.from) {
            return Ok(Given::Denied(why, at));
        }
        let oldest = shelf.oldest_seq();
        let from = if order.from == 0 { oldest } else { order.from };
        let spot = match shelf.begin(store, from, order.chain, bound)? {
            Ok(Some(spot)) => spot,
            Ok(None) => return Ok(Given::Frames(Vec::new())),
            Err(why) => return Ok(Given::Denied(why, oldest)),
        };
        let place = (spot.number, spot.offset);
        let Some(found) = shelf.stretch(store, place, spot.first_seq, bound, STRETCH_LEN)? else {
            return Ok(Given::Frames(Vec::new()));
        };
        let mut bytes = vec![0; found.len as usize];
        let read =
            read_segment(store, found.number, found.offset, &mut bytes)?.map_err(ShelfError::Damage)?;
        bytes.truncate(read);
        Ok(Given::Frames(bytes))
    }
}

impl World {
    /// A replica's replay goes on, if it has one or wants one. Returns the work that was done.
    pub(super) fn replay(&mut self, index: usize, draw: u64) -> Result<usize, Violation> {
        let now = self.now;
        let Actor::Replica(machine) = &mut self.seats[index].actor else { return Ok(0) };
        let at_end = machine.fetching.as_ref().map(|fetching| fetching.at_end);
        let shown = machine.clock.at(now);
        let Some(replica) = machine.replica_mut() else { return Ok(0) };
        match replica.look_for_replay(shown, at_end) {
            ReplayWish::Begin(order) => {
                machine.fetching = Some(Fetching { order, giver: None, at_end: false, again_at: now });
                self.oracle.coverage.count(Event::Replays);
                self.tell(index, || Happening::Note(format!("wants a replay: {order:?}")));
            }
            ReplayWish::End => machine.fetching = None,
            ReplayWish::GoOn => {}
        }
        let Actor::Replica(machine) = &mut self.seats[index].actor else { return Ok(0) };
        let Some(mut fetching) = machine.fetching.take_if(|fetching| now >= fetching.again_at) else {
            return Ok(0);
        };
        let work = self.fetch(index, &mut fetching, draw);
        if let Actor::Replica(machine) = &mut self.seats[index].actor {
            machine.fetching = Some(fetching);
        }
        work
    }

    fn fetch(&mut self, index: usize, fetching: &mut Fetching, draw: u64) -> Result<usize, Violation> {
        let now = self.now;
        let giver = fetching.giver.unwrap_or((draw % self.plan.replicas as u64) as usize);
        let given = self.ask(index, giver, &fetching.order);
        let Some(Given::Frames(bytes)) = given else {
            (fetching.giver, fetching.at_end, fetching.again_at) = (None, true, now + AGAIN_NS);
            if let Some(Given::Denied(why, _)) = given {
                self.oracle.coverage.count(Event::ReplaysDenied);
                self.tell(index, || Happening::Note(format!("seat {giver} gives no replay: {}", why.name())));
            }
            return Ok(0);
        };
        (fetching.giver, fetching.at_end) = (Some(giver), bytes.is_empty());
        let Actor::Replica(machine) = &self.seats[giver].actor else { return Ok(0) };
        let by = (machine.identity, machine.replica().map_or(0, |replica| replica.core.lineage().history()));
        let Actor::Replica(machine) = &mut self.seats[index].actor else { return Ok(0) };
        let shown = machine.clock.at(now);
        let Some(replica) = machine.replica_mut() else { return Ok(0) };
        let (mut at, mut taken) = (0, 0);
        while at < bytes.len() {
            // What its disk has made of a frame is seen by whom it is given to.
            let Ok(Some((Piece::Frame(frame), len))) = piece(&bytes[at..], CLUSTER) else {
                (fetching.giver, fetching.again_at) = (None, now + AGAIN_NS);
                break;
            };
            if !replica.on_replayed(shown, by, &frame) {
                break;
            }
            fetching.order = behind(&frame);
            (at, taken) = (at + len, taken + 1);
            self.oracle.coverage.count(Event::ReplayedFrames);
        }
        Ok(taken)
    }

    /// Frames that seat `giver` gives to seat `index`, none if it gives nothing.
    pub(super) fn ask_for(&mut self, index: usize, giver: usize, order: &ReplayOrder) -> Vec<u8> {
        match self.ask(index, giver, order) {
            Some(Given::Frames(bytes)) => bytes,
            Some(Given::Denied(..)) | None => Vec::new(),
        }
    }

    /// What seat `giver` gives to seat `index`; `None` if it cannot be reached, or does not serve.
    pub(super) fn ask(&mut self, index: usize, giver: usize, order: &ReplayOrder) -> Option<Given> {
        if giver == index || self.seats[giver].paused_until > self.now {
            return None;
        }
        if !self.wire.connects(self.now, index, giver) {
            return None;
        }
        let Actor::Replica(machine) = &mut self.seats[giver].actor else { return None };
        if machine.replica().is_none_or(|replica| replica.core.is_witness()) {
            return None;
        }
        match machine.give(order) {
            Ok(given) => Some(given),
            // It begins anew with what is there then, as the server of replays does.
            Err(_) => {
                machine.giving().0.shelf = Shelf::default();
                Some(Given::Denied(ReplayEnd::Damaged, 0))
            }
        }
    }
}
