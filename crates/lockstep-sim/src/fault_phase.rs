//! Faults strike; then most of them end.

use crate::check::Violation;
use crate::clients::ClientProcess;
use crate::clock::step_clock;
use crate::context::{BEGIN_NS, RunContext, RunPhase};
use crate::coverage::Event;
use crate::halved::order_half;
use crate::kinds::RotationStep;
use crate::machines::Machines;
use crate::net::To;
use crate::operator::OperatorStep;
use crate::plan::{EndPlan, Fault, FaultKind, FaultNode};
use crate::replay;
use crate::storage::Flushed;
use crate::story::Happening;
use crate::vanished::vanish;
use crate::wire::{ALL_TRAFFIC, Broken, NodeSet, Route, Tampered};
use crate::world::World;
use lockstep_core::engine::ports::Group;
use lockstep_replica::journal::Retention;
use lockstep_wire::{DeathNoticeBody, Header, Identity, Nanos, QueryKind, write_down};

impl World {
    /// The time of the next fault, or of the end of the fault phase.
    pub(crate) fn next_fault_at(&self) -> Nanos {
        if self.ctx.phase != RunPhase::Storm {
            return Nanos::MAX;
        }
        let fault = self.ctx.plan.faults.get(self.next_fault);
        let awake =
            fault.map_or(self.ctx.plan.fault_phase_ns, |fault| fault.at_ns.min(self.ctx.plan.fault_phase_ns));
        (BEGIN_NS + self.ctx.slept_ns + awake).min(self.operator.next_at())
    }

    /// The next fault strikes, or the fault phase ends.
    pub(crate) fn strike(&mut self) -> Result<(), Violation> {
        if self.operator.next_at() <= self.ctx.now {
            return self.operator.operate(&mut self.ctx, &mut self.machines);
        }
        let Some(fault) = self.ctx.plan.faults.get(self.next_fault).copied() else {
            return self.heal_cluster();
        };
        self.next_fault += 1;
        self.apply(fault.what)
    }

    fn apply(&mut self, what: Fault) -> Result<(), Violation> {
        let now = self.ctx.now;
        match what {
            Fault::Crash(target, end, lasting) => return self.crash(target, end, lasting),
            Fault::Reboot(target, disk, lasting) => return self.reboot(target, disk, lasting),
            Fault::Amnesia(target, _) => self.machines.forget(&mut self.ctx, target),
            Fault::Damage(target, disk_fault, lasting) => self.damage(target, disk_fault, lasting),
            Fault::Pause(target, lasting) => {
                let Some(index) = self.machines.resolve(target) else { return Ok(()) };
                self.ctx.count(Event::Pauses);
                if self.machines.leads(index).is_some() {
                    self.ctx.count(Event::LeaderPauses);
                }
                self.pause(index, lasting);
            }
            Fault::PauseClient(index, lasting) => {
                self.ctx.count(Event::Pauses);
                self.pause(index, lasting);
            }
            Fault::Cut(from, to, traffic, both, lasting) => {
                let until = now + lasting;
                self.ctx.count(match (traffic, both) {
                    (ALL_TRAFFIC, _) if from.count_ones() == 1 && to.count_ones() == 1 => {
                        Event::PartitionsPartial
                    }
                    (ALL_TRAFFIC, true) => Event::Partitions,
                    (ALL_TRAFFIC, false) => Event::PartitionsOneWay,
                    _ => Event::HalfDeaf,
                });
                self.ctx.network.break_path(Broken { from, to, traffic, until, clogged: false });
                if both {
                    self.ctx.network.break_path(Broken {
                        from: to,
                        to: from,
                        traffic,
                        until,
                        clogged: false,
                    });
                }
                self.ctx.tell(0, || {
                    Happening::Fault(format!(
                        "cut {from:#b} ▶ {to:#b} ({traffic:#b}, both {both}) {}",
                        ms(lasting)
                    ))
                });
            }
            Fault::Isolate(target, hears, says, lasting) => {
                let Some(index) = self.machines.resolve(target) else { return Ok(()) };
                let (one, until) = (1 << index, now + lasting);
                let rest = !one;
                self.ctx.count(if hears && says { Event::Partitions } else { Event::PartitionsOneWay });
                if hears {
                    let traffic = ALL_TRAFFIC;
                    self.ctx.network.break_path(Broken {
                        from: rest,
                        to: one,
                        traffic,
                        until,
                        clogged: false,
                    });
                }
                if says {
                    let traffic = ALL_TRAFFIC;
                    self.ctx.network.break_path(Broken {
                        from: one,
                        to: rest,
                        traffic,
                        until,
                        clogged: false,
                    });
                }
                self.ctx.tell(index, || {
                    Happening::Fault(format!("isolated (deaf {hears}, mute {says}) {}", ms(lasting)))
                });
            }
            Fault::Clog(from, to, lasting) => {
                self.ctx.count(Event::Clogs);
                let until = now + lasting;
                self.ctx.network.break_path(Broken { from, to, traffic: ALL_TRAFFIC, until, clogged: true });
                self.ctx.tell(0, || Happening::Fault(format!("clogged {from:#b} ▶ {to:#b} {}", ms(lasting))));
            }
            Fault::DiskFull(target, lasting) => self.fill_disk(target, lasting),
            Fault::SlowFlush(target, lasting) => {
                let Some(index) = self.machines.resolve(target) else { return Ok(()) };
                if let Some(machine) = self.machines.get_mut(index) {
                    machine.disk_slow_until = now + lasting;
                }
                self.ctx.count(Event::SlowFlushes);
                self.ctx.tell(index, || Happening::Fault(format!("disk slow {}", ms(lasting))));
            }
            Fault::Reconfigure(target, configured, end, lasting) => {
                let Some(index) = self.machines.resolve(target) else { return Ok(()) };
                if let Some(machine) = self.machines.get_mut(index) {
                    machine.next_configured = Some(configured);
                }
                self.ctx.tell(index, || Happening::Fault(format!("is to be configured with {configured:?}")));
                return self.crash(FaultNode::Replica(index), end, lasting);
            }
            Fault::OtherTail(target, end, lasting) => return self.move_tail(target, end, lasting),
            Fault::Power(machines, lasting) => self.black_out(machines, lasting),
            Fault::Dark(machines, lasting) => self.machines.stop_and_darken(&mut self.ctx, machines, lasting),
            Fault::Last(target, calls, power, lasting) => self.arm_death(target, calls, power, lasting),
            Fault::DiskFails(target, disk_fault, calls, lasting) => {
                self.arm_failure(target, disk_fault, calls, lasting);
            }
            Fault::Rot(target) => self.rot(target),
            Fault::Vanish(target, file, stops, lasting) => {
                return vanish(self, target, file, (stops, lasting));
            }
            Fault::ClockStep(target, by_ms) => step_clock(self, target, by_ms),
            Fault::Add(node, ..) if self.ctx.plan.is_archiver(node) => {}
            Fault::Add(node, witness, patient) => {
                self.operator.order(&mut self.ctx, &[OperatorStep::Add { node, witness, patient }], 0)
            }
            Fault::Remove(target) => self.operator.remove(&mut self.ctx, &self.machines, target),
            Fault::Replace(target) => replay::replace(self, target),
            Fault::Halved(target, steps, again) => order_half(self, target, steps, again),
            Fault::Rejoin(target) => replay::lose_and_rejoin(self, target),
            Fault::Reformat(target) => replay::reformat(self, target),
            Fault::DiesInstalling(target, lasting) => replay::die_installing(self, target, lasting),
            Fault::TwoOrders(node, target) => {
                self.ctx.count(Event::OrdersTwo);
                self.operator.order(
                    &mut self.ctx,
                    &[OperatorStep::Add { node, witness: false, patient: false }],
                    0,
                );
                self.operator.remove(&mut self.ctx, &self.machines, target);
            }
            Fault::LateOrder => self.operator.command_late(&mut self.ctx),
            Fault::RemoveDeclaredDead(first, truly) => return self.remove_declared_dead(first, truly),
            Fault::Handover(to) => self.hand_over(to),
            Fault::Upgrade => self.operator.order_log(&mut self.ctx, &self.machines, QueryKind::Upgrade),
            Fault::TimeOrder => self.operator.order_log(&mut self.ctx, &self.machines, QueryKind::Time),
            Fault::Rotate(nodes, step) => rotate(self, nodes, step),
            Fault::OldDown => {
                // A notice about a live leader is a watcher's error; one about a past leader is an old
                // datagram.
                let nodes = self.machines.nodes.iter().enumerate();
                let living = nodes.filter(|(_, node)| !node.notice.is_empty());
                let mut notices: Vec<_> = living.map(|(index, node)| (index, node.notice.clone())).collect();
                notices.extend(self.machines.old_notices.iter().cloned());
                if let Some((index, notice)) = notices.get(self.ctx.rng.below(notices.len() as u64) as usize)
                {
                    self.ctx.count(Event::DownsOld);
                    self.machines.announce_truly(&mut self.ctx, *index, notice, 0);
                }
            }
            Fault::ForgedDown => {
                if let Some(index) = self.machines.resolve(FaultNode::Leader) {
                    let mut notice = self.machines.nodes[index].notice.clone();
                    if let Some(header) = Header::peek(&notice) {
                        let body = DeathNoticeBody { secret: [self.ctx.rng.next_u64() as u8; 32] };
                        write_down(&mut notice, &self.machines.nodes[index].host.keys.replica, header, body);
                        self.ctx.count(Event::DownsForged);
                        self.machines.announce(&mut self.ctx, index, &notice, 0);
                    }
                }
            }
            Fault::Replay(count) => self.ctx.network.replay(now, count, &mut self.ctx.oracle.coverage),
            Fault::ClientCrash(index) => self.clients.crash(&mut self.ctx, index),
            Fault::Close(index) => {
                let runs = self.node(index).runs();
                if let Some(work) =
                    self.clients.get_mut(index).and_then(ClientProcess::work_mut).filter(|_| runs)
                {
                    work.closes = true;
                    self.ctx.count(Event::Closes);
                    self.ctx.tell(index, || Happening::Fault("is to close its name".to_string()));
                }
            }
            Fault::Edge(fault) => {
                if let Some(edge) = &mut self.edge {
                    edge.befall(&mut self.ctx, fault);
                }
            }
            Fault::Ail(node, device_fault, lasting) => self.inject(node, device_fault, lasting),
            Fault::Echo(count) => self.echo(count),
            Fault::OtherCluster(count) => self.speak_as_other_cluster(count),
            Fault::Attack(attacker, count) => self.attack(attacker, count),
            Fault::Tamper(from, to, kinds, how, lasting) => {
                self.ctx.network.tamper(Tampered { from, to, kinds, until: now + lasting, how });
                self.ctx.tell(0, || {
                    let of = format!("{from:#b} ▶ {to:#b}, kinds {kinds:#b}");
                    Happening::Fault(format!("an attacker on the path: {how:?} of {of} {}", ms(lasting)))
                });
            }
            Fault::QuorumLoss(gone, dark) => return self.quorum_loss(gone, dark),
            Fault::LongSuspension(how, lasting) => return self.fall_asleep(how, lasting),
            Fault::Copy(target) => self.copy_journal(target),
            Fault::RollBack(target, lasting) => return self.roll_back(target, lasting),
            Fault::Carry(target) => self.machines.carry(&mut self.ctx, target),
            Fault::Second(target, with_ring, ahead_ms) => {
                let Self { ctx, machines, seconds, .. } = self;
                return seconds.begin(ctx, machines, target, with_ring, ahead_ms);
            }
            Fault::Fence(_) => self.clients.start_rival(&mut self.ctx),
        }
        Ok(())
    }

    fn hand_over(&mut self, to: Option<usize>) {
        let Some(index) = self.machines.resolve(FaultNode::Leader) else { return };
        let to = to.and_then(|to| match self.machines.get(to) {
            Some(machine) => Some(machine.identity),
            _ => None,
        });
        let now = self.ctx.now;
        if let Some(machine) = self.machines.get_mut(index)
            && let now = machine.clock.at(now)
            && let Some(replica) = machine.replica_mut()
            && replica.start_handover(now, to)
        {
            self.machines.watch_handover(&mut self.ctx, index, to);
            self.ctx.count(Event::Handovers);
            self.ctx.tell(index, || Happening::Fault(format!("is to hand over to {to:?}")));
        }
    }

    fn pause(&mut self, index: usize, lasting: Nanos) {
        let takeovers = self.ctx.takeovers();
        let until = self.ctx.now + lasting;
        let host = self.node_mut(index).host_mut();
        host.paused_until = host.paused_until.max(until);
        if let Some(reading) = self.clients.get_mut(index).and_then(ClientProcess::reading_mut) {
            reading.slept.begin(takeovers);
        }
        self.ctx.tell(index, || Happening::Fault(format!("paused {}", ms(lasting))));
    }

    pub(crate) fn crash(&mut self, target: FaultNode, end: EndPlan, lasting: Nanos) -> Result<(), Violation> {
        let Some(index) = self.machines.resolve(target) else { return Ok(()) };
        if !self.node(index).runs() {
            return Ok(());
        }
        let led = self.machines.leads(index).is_some();
        if let EndPlan::MidTurn(count) = end {
            self.turn(index)?;
            self.send(index, count as usize)?;
            self.ctx.count(Event::MidTurnCrashes);
            // It may have died within that turn, in a call of its disk.
            if !self.node(index).runs() {
                return Ok(());
            }
        }
        self.ctx.count(Event::Crashes);
        if led {
            self.ctx.count(Event::LeaderCrashes);
        }
        let until = self.ctx.now + lasting;
        let (now, rng) = (self.ctx.now, &mut self.ctx.rng);
        let Some(machine) = self.machines.get_mut(index) else { return Ok(()) };
        match end {
            EndPlan::Stopped => {
                let shown = machine.clock.at(now);
                if let Some(replica) = machine.replica_mut() {
                    replica.start_drain(shown);
                    machine.stopping = Some((now + 20 * self.ctx.plan.timeout_ns, until));
                    self.machines.watch_handover(&mut self.ctx, index, None);
                }
                self.ctx.tell(index, || Happening::Fault(format!("is to stop, {}", ms(lasting))));
                return Ok(());
            }
            EndPlan::TornTail => {
                machine.kill(until, Some(rng));
                self.ctx.oracle.coverage.count(Event::TornTails);
            }
            _ => machine.kill(until, None),
        }
        if machine.led {
            self.ctx.oracle.coverage.count(Event::LeaderRestarts);
        }
        self.machines.announce_death(&mut self.ctx, index);
        self.ctx.tell(index, || Happening::Fault(format!("killed ({end:?}) {}", ms(lasting))));
        Ok(())
    }

    fn damage(&mut self, target: FaultNode, disk_fault: FaultKind, lasting: Nanos) {
        let Some(index) =
            self.machines.resolve(target).filter(|index| self.machines.may_lose(&self.ctx, *index))
        else {
            return;
        };
        let (until, rng) = (self.ctx.now + lasting, &mut self.ctx.rng);
        let Some(machine) = self.machines.get_mut(index) else { return };
        machine.kill_if_up(until);
        let harmed = machine.inject(disk_fault, rng);
        self.machines.announce_death(&mut self.ctx, index);
        if !harmed {
            return;
        }
        let event = if disk_fault == FaultKind::StaleBlock { Event::StaleBlocks } else { Event::Damages };
        on_changed(self, index, event);
        self.ctx.tell(index, || Happening::Fault(format!("killed, {disk_fault:?} {}", ms(lasting))));
    }
}

impl Machines {
    /// The watcher of `index` sends its prepared notice, three times.
    fn announce(&mut self, ctx: &mut RunContext, index: usize, notice: &[u8], after_ns: Nanos) {
        let network_model = ctx.plan.network;
        for copy in 0..3 {
            let number = ctx.network.next_number();
            let at = ctx.now + after_ns + 100_000 * copy;
            if let Some(story) = &mut ctx.story {
                story.record_sent(ctx.now, index, number, &To::Group(Group::Control), notice);
            }
            for other in (0..ctx.plan.replicas).filter(|other| *other != index) {
                let route = Route { from: index, to: other, group: Some(Group::Control) };
                ctx.network.send(&network_model, at, route, notice, &mut ctx.oracle.coverage);
            }
        }
    }

    /// The same, with the epoch's own secret.
    fn announce_truly(&mut self, ctx: &mut RunContext, index: usize, notice: &[u8], after_ns: Nanos) {
        if let Some(header) = Header::peek(notice) {
            ctx.oracle.on_death(header.epoch());
        }
        self.announce(ctx, index, notice, after_ns);
    }

    /// The process of `index` has ended: its watcher may announce it.
    pub(crate) fn announce_death(&mut self, ctx: &mut RunContext, index: usize) {
        let notice = std::mem::take(&mut self.nodes[index].notice);
        if self.nodes[index].led.take().is_some() {
            self.leaders_ended += 1;
            ctx.tell(index, || Happening::Leads(None));
        }
        if !notice.is_empty() && ctx.rng.below(4) > 0 {
            ctx.count(Event::Downs);
            let after_ns = 40_000 + ctx.rng.below(80_000);
            self.announce_truly(ctx, index, &notice, after_ns);
        }
        if !notice.is_empty() {
            self.old_notices.push((index, notice));
        }
    }

    /// A process that was requested to stop does so when its duties are done, or after a while.
    pub(crate) fn stop_if_drained(&mut self, ctx: &mut RunContext, index: usize) -> Result<(), Violation> {
        let now = ctx.now;
        let Some(machine) = self.get_mut(index) else { return Ok(()) };
        let Some((deadline, until)) = machine.stopping else { return Ok(()) };
        if machine.replica().is_some_and(|replica| replica.is_drained()) {
            machine.stopping = None;
            match machine.stop(now, until.max(now))? {
                Flushed::GoesOn => {
                    ctx.oracle.coverage.count(Event::CleanStops);
                    self.carry_stopped(ctx, index);
                    self.moved_tail(ctx, index);
                    self.darken(ctx, index);
                }
                Flushed::Died => {
                    self.on_died(ctx, index);
                    return Ok(());
                }
                Flushed::Failed(why) => {
                    self.on_device_failed(ctx, index, why);
                    return Ok(());
                }
                Flushed::Damaged(_) => machine.kill(until.max(now), None),
            }
        } else if now >= deadline {
            machine.stopping = None;
            machine.kill(until.max(now), None);
        } else {
            return Ok(());
        }
        self.announce_death(ctx, index);
        ctx.tell(index, || Happening::Note("has stopped".to_string()));
        Ok(())
    }

    /// Whether one more identity may be lost.
    pub(crate) fn may_lose(&self, ctx: &RunContext, index: usize) -> bool {
        // Only the archiver has what replicas have removed.
        if ctx.plan.is_archiver(index)
            && ctx.plan.retention != Retention::default()
            && !ctx.plan.archives_are_cut
        {
            return false;
        }
        let members = self.members_in_force(ctx);
        let is_lost = |member: &&Identity| self.node_of(**member).is_none_or(|node| node == index);
        let lost = members.iter().filter(is_lost).count();
        lost < members.len().div_ceil(2)
    }

    pub(crate) fn forget(&mut self, ctx: &mut RunContext, target: FaultNode) {
        let Some(index) = self.resolve(target).filter(|index| self.may_lose(ctx, *index)) else { return };
        self.lost |= 1 << index;
        if let Some(machine) = self.get_mut(index) {
            machine.forget();
            ctx.oracle.on_forgotten(machine.identity);
        }
        self.announce_death(ctx, index);
        ctx.count(Event::Amnesia);
        ctx.tell(index, || Happening::Fault("its journal is gone".to_string()));
    }
}

/// Something in the journal of this replica has changed: detected or not, it may be lost.
pub(crate) fn on_changed(world: &mut World, index: usize, event: Event) {
    world.machines.lost |= 1 << index;
    world.ctx.count(event);
    // A witness has what it acknowledged for as long as its ring does.
    let (witnesses, commit_next) = (world.electorate().witnesses(), world.ctx.oracle.commit_next());
    let has_all = |other: usize| match world.machines.get(other) {
        Some(machine) => {
            !witnesses.contains(&machine.identity)
                && !machine.is_damaged()
                && world.machines.stored_next(&world.ctx.oracle, other) >= commit_next
        }
        _ => false,
    };
    if !(0..world.ctx.plan.replicas).any(|other| world.machines.lost >> other & 1 == 0 && has_all(other)) {
        world.ctx.count(Event::LastCopies);
    }
}

/// These nodes take a step of a rotation of keys.
fn rotate(world: &mut World, nodes: NodeSet, step: RotationStep) {
    let hosts = (0..world.count_nodes()).filter(|node| nodes >> node & 1 == 1);
    let taken = hosts.map(|node| world.node(node).host().keys.take(step)).count();
    (0..taken).for_each(|_| world.ctx.count(Event::KeysRotated));
    world.ctx.tell(0, || Happening::Fault(format!("{taken} nodes: {step:?}")));
}

pub(crate) fn ms(lasting: Nanos) -> String {
    format!("for {:.3} ms", lasting as f64 / 1e6)
}
