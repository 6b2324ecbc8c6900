//! The alerts, the dashboard and the runbook of `contrib/` and `docs/`, judged by Prometheus itself.
//!
//! Grafana is no part of the test: the expressions of its panels are answered by the API that it asks.

use lockstep_testkit::processes::{Cluster, PATIENCE, Process, command, free_address, run};
use lockstep_testkit::trader::{Trader, login_of};
use lockstep_testkit::{feeds, gateways};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether Prometheus's programs are here; prints the skip if they are not.
pub fn has_prometheus() -> bool {
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let has = ["promtool", "prometheus"].iter().all(|program| runs(program));
    if !has {
        println!("SKIPPED: Prometheus and promtool are not installed (apt-get install prometheus)");
    }
    has
}

// ---------------------------------------------------------------------------- the files

/// An alert, as its lines in the file have it.
pub struct Alert {
    pub name: String,
    expr: String,
    pub severity: String,
    /// The anchor of its section in the runbook.
    pub page: String,
    /// How long it has to hold before it is sent.
    pub lasts: String,
}

impl Alert {
    /// Whether its expression has this selector.
    pub fn is_about(&self, selector: &str) -> bool {
        self.expr.contains(selector)
    }
}

pub fn alerts() -> Vec<Alert> {
    let rules = text("contrib/prometheus/alerts.yml");
    let alert = |part: &str| {
        let field = |key: &str| {
            let line = part.lines().find_map(|line| line.trim_start().strip_prefix(key));
            line.unwrap_or_else(|| panic!("no {key} in {part}")).trim().to_owned()
        };
        let url = field("runbook_url:");
        let (page, anchor) = url.split_once('#').expect("an anchor");
        assert!(page.ends_with("/docs/RUNBOOK.md"), "{url}");
        assert!(part.contains("summary: ") && part.contains("description: "), "{part}");
        let names_it = |label: &&str| part.contains(&format!("{{{{ $labels.{label}"));
        assert!(["process", "instance", "job"].iter().any(names_it), "who? {part}");
        let lasts = part.lines().find_map(|line| line.trim_start().strip_prefix("for: "));
        Alert {
            lasts: lasts.unwrap_or("at once").to_owned(),
            name: part.lines().next().unwrap_or_default().to_owned(),
            expr: field("expr:"),
            severity: field("labels:"),
            page: anchor.to_owned(),
        }
    };
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).map(alert).collect();
    assert!(alerts.len() > 30, "the file is read");
    alerts
}

/// The expressions of the dashboard's panels with their titles, with values for its variables.
fn panels() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&text("contrib/grafana/lockstep.json")).expect("JSON");
    let rows = dashboard["panels"].as_array().expect("panels");
    let is_row = |panel: &&Value| panel["type"] == "row";
    let titles: Vec<_> = rows.iter().filter(is_row).map(|row| row["title"].clone()).collect();
    assert_eq!(titles, ["Is it healthy", "Is it fast", "Why not"]);
    let mut found = Vec::new();
    for panel in rows.iter().filter(|panel| !is_row(panel)) {
        let title = panel["title"].as_str().expect("a title");
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 20), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        for target in panel["targets"].as_array().expect("targets") {
            let expr = target["expr"].as_str().expect("an expression");
            let expr = expr.replace("$__rate_interval", "5s").replace("$job", ".*").replace("$process", ".*");
            assert!(!expr.contains('$'), "{expr}");
            found.push((title.to_owned(), expr));
        }
    }
    found
}

/// The selectors of an expression: a metric of ours, and its labels.
fn selectors(expr: &str) -> Vec<&str> {
    let ends = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let selector = |(at, _): (usize, &str)| {
        let rest = &expr[at..];
        let name = ends(rest);
        let labels =
            if rest[name..].starts_with('{') { rest[name..].find('}').map_or(0, |end| end + 1) } else { 0 };
        &rest[..name + labels]
    };
    expr.match_indices("lockstep_").map(selector).collect()
}

/// The anchor that a heading has on a page.
pub fn anchor(heading: &str) -> String {
    let letters = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect::<String>();
    letters.replace(' ', "-")
}

#[test]
fn each_alert_names_a_section_of_the_runbook_and_each_section_the_alerts_that_name_it() {
    let runbook = text("docs/RUNBOOK.md");
    let sections: Vec<_> = runbook.split("\n## ").skip(1).collect();
    for alert in alerts() {
        let is_its = |section: &&&str| anchor(section.lines().next().unwrap_or_default()) == alert.page;
        let section = sections.iter().find(is_its);
        let section = section.unwrap_or_else(|| panic!("{}: no section {}", alert.name, alert.page));
        assert!(section.contains(&format!("`{}`", alert.name)), "{} in {section}", alert.name);
        assert!(section.contains("\n* Confirm: "), "{section}");
        assert!(
            ["{severity: critical}", "{severity: warning}"].contains(&&*alert.severity),
            "{}",
            alert.severity
        );
    }
    let names: BTreeSet<_> = alerts().into_iter().map(|alert| alert.name).collect();
    let named = runbook.split('`').skip(1).step_by(2).filter(|code| code.starts_with("Lockstep"));
    assert_eq!(named.map(str::to_owned).collect::<BTreeSet<_>>(), names, "docs/RUNBOOK.md");
    assert_eq!(anchor("No quorum: what can be done"), "no-quorum-what-can-be-done");
}

#[test]
fn each_condition_has_an_alert() {
    let json = run(command(&["explain", "--json"]), b"").with_code(0).out;
    let explained: Value = serde_json::from_str(&json).expect("JSON");
    let codes = explained["codes"].as_array().expect("codes").iter();
    let conditions: BTreeSet<_> = codes
        .filter(|code| code["kind"] == "condition")
        .map(|code| format!("lockstep_condition{{condition=\"{}\"}}", code["name"].as_str().expect("a name")))
        .collect();
    assert!(conditions.len() > 10, "{conditions:?}");
    let alerts = alerts();
    let all = alerts.iter().flat_map(|alert| selectors(&alert.expr));
    let covered: BTreeSet<_> =
        all.filter(|one| one.starts_with("lockstep_condition{")).map(str::to_owned).collect();
    assert_eq!(covered, conditions);
}

#[test]
fn each_metric_of_alerts_and_dashboard_is_one_of_the_list() {
    let json = run(command(&["metrics", "list", "--format", "json"]), b"").with_code(0).out;
    let list: Value = serde_json::from_str(&json).expect("JSON");
    let mut known = BTreeSet::new();
    for metric in list["metrics"].as_array().expect("metrics") {
        let name = metric["name"].as_str().expect("a name");
        match metric["type"] == "histogram" {
            true => known.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}"))),
            false => drop(known.insert(name.to_owned())),
        }
    }
    let exprs = alerts().into_iter().map(|alert| (alert.name, alert.expr)).chain(panels());
    for (of, expr) in exprs {
        for selector in selectors(&expr) {
            let name = selector.split('{').next().unwrap_or_default();
            assert!(known.contains(name), "{of}: {name}");
        }
    }
}

#[test]
fn promtool_accepts_the_alerts_and_each_fires_in_a_test_of_its_own_and_not_beside_it() {
    let tests = text("contrib/prometheus/alerts.test.yml");
    for Alert { name, .. } in alerts() {
        assert!(tests.contains(&format!("- {{labels: '{{alertname=\"{name}\"")), "{name} fires in no test");
    }
    if !has_prometheus() {
        return;
    }
    let promtool = |args: &[&str]| {
        let mut command = Command::new("promtool");
        command.args(args).current_dir(file("contrib/prometheus"));
        run(command, b"").with_code(0)
    };
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts.test.yml", "faults.test.yml"]);
}

// ---------------------------------------------------------------------------- a live cluster

/// A Prometheus with our alerts that reads these pages.
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
}

impl Prometheus {
    pub fn start(cluster: &Cluster, pages: &[SocketAddr]) -> Self {
        Self::start_with(cluster, pages, &file("contrib/prometheus/alerts.yml"))
    }

    /// The same with the rules of another file.
    pub fn start_with(cluster: &Cluster, pages: &[SocketAddr], rules: &Path) -> Self {
        let targets: Vec<_> = pages.iter().map(|page| format!("'{page}'")).collect();
        let config = format!(
            "global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}\nrule_files: ['{}']\nscrape_configs:\n  \
             - job_name: lockstep\n    static_configs: [{{targets: [{}]}}]\n",
            rules.display(),
            targets.join(", ")
        );
        std::fs::write(cluster.path("prometheus.yml"), config).expect("a configuration");
        let address = free_address();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", cluster.path("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", cluster.path("prometheus").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=warn");
        Self { process: cluster.start_command("prometheus", command), address }
    }

    /// Its answer to a request of its API; none while it does not listen yet.
    pub fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// Whether an expression has a sample now that is a number: a quantile of nothing is none.
    ///
    /// # Panics
    /// Prometheus does not understand or cannot compute it.
    fn has_number(&self, expr: &str) -> bool {
        let encoded: String = expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("query?query={encoded}")).expect("an answer");
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        let samples = answer["data"]["result"].as_array().expect("samples");
        samples.iter().any(|sample| sample["value"][1].as_str().is_some_and(|value| value != "NaN"))
    }

    /// Waits until `found` is an answer.
    pub fn until<T>(&mut self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(self.process.ended().is_none(), "Prometheus ended:\n{}", self.process.log());
            assert!(Instant::now() < until, "{what}: {:?}\n{}", self.get("targets"), self.process.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Two replicas, a gateway, a feed and a notary, each with a page, and a client of the gateway.
fn daemons(cluster: &Cluster) -> (Vec<Process>, Vec<SocketAddr>, Trader) {
    let founded = cluster.found();
    // Both have the history once something is committed; then they start again, each with its page.
    cluster.publish("one\n");
    drop(founded);
    let pages: Vec<_> = (0..5).map(|_| free_address()).collect();
    let set: Vec<_> = pages.iter().map(|page| format!("metrics.listen={page}")).collect();
    let mut processes: Vec<_> =
        (1..=2).map(|id| cluster.start_replica_with(id, &["--set", &set[id as usize - 1]])).collect();
    gateways::add_user(cluster, "alice", "secret", &[]);
    let (gateway, [address]) = gateways::start_on(cluster, "a", ["--listen"], &["--set", &set[2]]);
    processes.push(gateway);
    let group = feeds::new_group().to_string();
    let feed =
        ["feed", "--group", &group, "--requests", "127.0.0.1:0", "--of", "everybody", "--set", &set[3]];
    processes.push(cluster.start("feed", &feed));
    cluster.run(&["notary", "key", "notary"], b"").with_code(0);
    let cursor = cluster.path("notary.cursor").display().to_string();
    processes.push(cluster.start("notary", &["notary", "--cursor", &cursor, "--set", &set[4]]));
    let trader = Trader::log_in(address, login_of("alice", "secret", "", 1)).expect("a login");
    (processes, pages, trader)
}

#[test]
fn prometheus_reads_a_cluster_and_answers_every_panel_and_every_alert_of_it() {
    if !has_prometheus() {
        return;
    }
    let cluster = Cluster::new(2, "");
    let (_processes, pages, mut trader) = daemons(&cluster);
    let mut prometheus = Prometheus::start(&cluster, &pages);
    prometheus.until("every page is read without an error", |prometheus| {
        let answer = prometheus.get("targets")?;
        let targets = answer["data"]["activeTargets"].as_array()?;
        let is_read = |target: &Value| target["health"] == "up" && target["lastError"] == "";
        (targets.len() == pages.len() && targets.iter().all(is_read)).then_some(())
    });
    for (title, expr) in panels() {
        prometheus.until(&format!("{title}: a number of {expr}"), |prometheus| {
            trader.send(b"an order");
            prometheus.has_number(&expr).then_some(())
        });
    }
    let alerts = alerts();
    // A coordinator is of a set, and this cluster is one stream.
    let of_sets = ["lockstep_coordinator_", "condition=\"merge_stalled\"", "condition=\"cut_ahead\""];
    let is_of_a_set = |selector: &&str| of_sets.iter().any(|part| selector.contains(part));
    for selector in alerts.iter().flat_map(|alert| selectors(&alert.expr)).filter(|one| !is_of_a_set(one)) {
        let what = format!("a series of {selector}");
        prometheus.until(&what, |prometheus| prometheus.has_number(selector).then_some(()));
    }
    // A moment of an election or of a full machine passes; an alert that does not fit does not.
    let rules = prometheus.until(
        "every alert is computed, and a cluster in good health has no grave one",
        |prometheus| {
            let answer = prometheus.get("rules")?;
            let groups = answer["data"]["groups"].as_array()?.iter();
            let rules: Vec<_> =
                groups.filter_map(|group| group["rules"].as_array()).flatten().cloned().collect();
            let rules: Vec<_> = rules.into_iter().filter(|rule: &Value| rule["type"] == "alerting").collect();
            let is_grave =
                |rule: &Value| rule["labels"]["severity"] == "critical" && rule["state"] != "inactive";
            let is_done = rules.iter().all(|rule| rule["health"] != "unknown" && !is_grave(rule));
            is_done.then_some(rules)
        },
    );
    assert_eq!(rules.len(), alerts.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}
