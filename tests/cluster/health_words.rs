//! The index of `docs/VERDICTS.md`: each sentence that `lockstep status` and `lockstep health` can print as a
//! verdict or a reason stands there with the section that says what to do about it.
//!
//! `…` in the words of a row stands for a number or a name. A new verdict, reason or condition fails here
//! until the index has it.

use crate::metrics::{alerts, anchor, text};
use lockstep_client::internal::{ActiveCondition, ClusterHealth, Health, LostPath, LostWay, Reason};
use lockstep_wire::{AgreedOwner, AgreedRow, Condition, Identity, differences, differs_here};
use std::time::Duration;

const PAGE: &str = "docs/VERDICTS.md";
const NODE: Identity = Identity { replica: 3, incarnation: 7 };

/// A row of the index.
struct Entry {
    words: String,
    /// The page and the section that explain it.
    page: String,
    section: String,
}

impl Entry {
    /// Whether a sentence has the words, in their order.
    fn is_of(&self, sentence: &str) -> bool {
        let mut rest = sentence;
        self.words.split('…').map(str::trim).all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

/// The rows behind a heading of the page.
fn entries(heading: &str) -> Vec<Entry> {
    let page = text(PAGE);
    let (_, part) =
        page.split_once(&format!("## {heading}\n")).unwrap_or_else(|| panic!("{PAGE}: {heading}"));
    let part = part.split("\n## ").next().unwrap_or_default();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    let entries = rows.map(|row| {
        let (words, rest) = row.split_once("` |").unwrap_or_else(|| panic!("{row}"));
        let target =
            rest.split_once("](").and_then(|(_, rest)| rest.split_once(')')).map(|(target, _)| target);
        let (page, section) =
            target.and_then(|target| target.split_once('#')).unwrap_or_else(|| panic!("{row}"));
        Entry { words: words.to_owned(), page: page.to_owned(), section: section.to_owned() }
    });
    entries.collect()
}

/// Each verdict.
fn health_lines() -> Vec<String> {
    use ClusterHealth::{Degraded, Healthy, NoHistory, NoLeader, NoQuorum};
    let all = [Healthy, Degraded, NoLeader, NoQuorum, NoHistory];
    let of = |health: ClusterHealth, reasons: Vec<Reason>, [silent, lacking, blank]: [&[u32]; 3]| {
        // A further one is to be added above.
        match health {
            Healthy | Degraded | NoLeader | NoQuorum | NoHistory => {}
        }
        let [silent, lacking, blank] = [silent, lacking, blank].map(<[u32]>::to_vec);
        let (answering, nodes) = (vec![3], Vec::new());
        let lost_leader = silent.first().copied().filter(|_| lacking.is_empty());
        let health = Health {
            health,
            listed: 3,
            there: 1,
            silent,
            reasons,
            answering,
            lacking,
            lost_leader,
            blank,
            nodes,
        };
        health.to_string()
    };
    let away: [&[u32]; 3] = [&[1, 2], &[], &[]];
    let log_gone = ActiveCondition { condition: Condition::LogGone, age: Duration::ZERO, a: 9, b: 3 };
    let lacks_log = of(NoLeader, vec![Reason::Condition(NODE, log_gone)], away);
    let apart = of(NoLeader, Vec::new(), [&[], &[], &[]]);
    let unreached = of(NoQuorum, Vec::new(), [&[], &[1, 2], &[]]);
    let copying = of(NoQuorum, Vec::new(), [&[], &[1, 2], &[1, 2]]);
    let away = all.into_iter().map(|health| of(health, Vec::new(), away));
    away.chain([lacks_log, apart, unreached, copying]).collect()
}

fn path_lost(way: LostWay) -> Reason {
    Reason::PathLost(LostPath { way, from: 1, to: 3 })
}

/// A file with this group.
fn control(group: &str) -> Vec<AgreedRow> {
    AgreedRow::new("lines.1.control", group).into_iter().collect()
}

/// Nodes from 1 on with these groups.
fn files_differ(groups: &[&str]) -> Reason {
    let files: Vec<_> = groups.iter().map(|group| control(group)).collect();
    let owner = |number| AgreedOwner { number, is_archiver: false };
    let files: Vec<_> = (1..).map(owner).zip(files.iter().map(Vec::as_slice)).collect();
    Reason::FilesDiffer(differences(&files).remove(0))
}

/// Each reason that is no condition.
fn reasons() -> Vec<String> {
    let address = "10.1.0.3:7701".parse().expect("an address");
    let silent = |is_archiver| Reason::Silent {
        identity: None,
        number: Some(3),
        address,
        last_contact: None,
        is_archiver,
    };
    let all = [
        silent(false),
        silent(true),
        Reason::OtherHistory(NODE, 9),
        Reason::OtherLeader(NODE, 9),
        Reason::NoMember(NODE),
        Reason::Blank(NODE),
        Reason::MissesLeader { identity: NODE, leader: NODE, ago: Duration::from_secs(9) },
        Reason::ChangePending,
        Reason::KeysOverdue(3),
        path_lost(LostWay::OneWay),
        path_lost(LostWay::Both),
        path_lost(LostWay::Large),
        path_lost(LostWay::LargeBoth),
        path_lost(LostWay::Replay),
        files_differ(&["239.77.1.3:7700", "239.77.1.4:7700", "239.77.1.3:7700"]),
        files_differ(&["239.77.1.3:7700", "239.77.1.4:7700"]),
        Reason::FileHereDiffers(
            differs_here(&control("239.77.1.4:7700"), &[&control("239.77.1.3:7700")]).remove(0),
        ),
    ];
    let of = |reason: Reason| {
        // A further one is to be added above.
        match reason {
            Reason::Silent { .. } | Reason::OtherHistory(..) | Reason::OtherLeader(..) => {}
            Reason::NoMember(_) | Reason::Blank(_) | Reason::ChangePending => {}
            Reason::MissesLeader { .. } | Reason::KeysOverdue(_) => {}
            Reason::FilesDiffer(_) | Reason::FileHereDiffers(_) | Reason::PathLost(_) => {}
            Reason::Condition(..) => panic!("conditions have a list of their own"),
        }
        [reason.to_string(), reason.brief()]
    };
    all.map(of).concat()
}

/// The sentences of a condition with one number and another: whole, and as the first line has it.
fn sentences(condition: Condition) -> Vec<String> {
    let numbers = [(1, 2), (0, 1), (7_200, 5), (3, 3), (2, 0), (9, 2 << 48), (0, 77), (1, 21 << 48)];
    let of = |(a, b)| {
        let active = ActiveCondition { condition, age: Duration::ZERO, a, b };
        [active.what(), active.brief()]
    };
    numbers.map(of).concat()
}

/// The row of a sentence: the one with most of its words.
fn entry_of<'a>(entries: &'a [Entry], sentence: &str) -> &'a Entry {
    let found = entries.iter().filter(|entry| entry.is_of(sentence));
    let found = found.max_by_key(|entry| entry.words.len());
    found.unwrap_or_else(|| panic!("{PAGE} has no row of `{sentence}`"))
}

fn are_all_printed(entries: &[Entry], sentences: &[String]) {
    for entry in entries {
        let is_printed = sentences.iter().any(|sentence| std::ptr::eq(entry_of(entries, sentence), entry));
        assert!(is_printed, "{PAGE}: nobody says `{}`", entry.words);
    }
}

#[test]
fn each_verdict_and_each_reason_has_its_row_in_the_index_and_each_row_a_sentence() {
    let entries = entries("Verdicts and reasons");
    let sentences: Vec<_> = health_lines().into_iter().chain(reasons()).collect();
    for sentence in &sentences {
        entry_of(&entries, sentence);
    }
    are_all_printed(&entries, &sentences);
}

#[test]
fn each_condition_has_its_row_in_the_index_which_leads_where_its_alert_does() {
    let entries = entries("Conditions");
    let alerts = alerts();
    let mut printed = Vec::new();
    for condition in Condition::ALL {
        let selector = format!("lockstep_condition{{condition=\"{}\"}}", condition.name());
        let alert = alerts.iter().find(|alert| alert.is_about(&selector)).expect("an alert");
        for sentence in sentences(*condition) {
            let entry = entry_of(&entries, &sentence);
            assert_eq!((entry.page.as_str(), &entry.section), ("RUNBOOK.md", &alert.page), "{sentence}");
            printed.push(sentence);
        }
    }
    are_all_printed(&entries, &printed);
}

#[test]
fn what_health_alone_says_is_in_the_index_in_its_own_words() {
    let file = |name: &str| text(&format!("crates/lockstep-operations/src/{name}"));
    let sources = ["health/grade.rs", "key_expiry.rs"].map(file).concat();
    for Entry { words, .. } in entries("Beside the verdict") {
        for part in words.split('…').map(str::trim).filter(|part| !part.is_empty()) {
            assert!(sources.contains(part), "{PAGE}: nobody says `{part}`");
        }
    }
}

#[test]
fn each_row_of_the_index_leads_to_a_section() {
    let all = ["Verdicts and reasons", "Conditions", "Beside the verdict"];
    for Entry { words, page, section } in all.into_iter().flat_map(entries) {
        let text = text(&format!("docs/{page}"));
        let headings = text.lines().filter(|line| line.starts_with("##"));
        let mut anchors = headings.map(|line| anchor(line.trim_start_matches(['#', ' '])));
        assert!(anchors.any(|anchor| anchor == section), "{words}: {page} has no section {section}");
    }
}
