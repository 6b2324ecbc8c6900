//! What `status`, `why` and `health` say of a set as a whole, beside what each of its streams says of itself.

use super::{HealthFormat, write as write_health};
use crate::cli::inspect::why::steps::{self, write_step};
use crate::cli::shared::operator::age;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::coordinator::{place, streams_of};
use lockstep_daemon::failure::DEGRADED;
use lockstep_operations::health::HealthReport;
use lockstep_operations::set::{SetLook, SetSnapshot};
use std::io::Write;
use std::time::Duration;

/// The form in which the set is reported.
#[derive(Clone, Copy, Debug)]
pub enum SetReportKind {
    /// One line and a table, or an object.
    Status {
        /// As JSON.
        json: bool,
    },
    /// Each condition with its remedy and its steps.
    Why,
    /// A grade.
    Health(HealthFormat),
}

/// The answer as text, and the exit code.
pub fn answer(
    cluster: &ClusterArgs,
    timeout: Duration,
    kind: SetReportKind,
) -> Result<(String, u8), Failure> {
    let configs = streams_of(cluster)?;
    let snapshot = SetLook::open(&configs, timeout)?.once()?;
    let code = if snapshot.set.conditions.is_empty() { 0 } else { DEGRADED };
    let mut out = Vec::new();
    match kind {
        SetReportKind::Status { json: true } => {
            let text = serde_json::to_string(&snapshot).map_err(std::io::Error::other)?;
            writeln!(out, "{text}")?;
        }
        SetReportKind::Status { json: false } => write!(out, "{snapshot}")?,
        SetReportKind::Why => write_why(&mut out, &snapshot, &place(&configs[0]).coordinators)?,
        SetReportKind::Health(format) => {
            let report = HealthReport::of_set(&snapshot);
            write_health(&mut out, format, &report)?;
            return Ok((String::from_utf8_lossy(&out).into_owned(), report.grade as u8));
        }
    }
    Ok((String::from_utf8_lossy(&out).into_owned(), code))
}

fn write_why(
    out: &mut impl Write,
    snapshot: &SetSnapshot,
    coordinators: &[lockstep_daemon::config::CoordinatorConfig],
) -> std::io::Result<()> {
    writeln!(out, "{}", snapshot.set.summary)?;
    for one in &snapshot.set.conditions {
        let since = age(Duration::from_nanos(one.age_ns));
        writeln!(out, "\n{}: {} for {since} ({})\n  {}", one.name, one.what, one.code, one.advice)?;
        for step in steps::of_set(one.condition, one.stream.as_deref(), coordinators) {
            write_step(out, &step)?;
        }
    }
    let table = snapshot.to_string();
    let rows = table.split_once("\n\n").map_or("", |(_, rows)| rows);
    writeln!(out, "\nhow far each stream is merged")?;
    rows.lines().filter(|line| !line.is_empty()).try_for_each(|line| writeln!(out, "  {line}"))
}
