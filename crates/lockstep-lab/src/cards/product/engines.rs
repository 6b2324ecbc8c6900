//! The production engines as a system that the lab checks: three replicas and a reader of the stream, in the
//! explorer of the simulator. Their timed runs are those of [`lockstep_sim::lone`].
//!
//! The words of a model mean here:
//!
//! | model | the engines |
//! |---|---|
//! | n | replicas, and one reader behind them |
//! | links | each datagram may arrive at any time, any number of times, or never |
//! | detector, wrong leaders | candidacies at any moment, above epoch 1, which begins led |
//! | stop | a machine is lost with its data; the replica that takes its place has no vote |
//! | recovery with storage | a process starts again on its journal |
//! | recovery without | a machine is lost, and restored as it was when the run began |

use super::LONE;
use crate::card::{Break, Card, Detector, Failures, Model, Search};
use crate::check::{Broken, Explored, WALKS_SEED};
use crate::property::{History, Judged, Property};
use crate::protocol::{Pid, Pids};
use crate::story::{Arrow, Mark, Place, Story};
use crate::timed::{Cost, DETECTED_AFTER, HORIZON, LAN, Load, Requests, TimedRun, Timing};
use crate::vocabulary::{Ask, Event, Fact, Value};
use lockstep_sim::explore::{
    Bounds, Delivery, ExploreScope, Violation, WatchedCluster, WatchedInput, WatchedMessage, WatchedRow,
    WatchedRun, breadth_first, random_walks, with_mutation,
};
use lockstep_sim::lone::{LoneRun, LoneScene, lone_message};

/// The end of a run is judged in one state of so many, where all are explored.
const ENDS_EACH: u64 = 64;
/// Steps of random walks through more failures than the model of a card has.
const WIDE_STEPS: u64 = 60_000;
/// States up to which a break is searched breadth first.
const BREAK_STATES_MAX: u64 = 400_000;
/// The publisher whose numbers are dropped submits its message so often, each time under another number.
const RESENT: u64 = 2;

/// How the timed runs differ from those of other cards.
pub(super) const REMARK: &str = "the production engines, n replicas with a reader beside each and a publisher beside \
    p2.\nClocks move, and timers are the defaults, so that what is late is requested again; turns take no \
    time.\nBytes are those of datagrams with header and tag.\nGap: the machine of p1 is dead, and its watcher's notice \
    is at all standbys when detectors have a crash, so that no timeout\nis waited for. The publisher sends again when it \
    sees the new epoch, whose leader has stamped the first submission by then.";

/// Publishers by id, each with its process and its messages by number.
struct Published(Vec<(Pid, Vec<Value>)>);

impl Published {
    fn of(asks: &[(Pid, Ask)]) -> Self {
        let mut all: Vec<(Pid, Vec<Value>)> = Vec::new();
        for (pid, ask) in asks {
            let Ask::Broadcast(value) = *ask else { continue };
            match all.iter_mut().find(|(other, _)| other == pid) {
                Some((_, values)) => values.push(value),
                None => all.push((*pid, vec![value])),
            }
        }
        Self(all)
    }

    /// A message as the lab knows it. One that is resent under another number is the same message.
    fn message(&self, (publisher, number): WatchedMessage) -> (Pid, Value) {
        let (pid, values) = &self.0[publisher as usize - 1];
        (*pid, values[(number as usize - 1) % values.len()])
    }
}

fn scope(model: Model, asks: &[(Pid, Ask)], dropped: Option<&str>, delivery: Delivery) -> ExploreScope {
    let published = Published::of(asks);
    let (crashes, losses, restores_snapshots) = match model.failures {
        Failures::Recovery { crashes, stable: true } => (crashes, 0, false),
        Failures::Recovery { crashes, stable: false } => (0, crashes, true),
        Failures::Stop { crashes, .. } => (0, crashes, false),
        Failures::None | Failures::Byzantine { .. } => (0, 0, false),
    };
    let mistakes = if let Detector::Leader { mistakes } = model.detector { mistakes } else { 0 };
    let replicas = usize::from(model.n) - 1;
    let values = published.0.iter().map(|(_, values)| values.len() as u64).max().unwrap_or(0);
    ExploreScope {
        replicas,
        members: replicas,
        reader: Some(delivery),
        round_max: 1 + u32::from(mistakes),
        publishers: published.0.len() as u32,
        values: if dropped == Some("numbers") { RESENT * values } else { values },
        crashes,
        losses,
        restores_snapshots,
        ..ExploreScope::default()
    }
}

/// Judges by properties of the lab.
fn judge(
    properties: &[&'static Property],
    published: &Published,
    run: &WatchedRun<'_>,
) -> Result<(), String> {
    let n = run.delivered.len() as u8;
    let deliveries = run.delivered.iter().zip(0..).map(|(delivered, pid)| {
        let own = published.0.iter().filter(|(other, _)| *other == pid).flat_map(|(_, values)| values);
        let asked = own.map(|value| Event::Asked(Ask::Broadcast(*value)));
        let did = delivered.iter().map(|message| {
            let (from, value) = published.message(*message);
            Event::Did(Fact::Deliver { from, value })
        });
        asked.chain(did).collect::<Vec<_>>()
    });
    let events: Vec<Vec<Event>> = deliveries.collect();
    let events: Vec<&[Event]> = events.iter().map(Vec::as_slice).collect();
    let crashed: Pids = (0..n).filter(|pid| run.lost[usize::from(*pid)]).collect();
    let history = History {
        n,
        events: &events,
        order: &[],
        correct: Pids::first(n).without(crashed),
        crashed,
        liars: Pids::default(),
    };
    for property in properties {
        if run.is_over || property.judged == Judged::Always {
            (property.holds)(&history).map_err(|why| format!("{}: {why}", property.name))?;
        }
    }
    Ok(())
}

/// How a search goes.
#[derive(Clone, Copy)]
enum How {
    /// Breadth first, up to so many states.
    Breadth(u64),
    /// So many steps of random walks.
    Walks(u64),
}

/// A search of what is to be judged, and how often the end of a run is a step of it.
struct SearchCase<'a> {
    title: String,
    asks: &'a [(Pid, Ask)],
    scope: ExploreScope,
    properties: Vec<&'static Property>,
    ends_each: u64,
}

impl SearchCase<'_> {
    /// What was explored, with the story of what is wrong.
    fn answer(self, how: How) -> Explored {
        let (published, n) = (Published::of(self.asks), self.scope.replicas as u8 + 1);
        let judge = |run: &WatchedRun<'_>| judge(&self.properties, &published, run);
        let mut cluster = match WatchedCluster::new(&self.scope, self.ends_each, judge) {
            Ok(cluster) => cluster,
            Err(end) => {
                let story = Story { title: self.title, n, end, ..Story::default() };
                return Explored { violation: Some(story), ..Explored::default() };
            }
        };
        let found = match how {
            How::Breadth(states_max) => breadth_first(&mut cluster, Bounds { depth: u32::MAX, states_max }),
            How::Walks(steps) => random_walks(&mut cluster, WALKS_SEED, steps),
        };
        let violation = found.violation.map(|Violation { what, steps }| {
            let rows = cluster.rows(&steps);
            story(Story { title: self.title, n, end: what, ..Story::default() }, &published, &rows)
        });
        Explored {
            states: found.states,
            steps: found.steps,
            depth: found.depth,
            whole: found.whole,
            violation,
        }
    }
}

/// The story of these rows.
fn story(mut story: Story, published: &Published, rows: &[WatchedRow]) -> Story {
    for (at, row) in rows.iter().enumerate() {
        let Some(lane) = row.process.map(|process| process as Pid) else {
            story.rows.push(row.words.clone());
            continue;
        };
        let place = Place { lane, row: at };
        let submitted = row.submitted.map(|message| published.message(message));
        let message = match submitted {
            Some((_, value)) => format!("submission of {value:?}"),
            None => row.words.clone(),
        };
        let from = submitted.map(|(pid, _)| (usize::from(pid), 0)).or(row.sent);
        let mut words = match from {
            Some((from, _)) => format!("p{} receives of p{}: {message}", lane + 1, from + 1),
            None => format!("p{} {message}", lane + 1),
        };
        let mark = match row.input {
            WatchedInput::Timer => Some(Mark::Timer),
            WatchedInput::Crash => Some(Mark::Recovered),
            WatchedInput::Loss => Some(Mark::Crashed),
            WatchedInput::Arrival | WatchedInput::End => None,
        };
        story.marks.extend(mark.map(|mark| (place, mark, message.clone())));
        if let Some((from, sent)) = from.filter(|(from, _)| *from != usize::from(lane)) {
            let from = Place { lane: from as Pid, row: sent };
            story.arrows.push(Arrow { from, to: place, words: message, lost: false, lie: false });
        }
        for message in &row.delivered {
            let (from, value) = published.message(*message);
            let text = format!("delivers {value:?} of p{}", from + 1);
            words += &format!("; p{} {text}", lane + 1);
            story.marks.push((place, Mark::Did, text));
        }
        story.rows.push(words);
    }
    story
}

/// Explores the model of a card, then walks through more failures.
pub(super) fn explore(card: &'static Card, delivery: Delivery) -> Explored {
    let ask = |model: Model, ends_each| SearchCase {
        title: card.name.to_owned(),
        asks: card.asks,
        scope: scope(model, card.asks, None, delivery),
        properties: card.properties.to_vec(),
        ends_each,
    };
    let mut explored = ask(card.model, ENDS_EACH).answer(How::Breadth(card.states_max));
    if explored.violation.is_none() && card.model.failures != Failures::None {
        let mut wide = ask(card.model, ENDS_EACH);
        wide.scope = ExploreScope { crashes: 2, losses: 1, heartbeats: true, round_max: 4, ..wide.scope };
        explored.violation = wide.answer(How::Walks(WIDE_STEPS)).violation;
    }
    explored
}

/// Finds a break again.
pub(super) fn find(card: &'static Card, broken: &'static Break, delivery: Delivery) -> Broken {
    let asks = broken.asks.unwrap_or(card.asks);
    let case = SearchCase {
        title: format!("{}, {}", card.name, broken.name),
        asks,
        scope: scope(broken.model, asks, broken.dropped, delivery),
        properties: vec![broken.loses],
        ends_each: u64::from(broken.loses.judged == Judged::AtTheEnd),
    };
    let how = match broken.search {
        Search::Walks(steps) => How::Walks(steps),
        _ => How::Breadth(BREAK_STATES_MAX),
    };
    let found = with_mutation(broken.dropped, || case.answer(how).violation);
    Broken::of(broken, found)
}

/// One message among `n` replicas, each with a reader beside it; `None` if there cannot be so many. Timers
/// are the engines' defaults, where a message delay is one of the [`LAN`]. If p1 dies, its machine does, and
/// the standbys have the notice of its watcher when detectors have a crash.
pub(super) fn timed(card: &Card, timing: &Timing, delivery: Delivery) -> Option<TimedRun> {
    // A model has a reader beside its replicas, which here are on the replicas' machines.
    let is_of_model = timing.n == card.model.n && matches!(timing.requests, Requests::InTurn(_));
    let n = if is_of_model { timing.n - 1 } else { timing.n };
    let hop = timing.network.delay_ns;
    let run = lone_message(&LoneScene {
        replicas: n.into(),
        delivery,
        network: timing.network,
        seed: timing.seed,
        unit_ns: LAN.delay_ns / hop,
        death_known_after: timing.leader_dies.then_some(DETECTED_AFTER * hop),
        horizon: HORIZON * hop,
    })
    .ok()?;
    let (mut cost, mut load) = (Cost::default(), Load::of(n));
    for sent in &run.datagrams {
        let to = sent.to.iter().map(|to| *to as Pid).collect();
        cost.add(sent.from as Pid, to, sent.bytes, &mut load);
    }
    let lost: Vec<bool> = (0..n).map(|pid| timing.leader_dies && pid == 0).collect();
    let watched = WatchedRun { delivered: &run.delivered, lost: &lost, is_over: true };
    let published = Published::of(LONE);
    let wrong: Vec<String> = card
        .properties
        .iter()
        .filter_map(|property| judge(&[property], &published, &watched).err())
        .collect();
    let story = timing.has_story.then(|| lone_story(card, n, timing.leader_dies, &run, &wrong));
    Some(TimedRun { cost: cost.finish(run.delays, &load), story, wrong })
}

/// The story of a lone message. What arrives on the machine that sent it is no row, but for a delivery.
fn lone_story(card: &Card, n: u8, leader_dies: bool, run: &LoneRun, wrong: &[String]) -> Story {
    let title = format!("{}, a lone message among {n} machines", card.name);
    let lives = if leader_dies { "every machine that lives" } else { "every machine" };
    let end = if wrong.is_empty() { format!("{lives} delivers it") } else { wrong.join("; ") };
    let mut story = Story { title, n, end, is_good: wrong.is_empty(), ..Story::default() };
    if leader_dies {
        story.add_crash(0);
    }
    // Each datagram is sent at the last row of its machine.
    let mut last = vec![story.rows.len(); usize::from(n)];
    let mut sent_row = vec![None; run.datagrams.len()];
    let place = Place { lane: run.datagrams[0].from as Pid, row: story.rows.len() };
    story.rows.push(format!("at 0: p{} submits a", run.datagrams[0].from + 1));
    story.marks.push((place, Mark::Asked, "Broadcast(a)".to_owned()));
    for arrival in &run.arrivals {
        let (lane, row) = (arrival.machine as Pid, story.rows.len());
        let place = Place { lane, row };
        let Some(number) = arrival.datagram else {
            story.marks.push((place, Mark::Detected, "the notice of p1's death".to_owned()));
            story.rows.push(format!("at {}: p{} receives the notice of p1's death", arrival.at, lane + 1));
            last[arrival.machine] = row;
            continue;
        };
        let datagram = &run.datagrams[number];
        let is_own = datagram.from == arrival.machine;
        let from = *sent_row[number].get_or_insert(last[datagram.from]);
        if is_own && !arrival.is_delivery {
            continue;
        }
        let mut words =
            format!("at {}: p{} receives {} of p{}", arrival.at, lane + 1, datagram.kind, datagram.from + 1);
        if !is_own {
            let from = Place { lane: datagram.from as Pid, row: from };
            story.arrows.push(Arrow {
                from,
                to: place,
                words: datagram.kind.clone(),
                lost: false,
                lie: false,
            });
        }
        if arrival.is_delivery {
            words += "; it delivers a";
            story.marks.push((place, Mark::Did, "delivers a".to_owned()));
        }
        last[arrival.machine] = row;
        story.rows.push(words);
    }
    story
}
