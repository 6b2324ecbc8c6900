//! One turn of one client: a publisher, a subscriber, or a participant, which is both.

use super::{ClientProcess, ClientTurn, Clients, ReaderSlot, WorldWork};
use crate::check::{Oracle, ReportedEvent, Violation};
use crate::clients::payload;
use crate::clients::sleeper::SleepOutcome;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::machines::Machines;
use crate::net::SimNet;
use crate::sets::tap::Tap;
use crate::story::Happening;
use crate::wire::NodeSet;
use lockstep_core::engine::participant::ParticipantEvent;
use lockstep_core::engine::publisher::{PublishError, PublisherCore, PublisherEvent};
use lockstep_core::engine::subscriber::{Delivery, SubscriberCore, SubscriberEngine, SubscriberEvent};
use lockstep_wire::{Nanos, PublisherId, ReplayEndReason, SETS, Seq, Wall};
use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::ControlFlow;

impl Clients {
    /// Calls the client at `index`.
    pub(crate) fn turn(
        &mut self,
        ctx: &mut RunContext,
        machines: &mut Machines,
        index: usize,
        draws: [u64; 2],
    ) -> Result<ClientTurn, Violation> {
        match self.get(index) {
            Some(ClientProcess::Publisher(..)) => self.turn_publisher(ctx, index, draws),
            Some(ClientProcess::Subscriber(..)) => {
                let work = self.turn_subscriber(ctx, machines, index, draws)?;
                Ok(ClientTurn { work, ends: false })
            }
            Some(ClientProcess::Participant(..)) => {
                let work = self.turn_participant(ctx, machines, index, draws)?;
                Ok(ClientTurn { work, ends: self.is_half_due(ctx.now, index) })
            }
            None => Ok(ClientTurn { work: 0, ends: false }),
        }
    }

    fn turn_publisher(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        draws: [u64; 2],
    ) -> Result<ClientTurn, Violation> {
        let (now, pace) = (ctx.now, pace(ctx));
        let shown = ctx.plan.clock(index).at(now);
        let wall = shown + ctx.plan.wall_ns;
        let Some(ClientProcess::Publisher(Some(process), work)) = self.get_mut(index) else {
            return Ok(ClientTurn { work: 0, ends: false });
        };
        hand_in(index, &mut process.core, work, &mut ctx.oracle, draws, (now, pace))?;
        let (mut turn, oracle) = (PublisherTurn::new(index, work), &mut ctx.oracle);
        let done = process
            .poll(shown, Wall(wall), 1 + (draws[0] % 9) as usize, |event| turn.on_event(oracle, event));
        let lost = turn.end(&mut process.core, draws)?;
        if lost {
            // It starts again: its successor learns the outcomes of its messages from the stream.
            work.restart_at = now + 1;
            ctx.count(Event::PublishersLost);
        }
        Ok(ClientTurn { work: done, ends: lost })
    }

    fn turn_subscriber(
        &mut self,
        ctx: &mut RunContext,
        machines: &mut Machines,
        index: usize,
        draws: [u64; 2],
    ) -> Result<usize, Violation> {
        let now = ctx.plan.clock(index).at(ctx.now);
        let takeovers = ctx.takeovers();
        let Some(ClientProcess::Subscriber(process, reading)) = self.get_mut(index) else { return Ok(0) };
        let Some(mut process) = process.take() else { return Ok(0) };
        reading.slept.go_on(takeovers);
        let mut source = std::mem::take(&mut reading.source);
        machines.read_journal(ctx, index, &mut process.core, &mut source);
        let Some(ClientProcess::Subscriber(node, reading)) = self.get_mut(index) else { return Ok(0) };
        reading.source = source;
        let limit = 1 + (draws[0] % 8) as usize;
        let outcome = read(index, now, &mut process, reading, &mut ctx.oracle, limit, draws[1] % 16);
        *node = Some(process);
        let (done, lines) = outcome?;
        for line in lines {
            ctx.tell(index, || Happening::Note(line));
        }
        Ok(done)
    }

    /// A participant is judged as a publisher and as a subscriber: by what each half reports.
    fn turn_participant(
        &mut self,
        ctx: &mut RunContext,
        machines: &mut Machines,
        index: usize,
        draws: [u64; 2],
    ) -> Result<usize, Violation> {
        let (now, pace) = (ctx.now, pace(ctx));
        let shown = ctx.plan.clock(index).at(now);
        let wall = shown + ctx.plan.wall_ns;
        let takeovers = ctx.takeovers();
        let Some(ClientProcess::Participant(process, _, reading)) = self.get_mut(index) else { return Ok(0) };
        let Some(mut process) = process.take() else { return Ok(0) };
        reading.slept.go_on(takeovers);
        let mut source = std::mem::take(&mut reading.source);
        machines.read_journal(ctx, index, &mut process.subscriber, &mut source);
        let Some(ClientProcess::Participant(node, work, reading)) = self.get_mut(index) else { return Ok(0) };
        let (process, oracle) = (node.insert(process), &mut ctx.oracle);
        reading.source = source;
        reading.hold(&mut process.subscriber);
        let was_lost = process.publisher.is_lost();
        if !was_lost {
            hand_in(index, &mut process.publisher, work, oracle, draws, (now, pace))?;
        }
        let by_replay = Cell::new(false);
        let mut stop = draws[1] % 16;
        let mut reads = ReaderTurn::new(
            index,
            reading.source.unreached,
            &mut reading.slept,
            &by_replay,
            reading.tap.clone(),
        );
        let mut publishes = PublisherTurn::new(index, work);
        let limit = 1 + (draws[0] % 9) as usize;
        let mut done = process.poll(shown, Wall(wall), limit, |event| match event {
            ParticipantEvent::Publisher(event) => {
                publishes.on_event(oracle, event);
                ControlFlow::Continue(())
            }
            ParticipantEvent::Subscriber(event) => reads.on_event(oracle, &event, &mut stop),
        });
        by_replay.set(true);
        let core = &mut process.subscriber;
        let on_event = |event: SubscriberEvent<'_>| reads.on_event(oracle, &event, &mut stop);
        let used = core.on_replay(shown, &reading.source.buffered, on_event);
        reading.source.buffered.drain(..used);
        done += used;
        let lines = reads.end(core, reading.delivery, &mut reading.ended)?;
        if let Some(tap) = &reading.tap {
            tap.borrow_mut().on_turn(core);
        }
        let lost = publishes.end(&mut process.publisher, draws)?;
        for line in lines {
            ctx.tell(index, || Happening::Note(line));
        }
        if lost {
            self.on_half_lost(ctx, index, draws[0]);
        }
        Ok(done)
    }

    /// The half that publishes is lost: the stream is read on, until the process is started again.
    fn on_half_lost(&mut self, ctx: &mut RunContext, index: usize, drawn: u64) {
        let restart_at = ctx.now + 1 + drawn % ctx.plan.timeout_ns;
        let coverage = &mut ctx.oracle.facts.coverage;
        coverage.count(Event::PublishersLost);
        if let Some(ClientProcess::Participant(_, work, reading)) = self.get_mut(index) {
            work.restart_at = restart_at;
            if !reading.ended {
                coverage.count(Event::HalvesLost);
            }
            if let Some(tap) = &reading.tap {
                tap.borrow_mut().on_ended("its publisher is lost");
            }
        }
    }

    /// Whether a participant without its publisher ends now, to start again.
    fn is_half_due(&self, now: Nanos, index: usize) -> bool {
        matches!(self.get(index), Some(ClientProcess::Participant(Some(process), work, _))
            if process.publisher.is_lost() && now >= work.restart_at)
    }
}

/// How publishers hand messages in now.
fn pace(ctx: &RunContext) -> Pace {
    let calm = ctx.is_calm();
    Pace {
        calm,
        may_be_empty: !ctx.plan.has_rivals(),
        // Messages handed in then must not make small rings wrap: a node that is behind would never
        // catch up.
        may_be_large: !calm || ctx.plan.smallest_ring_bytes() >= 128 << 10,
    }
}

/// How publishers hand messages in.
#[derive(Clone, Copy)]
struct Pace {
    /// At each turn.
    calm: bool,
    /// Of no byte, ...
    may_be_empty: bool,
    /// ... and in parts.
    may_be_large: bool,
}

/// A publisher hands a few messages in, if it is time.
fn hand_in(
    who: usize,
    core: &mut PublisherCore,
    work: &mut WorldWork,
    oracle: &mut Oracle,
    draws: [u64; 2],
    (now, pace): (Nanos, Pace),
) -> Result<(), Violation> {
    if now < work.next_at && !pace.calm {
        return Ok(());
    }
    work.next_at = now + work.every_ns / 2 + draws[1] % (work.every_ns + 1);
    publish(who, core, work, oracle, draws, pace)
}

/// The events of a publisher in one turn, while they are judged.
struct PublisherTurn<'a> {
    who: usize,
    work: &'a mut WorldWork,
    lost: bool,
    failure: Option<Violation>,
}

impl<'a> PublisherTurn<'a> {
    fn new(who: usize, work: &'a mut WorldWork) -> Self {
        Self { who, work, lost: false, failure: None }
    }

    fn on_event(&mut self, oracle: &mut Oracle, event: PublisherEvent) {
        let Self { who, work, lost, failure } = self;
        *lost |= event == PublisherEvent::OutcomesUnknown;
        let (name, nonce, own) = (&work.name[..], work.nonce, work.id);
        let reported = ReportedEvent::Publisher { name, nonce, own, event };
        if let Err(violation) = oracle.on_event(*who, &reported) {
            failure.get_or_insert(violation);
        }
        if let Err(violation) = on_publisher_event(*who, event, work, oracle) {
            failure.get_or_insert(violation);
        }
    }

    /// The end of the turn: a name that was closed is opened again. Returns whether the publisher is lost.
    fn end(self, core: &mut PublisherCore, draws: [u64; 2]) -> Result<bool, Violation> {
        let Self { work, lost, failure, .. } = self;
        failure.map_or(Ok(()), Err)?;
        if std::mem::take(&mut work.closed) {
            work.nonce = draws;
            core.open(&work.name, work.nonce);
        }
        Ok(lost)
    }
}

/// A publisher submits a few messages, of lengths drawn from `draws`.
fn publish(
    who: usize,
    core: &mut PublisherCore,
    work: &mut WorldWork,
    oracle: &mut Oracle,
    draws: [u64; 2],
    Pace { may_be_empty, may_be_large, .. }: Pace,
) -> Result<(), Violation> {
    let Some(id) = work.id else { return Ok(()) };
    if let Some(notes) = &work.notes {
        return publish_notes(core, id, &mut notes.borrow_mut(), oracle);
    }
    if work.closes {
        match core.try_close(id, b"done") {
            Ok(()) => (work.closes, work.closing) = (false, true),
            Err(PublishError::Backpressure) => {}
            Err(PublishError::Fenced) => work.closes = false,
            Err(error) => return Err(format!("VALIDITY: publisher {who} cannot close: {error}")),
        }
    }
    if work.closing {
        return Ok(());
    }
    for count in 0..1 + draws[0] % 3 {
        if work.left == 0 {
            return Ok(());
        }
        // The last one is sent in three parts.
        let kinds = if may_be_large { 6 } else { 5 };
        let length = [0, 16, 64, 200, 1_200, 3_600][((draws[1] >> (8 * count)) % kinds) as usize];
        let length = if may_be_empty { length } else { length.max(16) };
        work.handed_in += 1;
        let payload = payload::of(who, work.handed_in, length);
        match core.try_publish(id, 0, &payload) {
            Ok(number) => {
                oracle.clients.on_published(&mut oracle.facts, who, id, number, &payload);
                work.left -= 1;
            }
            Err(PublishError::Backpressure) => return Ok(()),
            Err(PublishError::Fenced) => {
                work.left = 0;
                return Ok(());
            }
            Err(error) => return Err(format!("VALIDITY: publisher {who} is refused: {error}")),
        }
    }
    Ok(())
}

/// A coordinator of a set publishes to the set's own channel: such an entry is no message, and the set
/// judges it.
fn publish_notes(
    core: &mut PublisherCore,
    id: PublisherId,
    notes: &mut VecDeque<Vec<u8>>,
    oracle: &mut Oracle,
) -> Result<(), Violation> {
    while let Some(note) = notes.pop_front() {
        match core.try_publish(id, SETS, &note) {
            Ok(number) => oracle.facts.on_note(id, number, &note),
            Err(PublishError::Backpressure) => {
                notes.push_front(note);
                break;
            }
            Err(PublishError::Fenced) => break,
            Err(error) => return Err(format!("VALIDITY: a coordinator is refused: {error}")),
        }
    }
    Ok(())
}

fn on_publisher_event(
    who: usize,
    event: PublisherEvent,
    work: &mut WorldWork,
    oracle: &mut Oracle,
) -> Result<(), Violation> {
    match event {
        PublisherEvent::Opened { publisher, .. } => work.id = Some(publisher),
        PublisherEvent::Fenced { .. } if work.notes.is_some() => work.fenced = true,
        _ if work.notes.is_some() => oracle.clients.on_edge_outcome(&oracle.facts, who, &event)?,
        PublisherEvent::Stamped { publisher_seq, seq, .. } => {
            oracle.clients.on_stamped(&oracle.facts, who, publisher_seq, seq)?;
        }
        PublisherEvent::Committed { publisher, publisher_seq, seq } => {
            work.delivered_next = work.delivered_next.max(seq + 1);
            oracle.clients.on_outcome(&mut oracle.facts, who, (publisher, publisher_seq), seq, false)?;
        }
        PublisherEvent::Discarded { publisher, publisher_seq, seq } => {
            work.delivered_next = work.delivered_next.max(seq + 1);
            oracle.clients.on_outcome(&mut oracle.facts, who, (publisher, publisher_seq), seq, true)?;
        }
        PublisherEvent::Founded { history, seq } => {
            oracle.clients.on_publisher_went_over(&mut oracle.facts, who, history, seq)?
        }
        PublisherEvent::HistoryLost { history, next, have } => {
            oracle.clients.on_publisher_forgotten(&mut oracle.facts, who, history, next, have)?;
        }
        PublisherEvent::Fenced { publisher_seq, .. } => {
            (work.left, work.fenced) = (0, true);
            oracle.clients.on_outcome_ended(&mut oracle.facts, who, publisher_seq)?;
        }
        PublisherEvent::Closed { publisher_seq, .. } => {
            if !std::mem::take(&mut work.closing) {
                return Err(format!(
                    "VALIDITY: publisher {who} is told that it is closed, and nobody closed it"
                ));
            }
            (work.id, work.closed) = (None, true);
            oracle.clients.on_outcome_ended(&mut oracle.facts, who, publisher_seq)?;
        }
        _ => {}
    }
    Ok(())
}

/// A subscriber's turn. Returns its work, and lines for the story.
fn read(
    who: usize,
    now: Nanos,
    process: &mut SubscriberEngine<SimNet>,
    reading: &mut ReaderSlot,
    oracle: &mut Oracle,
    limit: usize,
    mut stop: u64,
) -> Result<(usize, Vec<String>), Violation> {
    reading.hold(&mut process.core);
    let by_replay = Cell::new(false);
    let mut turn =
        ReaderTurn::new(who, reading.source.unreached, &mut reading.slept, &by_replay, reading.tap.clone());
    let mut on_event = |event: SubscriberEvent<'_>| turn.on_event(oracle, &event, &mut stop);
    let mut work = process.poll(now, limit, &mut on_event);
    by_replay.set(true);
    let used = process.core.on_replay(now, &reading.source.buffered, &mut on_event);
    reading.source.buffered.drain(..used);
    work += used;
    if let Some(tap) = &reading.tap {
        tap.borrow_mut().on_turn(&process.core);
    }
    Ok((work, turn.end(&process.core, reading.delivery, &mut reading.ended)?))
}

/// The events of a subscriber in one turn, while they are judged.
struct ReaderTurn<'a> {
    who: usize,
    /// The nodes whose journals could not be reached when they were asked last.
    unreached: NodeSet,
    slept: &'a mut SleepOutcome,
    /// Whether the delivered messages came by replay.
    by_replay: &'a Cell<bool>,
    /// Lines of the story.
    lines: Vec<String>,
    /// The last message delivered.
    last: Option<Seq>,
    /// The subscription has ended.
    ended: bool,
    failure: Option<Violation>,
    /// The process of a set that reads along.
    tap: Option<Tap>,
}

impl<'a> ReaderTurn<'a> {
    fn new(
        who: usize,
        unreached: NodeSet,
        slept: &'a mut SleepOutcome,
        by_replay: &'a Cell<bool>,
        tap: Option<Tap>,
    ) -> Self {
        let (lines, last, ended, failure) = (Vec::new(), None, false, None);
        Self { who, unreached, slept, by_replay, lines, last, ended, failure, tap }
    }

    /// Judges an event. The application stops the stream when `stop` events have come.
    fn on_event(
        &mut self,
        oracle: &mut Oracle,
        event: &SubscriberEvent<'_>,
        stop: &mut u64,
    ) -> ControlFlow<()> {
        let is_allowed = match event {
            // Where it is held at a bound, a replay goes on behind what waits in its memory.
            SubscriberEvent::Replaying { .. } if self.tap.is_some() => Ok(()),
            _ => oracle.on_event(self.who, &ReportedEvent::Subscriber(event)),
        };
        if let Err(violation) = self.judge(oracle, event).and(is_allowed) {
            self.failure.get_or_insert(violation);
        }
        if let Some(tap) = &self.tap {
            tap.borrow_mut().on_event(event);
        }
        *stop = stop.wrapping_sub(1);
        if *stop == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The end of the turn. Returns lines for the story.
    fn end(
        self,
        core: &SubscriberCore,
        delivery: Delivery,
        has_ended: &mut bool,
    ) -> Result<Vec<String>, Violation> {
        let Self { who, lines, last, ended, failure, .. } = self;
        *has_ended |= ended;
        failure.map_or(Ok(()), Err)?;
        match (last, delivery) {
            (Some(last), Delivery::Committed) if last >= core.commit_next() => {
                Err(format!("AGREEMENT: subscriber {who} delivered {last} before it was committed"))
            }
            _ => Ok(lines),
        }
    }

    fn judge(&mut self, oracle: &mut Oracle, event: &SubscriberEvent<'_>) -> Result<(), Violation> {
        let who = self.who;
        match *event {
            SubscriberEvent::Message(ref message) => {
                self.last = Some(message.seq);
                oracle.facts.coverage.count_all(self.slept.take(message.seq, self.by_replay.get()));
                oracle.clients.on_delivered(&mut oracle.facts, who, message)
            }
            SubscriberEvent::Retract { from } => {
                self.lines.push(format!("retracts from {from} on"));
                oracle.facts.coverage.count(Event::Retracts);
                self.slept.retract(from);
                oracle.clients.on_retracted(&oracle.facts, who, from)
            }
            SubscriberEvent::Abandoned { from, oldest, .. } => {
                // A small ring has lost the range: that is reported, and the subscription ends.
                oracle.facts.coverage.count(Event::Abandoned);
                self.end_by(oracle, format!("abandoned at {from}, the oldest that anybody holds is {oldest}"))
            }
            SubscriberEvent::Founded { history, seq, .. } => {
                oracle.clients.on_went_over(&mut oracle.facts, who, history, seq)
            }
            SubscriberEvent::HistoryLost { history, next, have } => {
                let line = format!("is ahead: has all below {have}, history {history:x} begins at {next}");
                if let Some(tap) = &self.tap {
                    tap.borrow_mut().on_ended(&line);
                }
                self.lines.push(line);
                self.ended = true;
                oracle.clients.on_history_lost(&mut oracle.facts, who, history, next, have)
            }
            SubscriberEvent::Ahead { next, end, .. } if oracle.facts.may_be_ahead(next) => {
                self.end_by(oracle, format!("is ahead: at {next}, the log ends at {end}"))
            }
            SubscriberEvent::Diverged { seq } if oracle.facts.parts_before(seq) => {
                oracle.facts.coverage.count(Event::ReadersDiverged);
                self.end_by(oracle, format!("has another log below {seq} than the new history"))
            }
            // No committed entry is lost: a reader that receives this event is misled.
            SubscriberEvent::Ahead { next, end, epoch } => Err(format!(
                "AGREEMENT: subscriber {who}, at {next}, is said to be ahead of {epoch}, which ends at {end}"
            )),
            SubscriberEvent::Diverged { seq } => {
                Err(format!("AGREEMENT: subscriber {who} finds another log than its own at {seq}"))
            }
            SubscriberEvent::Refused { why: None, .. } => {
                self.end_by(oracle, "refused: no journal can be reached".to_string())
            }
            // The same divergence, found by a journal that was asked for the reader's place.
            SubscriberEvent::Refused { why: Some(ReplayEndReason::ChainMismatch), next }
                if oracle.facts.parts_before(next) =>
            {
                oracle.facts.coverage.count(Event::ReadersDiverged);
                self.end_by(
                    oracle,
                    format!("has another log below {next} than the new history, as a journal says"),
                )
            }
            SubscriberEvent::Refused { why: Some(ReplayEndReason::Damaged), next }
                if oracle.facts.coverage.get(Event::LastCopies) > 0 || self.unreached != 0 =>
            {
                self.end_by(oracle, format!("refused at {next}: no journal that is whole can be reached"))
            }
            SubscriberEvent::Refused { ref why, next } => {
                Err(format!("AGREEMENT: subscriber {who} is refused at {next}: {why:?}"))
            }
            _ => Ok(()),
        }
    }

    /// The subscription ends, for this reason.
    fn end_by(&mut self, oracle: &mut Oracle, line: String) -> Result<(), Violation> {
        if let Some(tap) = &self.tap {
            tap.borrow_mut().on_ended(&line);
        }
        self.lines.push(line);
        self.ended = true;
        oracle.clients.on_subscription_ended(self.who);
        Ok(())
    }
}
