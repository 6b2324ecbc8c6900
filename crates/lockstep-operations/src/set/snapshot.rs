//! The figures of a set at one moment. An unknown figure is `None`: `null` in JSON, `–` as text.

use crate::figures::{age, short};
use crate::streams::SetView;
use lockstep_client::internal::{ActiveCondition, LINE_MAX};
use lockstep_config::grouped;
use lockstep_set::{SetCondition, SetFacts, judge};
use lockstep_wire::{Condition, Nanos, Seq};
use serde::Serialize;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// The version of a snapshot's JSON.
pub const SCHEMA: &str = "lockstep.set/1";

/// A set, and each of its streams.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SetSnapshot {
    /// The version of this form.
    pub schema: &'static str,
    /// When it was taken, since the Unix epoch.
    pub at_ns: u64,
    /// The merged order.
    pub set: SetLine,
    /// The streams of the file, the home stream first.
    pub streams: Vec<StreamLine>,
}

/// The merged order of a set.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SetLine {
    /// How it does, in one line.
    pub summary: String,
    /// The number of the list in force; 0 while there is none.
    pub list: u64,
    /// The seq of the last cut.
    pub cut: Option<Seq>,
    /// Its age, by the clock here and the leader's stamp.
    pub cut_age_ns: Option<u64>,
    /// Cuts in a second, of those that were read.
    pub cuts_per_second: Option<f64>,
    /// Entries that are committed in the other streams and that no cut covers.
    pub behind: Option<u64>,
    /// For how long a cut has been due.
    pub lag_ns: u64,
    /// The publishers of cuts.
    pub coordinators: Vec<CoordinatorLine>,
    /// The conditions that hold, the gravest first.
    pub conditions: Vec<SetConditionLine>,
    /// Why the home stream could not be read.
    pub unread: Option<String>,
}

/// A publisher of cuts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CoordinatorLine {
    /// Its name.
    pub name: String,
    /// Its cuts that counted, of those that were read.
    pub counted: u64,
    /// Its other cuts.
    pub void: u64,
}

/// A condition of the set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SetConditionLine {
    /// Its name.
    pub name: &'static str,
    /// Its code.
    pub code: String,
    /// The stream that is the cause; none where no stream is.
    pub stream: Option<String>,
    /// The problem, with its subject.
    pub what: String,
    /// The remedy.
    pub advice: &'static str,
    /// For how long it has held at least.
    pub age_ns: u64,
    /// Which one it is.
    #[serde(skip)]
    pub condition: Condition,
}

/// One stream of a set.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StreamLine {
    /// Its name.
    pub stream: String,
    /// Its health in one word.
    pub health: &'static str,
    /// The identity of its leader.
    pub leader: Option<String>,
    /// The round of its epoch.
    pub round: Option<u64>,
    /// The seq of its last committed entry.
    pub committed: Option<Seq>,
    /// Entries in a second; none at a first look.
    pub per_second: Option<f64>,
    /// The seq up to which it is merged; all of the home stream is.
    pub merged: Option<Seq>,
    /// Committed entries that no cut covers.
    pub behind: Option<u64>,
}

/// What a look has seen of one stream.
#[derive(Clone, Debug)]
pub struct SeenStream {
    pub name: String,
    pub cluster: u64,
    pub health: &'static str,
    pub leader: Option<String>,
    pub round: Option<u64>,
    pub commit_next: Option<Seq>,
    pub rate: Option<f64>,
}

/// The lines of a look at `wall`.
pub fn snapshot(
    seen: &[SeenStream],
    view: &SetView,
    facts: &SetFacts,
    unread: Option<&str>,
    wall: Nanos,
) -> SetSnapshot {
    let streams: Vec<_> = seen.iter().enumerate().map(|(at, one)| stream_line(one, at == 0, view)).collect();
    let conditions: Vec<_> = judge(facts).iter().map(|one| condition_line(one, seen)).collect();
    let behind = streams.iter().filter_map(|one| one.behind).reduce(u64::saturating_add);
    let coordinators = view.coordinators.iter().map(|(publisher, counts)| CoordinatorLine {
        name: view.name_of(*publisher),
        counted: counts.counted,
        void: counts.voided,
    });
    let last = view.last.as_ref();
    let mut set = SetLine {
        summary: String::new(),
        list: view.number(),
        cut: last.map(|last| last.seq),
        cut_age_ns: last.map(|last| wall.saturating_sub(last.timestamp)),
        cuts_per_second: view.cuts_per_second(),
        behind,
        lag_ns: facts.due_ns,
        coordinators: coordinators.collect(),
        conditions,
        unread: unread.map(str::to_owned),
    };
    set.summary = set.first_line();
    SetSnapshot { schema: SCHEMA, at_ns: wall, set, streams }
}

fn stream_line(seen: &SeenStream, is_home: bool, view: &SetView) -> StreamLine {
    let committed = seen.commit_next.map(|next| next.saturating_sub(1));
    let is_listed = view.rows().iter().any(|row| row.stream == seen.cluster);
    let row = view.covered(seen.cluster).filter(|_| is_listed);
    let merged = if is_home { committed } else { row.map(|row| row.next.saturating_sub(1)) };
    let behind = committed.zip(merged).map(|(end, merged)| end.saturating_sub(merged));
    StreamLine {
        stream: seen.name.clone(),
        health: seen.health,
        leader: seen.leader.clone(),
        round: seen.round,
        committed,
        per_second: seen.rate,
        merged,
        behind: behind.filter(|_| !is_home),
    }
}

fn condition_line(one: &SetCondition, seen: &[SeenStream]) -> SetConditionLine {
    let SetCondition { condition, stream, b, lasted } = *one;
    let active = ActiveCondition { condition, age: Duration::from_nanos(lasted), a: stream, b };
    let stream = seen.iter().find(|seen| seen.cluster == stream).map(|seen| seen.name.clone());
    let what = match &stream {
        Some(name) => format!("{name}: {}", active.brief()),
        None => active.brief(),
    };
    let (name, code, advice) = (condition.name(), active.code(), active.advice());
    SetConditionLine { name, code, stream, what, advice, age_ns: lasted, condition }
}

impl SetLine {
    /// The verdict, at most 120 characters: the stream that is the cause, why, since when, and the cost.
    fn first_line(&self) -> String {
        let more = match self.conditions.len() {
            0 | 1 => String::new(),
            count => format!(" (+{})", count - 1),
        };
        match (self.conditions.first(), &self.unread, self.cut) {
            (Some(first), ..) => {
                let ends = format!(", for {}{more}", age(Duration::from_nanos(first.age_ns)));
                let begins = "degraded: ";
                let left = LINE_MAX.saturating_sub(begins.len() + ends.len());
                let what: String = first.what.chars().take(left).collect();
                format!("{begins}{what}{ends}")
            }
            (None, Some(unread), _) => format!("unknown: {unread}").chars().take(LINE_MAX).collect(),
            (None, None, _) if self.list == 0 => {
                "no list: the streams are not merged (`lockstep streams add --all`)".to_owned()
            }
            (None, None, None) => format!("list {}: no cut so far", self.list),
            (None, None, Some(cut)) => {
                let ago = self.cut_age_ns.map_or_else(String::new, |ns| format!(" of {} ago", short(ns)));
                let behind = self.behind.map_or_else(|| "–".to_owned(), grouped);
                format!("merged: list {}, cut {cut}{ago}, {behind} entries behind", self.list)
            }
        }
    }
}

/// The verdict, a row for each stream, and one for the order.
impl fmt::Display for SetSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SetLine { summary, conditions, unread, .. } = &self.set;
        writeln!(f, "{summary}\n")?;
        for one in conditions.iter().skip(usize::from(conditions.len() == 1)) {
            writeln!(
                f,
                "cause    {} for {} ({})",
                one.what,
                age(Duration::from_nanos(one.age_ns)),
                one.code
            )?;
        }
        if let Some(unread) = unread {
            writeln!(f, "unread   {unread}")?;
        }
        let wide = self.streams.iter().map(|one| one.stream.len()).max().unwrap_or(0).max("stream".len());
        writeln!(
            f,
            "{:<wide$}  {:<10} {:<11} {:>6} {:>12} {:>10} {:>12} {:>9}",
            "stream", "health", "leader", "epoch", "committed", "entries/s", "merged", "behind"
        )?;
        for one in &self.streams {
            let number =
                |number: Option<u64>| number.map_or_else(|| "–".to_owned(), |number| number.to_string());
            writeln!(
                f,
                "{:<wide$}  {:<10} {:<11} {:>6} {:>12} {:>10} {:>12} {:>9}",
                one.stream,
                one.health,
                one.leader.as_deref().unwrap_or("none"),
                number(one.round),
                number(one.committed),
                number(one.per_second.map(|rate| rate.round() as u64)),
                number(one.merged),
                number(one.behind)
            )?;
        }
        f.write_str(&self.set.order_row())
    }
}

impl SetLine {
    /// `cuts  1,995/s, lag 0us, lockstep/set/7/cut-1 4,000 counted, 2 void`.
    fn order_row(&self) -> String {
        if self.list == 0 {
            return String::new();
        }
        let rate = self.cuts_per_second.map_or_else(|| "–".to_owned(), |rate| grouped(rate.round() as u64));
        let mut row = format!("\ncuts     {rate}/s, lag {}", short(self.lag_ns));
        for CoordinatorLine { name, counted, void } in &self.coordinators {
            // Writing into a string cannot fail.
            let _ = write!(row, "; {name}: {} counted, {} void", grouped(*counted), grouped(*void));
        }
        row + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{HealthGrade, HealthReport};
    use lockstep_client::SubscriberEvent;
    use lockstep_set::{CutEntry, CutPoint, CutRow, SetEntry, SetRow, StreamFacts};
    use lockstep_wire::Epoch;
    use std::collections::BTreeMap;

    const S: Nanos = 1_000_000_000;

    fn seen(name: &str, cluster: u64, next: Option<Seq>) -> SeenStream {
        SeenStream {
            name: name.to_owned(),
            cluster,
            health: if next.is_some() { "healthy" } else { "no_leader" },
            leader: next.map(|_| "1:0a3f9c1".to_owned()),
            round: next.map(|_| 3),
            commit_next: next,
            rate: next.map(|_| 1_500.4),
        }
    }

    /// A home stream with a list and a cut of the stream 20.
    fn view() -> SetView {
        let mut view = SetView::new(1, BTreeMap::new());
        let rows = vec![SetRow { stream: 20, from: 1, name: "quotes".to_owned() }];
        let list = SetEntry { number: 1, rows }.to_bytes();
        let rows = vec![CutRow { stream: 20, next: 91, epoch: 1, ..CutRow::default() }];
        let after = CutPoint { list: 1, base: 1, ..CutPoint::default() };
        let cut = CutEntry { after, done: 0, rows }.to_bytes();
        for (seq, payload) in [(2, &list), (3, &cut)] {
            view.on_event(&SubscriberEvent::SetNote { seq, timestamp: seq * S, publisher: 7, payload });
        }
        view
    }

    fn taken(next: Option<Seq>, change: impl FnOnce(&mut SetFacts)) -> SetSnapshot {
        let row = Some((Epoch(1), 91));
        let home = StreamFacts { committed: Some(51), ..StreamFacts::new(10) };
        let other = StreamFacts { row, committed: next, ..StreamFacts::new(20) };
        let mut facts = SetFacts { cut: 3, due_ns: 0, streams: vec![home, other] };
        change(&mut facts);
        let seen = [seen("orders", 10, Some(51)), seen("quotes", 20, next)];
        snapshot(&seen, &view(), &facts, None, 4 * S)
    }

    #[test]
    fn a_set_has_a_row_for_each_stream_and_one_for_its_order() {
        let snapshot = taken(Some(101), |_| ());
        let text = snapshot.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "merged: list 1, cut 3 of 1.0s ago, 10 entries behind");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
        assert_eq!(words(lines[2]), "stream health leader epoch committed entries/s merged behind");
        assert_eq!(words(lines[3]), "orders healthy 1:0a3f9c1 3 50 1500 50 –");
        assert_eq!(words(lines[4]), "quotes healthy 1:0a3f9c1 3 100 1500 90 10");
        assert_eq!(lines[6], "cuts     –/s, lag 0us; publisher 7: 1 counted, 0 void");
        assert_eq!(HealthReport::of_set(&snapshot).grade, HealthGrade::Good);
        let json = serde_json::to_value(&snapshot).expect("JSON");
        assert_eq!((&json["schema"], &json["streams"][1]["behind"]), (&SCHEMA.into(), &10.into()));
    }

    #[test]
    fn the_first_line_names_the_stream_the_cause_since_when_and_the_cost() {
        let leaderless = taken(None, |facts| facts.streams[1].leaderless_ns = Some(12 * S));
        let wanted = "degraded: quotes: no leader is followed: nothing new of it is merged, the others go on, for 12.0s";
        assert_eq!(leaderless.set.summary, wanted);
        let report = HealthReport::of_set(&leaderless);
        assert_eq!(
            (report.grade, report.findings[0].code.as_deref()),
            (HealthGrade::Warning, Some("LS1501"))
        );
        let both = taken(Some(101), |facts| {
            facts.streams[0].leaderless_ns = Some(12 * S);
            (facts.streams[1].committed, facts.streams[1].short_ns) = (Some(50), 5 * S);
        });
        let wanted =
            "degraded: orders: it is waited for: the merged order stands still at cut 3, for 12.0s (+1)";
        assert_eq!(both.set.summary, wanted);
        let ahead = &both.set.conditions[1];
        assert_eq!((ahead.name, ahead.code.as_str()), ("cut_ahead", "LS1502"));
        assert!(both.to_string().contains("cause    quotes: a cut covers it up to seq 90"), "{both}");
        let none = taken(Some(101), |facts| facts.due_ns = 7 * S);
        let wanted =
            "degraded: no coordinator publishes a cut: the merged order stands still at cut 3, for 7.0s";
        assert_eq!((none.set.summary.as_str(), &none.set.conditions[0].stream), (wanted, &None));
        for one in [leaderless, both, none] {
            assert!(one.set.summary.chars().count() <= LINE_MAX, "{}", one.set.summary);
        }
    }
}
