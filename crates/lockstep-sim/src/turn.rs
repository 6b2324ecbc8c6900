//! One turn of one process.

use super::check::{Oracle, Violation};
use super::coverage::Event;
use super::full_disks;
use super::payload;
use super::quorum_loss::is_left_behind;
use super::sleeper::SleepOutcome;
use super::storage::Flushed;
use super::story::Happening;
use super::world::{Actor, ReaderSlot, RunPhase, World, WorldWork};
use crate::net::SimNet;
use lockstep_core::engine::event::{ReplicaEvent as NodeEvent, Role};
use lockstep_core::engine::publisher::{PublishError, PublisherEngine, PublisherEvent};
use lockstep_core::engine::subscriber::{SubscriberEngine, SubscriberEvent};
use lockstep_core::proto::commit::Durability;
use lockstep_replica::journal::NeededBy;
use lockstep_replica::journal::side::SideEvent;
use lockstep_wire::{Epoch, Nanos, ReplayEndReason, SMALL_LEN_MAX, Seq};
use std::cell::Cell;
use std::ops::ControlFlow;

impl World {
    /// Calls the process at `index`. Returns the work that it did.
    pub(super) fn turn(&mut self, index: usize) -> Result<usize, Violation> {
        let draws = [self.rng.next_u64(), self.rng.next_u64()];
        match &self.nodes[index].actor {
            Actor::Replica(_) => self.turn_replica(index, draws),
            Actor::Publisher(..) => self.turn_publisher(index, draws),
            Actor::Subscriber(..) => self.turn_subscriber(index, draws),
            Actor::Edge(_) => self.turn_edge(index, draws),
            Actor::Second(_) => self.turn_second(index),
            Actor::Handle(_) => Ok(0),
        }
    }

    fn turn_replica(&mut self, index: usize, draws: [u64; 2]) -> Result<usize, Violation> {
        let now = self.now;
        // The side thread runs beside the hot thread, at its own pace.
        if draws[0].is_multiple_of(4) || self.nodes[index].idle_ns > self.plan.turn_ns {
            self.flush(index)?;
        }
        let Actor::Replica(machine) = &mut self.nodes[index].actor else { return Ok(0) };
        let (wall, shown) = (machine.wall(now), machine.clock.at(now));
        let configured = machine.configured;
        let Some(replica) = machine.replica_mut() else { return Ok(0) };
        (replica.net_mut().sends, replica.net_mut().data_sends) = (0, 0);
        self.oracle.on_turn(index);
        let work = replica.poll(shown, wall);
        if replica.core.is_stopped() {
            return self.on_replica_stopped(index).map(|()| 0);
        }
        if replica.net().data_sends > 1 && configured.durability == Durability::Process {
            return Err(format!(
                "HOT: replica {index} made {} send calls to the data group in a turn",
                replica.net().data_sends
            ));
        }
        let leads = (replica.role() == Role::Leader).then(|| replica.tail().end().epoch);
        let events = self.take_replica_events(index)?;
        self.answer_event_queries(index, &events);
        self.note_replica_turn(index, leads, events);
        Ok(work + self.replay(index, draws[1])?)
    }

    /// A replica stopped by itself: either for a reason that the world caused, or the run ends here.
    fn on_replica_stopped(&mut self, index: usize) -> Result<(), Violation> {
        let Actor::Replica(machine) = &mut self.nodes[index].actor else { return Ok(()) };
        let (harmed, ring_bytes) = (machine.harmed, machine.ring_bytes);
        let Some(replica) = machine.replica_mut() else { return Ok(()) };
        let (mut why, mut overran, mut events) = (String::new(), false, Vec::new());
        while let Some(event) = replica.core.events.pop() {
            overran |= matches!(event, NodeEvent::Overrun { .. });
            why = format!("{why} {event:?}");
            events.push(event);
        }
        if is_left_behind(&events) && self.oracle.founding().is_some() {
            return self.on_left_behind(index, &events);
        }
        // A recovered ring may begin at the commit: everything before it is read again.
        let begins_late = replica.tail().oldest_seq() >= replica.core.commit_next();
        let overran = overran && (begins_late || self.oracle.overruns(index, replica.tail(), ring_bytes));
        if harmed {
            self.on_damage_noticed(index, why);
            return Ok(());
        }
        if overran {
            return self.on_overrun(index, why);
        }
        Err(format!("STOPPED: replica {index} stopped by itself:{why}"))
    }

    /// The events of a replica in this turn, counted and judged.
    fn take_replica_events(&mut self, index: usize) -> Result<Vec<NodeEvent>, Violation> {
        // A turn in which a process died is not judged.
        self.events.clear();
        let Actor::Replica(machine) = &mut self.nodes[index].actor else { return Ok(Vec::new()) };
        let Some(replica) = machine.replica_mut() else { return Ok(Vec::new()) };
        let mut replaced = false;
        while let Some(event) = replica.core.events.pop() {
            if let NodeEvent::SuffixReplaced { old_epoch, old_next, .. } = event {
                replaced = true;
                self.oracle.on_suffix_replaced(index, old_epoch, old_next)?;
            }
            if let NodeEvent::VersionRaised { .. } = event {
                self.oracle.coverage.count(Event::VersionsRaised);
            }
            if let Some(event) = full_disks::count(&event) {
                self.oracle.coverage.count(event);
            }
            self.events.push(event);
        }
        if replaced {
            machine.replaced_in = Some(machine.store.newest_segment());
        }
        let events = self.events.clone();
        full_disks::judge(machine, index, &events)?;
        Ok(events)
    }

    /// Records whether it led in this turn, its death notice for the watcher, and the lines of the story.
    fn note_replica_turn(&mut self, index: usize, leads: Option<Epoch>, events: Vec<NodeEvent>) {
        let node = &mut self.nodes[index];
        let changed = std::mem::replace(&mut node.led, leads) != leads;
        let Actor::Replica(machine) = &mut node.actor else { return };
        machine.led |= leads.is_some();
        // As in a node, the watcher learns the secret of the death notice together with an event.
        if let Some(replica) = machine.replica_mut().filter(|_| !events.is_empty()) {
            let mut notice = [0; SMALL_LEN_MAX];
            let length = replica.death_notice(&mut notice);
            if node.notice != notice[..length] {
                let old = std::mem::replace(&mut node.notice, notice[..length].to_vec());
                if !old.is_empty() {
                    self.old_notices.push((index, old));
                }
            }
        }
        if self.story.is_some() {
            for event in events {
                self.tell(index, || Happening::Note(format!("{event:?}")));
            }
            if changed {
                self.tell(index, || Happening::Leads(leads));
            }
        }
    }

    /// The side thread of a replica has its turn; the process may end in it.
    fn flush(&mut self, index: usize) -> Result<(), Violation> {
        let now = self.now;
        let Actor::Replica(machine) = &mut self.nodes[index].actor else { return Ok(()) };
        let flushed = machine.flush(now)?;
        let (events, may_be_damaged) = (std::mem::take(&mut machine.remarks), machine.may_refuse());
        let proven = std::mem::take(&mut machine.proven);
        self.oracle.coverage.count_all((0..proven).map(|_| Event::DurabilityProven));
        let durable = machine.replica().map(|replica| replica.tail().durable_next());
        self.on_side_events(index, events, may_be_damaged)?;
        self.bring(index);
        match flushed {
            Flushed::GoesOn => durable.map_or(Ok(()), |durable| self.oracle.on_flushed(index, durable))?,
            Flushed::Damaged(why) => self.on_damage_noticed(index, why),
            Flushed::Died => self.on_died(index),
            Flushed::Failed(why) => self.on_device_failed(index, why),
        }
        Ok(())
    }

    /// The reports of a side thread: damage only where a fault caused some.
    fn on_side_events(
        &mut self,
        index: usize,
        events: Vec<SideEvent>,
        may_be_damaged: bool,
    ) -> Result<(), Violation> {
        for remark in events {
            match &remark {
                SideEvent::Damaged(damage) if !may_be_damaged => {
                    return Err(format!("S7: the scrub of replica {index} finds damage: {damage}"));
                }
                SideEvent::Damaged(_) => self.oracle.coverage.count(Event::ScrubFinds),
                SideEvent::Mended(number) => {
                    if let Actor::Replica(machine) = &mut self.nodes[index].actor {
                        machine.on_mended(*number)?;
                    }
                    self.oracle.coverage.count(Event::Mended);
                }
                SideEvent::NotMended { .. } => self.oracle.coverage.count(Event::NotMended),
                SideEvent::Removed(_) => self.oracle.coverage.count(Event::SegmentsRemoved),
                SideEvent::Packed { .. } => self.oracle.coverage.count(Event::SegmentsPacked),
                SideEvent::RetainedFor { by: NeededBy::TradingDay, .. } => {
                    self.oracle.coverage.count(Event::DaysRetained);
                }
                SideEvent::NeedLapsed { by: NeededBy::TradingDay, .. } => {
                    self.oracle.coverage.count(Event::DaysLapsed);
                }
                SideEvent::RetainedFor { .. } => self.oracle.coverage.count(Event::SegmentsRetained),
                SideEvent::NeedLapsed { .. } => self.oracle.coverage.count(Event::NeedsLapsed),
                SideEvent::Stuck(_) | SideEvent::GoesOn | SideEvent::NotRemoved(_) => {}
            }
            self.tell(index, || Happening::Note(remark.to_string()));
        }
        Ok(())
    }

    /// A replica whose journal was damaged has found the damage, and is silent.
    fn on_damage_noticed(&mut self, index: usize, why: String) {
        if let Actor::Replica(machine) = &mut self.nodes[index].actor {
            machine.forget();
            self.oracle.on_forgotten(machine.identity);
        }
        self.lost |= 1 << index;
        self.oracle.coverage.count(Event::DamageFound);
        self.tell(index, || Happening::Note(format!("stops:{why}")));
    }

    /// A suffix replacement was longer than the ring: the replica is restarted, and reads its journal.
    fn on_overrun(&mut self, index: usize, why: String) -> Result<(), Violation> {
        let until = self.now + self.plan.timeout_ns / 2;
        if let Actor::Replica(machine) = &mut self.nodes[index].actor {
            if let Some(replica) = machine.replica() {
                self.oracle.check_replica(index, replica.tail(), replica.core.commit_next())?;
            }
            machine.kill(until, None);
        }
        self.oracle.coverage.count(Event::Overruns);
        self.tell(index, || Happening::Note(format!("stops:{why}")));
        Ok(())
    }

    fn turn_publisher(&mut self, index: usize, draws: [u64; 2]) -> Result<usize, Violation> {
        let (now, shown) = (self.now, self.plan.clock(index).at(self.now));
        let wall = shown + self.plan.wall_ns;
        let may_be_empty = !self.plan.has_rivals();
        let calm = self.phase != RunPhase::Storm;
        // Messages handed in then must not make small rings wrap: a node that is behind would never catch
        // up.
        let may_be_large = !calm || self.plan.smallest_ring_bytes() >= 128 << 10;
        let Actor::Publisher(Some(process), work) = &mut self.nodes[index].actor else { return Ok(0) };
        if now >= work.next_at || calm {
            work.next_at = now + work.every_ns / 2 + draws[1] % (work.every_ns + 1);
            publish(index, process, work, &mut self.oracle, draws, (may_be_empty, may_be_large))?;
        }
        let mut failure = None;
        let (mut lost, oracle) = (false, &mut self.oracle);
        let done = process.poll(shown, wall, 1 + (draws[0] % 9) as usize, |event| {
            lost |= event == PublisherEvent::OutcomesUnknown;
            let handle = (&work.name[..], work.nonce, work.id);
            if let Err(violation) = oracle.check_publisher_event(index, handle, event) {
                failure.get_or_insert(violation);
            }
            if let Err(violation) = on_publisher_event(index, event, work, oracle) {
                failure.get_or_insert(violation);
            }
        });
        failure.map_or(Ok(()), Err)?;
        if std::mem::take(&mut work.closed) {
            work.nonce = [draws[0], draws[1]];
            process.core.open(&work.name, work.nonce);
        }
        if lost {
            // It starts again: its successor learns the outcomes of its messages from the stream.
            work.restart_at = now + 1;
            self.oracle.coverage.count(Event::PublishersLost);
            self.send(index, usize::MAX)?;
            if let Actor::Publisher(process, _) = &mut self.nodes[index].actor {
                *process = None;
            }
        }
        Ok(done)
    }

    fn turn_subscriber(&mut self, index: usize, draws: [u64; 2]) -> Result<usize, Violation> {
        let now = self.plan.clock(index).at(self.now);
        self.check_model()?;
        let takeovers = self.takeovers();
        let Actor::Subscriber(process, reading) = &mut self.nodes[index].actor else { return Ok(0) };
        let Some(mut process) = process.take() else { return Ok(0) };
        reading.slept.go_on(takeovers);
        let mut source = std::mem::take(&mut reading.source);
        self.read_journal(index, &mut process.core, &mut source);
        let Actor::Subscriber(node, reading) = &mut self.nodes[index].actor else { return Ok(0) };
        reading.source = source;
        let limit = 1 + (draws[0] % 8) as usize;
        let outcome = read(index, now, &mut process, reading, &mut self.oracle, limit, draws[1] % 16);
        *node = Some(process);
        let (done, lines) = outcome?;
        for line in lines {
            self.tell(index, || Happening::Note(line));
        }
        Ok(done)
    }
}

/// A publisher submits a few messages, of lengths drawn from `draws`.
fn publish(
    who: usize,
    process: &mut PublisherEngine<SimNet>,
    work: &mut WorldWork,
    oracle: &mut Oracle,
    draws: [u64; 2],
    (may_be_empty, may_be_large): (bool, bool),
) -> Result<(), Violation> {
    let Some(id) = work.id else { return Ok(()) };
    if work.closes {
        match process.core.try_close(id, b"done") {
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
        match process.core.try_publish(id, 0, &payload) {
            Ok(number) => {
                oracle.on_published(who, id, number, &payload);
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

fn on_publisher_event(
    who: usize,
    event: PublisherEvent,
    work: &mut WorldWork,
    oracle: &mut Oracle,
) -> Result<(), Violation> {
    match event {
        PublisherEvent::Opened { publisher, .. } => work.id = Some(publisher),
        PublisherEvent::Stamped { publisher_seq, seq, .. } => {
            oracle.on_stamped(who, publisher_seq, seq)?;
        }
        PublisherEvent::Committed { publisher, publisher_seq, seq } => {
            work.delivered_next = work.delivered_next.max(seq + 1);
            oracle.on_outcome_committed(who, publisher, publisher_seq, seq)?;
        }
        PublisherEvent::Founded { history, seq } => oracle.on_publisher_went_over(who, history, seq)?,
        PublisherEvent::HistoryLost { history, next, have } => {
            oracle.on_publisher_forgotten(who, history, next, have)?;
        }
        PublisherEvent::Fenced { publisher_seq, .. } => {
            (work.left, work.fenced) = (0, true);
            oracle.on_outcome_ended(who, publisher_seq)?;
        }
        PublisherEvent::Closed { publisher_seq, .. } => {
            if !std::mem::take(&mut work.closing) {
                return Err(format!(
                    "VALIDITY: publisher {who} is told that it is closed, and nobody closed it"
                ));
            }
            (work.id, work.closed) = (None, true);
            oracle.on_outcome_ended(who, publisher_seq)?;
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
    let by_replay = Cell::new(false);
    let mut turn = ReaderTurn {
        who,
        oracle,
        slept: &mut reading.slept,
        by_replay: &by_replay,
        lines: Vec::new(),
        last: None,
        ended: false,
        failure: None,
    };
    let mut on_event = |event: SubscriberEvent<'_>| {
        turn.on_event(&event);
        stop = stop.wrapping_sub(1);
        if stop == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut work = process.poll(now, limit, &mut on_event);
    by_replay.set(true);
    let used = process.core.on_replay(now, &reading.source.buffered, &mut on_event);
    reading.source.buffered.drain(..used);
    work += used;
    let ReaderTurn { lines, last, ended, failure, .. } = turn;
    reading.ended |= ended;
    failure.map_or(Ok(()), Err)?;
    if let (Some(last), lockstep_core::engine::subscriber::Delivery::Committed) = (last, reading.delivery)
        && last >= process.core.commit_next()
    {
        return Err(format!("AGREEMENT: subscriber {who} delivered {last} before it was committed"));
    }
    Ok((work, lines))
}

/// The events of a subscriber in one turn, while they are judged.
struct ReaderTurn<'a> {
    who: usize,
    oracle: &'a mut Oracle,
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
}

impl ReaderTurn<'_> {
    fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        let is_allowed = self.oracle.check_subscriber_event(self.who, event);
        if let Err(violation) = self.judge(event).and(is_allowed) {
            self.failure.get_or_insert(violation);
        }
    }

    fn judge(&mut self, event: &SubscriberEvent<'_>) -> Result<(), Violation> {
        let Self { who, oracle, .. } = self;
        let who = *who;
        match *event {
            SubscriberEvent::Message(ref message) => {
                self.last = Some(message.seq);
                oracle.coverage.count_all(self.slept.take(message.seq, self.by_replay.get()));
                oracle.on_delivered(who, message)
            }
            SubscriberEvent::Retract { from } => {
                self.lines.push(format!("retracts from {from} on"));
                oracle.coverage.count(Event::Retracts);
                self.slept.retract(from);
                oracle.on_retracted(who, from)
            }
            SubscriberEvent::Abandoned { from, oldest, .. } => {
                // A small ring has lost the range: that is reported, and the subscription ends.
                oracle.coverage.count(Event::Abandoned);
                self.end(format!("abandoned at {from}, the oldest that anybody holds is {oldest}"))
            }
            SubscriberEvent::Founded { history, seq, .. } => oracle.on_went_over(who, history, seq),
            SubscriberEvent::HistoryLost { history, next, have } => {
                self.lines
                    .push(format!("is ahead: has all below {have}, history {history:x} begins at {next}"));
                self.ended = true;
                oracle.on_history_lost(who, history, next, have)
            }
            SubscriberEvent::Ahead { next, end, .. } if oracle.may_be_ahead(next) => {
                self.end(format!("is ahead: at {next}, the log ends at {end}"))
            }
            SubscriberEvent::Diverged { seq } if oracle.parts_before(seq) => {
                oracle.coverage.count(Event::ReadersDiverged);
                self.end(format!("has another log below {seq} than the new history"))
            }
            // No committed entry is lost: a reader that receives this event is misled.
            SubscriberEvent::Ahead { next, end, epoch } => Err(format!(
                "AGREEMENT: subscriber {who}, at {next}, is said to be ahead of {epoch}, which ends at {end}"
            )),
            SubscriberEvent::Diverged { seq } => {
                Err(format!("AGREEMENT: subscriber {who} finds another log than its own at {seq}"))
            }
            SubscriberEvent::Refused { why: None, .. } => {
                self.end("refused: no journal can be reached".to_string())
            }
            // The same divergence, found by a journal that was asked for the reader's place.
            SubscriberEvent::Refused { why: Some(ReplayEndReason::ChainMismatch), next }
                if oracle.parts_before(next) =>
            {
                oracle.coverage.count(Event::ReadersDiverged);
                self.end(format!("has another log below {next} than the new history, as a journal says"))
            }
            SubscriberEvent::Refused { ref why, next } => {
                Err(format!("AGREEMENT: subscriber {who} is refused at {next}: {why:?}"))
            }
            _ => Ok(()),
        }
    }

    /// The subscription ends, for this reason.
    fn end(&mut self, line: String) -> Result<(), Violation> {
        self.lines.push(line);
        self.ended = true;
        self.oracle.on_subscription_ended(self.who);
        Ok(())
    }
}
