//! One cause, one page: what `contrib/prometheus/alertmanager.yml` leaves of the alerts that each planted
//! fault fires, and the table of `docs/ALERTS.md`.
//!
//! ```text
//!  series of a fault ──promtool──▶ alerts that fire ──inhibit rules──▶ at most one page, or one ticket
//!  (faults.test.yml)               (faults.test.yml)  (alertmanager.yml)
//! ```
//! promtool judges the first half (`metrics.rs` runs it), this module the second. Where Alertmanager is
//! installed, its own `amtool` reads the file too.

use crate::metrics::{Alert, Prometheus, alerts, file, has_prometheus, text};
use lockstep_testkit::processes::{Cluster, Process, free_address, run};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const RULES: &str = "contrib/prometheus/alertmanager.yml";
const FAULTS: &str = "contrib/prometheus/faults.test.yml";

/// Alerts of a machine that has too little time for its processes.
pub const BUSY: [&str; 3] = ["LockstepThreadStalls", "LockstepCommitsSlow", "LockstepSocketDrops"];

/// Labels of an alert.
pub type Labels = BTreeMap<String, String>;

/// A condition on a label: equal to one of some texts, of which one that ends with `.+` stands for all that
/// begin so.
struct Matcher {
    label: String,
    alternatives: Vec<String>,
}

impl Matcher {
    /// As the file has it: `alertname="One"`, `alertname=~"One|Other"`.
    fn parse(text: &str) -> Self {
        let (label, value) = text.split_once('=').unwrap_or_else(|| panic!("no matcher: {text}"));
        let is_regex = value.starts_with('~');
        let value = value.trim_start_matches('~').trim_matches('"');
        let alternatives = match is_regex {
            true => value.split('|').map(str::to_owned).collect(),
            false => vec![value.to_owned()],
        };
        let is_plain = |text: &String| {
            let rest = text.strip_suffix(".+").unwrap_or(text);
            rest.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        assert!(alternatives.iter().all(is_plain), "this test does not understand {text}");
        Self { label: label.to_owned(), alternatives }
    }

    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        self.alternatives.iter().any(|one| match one.strip_suffix(".+") {
            Some(begin) => value.len() > begin.len() && value.starts_with(begin),
            None => value == one,
        })
    }
}

/// While an alert of the source fires, those of the target with equal labels are not sent.
pub struct InhibitRule {
    source: Vec<Matcher>,
    target: Vec<Matcher>,
    equal: Vec<String>,
}

impl InhibitRule {
    /// A line of the file.
    fn parse(line: &str) -> Self {
        let list = |key: &str| {
            let (_, rest) = line.split_once(&format!("{key}: [")).unwrap_or_else(|| panic!("{key}: {line}"));
            let (list, _) = rest.split_once(']').unwrap_or_else(|| panic!("{key}: {line}"));
            list.split(", ").map(|one| one.trim_matches('\'').to_owned()).collect::<Vec<_>>()
        };
        let matchers = |key: &str| list(key).iter().map(|one| Matcher::parse(one)).collect();
        Self {
            source: matchers("source_matchers"),
            target: matchers("target_matchers"),
            equal: list("equal"),
        }
    }

    fn inhibits(&self, source: &Labels, target: &Labels) -> bool {
        let all = |matchers: &[Matcher], labels: &Labels| matchers.iter().all(|one| one.holds(labels));
        all(&self.source, source)
            && all(&self.target, target)
            && self.equal.iter().all(|label| source.get(label) == target.get(label))
    }

    /// The names of the alerts that this side is about.
    fn names(side: &[Matcher]) -> impl Iterator<Item = &str> {
        let names = side.iter().filter(|matcher| matcher.label == "alertname");
        names.flat_map(|matcher| matcher.alternatives.iter().map(String::as_str))
    }
}

pub fn inhibit_rules() -> Vec<InhibitRule> {
    let rules = text(RULES);
    let lines = rules.lines().filter(|line| line.trim_start().starts_with("- {source_matchers:"));
    let rules: Vec<_> = lines.map(InhibitRule::parse).collect();
    assert!(rules.len() > 10, "the file is read");
    rules
}

/// A fault, with what is to be left of its alerts.
struct Fault {
    name: String,
    page: Option<String>,
    ticket: Option<String>,
    /// What fires, by the word of promtool.
    firing: Vec<Labels>,
}

fn faults() -> Vec<Fault> {
    let fault = |part: &str| {
        let title = part.split('"').next().unwrap_or_default();
        let field = |key: &str| {
            let found = title.split("; ").find_map(|field| field.strip_prefix(key));
            let found = found.unwrap_or_else(|| panic!("no {key} in {title}"));
            (found != "none").then(|| found.to_owned())
        };
        let alerts = part.split("'ALERTS{").skip(1).filter_map(|rest| rest.split_once("}'"));
        let firing = alerts.filter(|(labels, _)| labels.contains("alertname=")).map(|(labels, _)| {
            let pairs = labels.split(", ").filter_map(|pair| pair.split_once('='));
            pairs.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned())).collect()
        });
        Fault {
            name: title.to_owned(),
            page: field("page: "),
            ticket: field("ticket: "),
            firing: firing.collect(),
        }
    };
    let faults: Vec<_> = text(FAULTS).split("  - name: \"").skip(1).map(fault).collect();
    assert!(faults.len() > 15, "the file is read");
    faults
}

/// The names of the alerts of a severity that the rules leave: as many notifications come, as Alertmanager
/// groups by job and name.
pub fn left<'a>(rules: &[InhibitRule], firing: &'a [Labels], severity: &str) -> BTreeSet<&'a str> {
    let is_sent = |target: &&Labels| {
        let by =
            |source: &Labels| source != *target && rules.iter().any(|rule| rule.inhibits(source, target));
        target["severity"] == severity && !firing.iter().any(by)
    };
    firing.iter().filter(is_sent).map(|labels| labels["alertname"].as_str()).collect()
}

#[test]
fn each_planted_fault_leaves_one_page_or_one_ticket_and_planned_work_none() {
    let rules = inhibit_rules();
    for Fault { name, page, ticket, firing } in faults() {
        for (severity, wanted) in [("critical", &page), ("warning", &ticket)] {
            let wanted: BTreeSet<_> = wanted.iter().map(String::as_str).collect();
            assert_eq!(left(&rules, &firing, severity), wanted, "{severity}: {name}");
        }
        let is_calm = page.is_none() && ticket.is_none();
        assert_eq!(firing.is_empty(), is_calm, "{name}: whatever fires is told once");
    }
    let calm = ["calm", "a rolling restart", "a drill"];
    let is_calm =
        |begin: &&str| faults().iter().any(|one| one.name.starts_with(*begin) && one.firing.is_empty());
    assert!(calm.iter().all(is_calm), "planned work is among them");
}

/// The alerts that fire, by the word of Prometheus; those of a busy machine left out.
fn firing(prometheus: &Prometheus) -> Option<Vec<Labels>> {
    let is_busy = |name: &str| BUSY.contains(&name) || name == "LockstepTakeoversTooOften";
    let all = firing_all(prometheus)?.into_iter();
    Some(all.filter(|labels: &Labels| !is_busy(&labels["alertname"])).collect())
}

/// The alerts that fire, by the word of Prometheus.
pub fn firing_all(prometheus: &Prometheus) -> Option<Vec<Labels>> {
    let answer = prometheus.get("alerts")?;
    let alerts = answer["data"]["alerts"].as_array()?.iter().filter(|alert| alert["state"] == "firing");
    let labels = alerts.filter_map(|alert| serde_json::from_value(alert["labels"].clone()).ok());
    Some(labels.collect())
}

/// As in the file, but that no cause has to last for half a minute.
#[test]
fn in_a_live_cluster_a_killed_leader_pages_once_and_so_does_a_lost_quorum() {
    if !has_prometheus() {
        return;
    }
    let cluster = Cluster::new(3, "");
    drop(cluster.found());
    let pages: Vec<_> = (0..3).map(|_| free_address()).collect();
    let mut replicas: BTreeMap<u32, Process> = (1..=3)
        .zip(&pages)
        .map(|(id, page)| (id, cluster.start_replica_with(id, &["--set", &format!("metrics.listen={page}")])))
        .collect();
    let rules = cluster.path("alerts.yml");
    let hasty = text("contrib/prometheus/alerts.yml").replace("for: 30s", "for: 2s");
    std::fs::write(&rules, hasty).expect("rules");
    let mut prometheus = Prometheus::start_with(&cluster, &pages, &rules);
    let leader = || {
        let output = cluster.run(&["status", "--json"], b"").out;
        let status: serde_json::Value = serde_json::from_str(&output).expect("JSON");
        let leader = status["leader"].as_str().and_then(|identity| identity.split(':').next()?.parse().ok());
        leader.unwrap_or_else(|| panic!("no leader: {output}"))
    };
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    prometheus.until("the names of all processes", |prometheus| {
        let answer = prometheus.get("query?query=count(lockstep%3Aprocess)")?;
        (answer["data"]["result"][0]["value"][1] == "3").then_some(())
    });
    let mut pages_once = |fault: &str, wanted: &[&str], sent: &str| {
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        prometheus.until(fault, |prometheus| {
            let alerts = firing(prometheus)?;
            let names: BTreeSet<_> = alerts.iter().map(|labels| labels["alertname"].as_str()).collect();
            let are_sent = left(&inhibit_rules(), &alerts, "critical");
            (wanted.is_subset(&names) && are_sent == BTreeSet::from([sent])).then_some(())
        });
    };
    let first: u32 = leader();
    drop(replicas.remove(&first));
    let consequences = ["LockstepProcessDown", "LockstepNoQuorumToSpare", "LockstepRedundancyLost"];
    pages_once("a killed leader", &consequences, "LockstepProcessDown");
    drop(replicas.remove(&leader()));
    pages_once("a lost quorum", &["LockstepNoLeader", "LockstepFollowsNoLeader"], "LockstepNoLeader");
}

#[test]
fn a_second_fault_beside_the_first_one_is_not_hidden_by_it() {
    let rules = inhibit_rules();
    let alert = |name: &str, process: &str, severity: &str| -> Labels {
        let labels =
            [("alertname", name), ("process", process), ("severity", severity), ("job", "lockstep-a")];
        labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()
    };
    for (first, second) in [
        (("LockstepProcessDown", "replica-1"), ("LockstepProcessDown", "gateway-a")),
        (("LockstepProcessDown", "gateway-a"), ("LockstepNoQuorumToSpare", "replica-1")),
        (("LockstepDiskFull", "replica-2"), ("LockstepRoomEnds", "replica-3")),
        (("LockstepDiskFull", "replica-2"), ("LockstepNothingCommits", "replica-1")),
        (("LockstepNoLeader", ""), ("LockstepSegmentsDamaged", "replica-1")),
        (("LockstepNoLeader", ""), ("LockstepReaderAhead", "replica-1")),
    ] {
        let firing = [alert(first.0, first.1, "critical"), alert(second.0, second.1, "critical")];
        assert!(left(&rules, &firing, "critical").contains(second.0), "{second:?} beside {first:?}");
    }
    let mut elsewhere = alert("LockstepNoQuorumToSpare", "replica-1", "critical");
    elsewhere.insert("job".to_owned(), "lockstep-b".to_owned());
    let firing = [alert("LockstepProcessDown", "replica-2", "critical"), elsewhere];
    assert_eq!(left(&rules, &firing, "critical").len(), 2, "another cluster");
}

#[test]
fn no_two_alerts_inhibit_each_other_and_no_ticket_inhibits_a_page() {
    let alerts = alerts();
    let severity = |name: &str| {
        let alert = alerts.iter().find(|alert| alert.name == name);
        alert.unwrap_or_else(|| panic!("{RULES}: there is no alert {name}")).severity.as_str()
    };
    let mut above: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in inhibit_rules() {
        for target in InhibitRule::names(&rule.target) {
            for source in InhibitRule::names(&rule.source) {
                let is_less = severity(source).contains("warning") && severity(target).contains("critical");
                assert!(!is_less, "{source} is a ticket, and inhibits the page {target}");
                above.entry(target.to_owned()).or_default().insert(source.to_owned());
            }
        }
    }
    // Causes are taken off until nothing is left that another one inhibits.
    while !above.is_empty() {
        let targets: BTreeSet<_> = above.keys().cloned().collect();
        let before = above.len();
        above.retain(|_, sources| sources.iter().any(|source| targets.contains(source)));
        assert!(above.len() < before, "these inhibit each other: {above:?}");
    }
}

#[test]
fn alertmanager_accepts_its_file() {
    if Command::new("amtool").arg("--version").output().is_err() {
        println!("SKIPPED: amtool is not installed (apt-get install prometheus-alertmanager)");
        return;
    }
    let mut command = Command::new("amtool");
    command.arg("check-config").arg(file(RULES));
    run(command, b"").with_code(0);
}

// ---------------------------------------------------------------------------- the page of the alerts

const PAGE: &str = "docs/ALERTS.md";
const BEGIN: &str = "| alert | calls | after | is not sent while this one fires |\n|---|---|---|---|\n";

/// The row of an alert, as the page has it.
fn row(alert: &Alert, rules: &[InhibitRule]) -> String {
    let mut causes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| InhibitRule::names(&rule.target).any(|name| name == alert.name)) {
        let is_of_replicas = |side: &[Matcher]| side.iter().any(|matcher| matcher.label == "process");
        let scope = match rule.equal.iter().any(|label| label == "process") {
            true => "of its process",
            false if is_of_replicas(&rule.source) => "of a replica",
            false if is_of_replicas(&rule.target) => "of its cluster, if it is a replica's",
            false => "of its cluster",
        };
        let names = InhibitRule::names(&rule.source).map(|name| format!("`{name}`"));
        causes.entry(scope).or_default().extend(names);
    }
    let causes = causes.iter().map(|(scope, names)| format!("{scope}: {}", names.join(", ")));
    let calls = if alert.severity.contains("critical") { "page" } else { "ticket" };
    let Alert { name, page, lasts, .. } = alert;
    let causes = causes.collect::<Vec<_>>().join("; ");
    format!("| [`{name}`](RUNBOOK.md#{page}) | {calls} | {lasts} | {causes} |\n")
}

#[test]
fn the_page_of_the_alerts_has_each_of_them_as_the_rules_have_it() {
    let rules = inhibit_rules();
    let table: String = alerts().iter().map(|alert| row(alert, &rules)).collect();
    let page = text(PAGE);
    let (before, rest) = page.split_once(BEGIN).expect("the table");
    let (rows, behind) = rest.split_once("\n\n").map_or((rest, ""), |(rows, behind)| (rows, behind));
    if std::env::var_os("REWRITE").is_some() {
        let end = if behind.is_empty() { String::new() } else { format!("\n{behind}") };
        std::fs::write(file(PAGE), format!("{before}{BEGIN}{table}{end}")).expect("a page");
        return;
    }
    let rewrite = "`REWRITE=1 cargo test --test cluster alerts::` writes it anew";
    assert_eq!(rows.trim_end(), table.trim_end(), "{PAGE}: {rewrite}");
}

#[test]
fn the_page_of_the_alerts_has_what_is_left_of_each_planted_fault() {
    let page = text(PAGE);
    let (_, rest) = page.split_once("| fault | page | ticket |\n").expect("the table of faults");
    let rows = rest.lines().take_while(|line| line.starts_with('|'));
    let names: BTreeSet<_> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
    let faults = faults();
    let left = faults.iter().flat_map(|fault| fault.page.iter().chain(&fault.ticket));
    assert_eq!(names, left.map(String::as_str).collect(), "{PAGE}");
}
