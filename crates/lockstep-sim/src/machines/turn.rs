//! One turn of one process.

use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::machine::storage::Flushed;
use crate::machines::recovery::is_left_behind;
use crate::machines::{MachineNode, Machines, full_disks};
use crate::operator::SimOperator;
use crate::story::Happening;
use crate::world::World;
use lockstep_core::engine::event::{ReplicaEvent as NodeEvent, Role};
use lockstep_core::proto::commit::Durability;
use lockstep_replica::journal::NeededBy;
use lockstep_replica::journal::side::SideEvent;
use lockstep_wire::{Epoch, SMALL_LEN_MAX, Wall};

/// The count of an event of a node.
fn counted(event: &NodeEvent) -> Option<Event> {
    match event {
        NodeEvent::VersionRaised { .. } => Some(Event::VersionsRaised),
        NodeEvent::TimeSetBack { .. } => Some(Event::TimesSetBack),
        event => full_disks::count(event),
    }
}

impl World {}

impl Machines {
    /// Calls the replica at `index`.
    pub(crate) fn turn_replica(
        &mut self,
        ctx: &mut RunContext,
        operator: &mut SimOperator,
        index: usize,
        draws: [u64; 2],
    ) -> Result<usize, Violation> {
        let now = ctx.now;
        // The side thread runs beside the hot thread, at its own pace.
        if draws[0].is_multiple_of(4) || self.nodes[index].host.idle_ns > ctx.plan.turn_ns {
            self.flush(ctx, index)?;
        }
        let Some(machine) = self.get_mut(index) else { return Ok(0) };
        let (wall, shown) = (machine.wall(now), machine.clock.at(now));
        let (configured, identity) = (machine.configured, machine.identity);
        let Some(replica) = machine.replica_mut() else { return Ok(0) };
        (replica.net_mut().sends, replica.net_mut().data_sends) = (0, 0);
        let was_full = full_disks::is_full(replica);
        ctx.oracle.facts.on_turn(index);
        ctx.oracle.logs.clocks.on_turn(identity, now, wall);
        let work = replica.poll(shown, Wall(wall));
        if replica.core.is_stopped() {
            return self.on_replica_stopped(ctx, operator, index).map(|()| 0);
        }
        if replica.net().data_sends > 1 && configured.durability == Durability::Process {
            return Err(format!(
                "HOT: replica {index} made {} send calls to the data group in a turn",
                replica.net().data_sends
            ));
        }
        let leads = (replica.role() == Role::Leader).then(|| replica.tail().end().epoch);
        let events = self.take_replica_events(ctx, index, was_full)?;
        self.nodes[index].machine.answer_event_queries(&events, shown, wall);
        self.note_replica_turn(ctx, index, leads, events);
        Ok(work + self.replay(ctx, index, draws[1])?)
    }

    /// A replica stopped by itself: either for a reason that the world caused, or the run ends here.
    fn on_replica_stopped(
        &mut self,
        ctx: &mut RunContext,
        operator: &mut SimOperator,
        index: usize,
    ) -> Result<(), Violation> {
        let Some(machine) = self.get_mut(index) else { return Ok(()) };
        let (harmed, ring_bytes) = (machine.harmed, machine.ring_bytes);
        let Some(replica) = machine.replica_mut() else { return Ok(()) };
        let (mut why, mut overran, mut events) = (String::new(), false, Vec::new());
        while let Some(event) = replica.core.events.pop() {
            overran |= matches!(event, NodeEvent::Overrun { .. });
            why = format!("{why} {event:?}");
            events.push(event);
        }
        if is_left_behind(&events) && ctx.oracle.facts.founding().is_some() {
            return self.on_left_behind(ctx, operator, index, &events);
        }
        // A recovered ring may begin at the commit: everything before it is read again.
        let begins_late = replica.tail().oldest_seq() >= replica.core.commit_next();
        let overran = overran
            && (begins_late
                || ctx.oracle.logs.overruns(&mut ctx.oracle.facts, index, replica.tail(), ring_bytes));
        if harmed {
            self.on_damage_noticed(ctx, index, why);
            return Ok(());
        }
        if overran {
            return self.nodes[index].on_overrun(ctx, index, why);
        }
        Err(format!("STOPPED: replica {index} stopped by itself:{why}"))
    }

    /// The events of a replica in this turn, counted and judged; `was_full` before it.
    fn take_replica_events(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        was_full: bool,
    ) -> Result<Vec<NodeEvent>, Violation> {
        // A turn in which a process died is not judged.
        self.events.clear();
        let machine = &mut self.nodes[index].machine;
        let Some(replica) = machine.replica_mut() else { return Ok(Vec::new()) };
        let mut replaced = false;
        while let Some(event) = replica.core.events.pop() {
            if let NodeEvent::SuffixReplaced { old_epoch, old_next, .. } = event {
                replaced = true;
                ctx.oracle.logs.on_suffix_replaced(&mut ctx.oracle.facts, index, old_epoch, old_next)?;
            }
            if let Some(event) = counted(&event) {
                ctx.count(event);
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
    fn note_replica_turn(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        leads: Option<Epoch>,
        events: Vec<NodeEvent>,
    ) {
        let node = &mut self.nodes[index];
        let changed = std::mem::replace(&mut node.led, leads) != leads;
        let machine = &mut node.machine;
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
        if ctx.story.is_some() {
            for event in events {
                ctx.tell(index, || Happening::Note(format!("{event:?}")));
            }
            if changed {
                ctx.tell(index, || Happening::Leads(leads));
            }
        }
    }

    /// The side thread of a replica has its turn; the process may end in it.
    fn flush(&mut self, ctx: &mut RunContext, index: usize) -> Result<(), Violation> {
        let now = ctx.now;
        let Some(machine) = self.get_mut(index) else { return Ok(()) };
        let flushed = machine.flush(now)?;
        let (events, may_be_damaged) = (std::mem::take(&mut machine.remarks), machine.may_refuse());
        let noted = std::mem::take(&mut machine.noted);
        ctx.oracle.facts.coverage.count_all(noted);
        let durable = machine.replica().map(|replica| replica.tail().durable_next());
        self.on_side_events(ctx, index, events, may_be_damaged)?;
        self.bring(ctx, index);
        match flushed {
            Flushed::GoesOn => durable.map_or(Ok(()), |durable| {
                ctx.oracle.logs.on_flushed(&mut ctx.oracle.facts, index, durable)
            })?,
            Flushed::Damaged(why) => self.on_damage_noticed(ctx, index, why),
            Flushed::Died => self.on_died(ctx, index),
            Flushed::Failed(why) => self.on_device_failed(ctx, index, why),
        }
        Ok(())
    }

    /// The reports of a side thread: damage only where a fault caused some.
    fn on_side_events(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        events: Vec<SideEvent>,
        may_be_damaged: bool,
    ) -> Result<(), Violation> {
        for remark in events {
            match &remark {
                SideEvent::Damaged(damage) if !may_be_damaged => {
                    return Err(format!("S7: the scrub of replica {index} finds damage: {damage}"));
                }
                SideEvent::Damaged(_) => ctx.count(Event::ScrubFinds),
                SideEvent::Mended(number) => {
                    if let Some(machine) = self.get_mut(index) {
                        machine.on_mended(*number)?;
                    }
                    ctx.count(Event::Mended);
                }
                SideEvent::NotMended { .. } => ctx.count(Event::NotMended),
                SideEvent::Removed(_) => ctx.count(Event::SegmentsRemoved),
                SideEvent::Packed { .. } => ctx.count(Event::SegmentsPacked),
                SideEvent::RetainedFor { by: NeededBy::TradingDay, .. } => {
                    ctx.count(Event::DaysRetained);
                }
                SideEvent::NeedLapsed { by: NeededBy::TradingDay, .. } => {
                    ctx.count(Event::DaysLapsed);
                }
                SideEvent::RetainedFor { .. } => ctx.count(Event::SegmentsRetained),
                SideEvent::NeedLapsed { .. } => ctx.count(Event::NeedsLapsed),
                _ => {}
            }
            ctx.tell(index, || Happening::Note(remark.to_string()));
        }
        Ok(())
    }

    /// A replica whose journal was damaged has found the damage, and is silent.
    fn on_damage_noticed(&mut self, ctx: &mut RunContext, index: usize, why: String) {
        if let Some(machine) = self.get_mut(index) {
            machine.forget();
            ctx.oracle.facts.on_forgotten(machine.identity);
        }
        self.lost |= 1 << index;
        ctx.count(Event::DamageFound);
        ctx.tell(index, || Happening::Note(format!("stops:{why}")));
    }
}

impl MachineNode {
    /// A suffix replacement was longer than the ring: the replica is restarted, and reads its journal.
    fn on_overrun(&mut self, ctx: &mut RunContext, index: usize, why: String) -> Result<(), Violation> {
        if let Some(replica) = self.machine.replica() {
            ctx.oracle.logs.check_replica(
                &mut ctx.oracle.facts,
                index,
                replica.tail(),
                replica.core.commit_next(),
            )?;
        }
        self.machine.kill(ctx.now + ctx.plan.timeout_ns / 2, None);
        ctx.count(Event::Overruns);
        ctx.tell(index, || Happening::Note(format!("stops:{why}")));
        Ok(())
    }
}
