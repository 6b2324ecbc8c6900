//! One turn of one process.

use super::check::Violation;
use super::coverage::Event;
use super::full_disks;
use super::quorum_loss::is_left_behind;
use super::storage::Flushed;
use super::story::Happening;
use super::world::{Actor, World};
use lockstep_core::engine::event::{ReplicaEvent as NodeEvent, Role};
use lockstep_core::proto::commit::Durability;
use lockstep_replica::journal::NeededBy;
use lockstep_replica::journal::side::SideEvent;
use lockstep_wire::{Epoch, SMALL_LEN_MAX};

/// The count of an event of a node.
fn counted(event: &NodeEvent) -> Option<Event> {
    match event {
        NodeEvent::VersionRaised { .. } => Some(Event::VersionsRaised),
        NodeEvent::TimeSetBack { .. } => Some(Event::TimesSetBack),
        event => full_disks::count(event),
    }
}

impl World {
    /// Calls the process at `index`. Returns the work that it did.
    pub(super) fn turn(&mut self, index: usize) -> Result<usize, Violation> {
        let draws = [self.rng.next_u64(), self.rng.next_u64()];
        match &self.nodes[index].actor {
            Actor::Replica(_) => self.turn_replica(index, draws),
            Actor::Publisher(..) => self.turn_publisher(index, draws),
            Actor::Subscriber(..) => self.turn_subscriber(index, draws),
            Actor::Participant(..) => self.turn_participant(index, draws),
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
        let (configured, identity) = (machine.configured, machine.identity);
        let Some(replica) = machine.replica_mut() else { return Ok(0) };
        (replica.net_mut().sends, replica.net_mut().data_sends) = (0, 0);
        let was_full = full_disks::is_full(replica);
        self.oracle.on_turn(index);
        self.oracle.clocks.on_turn(identity, now, wall);
        let work = replica.poll(shown, lockstep_wire::Wall(wall));
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
        let events = self.take_replica_events(index, was_full)?;
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

    /// The events of a replica in this turn, counted and judged; `was_full` before it.
    fn take_replica_events(&mut self, index: usize, was_full: bool) -> Result<Vec<NodeEvent>, Violation> {
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
            if let Some(event) = counted(&event) {
                self.oracle.coverage.count(event);
            }
            self.events.push(event);
        }
        if replaced {
            machine.replaced_in = Some(machine.store.newest_segment());
        }
        let events = self.events.clone();
        full_disks::judge(machine, index, was_full, &events)?;
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
        let noted = std::mem::take(&mut machine.noted);
        self.oracle.coverage.count_all(noted);
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
                _ => {}
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
}
