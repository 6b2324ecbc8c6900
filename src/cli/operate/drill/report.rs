//! The report of a drill: lines for people, JSON for programs, and a page for an auditor.

use super::faults::DrillKind;
use super::measure::{DeliveryErrors, FaultCost, TimeSpread};
use crate::cli::shared::operator::{grouped, short};
use lockstep_wire::Nanos;
use maud::{DOCTYPE, Markup, html};
use serde::Serialize;
use std::fmt;

/// The version of what `--json` writes.
pub const SCHEMA: &str = "lockstep.drill/1";

const STYLE: &str = "body { font: 15px/1.5 Helvetica, Arial, sans-serif; margin: 2em auto; max-width: 70em; color: #222 } \
    table { border-collapse: collapse; margin: 1em 0; font-size: 13px } \
    th, td { padding: 2px 9px; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top } \
    td.text, th.text { text-align: left } td.number { font-variant-numeric: tabular-nums } \
    p.result { font-size: 18px; font-weight: bold; padding: .4em .8em; border-left: 8px solid #b00 } \
    p.pass { border-color: #080 }";

/// The result in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum DrillResult {
    /// Every round came back within the limits.
    #[serde(rename = "PASS")]
    Pass,
    /// A limit was exceeded, something was lost, or a round did not come back.
    #[serde(rename = "FAIL")]
    Fail,
    /// It did not begin.
    #[serde(rename = "NOT READY")]
    NotReady,
}

impl fmt::Display for DrillResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::NotReady => "NOT READY",
        })
    }
}

/// One fault and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct DrillRound {
    pub number: u32,
    pub kind: DrillKind,
    /// The leader that it was made at.
    pub replica: u32,
    /// When, UTC.
    pub begun: String,
    /// The leader behind it, and the epoch.
    pub new_leader: Option<u32>,
    pub epoch: Option<String>,
    #[serde(flatten)]
    pub cost: FaultCost,
    /// How the others learned of it.
    pub seen_by: Option<String>,
    /// From the fault until every member had everything again.
    pub whole_ns: Option<Nanos>,
}

/// Everything that was done and measured.
#[derive(Clone, Debug, Serialize)]
pub struct DrillReport {
    pub schema: &'static str,
    pub result: DrillResult,
    pub reason: String,
    pub cluster: u64,
    pub release: &'static str,
    pub configuration: String,
    pub begun: String,
    pub ended: String,
    pub rate_per_second: u64,
    pub limits: Vec<String>,
    pub left_out: Vec<String>,
    pub rounds: Vec<DrillRound>,
    pub published: u64,
    pub committed: u64,
    pub delivered: u64,
    #[serde(flatten)]
    pub errors: DeliveryErrors,
    pub checks: Vec<String>,
}

/// The rounds of a kind.
#[derive(Serialize)]
struct KindSummary {
    kind: DrillKind,
    rounds: usize,
    gap: Option<TimeSpread>,
    leader: Option<TimeSpread>,
    whole: Option<TimeSpread>,
}

fn time(time: Option<Nanos>) -> String {
    time.map_or_else(|| "–".to_owned(), short)
}

fn spread(spread: Option<TimeSpread>) -> [String; 3] {
    let times = spread.map(|it| [it.min_ns, it.p50_ns, it.max_ns]);
    times.map_or_else(|| [None; 3], |times| times.map(Some)).map(time)
}

impl DrillReport {
    /// The result with its reason, in one line.
    pub fn first_line(&self) -> String {
        format!("{}: {}", self.result, self.reason)
    }

    /// The reason of a drill without a fault.
    pub fn passes(&self) -> String {
        let longest = self.rounds.iter().map(|round| round.cost.gap_ns).max().unwrap_or(0);
        let (rounds, s) = (self.rounds.len(), if self.rounds.len() == 1 { "" } else { "s" });
        format!(
            "{rounds} round{s}, longest gap {}; {} messages published, none lost, doubled or reordered",
            short(longest),
            grouped(self.published)
        )
    }

    fn summaries(&self) -> Vec<KindSummary> {
        let mut kinds: Vec<_> = self.rounds.iter().map(|round| round.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let summary = |kind: DrillKind| {
            let rounds = || self.rounds.iter().filter(move |round| round.kind == kind);
            KindSummary {
                kind,
                rounds: rounds().count(),
                gap: TimeSpread::of(rounds().map(|round| round.cost.gap_ns)),
                leader: TimeSpread::of(rounds().filter_map(|round| round.cost.leader_ns)),
                whole: TimeSpread::of(rounds().filter_map(|round| round.whole_ns)),
            }
        };
        kinds.into_iter().map(summary).collect()
    }

    /// As JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        value["kinds"] = serde_json::to_value(self.summaries())?;
        Ok(format!("{value}\n"))
    }

    fn messages(&self) -> String {
        let DeliveryErrors { lost, doubled, reordered } = self.errors;
        format!(
            "{} published, {} committed, {} delivered: {lost} lost, {doubled} doubled, {reordered} reordered",
            grouped(self.published),
            grouped(self.committed),
            grouped(self.delivered)
        )
    }

    /// As lines.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.first_line());
        let row = |kind: &str, rounds: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
            format!("{kind:<9}{rounds:>7}{cells}\n")
        };
        if !self.rounds.is_empty() {
            let heads = ["gap", "leader", "whole"]
                .map(|of| [format!("{of} min"), "p50".to_owned(), "max".to_owned()]);
            text += &format!("\n{}", row("kind", "rounds", heads.concat()));
        }
        for it in self.summaries() {
            text += &row(
                it.kind.name(),
                &it.rounds.to_string(),
                [it.gap, it.leader, it.whole].map(spread).concat(),
            );
        }
        if self.published > 0 {
            text += &format!("\nmessages  {}\n", self.messages());
        }
        for line in &self.checks {
            text += &format!("check     {line}\n");
        }
        for line in &self.left_out {
            text += &format!("left out  {line}\n");
        }
        text
    }

    /// As a page.
    pub fn html(&self) -> String {
        let title = format!("Failover rehearsal of cluster {}", self.cluster);
        let class = if self.result == DrillResult::Pass { "result pass" } else { "result" };
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width";
                    title { (title) }
                    style { (STYLE) }
                }
                body {
                    h1 { (title) }
                    p class=(class) { (self.first_line()) }
                    (self.facts())
                    h2 { "By kind" }
                    (self.table_of_kinds())
                    h2 { "Rounds" }
                    (self.table_of_rounds())
                    h2 { "Checks at the end" }
                    ul { @for line in &self.checks { li { (line) } } @if self.checks.is_empty() { li { "none was made" } } }
                    @if !self.left_out.is_empty() {
                        h2 { "Left out" }
                        ul { @for line in &self.left_out { li { (line) } } }
                    }
                    h2 { "Meaning" }
                    p {
                        "Gap: the longest time between two messages that the drill's reader received as \
                         committed, from the last one before the fault until every member had everything \
                         again. New leader: from the fault until that reader received the committed start \
                         of a later epoch. All whole: from the fault until every member held everything and \
                         no problem was left. A fault is always made at the leader. Times are UTC."
                    }
                }
            }
        }
        .into_string()
    }

    fn facts(&self) -> Markup {
        let limits = if self.limits.is_empty() { "none".to_owned() } else { self.limits.join(", ") };
        let rows = [
            ("begun", self.begun.clone()),
            ("ended", self.ended.clone()),
            ("configuration", self.configuration.clone()),
            ("release", self.release.to_owned()),
            ("own load", format!("{} messages a second", grouped(self.rate_per_second))),
            ("fails if", limits),
            ("messages", self.messages()),
        ];
        html! { table { @for (name, value) in rows { tr { th.text { (name) } td.text { (value) } } } } }
    }

    fn table_of_kinds(&self) -> Markup {
        let cells =
            |it: &KindSummary| [it.gap, it.leader, it.whole].into_iter().flat_map(spread).collect::<Vec<_>>();
        html! {
            table {
                tr {
                    th.text rowspan="2" { "kind" } th rowspan="2" { "rounds" }
                    th colspan="3" { "gap" } th colspan="3" { "new leader" } th colspan="3" { "all whole" }
                }
                tr { @for _ in 0..3 { th { "min" } th { "p50" } th { "max" } } }
                @for it in self.summaries() {
                    tr {
                        td.text { (it.kind.name()) } td.number { (it.rounds) }
                        @for cell in cells(&it) { td.number { (cell) } }
                    }
                }
            }
        }
    }

    fn table_of_rounds(&self) -> Markup {
        html! {
            table {
                tr {
                    th { "round" } th.text { "begun" } th.text { "kind" } th { "replica" } th { "new leader" } th.text { "epoch" }
                    th { "gap" } th { "leads after" } th { "all whole after" } th.text { "noticed by the others as" }
                }
                @for it in &self.rounds {
                    tr {
                        td.number { (it.number) }
                        td.text { (it.begun) }
                        td.text { (it.kind.name()) }
                        td.number { (it.replica) }
                        td.number { (it.new_leader.map_or_else(|| "–".to_owned(), |id| id.to_string())) }
                        td.text { (it.epoch.as_deref().unwrap_or("–")) }
                        td.number { (short(it.cost.gap_ns)) }
                        td.number { (time(it.cost.leader_ns)) }
                        td.number { (time(it.whole_ns)) }
                        td.text { (it.seen_by.as_deref().unwrap_or("–")) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DrillReport {
        let round = |number, kind, gap_ns| DrillRound {
            number,
            kind,
            replica: 1,
            begun: "2026-11-26T01:00:00.000000Z".to_owned(),
            new_leader: Some(2),
            epoch: Some("7".to_owned()),
            cost: FaultCost { gap_ns, leader_ns: Some(gap_ns / 2) },
            seen_by: Some("<its watcher>".to_owned()),
            whole_ns: None,
        };
        DrillReport {
            schema: SCHEMA,
            result: DrillResult::Pass,
            reason: String::new(),
            cluster: 3,
            release: "0.1.0",
            configuration: "/a & b".to_owned(),
            begun: String::new(),
            ended: String::new(),
            rate_per_second: 1_000,
            limits: vec!["gap>50ms".to_owned()],
            left_out: vec!["cut: no command".to_owned()],
            rounds: vec![
                round(1, DrillKind::Kill, 2_000_000),
                round(2, DrillKind::Handover, 500_000),
                round(3, DrillKind::Kill, 4_000_000),
            ],
            published: 12_345,
            committed: 12_345,
            delivered: 12_345,
            errors: DeliveryErrors::default(),
            checks: vec!["all equal".to_owned()],
        }
    }

    #[test]
    fn the_result_and_its_reason_are_the_first_line_and_each_kind_has_one_of_its_own() {
        let mut report = report();
        report.reason = report.passes();
        let text = report.text();
        let first =
            "PASS: 3 rounds, longest gap 4.0ms; 12,345 messages published, none lost, doubled or reordered";
        assert_eq!(text.lines().next(), Some(first));
        let kill: Vec<_> = text.lines().filter(|line| line.starts_with("kill ")).collect();
        assert_eq!(kill.len(), 1, "{text}");
        let words: Vec<_> = kill[0].split_whitespace().collect();
        assert_eq!(words, ["kill", "2", "2.0ms", "2.0ms", "4.0ms", "1.0ms", "1.0ms", "2.0ms", "–", "–", "–"]);
        assert!(text.contains("left out  cut: no command"), "{text}");
    }

    #[test]
    fn programs_get_every_round_and_the_summary_of_each_kind() {
        let value: serde_json::Value = serde_json::from_str(&report().json().expect("JSON")).expect("JSON");
        assert_eq!((&value["schema"], &value["result"]), (&SCHEMA.into(), &"PASS".into()));
        assert_eq!(
            (&value["rounds"][1]["kind"], &value["rounds"][1]["gap_ns"]),
            (&"handover".into(), &500_000.into())
        );
        assert_eq!(
            (&value["kinds"][1]["kind"], &value["kinds"][1]["gap"]["max_ns"]),
            (&"kill".into(), &4_000_000.into())
        );
        assert_eq!(value["lost"], 0);
    }

    #[test]
    fn the_page_has_every_round_no_script_and_escapes_what_it_shows() {
        let page = report().html();
        assert_eq!(page.matches("<td class=\"text\">2026-11-26T01:00:00.000000Z</td>").count(), 3);
        assert!(
            !page.contains("<script") && page.contains("/a &amp; b") && page.contains("&lt;its watcher&gt;"),
            "{page}"
        );
        assert!(page.contains("gap&gt;50ms"), "{page}");
    }
}
