//! Which pictures a result deserves.
//!
//! ```text
//!   rows along an axis   latency, or the value, over rate, bytes, subscribers …
//!   a case               latency over percentile, of the samples of all rounds
//!                        the first figure of each round
//!   a series             a figure over time, with what happened
//! ```

use super::axis::{Axis, amount};
use super::chart::{Chart, Line, Pen};
use crate::results::{Results, Row, Series, Unit, VALUE};

/// The axis that carries load; and the one that marks the row before saturation.
const RATE: &str = "rate";
const KNEE: &str = "knee";
/// Places on another axis than that of load: two sizes are no curve.
const PLACES_MIN: usize = 3;
/// Steps of a percentile curve for each factor of ten.
const STEPS_PER_DECADE: f64 = 40.0;
/// Samples above the last percentile that is told.
const TAIL_MIN: f64 = 10.0;
/// Points of a series that are drawn: of more, the least and the greatest of neighbours.
pub const POINTS_MAX: usize = 2_000;
/// Marks that are drawn.
const MARKS_MAX: usize = 200;
/// A series whose greatest value is so many times its least is drawn on a logarithmic scale.
const LOG_FROM: f64 = 20.0;

/// The pictures of a result, those of greatest interest first.
pub struct Pictures {
    /// Over load, and other axes.
    pub over_axes: Vec<Chart>,
    /// Of cases that are points of those too: for who looks closer.
    pub of_points: Vec<Chart>,
    /// Of other cases.
    pub of_cases: Vec<Chart>,
    /// Over time.
    pub over_time: Vec<Chart>,
}

impl Pictures {
    /// All of them.
    ///
    /// # Errors
    /// A histogram is damaged.
    pub fn of(results: &Results) -> Result<Self, String> {
        let (families, all) = (families(results), &results.rows[..]);
        let mut pictures = Self {
            over_axes: families.iter().filter_map(Family::chart).collect(),
            of_points: Vec::new(),
            of_cases: Vec::new(),
            over_time: results
                .series
                .iter()
                .filter(|series| !series.points.is_empty())
                .map(over_time)
                .collect(),
        };
        for case in results.cases() {
            let mut rows: Vec<&Row> = results.of_case(case).collect();
            rows.sort_by_key(|row| row.floor);
            let charts = [percentiles(case, &rows, all)?, rounds(case, &rows, all)];
            let is_point = families.iter().any(|family| family.rows.iter().any(|row| row.case == case));
            let to = if is_point { &mut pictures.of_points } else { &mut pictures.of_cases };
            to.extend(charts.into_iter().flatten());
        }
        Ok(pictures)
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &Chart> {
        self.over_axes.iter().chain(&self.of_cases).chain(&self.over_time).chain(&self.of_points)
    }
}

/// A subject has the same pen in all pictures of a result.
fn pen(all: &[Row], row: &Row) -> Pen {
    let mut subjects: Vec<&str> = Vec::new();
    for other in all.iter().filter(|other| other.floor == row.floor) {
        if !subjects.contains(&other.subject.as_str()) {
            subjects.push(&other.subject);
        }
    }
    let index = subjects.iter().position(|subject| *subject == row.subject).unwrap_or(0);
    if row.floor { Pen::Floor(index) } else { Pen::Subject(index) }
}

/// What a unit's values are called.
fn name_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanos => "time",
        Unit::MessagesPerSecond => "messages per second",
        Unit::DatagramsPerSecond => "datagrams per second",
        Unit::BytesPerSecond => "bytes per second",
        Unit::Instructions => "instructions",
        Unit::Count => "count",
        Unit::Bytes => "bytes",
        Unit::SecondsPerMillion => "processor seconds per million messages",
        Unit::Ratio => "ratio",
    }
}

fn ys(lines: &[Line]) -> impl Iterator<Item = f64> + Clone {
    lines.iter().flat_map(|line| line.points.iter().map(|point| point.1))
}

fn xs(lines: &[Line]) -> impl Iterator<Item = f64> + Clone {
    lines.iter().flat_map(|line| line.points.iter().map(|point| point.0))
}

/// Rows that differ along one axis, and in nothing else.
struct Family<'a> {
    /// What their cases have in common.
    name: String,
    axis: &'a str,
    unit: Unit,
    rows: Vec<&'a Row>,
    /// Of the whole result.
    all: &'a [Row],
}

/// The rest of a case's name without its place on `axis`.
fn without(row: &Row, axis: &str) -> String {
    let value = row.axes.get(axis).copied().unwrap_or_default();
    let places = |part: &str| {
        let digits: String = part.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        digits.parse().is_ok_and(|number: f64| number == value) || (axis == RATE && part.ends_with("/s"))
    };
    let parts: Vec<&str> = row.case.split(", ").filter(|part| !places(part)).collect();
    parts.join(", ")
}

fn families(results: &Results) -> Vec<Family<'_>> {
    let mut axes: Vec<&str> =
        results.rows.iter().flat_map(|row| row.axes.keys().map(String::as_str)).collect();
    axes.sort_unstable_by_key(|axis| (*axis != RATE, *axis));
    axes.dedup();
    let mut families: Vec<Family> = Vec::new();
    for axis in axes.into_iter().filter(|axis| *axis != KNEE) {
        let begin = families.len();
        for row in results.rows.iter().filter(|row| row.axes.contains_key(axis)) {
            let name = without(row, axis);
            let same = |family: &&mut Family| {
                family.name == name
                    && family.unit == row.unit
                    && others(family.rows[0], axis).eq(others(row, axis))
            };
            match families[begin..].iter_mut().find(same) {
                Some(family) => family.rows.push(row),
                None => {
                    families.push(Family { name, axis, unit: row.unit, rows: vec![row], all: &results.rows })
                }
            }
        }
    }
    families.retain(|family| {
        let mut places: Vec<u64> = family.rows.iter().map(|row| row.axes[family.axis].to_bits()).collect();
        places.sort_unstable();
        places.dedup();
        places.len() >= if family.axis == RATE { 2 } else { PLACES_MIN }
    });
    families
}

/// Where a row lies on the other axes.
fn others<'a>(row: &'a Row, axis: &'a str) -> impl Iterator<Item = (&'a String, &'a f64)> {
    row.axes.iter().filter(move |(name, _)| *name != axis && *name != KNEE)
}

impl Family<'_> {
    /// Where a row lies: of load, what was offered. The carried load falls again beyond the knee, and a curve
    /// over it would turn back on itself.
    fn place(&self, row: &Row) -> f64 {
        row.axes[self.axis]
    }

    /// The marked rows: those of one place share a mark.
    fn knees(&self) -> Vec<(f64, String)> {
        let mut marked: Vec<&Row> =
            self.rows.iter().copied().filter(|row| row.axes.contains_key(KNEE)).collect();
        marked.sort_by_key(|row| row.floor);
        let mut knees: Vec<(f64, String)> = Vec::new();
        for row in marked {
            let label = amount(self.place(row), Unit::MessagesPerSecond);
            match knees.iter_mut().find(|(_, words)| words.ends_with(&format!(": {label}"))) {
                Some((_, words)) => *words = words.replace(':', &format!(" and {}:", row.subject)),
                None => knees.push((self.place(row), format!("knee of {}: {label}", row.subject))),
            }
        }
        knees
    }

    fn chart(&self) -> Option<Chart> {
        let mut subjects: Vec<&Row> = Vec::new();
        for row in &self.rows {
            if !subjects.iter().any(|other| other.subject == row.subject) {
                subjects.push(row);
            }
        }
        // The compared systems come first.
        subjects.sort_by_key(|row| row.floor);
        let mut lines = Vec::new();
        for subject in &subjects {
            for (figure, dashed) in [("p50", false), ("p99", true), (VALUE, false)] {
                let of_subject = self.rows.iter().filter(|row| row.subject == subject.subject);
                let mut points: Vec<(f64, f64)> = of_subject
                    .filter_map(|row| Some((self.place(row), row.spread(figure)?.median)))
                    .filter(|point| point.0.is_finite() && point.1.is_finite())
                    .collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                if points.is_empty() {
                    continue;
                }
                let name = match figure {
                    VALUE => subject.words.clone(),
                    figure => format!("{}, {figure}", subject.words),
                };
                lines.push(Line { name, pen: pen(self.all, subject), dashed, dots: true, points });
            }
        }
        let x = match self.axis {
            RATE => Axis::log("offered, messages per second", Unit::MessagesPerSecond, xs(&lines)),
            axis => Axis::log(axis, Unit::Count, xs(&lines)),
        };
        let over = if self.axis == RATE { "load" } else { self.axis };
        let what = if self.unit == Unit::Nanos { "latency" } else { name_of(self.unit) };
        (!lines.is_empty()).then(|| Chart {
            name: format!("over {over} {}", self.name),
            title: self.name.clone(),
            subtitle: format!("{what} over {over}, medians over the rounds"),
            y: Axis::log(what, self.unit, ys(&lines)),
            x,
            marks: self.knees(),
            lines,
            wide: true,
        })
    }
}

/// Latency over percentile, where the rounds have their samples.
fn percentiles(case: &str, rows: &[&Row], all: &[Row]) -> Result<Option<Chart>, String> {
    let mut lines = Vec::new();
    let mut greatest: f64 = 2.0;
    for row in rows {
        let Some(samples) = row.samples()? else { continue };
        // 1 / (1 - p) up to where ten samples lie above.
        let end = samples.len() as f64 / TAIL_MIN;
        if end <= 1.0 {
            continue;
        }
        greatest = greatest.max(end);
        let steps = (end.log10() * STEPS_PER_DECADE).ceil() as u32;
        let place = |step: u32| 10_f64.powf(f64::from(step) / STEPS_PER_DECADE).min(end);
        let value = |at: f64| samples.histogram().value_at_quantile(1.0 - 1.0 / at) as f64;
        let points = (0..=steps).map(place).map(|at| (at, value(at))).collect();
        lines.push(Line { name: row.words.clone(), pen: pen(all, row), dashed: false, dots: false, points });
    }
    Ok((!lines.is_empty()).then(|| Chart {
        name: format!("percentiles {case}"),
        title: case.to_owned(),
        subtitle: "latency over percentile, all rounds".to_owned(),
        x: Axis::percentiles(greatest),
        y: Axis::log("latency", Unit::Nanos, ys(&lines)),
        lines,
        marks: Vec::new(),
        wide: false,
    }))
}

/// What each round found, so that its spread is seen, and steps of the machine that all took.
fn rounds(case: &str, rows: &[&Row], all: &[Row]) -> Option<Chart> {
    let first = all.iter().find(|row| row.case == case)?;
    let (unit, figure) = (first.unit, *first.figures().first()?);
    let lines = rows.iter().map(|row| {
        let points =
            (1..).zip(row.column(figure)).filter_map(|(round, value)| Some((f64::from(round), value?)));
        let (name, pen) = (row.words.clone(), pen(all, row));
        Line { name, pen, dashed: false, dots: true, points: points.collect() }
    });
    let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
    let count = rows.iter().map(|row| row.rounds.len()).max().unwrap_or(0);
    let what = if figure == VALUE { name_of(unit) } else { figure };
    let y = match unit {
        Unit::Ratio => Axis::linear(what, unit, ys(&lines)),
        _ => Axis::log(what, unit, ys(&lines)),
    };
    (count > 1 && !lines.is_empty()).then(|| Chart {
        name: format!("rounds {case}"),
        title: case.to_owned(),
        subtitle: format!("{what} of each round"),
        x: Axis::rounds(count),
        y,
        lines,
        marks: Vec::new(),
        wide: false,
    })
}

fn over_time(series: &Series) -> Chart {
    let finite = series.points.iter().copied().filter(|point| point.0.is_finite() && point.1.is_finite());
    let points = thinned(finite.collect());
    let seconds = points.iter().map(|point| point.0).chain(series.marks.iter().map(|mark| mark.0));
    let x = Axis::seconds("since the run began", seconds);
    let line = Line { name: series.name.clone(), pen: Pen::Subject(0), dashed: false, dots: false, points };
    let lines = vec![line];
    let (least, greatest) =
        ys(&lines).fold((f64::INFINITY, 0.0_f64), |(least, most), y| (least.min(y), most.max(y)));
    let y = match least > 0.0 && greatest / least > LOG_FROM {
        true => Axis::log(name_of(series.unit), series.unit, ys(&lines)),
        false => Axis::linear(name_of(series.unit), series.unit, ys(&lines)),
    };
    Chart {
        name: format!("time {}", series.name),
        title: series.name.clone(),
        subtitle: "over time".to_owned(),
        x,
        y,
        lines,
        marks: series.marks.iter().take(MARKS_MAX).cloned().collect(),
        wide: true,
    }
}

/// No more points than can be seen, with every stall still in them.
pub fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    let neighbours = points.len().div_ceil(POINTS_MAX / 2);
    let ends = |chunk: &[(f64, f64)]| {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let mut ends: Vec<(f64, f64)> =
            [chunk.iter().min_by(by), chunk.iter().max_by(by)].into_iter().flatten().copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends
    };
    points.chunks(neighbours).flat_map(ends).collect()
}
