//! Faults strike; then most of them end.

use super::check::Violation;
use super::coverage::Event;
use super::device::Device;
use super::edge::EdgePlan;
use super::machine::State;
use super::net::To;
use super::operator::Step;
use super::plan::{DAY_NS, End, Harm, Target, What};
use super::storage::Flushed;
use super::story::Happening;
use super::wire::{ALL_TRAFFIC, Broken, Route, Seats};
use super::world::{Actor, Phase, World};
use crate::engine::ports::Group;
use crate::engine::receiver::Start;
use crate::engine::subscriber::Delivery;
use crate::journal::Retention;
use crate::wire::{DownBody, Epoch, Header, Identity, Nanos, Seq, write_down};

/// When the run's clock begins.
const BEGIN_NS: Nanos = 1_000_000;
/// What is left to hand in when the faults are over is cut down to this.
const LEFT_MAX: u64 = 10;
/// Messages that each healthy publisher hands in when the faults are over.
const MORE: u64 = 3;

impl World {
    /// When the next fault strikes, or the storm ends.
    pub(super) fn next_fault_at(&self) -> Nanos {
        if self.phase != Phase::Storm {
            return Nanos::MAX;
        }
        let fault = self.plan.faults.get(self.next_fault);
        let at = BEGIN_NS + fault.map_or(self.plan.storm_ns, |fault| fault.at_ns.min(self.plan.storm_ns));
        at.min(self.operator.next_at())
    }

    /// The next fault strikes, or the storm is over.
    pub(super) fn strike(&mut self) -> Result<(), Violation> {
        if self.operator.next_at() <= self.now {
            return self.operate();
        }
        let Some(fault) = self.plan.faults.get(self.next_fault).copied() else { return self.calm() };
        self.next_fault += 1;
        self.apply(fault.what)
    }

    pub(super) fn count(&mut self, event: Event) {
        self.oracle.coverage.count(event);
    }

    /// Whom a fault is for; the leader of the newest epoch, if it is for the leader.
    pub(super) fn resolve(&self, target: Target) -> Option<usize> {
        match target {
            Target::Replica(index) => Some(index),
            Target::Leader => {
                let leads = |index: &usize| self.leads(*index).is_some();
                (0..self.plan.replicas).filter(leads).max_by_key(|index| self.leads(*index))
            }
        }
    }

    /// The epoch that a replica leads.
    fn leads(&self, index: usize) -> Option<Epoch> {
        self.seats[index].led.filter(|_| self.seats[index].actor.runs())
    }

    fn apply(&mut self, what: What) -> Result<(), Violation> {
        let now = self.now;
        match what {
            What::Crash(target, end, lasting) => return self.crash(target, end, lasting),
            What::Reboot(target, disk, lasting) => return self.reboot(target, disk, lasting),
            What::Amnesia(target, _) => self.forget(target),
            What::Damage(target, harm, lasting) => self.damage(target, harm, lasting),
            What::Pause(target, lasting) => {
                let Some(index) = self.resolve(target) else { return Ok(()) };
                self.count(Event::Pauses);
                if self.leads(index).is_some() {
                    self.count(Event::LeaderPauses);
                }
                self.pause(index, lasting);
            }
            What::PauseClient(index, lasting) => {
                self.count(Event::Pauses);
                self.pause(index, lasting);
            }
            What::Cut(from, to, traffic, both, lasting) => {
                let until = now + lasting;
                self.count(match (traffic, both) {
                    (ALL_TRAFFIC, _) if from.count_ones() == 1 && to.count_ones() == 1 => {
                        Event::PartitionsPartial
                    }
                    (ALL_TRAFFIC, true) => Event::Partitions,
                    (ALL_TRAFFIC, false) => Event::PartitionsOneWay,
                    _ => Event::HalfDeaf,
                });
                self.wire.break_path(Broken { from, to, traffic, until, clogged: false });
                if both {
                    self.wire.break_path(Broken { from: to, to: from, traffic, until, clogged: false });
                }
                self.tell(0, || {
                    Happening::Fault(format!(
                        "cut {from:#b} ▶ {to:#b} ({traffic:#b}, both {both}) {}",
                        ms(lasting)
                    ))
                });
            }
            What::Isolate(target, hears, says, lasting) => {
                let Some(index) = self.resolve(target) else { return Ok(()) };
                let (one, until) = (1 << index, now + lasting);
                let rest = !one;
                self.count(if hears && says { Event::Partitions } else { Event::PartitionsOneWay });
                if hears {
                    let traffic = ALL_TRAFFIC;
                    self.wire.break_path(Broken { from: rest, to: one, traffic, until, clogged: false });
                }
                if says {
                    let traffic = ALL_TRAFFIC;
                    self.wire.break_path(Broken { from: one, to: rest, traffic, until, clogged: false });
                }
                self.tell(index, || {
                    Happening::Fault(format!("isolated (deaf {hears}, mute {says}) {}", ms(lasting)))
                });
            }
            What::Clog(from, to, lasting) => {
                self.count(Event::Clogs);
                let until = now + lasting;
                self.wire.break_path(Broken { from, to, traffic: ALL_TRAFFIC, until, clogged: true });
                self.tell(0, || Happening::Fault(format!("clogged {from:#b} ▶ {to:#b} {}", ms(lasting))));
            }
            What::DiskFull(target, lasting) => self.fill_disk(target, lasting),
            What::SlowFlush(target, lasting) => {
                let Some(index) = self.resolve(target) else { return Ok(()) };
                if let Actor::Replica(machine) = &mut self.seats[index].actor {
                    machine.disk_slow_until = now + lasting;
                }
                self.count(Event::SlowFlushes);
                self.tell(index, || Happening::Fault(format!("disk slow {}", ms(lasting))));
            }
            What::Power(machines, lasting) => self.black_out(machines, lasting),
            What::Dark(machines, lasting) => self.stop_and_darken(machines, lasting),
            What::Last(target, calls, power, lasting) => self.arm_death(target, calls, power, lasting),
            What::DiskFails(target, trouble, calls, lasting) => {
                self.arm_failure(target, trouble, calls, lasting);
            }
            What::Rot(target) => self.rot(target),
            What::ClockStep(target, by_ms) => {
                let Some(index) = self.resolve(target) else { return Ok(()) };
                if let Actor::Replica(machine) = &mut self.seats[index].actor {
                    machine.wall_ahead += by_ms * 1_000_000;
                }
                self.count(Event::ClockSteps);
                self.tell(index, || Happening::Fault(format!("clock steps by {by_ms} ms")));
            }
            What::Add(seat, ..) if self.plan.is_archiver(seat) => {}
            What::Add(seat, witness, patient) => self.order(&[Step::Add { seat, witness, patient }], 0),
            What::Remove(target) => self.remove(target),
            What::Replace(target) => self.replace(target),
            What::TwoOrders(seat, target) => {
                self.count(Event::OrdersTwo);
                self.order(&[Step::Add { seat, witness: false, patient: false }], 0);
                self.remove(target);
            }
            What::LateOrder => self.order_late(),
            What::Bury(first, truly) => return self.bury(first, truly),
            What::Handover(to) => self.hand_over(to),
            What::OldDown => {
                // One of a leader that lives is a watcher's error; one of the past is an old datagram.
                let living = self.seats.iter().enumerate().filter(|(_, seat)| !seat.notice.is_empty());
                let mut notices: Vec<_> = living.map(|(index, seat)| (index, seat.notice.clone())).collect();
                notices.extend(self.old_notices.iter().cloned());
                if let Some((index, notice)) = notices.get(self.rng.below(notices.len() as u64) as usize) {
                    self.count(Event::DownsOld);
                    self.announce(*index, notice, 0);
                }
            }
            What::ForgedDown => {
                if let Some(index) = self.resolve(Target::Leader) {
                    let mut notice = self.seats[index].notice.clone();
                    if let Some(header) = Header::peek(&notice) {
                        let body = DownBody { secret: [self.rng.next_u64() as u8; 32] };
                        write_down(&mut notice, header, body);
                        self.count(Event::DownsForged);
                        self.announce(index, &notice, 0);
                    }
                }
            }
            What::Replay(count) => self.wire.replay(now, count, &mut self.oracle.coverage),
            What::ClientCrash(index) => self.crash_client(index),
            What::Close(index) => {
                if let Actor::Publisher(Some(_), work) = &mut self.seats[index].actor {
                    work.closes = true;
                    self.count(Event::Closes);
                    self.tell(index, || Happening::Fault("is to close its name".to_string()));
                }
            }
            What::Edge(fault) => self.befall(fault),
            What::Ail(seat, ailment, lasting) => self.ail(seat, ailment, lasting),
            What::Echo(count) => self.echo(count),
            What::OtherCluster(count) => self.speak_as_other_cluster(count),
            What::Ruin(gone, dark) => return self.ruin(gone, dark),
            What::Fence(_) => {
                let rival = self.plan.seats() + self.fences;
                self.fences += 1;
                if let Some(Actor::Publisher(None, work)) =
                    self.seats.get_mut(rival).map(|seat| &mut seat.actor)
                {
                    work.restart_at = now;
                    self.count(Event::Fences);
                    self.tell(rival, || Happening::Fault("opens the same name".to_string()));
                }
            }
        }
        Ok(())
    }

    /// The watcher of `index` says what it has prepared, three times.
    fn announce(&mut self, index: usize, notice: &[u8], after_ns: Nanos) {
        let weather = self.plan.weather;
        for copy in 0..3 {
            let number = self.wire.next_number();
            let at = self.now + after_ns + 100_000 * copy;
            if let Some(story) = &mut self.story {
                story.tell_sent(self.now, index, number, &To::Group(Group::Control), notice);
            }
            for other in (0..self.plan.replicas).filter(|other| *other != index) {
                let route = Route { from: index, to: other, group: Some(Group::Control) };
                self.wire.send(&weather, at, route, notice, &mut self.oracle.coverage);
            }
        }
    }

    /// The process of `index` is gone: its watcher may say so.
    pub(super) fn announce_death(&mut self, index: usize) {
        let notice = std::mem::take(&mut self.seats[index].notice);
        if self.seats[index].led.take().is_some() {
            self.tell(index, || Happening::Leads(None));
        }
        if !notice.is_empty() && self.rng.below(4) > 0 {
            self.count(Event::Downs);
            let after_ns = 40_000 + self.rng.below(80_000);
            self.announce(index, &notice, after_ns);
        }
        if !notice.is_empty() {
            self.old_notices.push((index, notice));
        }
    }

    fn hand_over(&mut self, to: Option<usize>) {
        let Some(index) = self.resolve(Target::Leader) else { return };
        let to = to.and_then(|to| match &self.seats[to].actor {
            Actor::Replica(machine) => Some(machine.identity),
            _ => None,
        });
        let now = self.now;
        if let Actor::Replica(machine) = &mut self.seats[index].actor
            && let Some(replica) = machine.replica_mut()
            && replica.core.begin_handover(now, to)
        {
            self.count(Event::Handovers);
            self.tell(index, || Happening::Fault(format!("is to hand over to {to:?}")));
        }
    }

    /// A process that was told to stop does so when its duties are done, or after a while.
    pub(super) fn stop_if_drained(&mut self, index: usize) -> Result<(), Violation> {
        let now = self.now;
        let Actor::Replica(machine) = &mut self.seats[index].actor else { return Ok(()) };
        let Some((deadline, until)) = machine.stopping else { return Ok(()) };
        if machine.replica().is_some_and(|replica| replica.is_drained()) {
            machine.stopping = None;
            match machine.stop(now, until.max(now))? {
                Flushed::GoesOn => {
                    self.oracle.coverage.count(Event::CleanStops);
                    self.darken(index);
                }
                Flushed::Died => {
                    self.on_died(index);
                    return Ok(());
                }
                Flushed::Failed(why) => {
                    self.on_device_failed(index, why);
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
        self.announce_death(index);
        self.tell(index, || Happening::Note("has stopped".to_string()));
        Ok(())
    }

    fn pause(&mut self, index: usize, lasting: Nanos) {
        let seat = &mut self.seats[index];
        seat.paused_until = seat.paused_until.max(self.now + lasting);
        self.tell(index, || Happening::Fault(format!("paused {}", ms(lasting))));
    }

    pub(super) fn crash(&mut self, target: Target, end: End, lasting: Nanos) -> Result<(), Violation> {
        let Some(index) = self.resolve(target) else { return Ok(()) };
        if !self.seats[index].actor.runs() {
            return Ok(());
        }
        let led = self.leads(index).is_some();
        if let End::MidTurn(count) = end {
            self.turn(index)?;
            self.send(index, count as usize)?;
            self.count(Event::MidTurnCrashes);
        }
        self.count(Event::Crashes);
        if led {
            self.count(Event::LeaderCrashes);
        }
        let until = self.now + lasting;
        let (now, rng) = (self.now, &mut self.rng);
        let Actor::Replica(machine) = &mut self.seats[index].actor else { return Ok(()) };
        match end {
            End::Stopped => {
                if let Some(replica) = machine.replica_mut() {
                    replica.core.begin_drain(now);
                    machine.stopping = Some((now + 20 * self.plan.timeout_ns, until));
                }
                self.tell(index, || Happening::Fault(format!("is to stop, {}", ms(lasting))));
                return Ok(());
            }
            End::TornTail => {
                machine.kill(until, Some(rng));
                self.oracle.coverage.count(Event::TornTails);
            }
            _ => machine.kill(until, None),
        }
        if machine.led {
            self.oracle.coverage.count(Event::LeaderRestarts);
        }
        self.announce_death(index);
        self.tell(index, || Happening::Fault(format!("killed ({end:?}) {}", ms(lasting))));
        Ok(())
    }

    /// Whether one more identity may be lost.
    pub(super) fn may_lose(&self, index: usize) -> bool {
        // What replicas have removed is with the archiver alone.
        if self.plan.is_archiver(index) && self.plan.retention != Retention::default() {
            return false;
        }
        let members = self.members_in_force();
        let is_lost = |member: &&Identity| self.seat_of(**member).is_none_or(|seat| seat == index);
        let lost = members.iter().filter(is_lost).count();
        lost < members.len().div_ceil(2)
    }

    pub(super) fn forget(&mut self, target: Target) {
        let Some(index) = self.resolve(target).filter(|index| self.may_lose(*index)) else { return };
        self.lost |= 1 << index;
        if let Actor::Replica(machine) = &mut self.seats[index].actor {
            machine.forget();
            self.oracle.on_forgotten(machine.identity);
        }
        self.announce_death(index);
        self.count(Event::Amnesia);
        self.tell(index, || Happening::Fault("its journal is gone".to_string()));
    }

    fn damage(&mut self, target: Target, harm: Harm, lasting: Nanos) {
        let Some(index) = self.resolve(target).filter(|index| self.may_lose(*index)) else { return };
        let (until, rng) = (self.now + lasting, &mut self.rng);
        let Actor::Replica(machine) = &mut self.seats[index].actor else { return };
        machine.kill_if_up(until);
        let harmed = machine.harm(harm, rng);
        self.announce_death(index);
        if !harmed {
            return;
        }
        // Found or not, it may be lost.
        self.lost |= 1 << index;
        self.count(if harm == Harm::StaleBlock { Event::StaleBlocks } else { Event::Damages });
        self.tell(index, || Happening::Fault(format!("killed, {harm:?} {}", ms(lasting))));
    }

    pub(super) fn crash_client(&mut self, index: usize) {
        let restart = self.now + self.clients_rng.below(self.plan.timeout_ns);
        let resume = self.oracle.delivered_next(index);
        let event = match &mut self.seats[index].actor {
            Actor::Publisher(process @ Some(_), work) => {
                *process = None;
                work.restart_at = restart;
                Event::PublisherCrashes
            }
            Actor::Subscriber(process @ Some(_), reading) => {
                let cursor = process.take().and_then(|process| process.core.cursor());
                (reading.restart_at, reading.ended) = (restart, false);
                // Where a history may be founded, a seq alone does not say which stream it is of.
                reading.start = match (reading.delivery, resume) {
                    (Delivery::Committed, Some(_)) if self.plan.may_found() => {
                        cursor.map_or(Start::From(1), Start::Cursor)
                    }
                    (Delivery::Committed, Some(seq)) => Start::From(seq),
                    (Delivery::Stamped, Some(_)) => Start::From(1),
                    (_, None) => Start::Live,
                };
                Event::SubscriberCrashes
            }
            _ => return,
        };
        self.count(event);
        self.tell(index, || Happening::Fault("killed".to_string()));
    }

    /// The storm is over: a quorum of replicas and some clients are healed, the rest is broken for ever.
    fn calm(&mut self) -> Result<(), Violation> {
        self.wire.heal();
        self.leave_the_former();
        self.seats.iter_mut().for_each(|seat| seat.device = Device::default());
        let replicas = self.plan.replicas;
        // What has left a witness's ring is nowhere where the others do not hold it: the takeover waits for them.
        let oldest = self.oldest_of_witnesses();
        let kept = self.kept_by_all();
        let archiver = (0..replicas).find(|index| {
            self.plan.is_archiver(*index) && self.lost >> index & 1 == 0 && self.held_next(*index) >= kept
        });
        let kept = if archiver.is_some() { 1 } else { kept };
        let alive: Vec<usize> = (0..replicas)
            .filter(|index| self.lost >> index & 1 == 0 && self.held_next(*index) >= oldest.max(kept))
            .collect();
        // A history that nobody but the lost ones held is over.
        let born = alive.iter().any(|index| self.oracle.log_next(*index) > 1);
        self.operator.rest();
        let quorum = if born { self.draw_quorum(alive) } else { None };
        let Some(mut healthy) = quorum else {
            self.phase = Phase::Dead(self.now);
            return Ok(());
        };
        let changed = self.oracle.ghost.tip().is_some_and(|tip| self.oracle.tree.has_changed(tip));
        if changed {
            self.count(Event::MembersCalm);
        }
        for index in replicas..self.seats.len() {
            // The first publisher and the first subscriber always.
            let first = index == replicas || index == replicas + self.plan.publishers;
            if first || self.rng.below(4) > 0 {
                healthy |= 1 << index;
            }
        }
        // Who lacks what the others have removed has it from there.
        healthy |= archiver.map_or(0, |index| 1 << index);
        let edges = self.plan.edges.as_ref().map_or(0, EdgePlan::seats);
        let first = self.plan.seats() - edges;
        let all_edges = ((1 << edges) - 1) << first;
        healthy = healthy & !all_edges | self.draw_healthy_edges();
        self.phase = Phase::Calm(healthy, self.now);
        self.tell(0, || Happening::Fault(format!("the storm is over for {healthy:#b}")));
        for index in 0..self.seats.len() {
            let is_edge = matches!(self.seats[index].actor, Actor::Edge(_) | Actor::Handle(_));
            if healthy >> index & 1 == 1 || is_edge {
                self.heal(index);
            } else {
                self.break_for_ever(index, healthy);
            }
        }
        self.calm_edges(healthy);
        Ok(())
    }

    /// From here on nobody's retention removes anything: what was stamped on the open trading day. 1 without retention.
    fn kept_by_all(&self) -> Seq {
        if self.plan.retention == Retention::default() {
            return 1;
        }
        let tree = &self.oracle.tree;
        let day = |node| tree.stem(node).timestamp / DAY_NS;
        let logs = (0..self.plan.replicas).filter_map(|seat| self.oracle.log_tip(seat));
        // The day may turn with the first frame of the calm.
        let today = logs.map(day).max().unwrap_or(0).max((self.plan.wall_ns + self.now) / DAY_NS);
        let committed = tree.path(None, self.oracle.ghost.tip());
        let first = committed.into_iter().find(|node| day(*node) >= today);
        first.map_or(self.oracle.commit_next(), |node| tree.stem(node).first)
    }

    /// What every witness has in its ring, or will have when it begins again.
    fn oldest_of_witnesses(&self) -> Seq {
        let witnesses = self.witnesses();
        let rings = self.seats.iter().filter_map(|seat| match &seat.actor {
            Actor::Replica(machine) if witnesses.contains(&machine.identity) => {
                machine.oldest_seq(&self.plan)
            }
            _ => None,
        });
        rings.max().unwrap_or(1)
    }

    /// Whether a takeover waits for who is broken for ever: it led on meanwhile, half connected, and what has left the
    /// rings of the witnesses that heard it is with nobody who is healed and stores.
    pub(super) fn waits_for_the_broken(&self, healthy: Seats) -> bool {
        let (witnesses, oldest) = (self.witnesses(), self.oldest_of_witnesses());
        let holds = |index: usize| match &self.seats[index].actor {
            Actor::Replica(machine) => {
                !witnesses.contains(&machine.identity) && self.held_next(index) >= oldest
            }
            _ => false,
        };
        !witnesses.is_empty()
            && !(0..self.plan.replicas).any(|index| healthy >> index & 1 == 1 && holds(index))
    }

    fn heal(&mut self, index: usize) {
        let now = self.now;
        let seat = &mut self.seats[index];
        (seat.paused_until, seat.wake_at) = (0, now);
        match &mut seat.actor {
            Actor::Replica(machine) => {
                (machine.disk_full_until, machine.disk_slow_until) = (0, 0);
                if let State::Down(_, until) = &mut machine.state {
                    *until = now;
                }
            }
            Actor::Publisher(process, work) => {
                if process.is_none() && work.restart_at != Nanos::MAX {
                    work.restart_at = now;
                }
                if !work.fenced && work.restart_at != Nanos::MAX {
                    // Not so much that the rings come round once more.
                    work.left = work.left.min(LEFT_MAX) + MORE;
                }
            }
            Actor::Subscriber(_, reading) => reading.restart_at = now,
            Actor::Edge(_) | Actor::Handle(_) => {}
        }
    }

    /// Crashed, stopped, cut off, deaf, mute, or connected to one of the quorum only.
    fn break_for_ever(&mut self, index: usize, healthy: Seats) {
        let one = 1 << index;
        let forever = Nanos::MAX;
        let cut = |from, to| Broken { from, to, traffic: ALL_TRAFFIC, until: forever, clogged: false };
        let how = self.rng.below(6);
        let friend = 1 << (self.rng.next_u64() % 32);
        let word = match how {
            0 if index < self.plan.replicas => {
                if let Actor::Replica(machine) = &mut self.seats[index].actor {
                    machine.kill_if_up(forever);
                    if let State::Down(_, until) = &mut machine.state {
                        *until = forever;
                    }
                }
                "crashed"
            }
            0 | 1 => {
                self.seats[index].paused_until = forever;
                "paused"
            }
            2 => {
                self.wire.break_path(cut(!one, one));
                "deaf"
            }
            3 => {
                self.wire.break_path(cut(one, !one));
                "mute"
            }
            4 => {
                self.wire.break_path(cut(one, healthy & !friend));
                self.wire.break_path(cut(healthy & !friend, one));
                "half connected"
            }
            _ => {
                self.wire.break_path(cut(one, !one));
                self.wire.break_path(cut(!one, one));
                "cut off"
            }
        };
        if how > 1 {
            self.heal(index);
        }
        self.tell(index, || Happening::Fault(format!("{word} for ever")));
    }
}

pub(super) fn ms(lasting: Nanos) -> String {
    format!("for {:.3} ms", lasting as f64 / 1e6)
}
