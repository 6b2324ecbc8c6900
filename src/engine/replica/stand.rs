//! The standby's half: frames into the journal, acks out.

use super::{Replica, ReplicaCore, send_small};
use crate::engine::counters::Counter;
use crate::engine::event::{Event, Role};
use crate::engine::ports::{Group, Net, Ports};
use crate::engine::receiver::Placement;
use crate::journal::ports::TailMemory;
use crate::journal::{AppendError, Tail};
use crate::proto::commit::Durability;
use crate::proto::log::LogEnd;
use crate::proto::membership::Membership;
use crate::wire::{
    AckBody, AnswerBody, Datagram, EntryKind, FrameView, Header, Kind, Nanos, Reject, RepairTrailer,
    SMALL_LEN_MAX, Seq, write_ack,
};

impl<P: Ports> Replica<P> {
    /// One turn of a node that does not lead; `count` datagrams are lent.
    pub(super) fn stand(&mut self, now: Nanos, wall: Nanos, count: usize) {
        let Self { net, tail, core, scratch } = self;
        let mut beaten = None;
        for index in 0..count {
            match core.stand_datagram(tail, net.group_datagram(index)) {
                Ok(beat) => beaten = beat.or(beaten),
                Err(reject) => core.reject(reject),
            }
        }
        core.settle(tail);
        core.publishers.on_commit(core.rx.commit.commit_next());
        core.ack(net, tail, now, wall, beaten);
        if core.role != Role::Unlisted {
            let request =
                core.rx.poll_nack(now, &mut core.number, scratch, &mut core.counters, &mut core.events);
            if let Some((length, to)) = request {
                net.send_unicast(to, [&scratch[..length], &[]]);
            }
        }
    }
}

impl ReplicaCore {
    /// A datagram from the groups. Returns the leader's commit if it was a heartbeat.
    fn stand_datagram<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        bytes: &[u8],
    ) -> Result<Option<Seq>, Reject> {
        match Datagram::decode(bytes, self.limits.receiver.cluster)? {
            Datagram::Frame(frame, trailer) => self.on_frame(tail, &frame, trailer.as_ref())?,
            Datagram::Heartbeat(header, body) => {
                self.rx.check_history(&header)?;
                if !self.is_own(&header, body.process_nonce) {
                    let events = &mut self.events;
                    self.rx.on_heartbeat(&header, &mut self.counters, events);
                    self.stop_if_diverged();
                    return Ok(Some(header.commit_next));
                }
            }
            Datagram::Ack(header, body) => {
                self.rx.check_history(&header)?;
                if !self.is_own(&header, body.process_nonce) {
                    self.rx.on_ack(&header, &mut self.counters, &mut self.events);
                }
            }
            _ => {}
        }
        Ok(None)
    }

    /// A frame, live or repaired.
    pub(super) fn on_frame<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        self.rx.check_history(&frame.header)?;
        if self.role == Role::Unlisted {
            return Ok(());
        }
        let placement = self.rx.on_frame(frame, trailer, &mut self.counters, &mut self.events);
        self.stop_if_diverged();
        let Placement::Next(end) = placement else { return Ok(()) };
        if self.rx.has_ready() {
            // Something before it waits for room in the journal.
            if self.rx.keep(frame, end, &mut self.counters) {
                self.rx.extend(&mut self.counters);
            }
            return Ok(());
        }
        if self.append(tail, frame) {
            self.rx.pass(end);
            self.rx.on_stored(&end);
            self.on_journal_free(end.next);
            self.rx.extend(&mut self.counters);
        }
        Ok(())
    }

    /// Frames that were kept while something was missing follow as soon as it has come.
    pub(super) fn settle<M: TailMemory>(&mut self, tail: &mut Tail<M>) {
        while let Some(frame) = self.rx.front(Seq::MAX) {
            // `append` judges the frame against the tail's own end; the store lends it meanwhile.
            let appended = append_frame(&self.acceptor, self.rx.follow.epoch(), tail, &frame);
            match appended {
                Ok(()) => {
                    take_entries(&mut self.publishers, &mut self.start_frame, &frame);
                    self.counters.add(Counter::FramesAccepted, 1);
                    self.rx.pop_front();
                    self.rx.on_stored(&tail.end());
                    self.on_journal_free(tail.end().next);
                }
                Err(refused) => return self.on_refused(refused, &tail.end()),
            }
        }
    }

    /// Stores the next frame. Returns whether it is in the log now.
    fn append<M: TailMemory>(&mut self, tail: &mut Tail<M>, frame: &FrameView<'_>) -> bool {
        if tail.end().next == 1 && !self.is_born_with(frame) {
            self.transition(Role::Unlisted, &tail.end());
            return false;
        }
        match append_frame(&self.acceptor, self.rx.follow.epoch(), tail, frame) {
            Ok(()) => {
                take_entries(&mut self.publishers, &mut self.start_frame, frame);
                self.counters.add(Counter::FramesAccepted, 1);
                if self.role == Role::Blank {
                    self.events.push(Event::History { history: self.rx.history() });
                    self.transition(Role::Standby, &tail.end());
                }
                true
            }
            Err(refused) => {
                self.on_refused(refused, &tail.end());
                false
            }
        }
    }

    /// S12: a blank node follows only a history whose first members it is one of.
    fn is_born_with(&self, frame: &FrameView<'_>) -> bool {
        let birth = frame.entries().next().filter(|entry| entry.kind() == EntryKind::Birth);
        let members = birth.and_then(|entry| Membership::of_birth(entry.payload));
        members.is_some_and(|members| members.position(self.identity()).is_some())
    }

    fn on_refused(&mut self, refused: Refused, end: &LogEnd) {
        match refused {
            Refused::Rule => self.counters.add(Counter::FramesStale, 1),
            Refused::Full => {
                self.counters.add(Counter::FramesDropped, 1);
                self.on_journal_full(end.next);
            }
        }
    }

    fn stop_if_diverged(&mut self) {
        if self.rx.has_diverged() {
            self.stopped = true;
        }
    }

    /// Says where the log stands: when something new is stored, when the leader's beat shows a commit
    /// below it (our ack may be lost), and now and then.
    fn ack<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &Tail<M>,
        now: Nanos,
        wall: Nanos,
        beaten: Option<Seq>,
    ) {
        if matches!(self.role, Role::Blank | Role::Unlisted) || self.stopped {
            return;
        }
        let end = tail.end();
        let stored = match self.rx.commit.durability() {
            Durability::Process => end.next,
            Durability::Power => tail.durable_next(),
        };
        let Some((epoch, next)) = self.acceptor.ack(&end, stored) else { return };
        let news = (epoch, next) > self.acked;
        let owed = beaten.is_some_and(|leaders_commit| leaders_commit < next);
        if !news && !owed && now < self.acked_at + self.limits.ack_again_ns {
            return;
        }
        (self.acked, self.acked_at) = ((epoch, next), now);
        self.rx.commit.on_ack(self.identity(), epoch, next);
        self.number += 1;
        // The chain is that of the log's end; below it an ack carries none.
        let chain = if next == end.next { end.chain } else { 0 };
        let header = Header { first_seq: next, chain, ..self.header(Kind::Ack, wall, &end) };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_ack(&mut out, header, AckBody { process_nonce: self.limits.process_nonce });
        if send_small(net, Group::Control, &out[..length]) {
            self.counters.add(Counter::AcksOut, 1);
        }
    }

    /// A repairer's reason.
    pub(super) fn on_answer(&mut self, now: Nanos, header: &Header, body: &AnswerBody) {
        self.rx.on_answer(now, header, body, &mut self.counters);
    }
}

enum Refused {
    Rule,
    Full,
}

fn append_frame<M: TailMemory>(
    acceptor: &crate::proto::accept::Acceptor,
    followed: crate::wire::Epoch,
    tail: &mut Tail<M>,
    frame: &FrameView<'_>,
) -> Result<(), Refused> {
    let owned = followed >= acceptor.promised();
    acceptor.judge(frame, &tail.end(), owned).map_err(|_| Refused::Rule)?;
    match tail.append(frame) {
        Ok(_) => Ok(()),
        Err(AppendError::Full(_)) => Err(Refused::Full),
        Err(_) => Err(Refused::Rule),
    }
}

fn take_entries(
    publishers: &mut crate::proto::publishers::Publishers,
    start_frame: &mut Vec<u8>,
    frame: &FrameView<'_>,
) {
    for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
        publishers.on_entry(seq, &entry);
        if entry.kind() == EntryKind::EpochStart {
            start_frame.clear();
            start_frame.extend_from_slice(frame.bytes);
        }
    }
}
