//! # replica: one of the copies of a machine, with its two names in the stream
//!
//! All copies open the machine's own name under one nonce, and each output is stamped once, whichever copy is
//! first ([`Outputs`](lockstep_core::engine::outputs::Outputs)). Each copy also has its own name, under which
//! it stamps the digest of its state, its snapshots, and ticks.
//!
//! **Ticks.** A timer fires at the first entry that was stamped at or behind its time. If no publisher
//! publishes, a replica stamps a tick as soon as the time has come by the newest entry's time and the
//! replica's monotonic clock: so no two clocks need to agree, and no timer fires early. Replicas wait a
//! little for each other, in the order of their numbers; two ticks do no harm. If a tick was stamped too
//! early (the leader's clock is behind the stream's time, which then stands still), the next one follows
//! after a pause that doubles.
//!
//! **Settings.** A machine that has [settings](StateMachine::settings) reports them first, and publishes
//! nothing until the stream has a report of its version: the first one binds all copies.

use crate::agreement::Parting;
use crate::core::{MachineCore, MachineFault, MachineNotice, MergedInput, Observe};
use crate::machine::StateMachine;
use crate::report::{CopySettings, ReplicaReport, SnapshotNotice};
use lockstep_core::engine::outputs::OutputsEnd;
use lockstep_core::engine::publisher::{OpenRefusal, PublishError, PublisherCore, PublisherEvent};
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_wire::{JOURNALS, MACHINES, Nanos, Need, PublisherId, Seq};
use std::collections::VecDeque;

/// How long a replica waits for the tick of each replica with a lower number.
const TICK_STAGGER_NS: Nanos = 200_000;
/// The first and the longest pause after a tick that was stamped too early.
const TICK_PAUSE_NS: std::ops::RangeInclusive<Nanos> = 200_000..=100_000_000;
/// The most outputs that wait for the window: then no more is read until it moves.
const OUTPUTS_MAX: usize = 4_096;

/// What a replica does when its state is not that of most replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DivergencePolicy {
    /// It stops; if neither of two equal groups is known to be right, all replicas stop.
    #[default]
    Stop,
    /// It continues, and the owner is notified.
    Report,
}

/// The settings that distinguish one copy from the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicaSettings {
    /// Its number, from 1.
    pub number: u8,
    /// The nonce with which all copies open the machine's name.
    pub nonce: [u64; 2],
    /// What it does when its state is not that of most replicas.
    pub on_divergence: DivergencePolicy,
    /// Whether it is a shadow while no version has taken over in the stream: another version is in force, so
    /// it applies and compares, and publishes no outputs. After a takeover of versions the stream alone
    /// decides which one is in force.
    pub is_shadow: bool,
    /// Whether its subscription is a stamped one: it applies each entry as soon as it is stamped, and
    /// publishes the outputs when the entry is committed. If a takeover takes entries back, it returns
    /// [`MachineFault::Retracted`].
    pub reads_stamped: bool,
}

/// A snapshot that a peer has served, with everything that an announcement in the stream states about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServedSnapshot {
    /// The exclusive bound of its entries.
    pub next: Seq,
    /// The version of the machine.
    pub version: u32,
    /// The digest of the state.
    pub digest: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// SHA-256 of its file.
    pub file: [u8; 32],
}

impl ServedSnapshot {
    /// Whether this announcement is of this snapshot.
    pub fn is_announced_by(&self, notice: &SnapshotNotice) -> bool {
        let Self { next, version, digest, bytes, file } = *self;
        (notice.next, notice.version, notice.digest, notice.bytes) == (next, version, digest, bytes)
            && notice.file.is_none_or(|announced| announced == file)
    }
}

/// The copy: see the module.
#[derive(Debug)]
pub struct MachineReplica<M> {
    settings: ReplicaSettings,
    /// The snapshot with which this state began, until the stream has announced it. It may be a forgery, so
    /// the replica only reads, and publishes nothing.
    unproven: Option<ServedSnapshot>,
    /// The machine on the stream.
    pub core: MachineCore<M>,
    ticket: Option<usize>,
    own: Option<PublisherId>,
    /// Whether the machine's name is open in the handle, or is being opened.
    is_opening: bool,
    /// The machine's settings until the stream shows that they are those of the first copy; `None`
    /// afterwards, and for a machine without settings.
    unconfirmed: Option<CopySettings>,
    /// Whether the handle fell further behind than any replica of the cluster remembers.
    is_handle_lost: bool,
    reports: VecDeque<ReplicaReport>,
    /// The seq from which on this replica needs the log, until that is published to the journals.
    need: Option<Need>,
    /// Whether a tick of this replica waits, or is under way.
    is_ticking: bool,
    /// When, by this process's clock, the newest entry's time was read.
    read_at: Nanos,
    /// The time of the timer for which the last tick was stamped.
    tick_for: Nanos,
    /// The pause after a tick that was stamped too early, with its end; 0 after another tick.
    tick_pause: Nanos,
    paused_until: Nanos,
    /// The newest snapshot that a replica has announced.
    newest_snapshot: Option<(u8, SnapshotNotice)>,
    /// The newest divergence, and the number of divergences.
    parting: Option<Parting>,
    partings: u64,
    /// Whether the stream was read up to its end once.
    is_caught_up: bool,
    fault: Option<MachineFault>,
}

impl<M: StateMachine> MachineReplica<M> {
    /// The copy with these settings, whose handles are not open yet.
    pub fn new(settings: ReplicaSettings, mut core: MachineCore<M>) -> Self {
        // A snapshot has committed entries only.
        let next = core.next();
        let stamped = settings.reads_stamped.then(|| core.outputs.set_final(next));
        let fault = stamped.and_then(Result::err).map(MachineFault::Output);
        let unconfirmed = CopySettings::of(&core.machine().settings());
        Self {
            settings,
            unproven: None,
            core,
            ticket: None,
            own: None,
            is_opening: false,
            unconfirmed,
            is_handle_lost: false,
            reports: VecDeque::new(),
            need: None,
            is_ticking: false,
            read_at: 0,
            tick_for: 0,
            tick_pause: 0,
            paused_until: 0,
            newest_snapshot: None,
            parting: None,
            partings: 0,
            is_caught_up: false,
            fault,
        }
    }

    /// The state began with a snapshot that a peer has served: until the stream has announced it, the replica
    /// reads and publishes nothing.
    pub fn begin_unproven(&mut self, snapshot: ServedSnapshot) {
        self.unproven = Some(snapshot);
    }

    /// The snapshot with which this state began, if the stream has not announced it; `None`: the state is
    /// proven.
    pub fn unproven(&self) -> Option<&ServedSnapshot> {
        self.unproven.as_ref()
    }

    /// Whether it publishes nothing: another version is in force, its state is not proven, or its settings
    /// are not confirmed.
    fn is_silent(&self) -> bool {
        self.is_shadow() || self.unproven.is_some() || self.unconfirmed.is_some()
    }

    /// Begins to open its names in a new handle; `drawn` is random. Returns whether the names are valid.
    /// Submissions of a former handle may be in the stream or not, so outputs are submitted again, and so is
    /// a tick.
    pub fn begin_open(&mut self, publisher: &mut PublisherCore, drawn: [u64; 2]) -> bool {
        (self.own, self.is_ticking, self.is_handle_lost) = (None, false, false);
        // A former order for a tick is void.
        self.reports.retain(|report| !matches!(report, ReplicaReport::Tick | ReplicaReport::Settings { .. }));
        if let Some(settings) = self.unconfirmed.clone() {
            self.reports.push_front(ReplicaReport::Settings { version: self.version(), settings });
        }
        let name = format!("{}/replica/{}", self.core.settings().name, self.settings.number);
        self.ticket = publisher.open(&name, drawn);
        self.is_opening = false;
        self.ticket.is_some() && self.see_to_version(publisher)
    }

    /// A replica of the version in force has the machine's name open; one of another version publishes
    /// nothing. Returns whether the name is valid.
    fn see_to_version(&mut self, publisher: &mut PublisherCore) -> bool {
        let is_silent = self.is_silent();
        self.core.outputs.set_silent(is_silent);
        if is_silent || self.is_opening {
            return true;
        }
        self.is_opening = true;
        self.core.outputs.begin_open(publisher, self.settings.nonce)
    }

    /// Whether another version of the machine is in force: this replica applies and compares, and publishes
    /// no outputs.
    pub fn is_shadow(&self) -> bool {
        self.core.in_force().map_or(self.settings.is_shadow, |version| version != self.version())
    }

    /// Stamps an entry from which on this replica's version is in force.
    pub fn take_over(&mut self) {
        self.reports.push_back(ReplicaReport::TakeOver { version: self.version() });
    }

    /// The version of the machine.
    fn version(&self) -> u32 {
        self.core.machine().version()
    }

    /// Handles the next event of the subscription, read at `now` of this process's clock. `observe` is called
    /// for each input and its effects.
    ///
    /// # Errors
    /// The stream has other outputs than this state, most replicas have another state, or the machine has
    /// failed.
    pub fn on_event(
        &mut self,
        now: Nanos,
        event: &SubscriberEvent<'_>,
        observe: Observe<'_>,
    ) -> Result<(), MachineFault> {
        self.see_to_settings()?;
        let time = self.core.time();
        self.core.on_event(event, observe).map_err(MachineFault::Output)?;
        self.see_to_core(now, time)?;
        self.on_end_or_bound(event)
    }

    /// As [`on_event`](Self::on_event), of the streams of a set in their merged order.
    ///
    /// # Errors
    /// As [`on_event`](Self::on_event), and [`MachineCore::on_merged`].
    pub fn on_merged(
        &mut self,
        now: Nanos,
        place: MergedInput,
        event: &SubscriberEvent<'_>,
        observe: Observe<'_>,
    ) -> Result<(), MachineFault> {
        self.see_to_settings()?;
        let time = self.core.time();
        self.core.on_merged(place, event, observe)?;
        self.see_to_core(now, time)?;
        // The order is read up to its end where the home stream is.
        if matches!(event, SubscriberEvent::CaughtUp { .. }) && !place.is_home {
            return Ok(());
        }
        match self.on_end_or_bound(event) {
            Err(MachineFault::Stream(why)) => {
                Err(MachineFault::Stream(format!("the stream of cluster {}: {why}", place.stream)))
            }
            done => done,
        }
    }

    /// After an event: its notices, where the time was `before`.
    fn see_to_core(&mut self, now: Nanos, before: Nanos) -> Result<(), MachineFault> {
        if let Some(why) = self.core.machine().fault() {
            return Err(MachineFault::Machine(why.to_owned()));
        }
        self.see_to_settings()?;
        if self.core.time() != before {
            self.read_at = now;
        }
        while let Some(notice) = self.core.next_notice() {
            self.on_notice(now, notice)?;
        }
        Ok(())
    }

    /// An event of the subscription that is no input: it ends, or says how far the stream is read.
    fn on_end_or_bound(&mut self, event: &SubscriberEvent<'_>) -> Result<(), MachineFault> {
        match *event {
            SubscriberEvent::Abandoned { from, oldest, .. } => Err(MachineFault::Abandoned { from, oldest }),
            SubscriberEvent::Refused { why, next } => Err(MachineFault::Stream(format!(
                "the stream is refused at seq {next}: {}",
                why.map_or("no journal can be reached".into(), |why| format!("{why:?}"))
            ))),
            SubscriberEvent::HistoryLost { next, have, .. } => Err(MachineFault::Stream(format!(
                "the cluster was founded again below what was final: its new history begins at seq {next}, and this state has \
                 all below {have}; start from a snapshot below {next}"
            ))),
            SubscriberEvent::Ahead { next, end, .. } => Err(MachineFault::Stream(format!(
                "the cluster's log ends at seq {end}, and this state has all below {next}: it is of another cluster, or entries \
                 were lost"
            ))),
            SubscriberEvent::Diverged { seq } => Err(MachineFault::Stream(format!(
                "the stream differs at seq {seq} from the one that was read"
            ))),
            SubscriberEvent::CaughtUp { .. } => {
                self.is_caught_up = true;
                Ok(())
            }
            SubscriberEvent::Committed { next } if self.settings.reads_stamped => {
                let next = next.max(self.final_next());
                self.core.outputs.set_final(next).map_err(MachineFault::Output)
            }
            SubscriberEvent::Retract { from } if from < self.core.next() => {
                Err(MachineFault::Retracted(from))
            }
            _ => Ok(()),
        }
    }

    fn on_notice(&mut self, now: Nanos, notice: MachineNotice) -> Result<(), MachineFault> {
        let number = self.settings.number;
        match notice {
            // A state that is not proven is neither reported nor compared.
            MachineNotice::Digest { .. } | MachineNotice::Parting(_) if self.unproven.is_some() => {}
            MachineNotice::Digest { at, digest, odd } => {
                self.reports.push_back(ReplicaReport::Digest { version: self.version(), at, digest });
                if odd.contains(&number) && self.settings.on_divergence == DivergencePolicy::Stop {
                    return Err(MachineFault::Odd(self.parting));
                }
            }
            MachineNotice::Report(replica, ReplicaReport::Tick) if replica == number => self.on_own_tick(now),
            MachineNotice::Report(replica, ReplicaReport::Snapshot(notice)) => {
                self.unproven.take_if(|served| served.is_announced_by(&notice));
                if self.newest_snapshot.is_none_or(|(_, newest)| newest.next <= notice.next) {
                    self.newest_snapshot = Some((replica, notice));
                }
            }
            MachineNotice::Report(..) => {}
            MachineNotice::Parting(parting) => {
                self.parting = Some(parting);
                self.partings += 1;
            }
        }
        Ok(())
    }

    /// Compares the settings, once the stream has those of the first copy: its report precedes every output,
    /// the first of which might differ.
    fn see_to_settings(&mut self) -> Result<(), MachineFault> {
        let Some((replica, first)) = self.core.first_settings() else { return Ok(()) };
        match self.unconfirmed.take_if(|_| self.unproven.is_none()) {
            Some(own) if own != *first => {
                Err(MachineFault::Settings { own, replica: *replica, first: first.clone() })
            }
            _ => Ok(()),
        }
    }

    /// A tick of this replica was stamped, and the timers that were due have fired.
    fn on_own_tick(&mut self, now: Nanos) {
        self.is_ticking = false;
        let is_early = self.core.next_timer().is_some_and(|due| due <= self.tick_for);
        self.tick_pause = if is_early {
            (2 * self.tick_pause).clamp(*TICK_PAUSE_NS.start(), *TICK_PAUSE_NS.end())
        } else {
            0
        };
        self.paused_until = now + self.tick_pause;
    }

    /// Handles an event of the publisher's handle. Call it for each event.
    pub fn on_publisher(&mut self, event: &PublisherEvent) {
        self.core.outputs.on_publisher(event);
        let lost = |why: &str| Some(MachineFault::Publish(why.to_owned()));
        match *event {
            PublisherEvent::Opened { ticket, publisher, .. } if Some(ticket) == self.ticket => {
                self.own = Some(publisher);
            }
            PublisherEvent::Fenced { publisher, .. } if Some(publisher) == self.own => {
                self.fault = lost("another process runs as this replica: each needs a number of its own");
            }
            PublisherEvent::Closed { publisher, .. } if Some(publisher) == self.own => {
                self.fault = lost("this replica's name was closed");
            }
            PublisherEvent::Refused { reason, .. } => {
                self.fault = lost(match reason {
                    OpenRefusal::TableFull { .. } => {
                        "the cluster's table of publishers is full: raise stream.publishers_max"
                    }
                    _ => {
                        "the key of this process does not allow the machine's names: `lockstep keys allow` changes that"
                    }
                });
            }
            PublisherEvent::OutcomesUnknown => self.is_handle_lost = true,
            _ => {}
        }
    }

    /// One turn of the publishing side, at `now` of this process's clock: submits what the stream may lack.
    /// Returns the work done.
    ///
    /// # Errors
    /// Nothing can be published any more.
    pub fn turn(&mut self, now: Nanos, publisher: &mut PublisherCore) -> Result<usize, MachineFault> {
        if let Some(fault) = self.fault.clone() {
            return Err(fault);
        }
        match self.core.outputs.end() {
            Some(OutputsEnd::Fenced) => {
                return Err(MachineFault::Publish("the machine's name was opened with another nonce".into()));
            }
            Some(_) => return Err(MachineFault::Publish("the machine's name was closed".into())),
            None => {}
        }
        if !self.see_to_version(publisher) {
            return Err(MachineFault::Publish("no more names can be opened in this handle".into()));
        }
        let refused =
            |error: PublishError| MachineFault::Publish(format!("the machine cannot publish: {error}"));
        let mut work = self.core.outputs.hand_in(publisher).map_err(refused)?;
        if !self.is_ticking && self.tick_due().is_some_and(|due| due <= now) {
            self.is_ticking = true;
            self.tick_for = self.core.next_timer().unwrap_or(0);
            self.reports.push_front(ReplicaReport::Tick);
        }
        let Some(own) = self.own else { return Ok(work) };
        while let Some(report) = self.reports.front() {
            let waits = match report {
                // A digest of a state that may be taken back is not reported.
                ReplicaReport::Digest { at, .. } => *at > self.final_next(),
                ReplicaReport::Settings { .. } => self.unproven.is_some(),
                _ => false,
            };
            if waits {
                break;
            }
            match publisher.try_publish(own, MACHINES, &report.to_bytes()) {
                Ok(_) => work += 1,
                Err(PublishError::Backpressure) => break,
                Err(error) => return Err(refused(error)),
            }
            self.reports.pop_front();
        }
        if let Some(need) = self.need {
            match publisher.try_publish(own, JOURNALS, &need.to_bytes()) {
                Ok(_) => (self.need, work) = (None, work + 1),
                Err(PublishError::Backpressure) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(work)
    }

    /// When the next tick is due, by this process's clock; `None`: no timer is pending.
    pub fn tick_due(&self) -> Option<Nanos> {
        if self.is_ticking || self.own.is_none() || self.unproven.is_some() {
            return None;
        }
        let left = self.core.next_timer()?.saturating_sub(self.core.time());
        let stagger = TICK_STAGGER_NS * Nanos::from(self.settings.number.saturating_sub(1) % 8);
        Some(self.read_at.saturating_add(left).saturating_add(stagger).max(self.paused_until))
    }

    /// The number of messages, at most `batch`, that the next poll of the subscription may deliver: none
    /// while many outputs wait.
    pub fn limit(&self, batch: usize) -> usize {
        if self.core.outputs.backlog() < OUTPUTS_MAX { batch } else { 0 }
    }

    /// Whether every output is committed, and every report has been submitted.
    pub fn is_drained(&self) -> bool {
        self.core.outputs.is_drained() && self.reports.is_empty()
    }

    /// A snapshot of this replica is complete: it is announced in the stream.
    pub fn announce(&mut self, notice: SnapshotNotice) {
        self.reports.push_back(ReplicaReport::Snapshot(notice));
    }

    /// The oldest snapshot of this replica has everything below `from`: journals retain the log behind it.
    pub fn needs_from(&mut self, from: Seq) {
        self.need = Some(Need { from });
    }

    /// The newest announced snapshot, and the number of its replica.
    pub fn newest_snapshot(&self) -> Option<(u8, SnapshotNotice)> {
        self.newest_snapshot
    }

    /// The number of other replicas' digests that differed from this state's, and the newest divergence.
    pub fn partings(&self) -> (u64, Option<Parting>) {
        (self.partings, self.parting)
    }

    /// Whether the handle is useless because it fell too far behind: call [`begin_open`](Self::begin_open)
    /// with a new one. The state stays valid.
    pub fn is_handle_lost(&self) -> bool {
        self.is_handle_lost
    }

    /// Whether everything applied is committed: then a snapshot may be written.
    pub fn is_final(&self) -> bool {
        self.core.next() <= self.final_next()
    }

    /// The exclusive bound of the entries known to be committed; `Seq::MAX` for a committed subscription.
    pub fn final_next(&self) -> Seq {
        self.core.outputs.final_next()
    }

    /// Whether the stream was read up to its end once.
    pub fn is_caught_up(&self) -> bool {
        self.is_caught_up
    }

    /// Whether the names that it needs are open.
    pub fn is_open(&self) -> bool {
        self.own.is_some() && (self.is_silent() || self.core.outputs.is_open())
    }

    /// The exclusive bound of the applied entries.
    pub fn next(&self) -> Seq {
        self.core.next()
    }
}
