//! Looks at all streams of a set, once or again and again.

use super::snapshot::{SeenStream, SetSnapshot, snapshot};
use crate::OperationError;
use crate::commands::{CommandClient, CommandSource};
use crate::streams::{ReadBack, SetReader};
use lockstep_client::internal::{Health, NodeStatus, leader_of};
use lockstep_config::Config;
use lockstep_io::clock::Clock;
use lockstep_set::conditions::STANDS_NS;
use lockstep_set::{CUTS_APART_NS_MAX, SetFacts, StreamFacts};
use lockstep_wire::{Nanos, OperatorKey, Seq};
use std::time::Duration;

/// How long a node may take to answer, where it is asked again and again.
const ANSWER_WAIT: Duration = Duration::from_millis(300);
/// Pause between two looks at the home stream while a cut is awaited.
const PAUSE: Duration = Duration::from_millis(20);

/// Questions are not signed.
struct StreamSource<'a>(&'a Config);

impl CommandSource for StreamSource<'_> {
    type Error = OperationError;

    fn config(&self) -> Result<Config, OperationError> {
        Ok(self.0.clone())
    }

    fn signing_key(&self, _: &Config) -> Result<Option<OperatorKey>, OperationError> {
        Ok(None)
    }
}

/// One stream, as it is asked.
struct AskedStream {
    name: String,
    cluster: u64,
    operator: CommandClient,
    statuses: Vec<Option<NodeStatus>>,
    /// Since when no answer names a leader, by the clock of the looks.
    leaderless_since: Option<Nanos>,
    /// How far it was committed at the look before, and when.
    before: Option<(Nanos, Seq)>,
    rate: Option<f64>,
}

impl AskedStream {
    fn leader(&self) -> Option<&NodeStatus> {
        leader_of(&self.statuses)
    }

    /// The answers of a look that ended at `now` and took so long.
    fn take(&mut self, statuses: Vec<Option<NodeStatus>>, now: Nanos, took: Duration) {
        self.statuses = statuses;
        let begun = now.saturating_sub(took.as_nanos() as Nanos);
        let committed = self.leader().map(|leader| leader.commit_next);
        self.leaderless_since = match committed {
            Some(_) => None,
            None => Some(self.leaderless_since.unwrap_or(begun)),
        };
        let rate = |(at, next): (Nanos, Seq), end: Seq| {
            (now > at).then(|| end.saturating_sub(next) as f64 * 1e9 / (now - at) as f64)
        };
        self.rate = self.before.zip(committed).and_then(|(before, end)| rate(before, end));
        self.before = committed.map(|end| (now, end));
    }

    /// For how long it has had no leader: as its nodes have missed it, or as this look has found none.
    fn leaderless(&self, now: Nanos) -> Option<Nanos> {
        let since = self.leaderless_since?;
        let missed = self.statuses.iter().flatten().filter_map(|status| Some(status.suspected?.ago));
        let missed = missed.max().map_or(0, |ago| ago.as_nanos() as Nanos);
        Some(missed.max(now.saturating_sub(since)))
    }

    fn facts(&self, now: Nanos, home: &SetReader) -> StreamFacts {
        let row = home.view.covered(self.cluster).map(|row| (row.epoch(), row.next));
        let leader = self.leader();
        let facts = StreamFacts {
            row,
            committed: leader.map(|leader| leader.commit_next),
            leaderless_ns: self.leaderless(now),
            ..StreamFacts::new(self.cluster)
        };
        // It is as short as that since its leader leads.
        let led = leader.and_then(|leader| leader.epoch_age).map_or(0, |age| age.as_nanos() as Nanos);
        StreamFacts { short_ns: if facts.is_short() { led } else { 0 }, ..facts }
    }

    fn seen(&self) -> SeenStream {
        let asked = self.operator.nodes.asked(&self.statuses);
        let health = Health::judge(&asked);
        let leader = self.leader();
        SeenStream {
            name: self.name.clone(),
            cluster: self.cluster,
            health: health.health.name(),
            leader: leader.map(|leader| leader.identity.to_string()),
            round: leader.map(|leader| u64::from(leader.accepted.round())),
            commit_next: leader.map(|leader| leader.commit_next),
            rate: self.rate,
        }
    }
}

/// See the module.
pub struct SetLook {
    streams: Vec<AskedStream>,
    home: SetReader,
    /// Whether the file names coordinators.
    has_coordinators: bool,
    /// Why the home stream could not be read at the last look.
    unread: Option<String>,
    timeout: Duration,
    /// The last cut, and since when one is due behind it.
    due: (Seq, Option<Nanos>),
    clock: Clock,
}

impl SetLook {
    /// Of the set whose streams have these configurations, the home stream's first.
    ///
    /// # Errors
    /// A key cannot be read, or no device opens.
    pub fn open(configs: &[Config], timeout: Duration) -> Result<Self, OperationError> {
        let stream = |config: &Config| -> Result<AskedStream, OperationError> {
            Ok(AskedStream {
                name: config.stream_name().to_owned(),
                cluster: config.cluster,
                operator: CommandClient::open(&StreamSource(config), timeout)?,
                statuses: Vec::new(),
                leaderless_since: None,
                before: None,
                rate: None,
            })
        };
        let streams = configs.iter().map(stream).collect::<Result<_, _>>()?;
        let home = &configs[0];
        Ok(Self {
            streams,
            home: SetReader::new(home, ReadBack::Bounded)?,
            has_coordinators: home.set.as_ref().is_some_and(|set| !set.coordinators.is_empty()),
            unread: None,
            timeout,
            due: (0, None),
            clock: Clock::start(),
        })
    }

    /// One look: it looks for a leader of each stream, and where a cut seems to be due, whether one comes.
    ///
    /// # Errors
    /// A device fails.
    pub fn once(&mut self) -> Result<SetSnapshot, OperationError> {
        let all = std::thread::scope(|scope| {
            let ask = |one: &mut AskedStream| one.operator.look_for_leader();
            let asked: Vec<_> = self.streams.iter_mut().map(|one| scope.spawn(move || ask(one))).collect();
            let answers = asked.into_iter().map(|asked| asked.join().unwrap_or_else(|_| Ok(Vec::new())));
            answers.collect::<Result<Vec<_>, _>>()
        })?;
        let now = self.clock.now();
        for (stream, statuses) in self.streams.iter_mut().zip(all) {
            let took = if leader_of(&statuses).is_some() { Duration::ZERO } else { self.timeout };
            stream.take(statuses, now, took);
        }
        self.read_home();
        let deadline = self.clock.now() + STANDS_NS + STANDS_NS / 4;
        loop {
            let now = self.clock.now();
            let facts = self.facts(now);
            let is_settled = facts.due_ns == 0 || facts.due_ns > STANDS_NS || now >= deadline;
            if is_settled || self.unread.is_some() {
                return Ok(self.snapshot(facts));
            }
            std::thread::sleep(PAUSE);
            self.read_on();
        }
    }

    /// Another look: each node is asked once, and nothing is waited for.
    pub fn again(&mut self) -> SetSnapshot {
        let all: Vec<_> = std::thread::scope(|scope| {
            let ask = |one: &mut AskedStream| one.operator.nodes.look_once(ANSWER_WAIT);
            let asked: Vec<_> = self.streams.iter_mut().map(|one| scope.spawn(move || ask(one))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap_or_default()).collect()
        });
        let now = self.clock.now();
        for (stream, statuses) in self.streams.iter_mut().zip(all) {
            stream.take(statuses, now, Duration::ZERO);
        }
        if !self.home.is_reading() {
            self.read_home()
        } else {
            self.read_on()
        }
        let facts = self.facts(self.clock.now());
        self.snapshot(facts)
    }

    fn read_home(&mut self) {
        // Without a leader nobody says how far the home stream goes.
        self.unread = match self.streams[0].leader() {
            Some(_) => self.home.read(0, self.timeout).err().map(|error| error.to_string()),
            None => Some("no replica leads the home stream".to_owned()),
        };
    }

    fn read_on(&mut self) {
        self.unread = self.home.read_on().err().map(|error| error.to_string());
    }

    /// What the conditions are judged by; nothing of a set that merges nothing.
    fn facts(&mut self, now: Nanos) -> SetFacts {
        let view = &self.home.view;
        let list = view.list();
        let is_unread = view.from == 0 && self.has_coordinators;
        if list.is_none() && !is_unread {
            return SetFacts::default();
        }
        let listed = list.map_or_else(Vec::new, |list| list.rows);
        let is_merged = |(at, one): &(usize, &AskedStream)| {
            *at == 0 || is_unread || listed.iter().any(|row| row.stream == one.cluster)
        };
        let merged = self.streams.iter().enumerate().filter(is_merged);
        let streams: Vec<_> = merged.map(|(_, one)| one.facts(now, &self.home)).collect();
        let cut = view.last.as_ref().map_or(0, |last| last.seq);
        let wall = self.clock.wall(now);
        let moved_ns = view.moved_since.map_or(0, |since| wall.saturating_sub(since));
        let is_ahead = view.last.is_some() && streams.iter().any(StreamFacts::is_ahead);
        let is_first =
            view.last.is_none() && !is_unread && streams[1..].iter().any(|one| one.committed.is_some());
        let is_due = is_ahead || is_first || moved_ns > CUTS_APART_NS_MAX;
        let since = match self.due {
            (seq, since) if seq == cut && is_due => since.unwrap_or(now),
            _ => now,
        };
        self.due = (cut, is_due.then_some(since));
        // While nobody can read the home stream, nobody knows of a cut.
        let due_ns = if is_due && self.unread.is_none() { now.saturating_sub(since).max(1) } else { 0 };
        SetFacts { cut, due_ns, streams }
    }

    fn snapshot(&self, mut facts: SetFacts) -> SetSnapshot {
        if !self.home.is_connected() {
            // A cut may have come that did not arrive here.
            facts.due_ns = 0;
        }
        let seen: Vec<_> = self.streams.iter().map(AskedStream::seen).collect();
        let wall = self.clock.wall(self.clock.now());
        snapshot(&seen, &self.home.view, &facts, self.unread.as_deref(), wall)
    }
}
