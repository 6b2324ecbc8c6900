//! The running coordinator: one thread, one handle of each stream.

use super::counts::counters;
use super::home::{HomeStream, HomeTurn};
use super::other::{OtherStream, StreamTurn};
use super::rank::rank;
use super::watch::{Awaited, SetWatch};
use super::{CoordinatorArgs, PATIENCE, choice, identify, place, streams_of};
use crate::config::{Config, CoordinatorConfig, KeyUse};
use crate::follows::FollowsLog;
use crate::observed::Observed;
use crate::reloader::{Daemon, Reloader};
use crate::sequencer::{log_effective, stop_with_stdin};
use crate::{Failure, confined, counters_or_warning, log, network_wait, signals};
use lockstep_client::{Counted, Endpoint};
use lockstep_io::clock::Clock;
use lockstep_io::idle::{Idle, Waiter};
use lockstep_io::output::{self, OutputStream};
use lockstep_operations::acting;
use lockstep_process::confinement::{self, Becomes, Reach};
use lockstep_process::watcher::forbid_core_dumps;
use lockstep_process::{cpu, limits};
use lockstep_set::{Coordinator, CoordinatorLimits, MergePlace, MergedReader, SetFacts, StreamFacts, judge};
use lockstep_wire::{Epoch, Nanos};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest sleep: the counters are stored ten times a second.
const PAUSE_NS: Nanos = 50_000_000;
/// A turn that has done so much may have left something.
const TURN_MAX: usize = 1024;

/// Runs until it must stop.
pub fn run(args: &CoordinatorArgs) -> Result<u8, Failure> {
    log::begin_daemon();
    let configs = streams_of(&args.cluster)?;
    let home = &configs[0];
    let me = identify(place(home), args.id)?;
    acting::not_as_root(home)?;
    log::start(&home.log);
    // The process has keys in memory.
    log_effective(&forbid_core_dumps());
    limits::in_place_of_capabilities();
    let chosen = [choice(&place(home).home().name)];
    let reloader = Reloader::new(Daemon::Coordinator(me.id), &args.cluster, &chosen, home)?;
    let reach = confined::of_coordinator(&configs, reloader.file());
    confinement::begin(&reach);
    let stop = signals::stop_flag()?;
    if args.until_stdin_ends {
        stop_with_stdin(Arc::clone(&stop))?;
    }
    let needed: Vec<_> = configs.iter().flat_map(|config| network_wait::of_handles(config, [])).collect();
    if !network_wait::wait(&needed, home, &stop)? {
        return Ok(0);
    }
    let endpoints: Vec<_> = configs.iter().map(Endpoint::for_coordinator).collect::<Result<_, _>>()?;
    let observed = reloader.observed();
    let answers = reloader.start_for_all(KeyUse::Coordinator, (&configs, &endpoints), |_| {})?;
    if let Some(core) = me.core {
        log_effective(&cpu::pin(core));
    }
    observed.begin(home);
    let mut set = Coordinated::new(&configs, me, endpoints, &observed)?;
    answers.begin_beside(set.counted.as_ref());
    set.serve(&reach, &stop)?;
    tracing::info!(counts = ?set.home.counts(), "stopped");
    Ok(0)
}

/// All streams of the set, and the rules of the process.
struct Coordinated<'a> {
    config: &'a Config,
    me: &'a CoordinatorConfig,
    home: HomeStream,
    others: Vec<OtherStream>,
    /// How far the merged order is read; none while the home stream is looked back in.
    reader: Option<MergedReader>,
    rules: Coordinator,
    limits: CoordinatorLimits,
    /// The epoch of the home stream that the rank was computed of.
    ranked: Option<Epoch>,
    counted: Option<Counted>,
    /// The conditions of the set, and what they are judged by.
    watch: SetWatch,
    awaited: Awaited,
    /// When they are judged next.
    judged_at: Nanos,
    /// The stream of the list that is not in the file, once that was reported; 0: none.
    unknown: u64,
    /// How the thread waits.
    idle: Idle,
    waiter: Option<Waiter>,
    /// Which handles are polled in the next turn: the home stream's, then those of the others.
    awake: Vec<bool>,
    clock: Clock,
}

/// Whether the next turn follows at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    /// Something is left, or has become possible.
    GoesOn,
    /// What arrives next wakes the thread.
    Pauses,
}

impl Work {
    /// A turn that did so much. What it has left in a socket ends the next sleep at once.
    fn of(done: usize) -> Self {
        if done < TURN_MAX { Self::Pauses } else { Self::GoesOn }
    }
}

impl<'a> Coordinated<'a> {
    fn new(
        configs: &'a [Config],
        me: &'a CoordinatorConfig,
        mut endpoints: Vec<Endpoint>,
        observed: &Observed,
    ) -> Result<Self, Failure> {
        let set = place(&configs[0]);
        let names: Vec<_> = set.streams.iter().map(|stream| stream.name.as_str()).collect();
        let of_others = endpoints.split_off(1);
        let home_endpoint = endpoints.remove(0);
        let idle = if me.core.is_some() { home_endpoint.idle() } else { Idle::Park };
        let mut home = HomeStream::new(home_endpoint.clone(), set.cut_name(me.id))?;
        let created = Counted::create_daemon_participant(
            &home_endpoint,
            ("coordinator", &me.id.to_string()),
            counters(&names),
            &mut home.participant,
        );
        let counted = counters_or_warning(observed, created);
        let others = set.streams[1..].iter().zip(of_others);
        let others =
            others.map(|(stream, endpoint)| OtherStream::new(&stream.name, stream.cluster, endpoint));
        let limits = CoordinatorLimits { interval_ns: set.cut_interval_ns, patience: 0 };
        Ok(Self {
            config: &configs[0],
            me,
            home,
            others: others.collect(),
            reader: None,
            rules: Coordinator::new(limits),
            limits,
            ranked: None,
            counted,
            watch: SetWatch::new(
                set.streams.iter().map(|stream| (stream.name.clone(), stream.cluster)).collect(),
            ),
            awaited: Awaited::default(),
            judged_at: 0,
            unknown: 0,
            idle,
            waiter: None,
            awake: vec![true; configs.len()],
            clock: Clock::start(),
        })
    }

    /// Serves until a stop is requested.
    fn serve(&mut self, reach: &[Reach], stop: &AtomicBool) -> Result<(), Failure> {
        let leaderless_ns_max = self.others.iter().map(|other| other.endpoint.leaderless_ns_max()).max();
        let mut follows = FollowsLog::new("no cut is published", leaderless_ns_max.unwrap_or(0));
        let mut is_reported = false;
        while !stop.load(Ordering::Acquire) {
            let now = self.clock.now();
            let work = self.turn(now)?;
            self.take_rank();
            self.publish(now)?;
            follows.look(now, self.home.participant.is_connected());
            self.judge(now);
            self.count(now);
            if self.home.counts().ready == 1 && !std::mem::replace(&mut is_reported, true) {
                // Until now it may have had to open its sockets again.
                confined::complete(reach, Becomes::Other);
                self.report();
            }
            match work {
                Work::Pauses => self.wait(now)?,
                Work::GoesOn => self.awake.fill(true),
            }
        }
        Ok(())
    }

    /// Reads the streams that are awake, and merges what may be merged. Returns the work done.
    fn turn(&mut self, now: Nanos) -> Result<Work, Failure> {
        let before = self.reader.as_ref().map(|reader| (reader.turn(), reader.merge().next_number()));
        let mut work = 0;
        if self.awake[0] {
            match self.home.poll(now, self.reader.as_mut())? {
                HomeTurn::Worked(done) => work = done,
                HomeTurn::Begun(place) => {
                    self.begin(place);
                    return Ok(Work::GoesOn);
                }
            }
        }
        let home_cluster = self.config.cluster;
        let Self { reader: Some(reader), others, home, waiter, unknown, awake, .. } = self else {
            return Ok(Work::of(work));
        };
        for (other, awake) in others.iter_mut().zip(&awake[1..]) {
            if other.follow(now, reader) {
                *waiter = None;
            } else if !awake {
                continue;
            }
            match other.poll(now, reader, &mut |event| home.on_merged(&event)) {
                StreamTurn::Worked(done) => work += done,
                ended => {
                    let begun = match ended {
                        // The rows of newer cuts are ahead of it as well: all is merged again.
                        StreamTurn::Lost => home.begin_at(MergePlace::beginning())?,
                        _ => home.begin_elsewhere()?,
                    };
                    if let HomeTurn::Begun(place) = begun {
                        self.begin(place);
                    }
                    return Ok(Work::GoesOn);
                }
            }
        }
        if reader.turn() != *unknown
            && reader.turn() != home_cluster
            && others.iter().all(|other| other.cluster != reader.turn())
        {
            *unknown = reader.turn();
            tracing::error!(
                cluster = unknown,
                "a cut covers entries of a stream that the file does not have, and nothing is merged: give this process the file of \
                 all streams that `lockstep streams show` lists"
            );
        }
        let waited = reader.deliver_waiting(&mut |event| home.on_merged(&event));
        // What waits in the memory of a handle is delivered once its bound has risen.
        let has_moved = before != Some((reader.turn(), reader.merge().next_number()));
        if waited.is_some() || has_moved { Ok(Work::GoesOn) } else { Ok(Work::of(work)) }
    }

    /// The home stream is read from another place on.
    fn begin(&mut self, at: Option<MergePlace>) {
        self.reader = at.as_ref().map(|at| MergedReader::new(self.config.cluster, at));
        self.rules = Coordinator::new(self.limits);
        let rows = at.map_or_else(Vec::new, |at| at.streams);
        for other in &mut self.others {
            other.begin(rows.iter().find(|row| row.stream == other.cluster).copied());
        }
        self.waiter = None;
        Counted::measure_participant(&mut self.home.participant);
    }

    /// Publishes the cut that is due, if one is and the home stream was read up to its end.
    fn publish(&mut self, now: Nanos) -> Result<(), Failure> {
        let Some(reader) = self.reader.as_ref().filter(|_| self.home.publishes()) else { return Ok(()) };
        let others = &self.others;
        let committed = |stream: u64| {
            let other = others.iter().find(|other| other.cluster == stream)?;
            other.committed(reader.next_of(stream)?)
        };
        if let Some(cut) = self.rules.cut(now, reader.merge(), committed)
            && !self.home.publish(&cut)?
        {
            self.rules.on_refused();
        }
        Ok(())
    }

    /// The coordinator beside the leader of the home stream is the first one.
    fn take_rank(&mut self) {
        let epoch = self.home.epoch();
        if self.ranked != Some(epoch) {
            self.ranked = Some(epoch);
            let rank = rank(self.config, &place(self.config).coordinators, self.me.id, epoch);
            self.limits.patience = rank * PATIENCE;
            self.rules.set_patience(self.limits.patience);
            self.home.counts().rank = rank.into();
        }
    }

    /// Judges the conditions of the set.
    fn judge(&mut self, now: Nanos) {
        if now < self.judged_at {
            return;
        }
        self.judged_at = now + PAUSE_NS;
        let mut facts = SetFacts { streams: vec![self.home.facts(now)], ..SetFacts::default() };
        if let Some(reader) = &self.reader {
            let merge = reader.merge();
            self.awaited.look(now, reader);
            facts.cut = merge.cuts().last().seq;
            // Before its end is reached, cuts may be there that were not read yet.
            let due = self.rules.due(merge).filter(|_| self.home.counts().ready == 1);
            facts.due_ns = due.map_or(0, |due| now.saturating_sub(due));
            let others = self.others.iter().filter_map(|other| other.facts(now, reader));
            let awaited =
                |facts: StreamFacts| StreamFacts { awaited_ns: self.awaited.of(now, facts.stream), ..facts };
            facts.streams.extend(others.map(awaited));
        }
        self.watch.look(judge(&facts));
        self.home.counts().stands = self.watch.stands().into();
    }

    fn count(&mut self, now: Nanos) {
        let Some(counted) = self.counted.as_mut().filter(|counted| counted.is_due(now)) else { return };
        let since = self.rules.due_since();
        self.home.counts().lag = since.map_or(0, |since| now.saturating_sub(since));
        for other in &mut self.others {
            let row = self.reader.as_ref().and_then(|reader| {
                reader.merge().cuts().streams().iter().find(|listed| listed.stream == other.cluster)
            });
            other.counts.row_next = row.map_or(0, |listed| listed.row.1);
        }
        let mut values = self.home.counts().values().to_vec();
        values.extend(self.home.of_home().values());
        values.extend(self.others.iter().flat_map(|other| other.counts.values()));
        values.extend(self.watch.values());
        counted.publish_participant(now, &values, &self.home.participant);
    }

    /// Prints which streams it coordinates.
    fn report(&self) {
        let (id, home) = (self.me.id, &place(self.config).home().name);
        let others: Vec<_> = self.others.iter().map(|other| other.name.as_str()).collect();
        output::write_line(
            OutputStream::Out,
            format_args!("coordinator {id} publishes cuts into {home}, of {}", others.join(", ")),
        );
    }

    /// Waits until a handle has something to read or to do, or a cut is due. Those that neither have are not
    /// polled in the next turn: a heartbeat of one stream costs no system calls for the others.
    fn wait(&mut self, now: Nanos) -> Result<(), Failure> {
        self.awake.fill(true);
        let others = || self.others.iter().map(OtherStream::subscriber);
        let due = |due: Duration| due.as_nanos() as Nanos;
        let dues: Vec<Nanos> = std::iter::once(due(self.home.participant.due()))
            .chain(others().map(|one| one.map_or(Nanos::MAX, |one| due(one.due()))))
            .collect();
        let sockets = || {
            let of_others = others().map(|one| one.map_or_else(Vec::new, |one| one.sockets()));
            std::iter::once(self.home.participant.sockets()).chain(of_others)
        };
        if self.waiter.is_none() {
            self.waiter = Some(self.idle.waiter(&sockets().flatten().collect::<Vec<_>>())?);
        }
        let counts: Vec<usize> = sockets().map(|of_one| of_one.len()).collect();
        let progress = others().flatten().map(|one| one.commit_next()).sum::<u64>();
        let until_cut = match self.home.publishes() {
            true => self.rules.deadline().saturating_sub(now),
            false => Nanos::MAX,
        };
        let Some(waiter) = self.waiter.as_mut().filter(|_| until_cut > 0) else { return Ok(()) };
        waiter.on_progress(progress + self.home.participant.deliver_next());
        waiter.wait(dues.iter().copied().min().unwrap_or(PAUSE_NS).min(until_cut).min(PAUSE_NS));
        let waited = self.clock.now() - now;
        // By memory something may have arrived that no socket shows.
        let Some(readable) = waiter.readable().filter(|_| !self.config.network.shm) else { return Ok(()) };
        let mut at = 0;
        for ((awake, count), due) in self.awake.iter_mut().zip(counts).zip(dues) {
            *awake = due <= waited || (at..at + count).any(&readable);
            at += count;
        }
        Ok(())
    }
}
