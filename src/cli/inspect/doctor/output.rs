//! The report as text and as JSON.

use super::DoctorReport;
use lockstep_doctor::apply::{AppliedChange, sysctl_name};
use lockstep_doctor::{Finding, FindingLevel};
use serde_json::{Value, json};
use std::io::{self, Write};

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.doctor/1";

/// One line for each check that is as it should be, then all parts of the others, the gravest last, and the
/// summary.
pub fn text(out: &mut impl Write, report: &DoctorReport) -> io::Result<()> {
    let mut last = FindingLevel::Good;
    for finding in report.findings.by_level() {
        if finding.level > last || finding.level > FindingLevel::Good {
            writeln!(out)?;
        }
        last = finding.level;
        writeln!(out, "{finding}")?;
    }
    writeln!(out)?;
    for applied in &report.applied {
        writeln!(out, "{}", change_text(applied))?;
    }
    let lasting = lasting_lines(&report.applied);
    if !lasting.is_empty() {
        writeln!(
            out,
            "until the next reboot; to have them after it as well, in /etc/sysctl.d/60-lockstep.conf:"
        )?;
        for line in lasting {
            writeln!(out, "    {line}")?;
        }
    }
    writeln!(out, "{}", report.findings.summary())
}

fn change_text(applied: &AppliedChange) -> String {
    let AppliedChange { change, before, error } = applied;
    let name = sysctl_name(&change.path).unwrap_or_else(|| change.path.display().to_string());
    let before = if before.is_empty() { "nothing" } else { before };
    match error {
        None => format!("changed {name}: {before} -> {}", change.text),
        Some(error) => format!("not changed {name} ({before}, wanted {}): {error}", change.text),
    }
}

/// The changes as lines of sysctl.conf(5), those that are settings of that kind.
fn lasting_lines(applied: &[AppliedChange]) -> Vec<String> {
    let made = applied.iter().filter(|applied| applied.error.is_none());
    made.filter_map(|applied| {
        Some(format!("{} = {}", sysctl_name(&applied.change.path)?, applied.change.text))
    })
    .collect()
}

fn json_of(finding: &Finding) -> Value {
    json!({
        "check": finding.check,
        "about": finding.about,
        "level": finding.level.name(),
        "now": finding.now,
        "wanted": finding.wanted,
        "why": finding.why,
        "measured": finding.measured,
        "mend": finding.mend.as_ref().map(|mend| &mend.command),
        "may_apply": finding.mend.as_ref().is_some_and(|mend| !mend.changes.is_empty()),
    })
}

/// One object.
pub fn json(out: &mut impl Write, report: &DoctorReport) -> io::Result<()> {
    let findings = &report.findings;
    let applied = report.applied.iter().map(|applied| {
        json!({
            "path": applied.change.path.display().to_string(),
            "before": applied.before,
            "after": applied.change.text,
            "error": applied.error,
        })
    });
    let value = json!({
        "schema": SCHEMA,
        "summary": findings.summary(),
        "exit_code": report.exit_code(),
        "errors": findings.count(FindingLevel::Error),
        "warnings": findings.count(FindingLevel::Warning),
        "unknown": findings.count(FindingLevel::Unknown),
        "findings": findings.by_level().into_iter().map(json_of).collect::<Vec<_>>(),
        "applied": applied.collect::<Vec<_>>(),
    });
    writeln!(out, "{value}")
}
