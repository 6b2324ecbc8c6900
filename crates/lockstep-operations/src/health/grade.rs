//! The grades of everything that a look shows: each condition, reason and threshold has its grade here alone.

use crate::figures::age;
use crate::key_expiry::Expiry;
use crate::set::{SetConditionLine, SetSnapshot};
use lockstep_client::internal::{
    ActiveCondition, ClusterHealth, Health, HealthCause, NodeStatus, QueryResult, Reason,
};
use lockstep_config::grouped;
use lockstep_core::engine::event::Role;
use lockstep_wire::{Condition, KeyDifference, Seq};
use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

/// A grade of a monitor, the best first; its number is the exit code of a Nagios plugin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HealthGrade {
    /// Nothing is to be done.
    Good = 0,
    /// The stream continues, and an operator should look in the working day.
    Warning = 1,
    /// The stream stands still or is in danger: an operator is needed now.
    Critical = 2,
    /// The look itself failed, and shows nothing of the cluster.
    Unknown = 3,
}

impl HealthGrade {
    /// The name by which monitors know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The grade of a condition as it stands: the word of one reader alone is a warning.
fn grade_of_active(active: &ActiveCondition) -> HealthGrade {
    if active.is_of_one_reader() { HealthGrade::Warning } else { grade_of(active.condition) }
}

/// The grade of a condition. Critical: the stream, a stored copy of it or the next takeover is in danger, or
/// the node needs an operator to go on. Everything else is a warning: the stream continues, slower or with
/// less redundancy, and the node recovers by itself or can wait.
pub fn grade_of(condition: Condition) -> HealthGrade {
    match condition {
        Condition::JournalFull
        | Condition::Damaged
        | Condition::LogGone
        | Condition::Exposed
        | Condition::EpochsUncommitted
        | Condition::RoundsHigh
        | Condition::DiskFull
        | Condition::ReaderAhead => HealthGrade::Critical,
        // The thresholds of spare members say when less redundancy is critical.
        Condition::RedundancyLost
        | Condition::DurabilityMixed
        | Condition::FilesRefused
        | Condition::DeviceStalled
        | Condition::FilesDiffer
        | Condition::TakeoversOften
        | Condition::OlderKeys
        | Condition::AddressTwice
        | Condition::PathLost
        | Condition::RoomLow
        | Condition::PublishersNearlyFull
        | Condition::ClockAhead
        | Condition::ClockApart
        | Condition::MulticastLost
        | Condition::LineLost
        | Condition::MembersFull
        | Condition::WatcherGone
        // The streams go on.
        | Condition::MergeStalled
        | Condition::CutAhead => HealthGrade::Warning,
    }
}

/// From which value on something is graded.
#[derive(Clone, Copy, Debug)]
pub struct HealthThresholds {
    /// A warning for a member that lacks more entries than this.
    pub lag_warn: u64,
    /// The same, critical.
    pub lag_crit: u64,
    /// A warning where fewer members may crash; `None`: fewer than of a cluster without a silent member.
    pub spare_warn: Option<i64>,
    /// The same, critical.
    pub spare_crit: i64,
    /// A warning from so many days before the keys are to be replaced.
    pub key_days: i64,
}

/// Something that is graded worse than good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthFinding {
    /// Its grade.
    pub grade: HealthGrade,
    /// The code of a condition.
    pub code: Option<String>,
    /// The problem.
    pub what: String,
    /// The remedy of a condition.
    pub advice: Option<&'static str>,
}

impl HealthFinding {
    fn new(grade: HealthGrade, what: impl Into<String>) -> Self {
        Self { grade, code: None, what: what.into(), advice: None }
    }

    fn of_condition(what: String, active: &ActiveCondition) -> Self {
        Self {
            grade: grade_of_active(active),
            code: Some(active.code()),
            what,
            advice: Some(active.advice()),
        }
    }

    fn of_reason(reason: &Reason) -> Self {
        Self::of(reason, reason.to_string())
    }

    /// A cause that several nodes may report.
    fn of_cause(cause: &HealthCause) -> Self {
        Self::of(&cause.reasons[0], cause.to_string())
    }

    fn of(reason: &Reason, what: String) -> Self {
        match reason {
            Reason::Condition(_, active) => Self::of_condition(what, active),
            Reason::OtherHistory(..) | Reason::OtherLeader(..) => Self::new(HealthGrade::Critical, what),
            Reason::Silent { .. }
            | Reason::MissesLeader { .. }
            | Reason::NoMember(_)
            | Reason::Blank(_)
            | Reason::FilesDiffer(_)
            | Reason::FileHereDiffers(_)
            | Reason::PathLost(_)
            | Reason::ChangePending
            | Reason::KeysOverdue(_) => Self::new(HealthGrade::Warning, what),
        }
    }
}

impl fmt::Display for HealthFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.grade.name())?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        write!(f, ": {}", self.what)?;
        self.advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

/// A number for a monitor's graphs, with the ranges outside of which it is graded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthMetric {
    /// Its label.
    pub label: &'static str,
    /// Its value, if it is known.
    pub value: Option<i64>,
    /// `s` for seconds, `c` for a number that only rises.
    pub unit: &'static str,
    /// Inside this range it is no warning: `10` from 0 to 10, `3:` from 3 on.
    pub warn: String,
    /// Inside this range it is not critical.
    pub crit: String,
    /// The least value that it can have.
    pub min: Option<i64>,
    /// The greatest one.
    pub max: Option<i64>,
}

impl HealthMetric {
    fn new(label: &'static str, value: Option<i64>) -> Self {
        Self { label, value, unit: "", warn: String::new(), crit: String::new(), min: Some(0), max: None }
    }

    fn within(self, warn: String, crit: String) -> Self {
        Self { warn, crit, ..self }
    }
}

/// As the Monitoring Plugins Development Guidelines have it: `label=value[UOM];[warn];[crit];[min];[max]`,
/// without semicolons behind the last field, and `U` for a value that is not known.
impl fmt::Display for HealthMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
        let value = match self.value {
            Some(value) => format!("{value}{}", self.unit),
            None => "U".to_owned(),
        };
        let fields = [value, self.warn.clone(), self.crit.clone(), number(self.min), number(self.max)];
        write!(f, "{}={}", self.label, fields.join(";").trim_end_matches(';'))
    }
}

/// The result of a look.
#[derive(Clone, Debug)]
pub struct HealthReport {
    /// The grade of the whole.
    pub grade: HealthGrade,
    /// The state in one line.
    pub summary: String,
    /// The problems, the gravest first.
    pub findings: Vec<HealthFinding>,
    /// The numbers; always the same ones of one kind of look, but for the days of keys that never expire.
    pub metrics: Vec<HealthMetric>,
}

impl HealthReport {
    /// The look failed: the first line of `why` is the summary, and each other line is a problem.
    pub fn unknown(why: &str) -> Self {
        let mut lines = why.lines().filter(|line| !line.trim().is_empty());
        let summary = lines.next().unwrap_or_default().to_owned();
        let findings = lines.map(|line| HealthFinding::new(HealthGrade::Unknown, line)).collect();
        Self { grade: HealthGrade::Unknown, summary, findings, metrics: Vec::new() }
    }

    /// The merged order of a set.
    pub fn of_set(snapshot: &SetSnapshot) -> Self {
        let set = &snapshot.set;
        let finding = |one: &SetConditionLine| HealthFinding {
            grade: grade_of(one.condition),
            code: Some(one.code.clone()),
            what: one.what.clone(),
            advice: Some(one.advice),
        };
        let mut findings: Vec<_> = set.conditions.iter().map(finding).collect();
        findings.extend(set.unread.iter().map(|why| HealthFinding::new(HealthGrade::Unknown, why.as_str())));
        let metrics = vec![
            HealthMetric::new("behind", set.behind.map(whole)),
            HealthMetric { unit: "c", ..HealthMetric::new("cut", set.cut.map(whole)) },
            HealthMetric::new("conditions", Some(set.conditions.len() as i64)),
        ];
        Self::of(HealthGrade::Good, set.summary.clone(), findings, metrics)
    }

    /// The grade is that of the gravest problem, and `least` at least.
    fn of(
        least: HealthGrade,
        summary: String,
        mut findings: Vec<HealthFinding>,
        metrics: Vec<HealthMetric>,
    ) -> Self {
        findings.sort_by_key(|finding| Reverse(finding.grade));
        let grade = findings.first().map_or(least, |gravest| gravest.grade.max(least));
        Self { grade, summary, findings, metrics }
    }
}

/// The answers of one look, and what goes with them.
#[derive(Clone, Copy, Debug)]
pub struct Examined<'a> {
    /// The nodes that were asked, with their answers.
    pub asked: &'a [QueryResult],
    /// The replica that leads.
    pub leader: Option<&'a NodeStatus>,
    /// For how long it has led in its epoch.
    pub leads_for: Option<Duration>,
    /// When the keys of this host are to be replaced.
    pub expiry: Option<Expiry>,
}

impl Examined<'_> {
    /// Grades the whole cluster.
    pub fn cluster(&self, thresholds: &HealthThresholds) -> HealthReport {
        let health = Health::judge(self.asked);
        let mut findings: Vec<_> = health.causes().iter().map(HealthFinding::of_cause).collect();
        let graded = |node: &QueryResult, status: &NodeStatus| {
            node.is_archiver || self.leader.is_some_and(|leader| leader.lists(status.identity))
        };
        let lags = self.lags(graded);
        findings.extend(lags.iter().filter_map(|(name, lag)| lag_finding(name, *lag, thresholds)));
        let spare = self.available(&health) as i64 - health.quorum() as i64;
        let all_there = (health.listed - health.quorum().min(health.listed)) as i64;
        let spare_warn = thresholds.spare_warn.unwrap_or(all_there);
        if self.leader.is_some() && spare < spare_warn.max(thresholds.spare_crit) {
            let is_critical = spare < thresholds.spare_crit;
            let grade = if is_critical { HealthGrade::Critical } else { HealthGrade::Warning };
            let floor = if is_critical { thresholds.spare_crit } else { spare_warn };
            let what = match spare {
                0.. => format!("{spare} members may crash, fewer than {floor}"),
                _ => "too few members are available for a quorum".to_owned(),
            };
            findings.push(HealthFinding::new(grade, what));
        }
        findings.extend(self.key_finding(thresholds));
        let least = match health.health {
            ClusterHealth::Healthy | ClusterHealth::Degraded => HealthGrade::Good,
            ClusterHealth::NoLeader | ClusterHealth::NoQuorum | ClusterHealth::NoHistory => {
                HealthGrade::Critical
            }
        };
        let (listed, there, quorum) = (health.listed, health.there, health.quorum());
        let members =
            HealthMetric { max: Some(listed as i64), ..HealthMetric::new("members", Some(there as i64)) };
        let mut metrics = vec![
            lag_metric(lags.iter().map(|(_, lag)| *lag).max().filter(|_| self.leader.is_some()), thresholds),
            members.within(format!("{listed}:"), format!("{quorum}:")),
            HealthMetric { min: None, ..HealthMetric::new("spare", Some(spare)) }
                .within(format!("{spare_warn}:"), format!("{}:", thresholds.spare_crit)),
        ];
        metrics.extend(self.counts(self.asked.iter().filter_map(|node| node.status.as_ref())));
        let age = HealthMetric::new("epoch_age", self.leads_for.map(|time| time.as_secs() as i64));
        metrics.push(HealthMetric { unit: "s", ..age });
        if let Some(expiry) = self.expiry {
            let days = HealthMetric { min: None, ..HealthMetric::new("key_days", Some(expiry.days_left)) };
            metrics.push(days.within(format!("{}:", thresholds.key_days + 1), String::new()));
        }
        HealthReport::of(least, self.summary(&health), findings, metrics)
    }

    /// Grades one replica or archiver; `None` if neither the file nor a membership has it.
    pub fn replica(&self, replica: u32, thresholds: &HealthThresholds) -> Option<HealthReport> {
        let answers = |node: &&QueryResult| {
            node.status.as_ref().is_some_and(|status| status.identity.replica == replica)
        };
        let in_file = |node: &&QueryResult| node.number == Some(replica);
        let node = self.asked.iter().find(answers).or_else(|| self.asked.iter().find(in_file))?;
        let Some(status) = &node.status else {
            let what = format!("replica {replica} does not answer at {}", node.address);
            return Some(HealthReport::of(HealthGrade::Critical, what, Vec::new(), Vec::new()));
        };
        let identity = status.identity;
        let concerns = |reason: &&Reason| {
            let is_culprit = |difference: &KeyDifference| {
                difference.culprits().iter().any(|owner| owner.number == identity.replica)
            };
            matches!(reason, Reason::FilesDiffer(difference) if is_culprit(difference))
                || matches!(reason, Reason::Condition(of, _) | Reason::OtherHistory(of, _) | Reason::OtherLeader(of, _)
                | Reason::MissesLeader { identity: of, .. } | Reason::NoMember(of) | Reason::Blank(of)
                if *of == identity)
        };
        let reasons = Health::judge(self.asked).reasons;
        let mut findings: Vec<_> = reasons.iter().filter(concerns).map(HealthFinding::of_reason).collect();
        let lag = self.leader.map(|leader| lag_behind(leader, status));
        let name = identity.to_string();
        findings.extend(lag.and_then(|lag| lag_finding(&name, lag, thresholds)));
        let role = if node.is_archiver { "an archiver" } else { status.role.name() };
        let follows = match status.leader {
            Some(leader) if status.role != Role::Leader => format!(" of {leader}"),
            _ => String::new(),
        };
        let summary = format!("{identity} is {role}{follows}, epoch {}", status.accepted.round());
        let mut metrics = vec![lag_metric(lag, thresholds)];
        metrics.extend(self.counts([status].into_iter()));
        Some(HealthReport::of(HealthGrade::Good, summary, findings, metrics))
    }

    fn summary(&self, health: &Health) -> String {
        let Some(leader) = self.leader.filter(|_| health.health < ClusterHealth::NoLeader) else {
            return health.to_string();
        };
        let since = self.leads_for.map_or_else(String::new, |time| format!(" for {}", age(time)));
        let (replica, round) = (leader.identity.replica, leader.accepted.round());
        let Health { listed, there, .. } = health;
        let may_crash = health.may_crash();
        format!(
            "replica {replica} leads epoch {round}{since}; {there} of {listed} members, {may_crash} may crash"
        )
    }

    /// Members that answer, or that the leader receives from, and that hold the log as the leader sees it: a
    /// path from here to a member that fails makes no member fail.
    fn available(&self, health: &Health) -> usize {
        let reachable = health.reasons.iter().filter(|reason| reason.reaches_leader()).count();
        let redundancy = self.leader.and_then(|leader| leader.conditions(Condition::RedundancyLost));
        let answering = health.listed.saturating_sub(health.silent.len());
        (answering + reachable).min(redundancy.map_or(health.listed, |active| active.a as usize))
    }

    /// The lag of each node that answers, shares the leader's history and is `graded`.
    fn lags(&self, graded: impl Fn(&QueryResult, &NodeStatus) -> bool) -> Vec<(String, u64)> {
        let Some(leader) = self.leader else { return Vec::new() };
        let lag = |node: &QueryResult| {
            let status = node.status.as_ref().filter(|status| status.history == leader.history)?;
            graded(node, status).then(|| (status.identity.to_string(), lag_behind(leader, status)))
        };
        self.asked.iter().filter_map(lag).collect()
    }

    fn key_finding(&self, thresholds: &HealthThresholds) -> Option<HealthFinding> {
        // Nothing ends on that day, so that it is never critical.
        let near = self.expiry.filter(|expiry| expiry.days_left <= thresholds.key_days)?;
        Some(HealthFinding::new(HealthGrade::Warning, near.to_string()))
    }

    /// How far the stream is committed as `statuses` know it, and how many conditions hold at them.
    fn counts<'a>(&self, statuses: impl Iterator<Item = &'a NodeStatus> + Clone) -> [HealthMetric; 2] {
        let committed: Option<Seq> =
            statuses.clone().map(|status| status.commit_next.saturating_sub(1)).max();
        let conditions: usize = statuses.map(|status| status.conditions.len()).sum();
        let committed = HealthMetric::new("committed", committed.map(whole));
        [HealthMetric { unit: "c", ..committed }, HealthMetric::new("conditions", Some(conditions as i64))]
    }
}

/// How many entries a node lacks. Leader and node answer at different moments; an acknowledgement that the
/// leader has shows more than an answer of the node from before.
pub fn lag_behind(leader: &NodeStatus, status: &NodeStatus) -> u64 {
    let listed = leader.members.iter().find(|listed| listed.member.identity() == status.identity);
    let acked = listed.map_or(0, |listed| listed.acked_next);
    leader.accept_next.saturating_sub(status.accept_next.max(acked))
}

fn lag_finding(name: &str, lag: u64, thresholds: &HealthThresholds) -> Option<HealthFinding> {
    let grade = match lag {
        lag if lag > thresholds.lag_crit => HealthGrade::Critical,
        lag if lag > thresholds.lag_warn => HealthGrade::Warning,
        _ => return None,
    };
    Some(HealthFinding::new(grade, format!("{name} lacks {} entries", grouped(lag))))
}

fn lag_metric(lag: Option<u64>, thresholds: &HealthThresholds) -> HealthMetric {
    let (warn, crit) = (thresholds.lag_warn.to_string(), thresholds.lag_crit.to_string());
    HealthMetric::new("lag", lag.map(whole)).within(warn, crit)
}

/// The number as graphs take it.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
