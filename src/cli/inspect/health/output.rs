//! The forms of a report: a Nagios plugin's, the same as text without numbers for graphs, and JSON.

use clap::ValueEnum;
use lockstep_operations::health::{HealthFinding, HealthMetric, HealthReport};
use serde_json::{Value, json};
use std::io::{self, Write};

/// The version of what `--format json` prints.
const SCHEMA: &str = "lockstep.health/1";

/// How a report is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum HealthFormat {
    /// The grade in the first line, and each reason in one of its own
    Text,
    /// The same, with numbers for graphs behind a bar in the first line
    Nagios,
    /// One object
    Json,
}

/// Prints `report`.
pub fn write(out: &mut impl Write, format: HealthFormat, report: &HealthReport) -> io::Result<()> {
    if format == HealthFormat::Json {
        return writeln!(out, "{}", as_json(report));
    }
    write!(out, "LOCKSTEP {} - {}", report.grade.name(), plain(&report.summary))?;
    if let Some(gravest) = report.findings.first() {
        write!(out, "; {}", plain(&gravest.what))?;
    }
    if format == HealthFormat::Nagios && !report.metrics.is_empty() {
        let metrics: Vec<_> = report.metrics.iter().map(HealthMetric::to_string).collect();
        write!(out, " | {}", metrics.join(" "))?;
    }
    writeln!(out)?;
    report.findings.iter().try_for_each(|finding| writeln!(out, "{}", plain(&finding.to_string())))
}

/// The text without bars: behind one, a monitor expects numbers.
fn plain(text: &str) -> String {
    text.replace('|', "/")
}

fn as_json(report: &HealthReport) -> Value {
    let finding = |finding: &HealthFinding| {
        json!({
            "grade": finding.grade.name(),
            "code": finding.code,
            "what": finding.what,
            "advice": finding.advice,
        })
    };
    let metric = |metric: &HealthMetric| {
        let row = json!({
            "value": metric.value,
            "unit": metric.unit,
            "warn": metric.warn,
            "crit": metric.crit,
            "min": metric.min,
            "max": metric.max,
        });
        (metric.label.to_owned(), row)
    };
    json!({
        "schema": SCHEMA,
        "grade": report.grade.name(),
        "exit_code": report.grade as u8,
        "summary": report.summary,
        "reasons": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "metrics": report.metrics.iter().map(metric).collect::<serde_json::Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_operations::health::HealthGrade;

    fn report() -> HealthReport {
        let metric = |label, value, warn: &str| HealthMetric {
            label,
            value,
            unit: "s",
            warn: warn.to_owned(),
            crit: String::new(),
            min: None,
            max: Some(9),
        };
        let finding = HealthFinding {
            grade: HealthGrade::Warning,
            code: Some("LS1203".to_owned()),
            what: "line a|b is lost".to_owned(),
            advice: Some("look at it"),
        };
        HealthReport {
            grade: HealthGrade::Warning,
            summary: "one | two".to_owned(),
            findings: vec![finding],
            metrics: vec![metric("age", Some(-4), "3:"), metric("lag", None, "")],
        }
    }

    fn printed(format: HealthFormat) -> String {
        let mut out = Vec::new();
        write(&mut out, format, &report()).expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_one_bar_of_a_nagios_line_begins_its_numbers_and_text_has_none() {
        let first = "LOCKSTEP WARNING - one / two; line a/b is lost";
        let reason = "WARNING LS1203: line a/b is lost; look at it";
        assert_eq!(printed(HealthFormat::Nagios), format!("{first} | age=-4s;3:;;;9 lag=U;;;;9\n{reason}\n"));
        assert_eq!(printed(HealthFormat::Text), format!("{first}\n{reason}\n"));
    }

    #[test]
    fn json_has_the_grade_the_reasons_and_each_number_with_its_ranges() {
        let value: Value = serde_json::from_str(&printed(HealthFormat::Json)).expect("JSON");
        assert_eq!((&value["grade"], &value["exit_code"]), (&json!("WARNING"), &json!(1)));
        assert_eq!(value["reasons"][0]["code"], "LS1203");
        assert_eq!(value["summary"], "one | two", "bars mean nothing here");
        assert_eq!(value["metrics"]["age"]["value"], -4);
        assert_eq!(value["metrics"]["lag"]["value"], Value::Null);
    }
}
