//! An axis: what it is called, how far it goes, and ticks that people can read.

use crate::results::Unit;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// Ticks that fit beside each other at most.
pub const TICKS_MAX: usize = 10;
/// Steps between ticks of a linear axis.
const STEPS_MAX: f64 = 7.0;
/// Fewer say too little.
const TICKS_MIN: usize = 3;

/// How values lie on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scale {
    Linear,
    Log,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Axis {
    /// With its unit.
    pub name: String,
    from: f64,
    to: f64,
    scale: Scale,
    /// Places and what stands there.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Of values that differ by factors; linear where some of them is not positive.
    pub fn log(name: &str, unit: Unit, values: impl Iterator<Item = f64> + Clone) -> Self {
        let (from, to) = ends(values);
        if from <= 0.0 {
            return Self::linear(name, unit, [from, to].into_iter());
        }
        let room = (to / from).powf(0.05).max(1.02);
        let (from, to) = (from / room, to * room);
        let ticks = log_ticks(from, to).unwrap_or_else(|| linear_ticks(from, to));
        Self::with(name, unit, Scale::Log, from, to, ticks)
    }

    /// Of values whose differences count.
    pub fn linear(name: &str, unit: Unit, values: impl Iterator<Item = f64>) -> Self {
        let (from, to) = ends(values);
        let room = ((to - from) * 0.05).max(to.abs() * 0.01).max(1e-9);
        let (from, to) = (if from >= 0.0 { (from - room).max(0.0) } else { from - room }, to + room);
        Self::with(name, unit, Scale::Linear, from, to, linear_ticks(from, to))
    }

    fn with(name: &str, unit: Unit, scale: Scale, from: f64, to: f64, ticks: Vec<f64>) -> Self {
        let ticks = ticks.into_iter().map(|tick| (tick, amount(tick, unit))).collect();
        Self { name: name.to_owned(), from, to, scale, ticks }
    }

    /// Of `1 / (1 - p)`, which is 10 at the 90th percentile and 100 at the 99th.
    pub fn percentiles(greatest: f64) -> Self {
        let mut ticks = vec![(1.0, "0".to_owned()), (2.0, "50".to_owned()), (10.0, "90".to_owned())];
        let mut at = 100.0;
        while at <= greatest {
            let nines = f64::log10(at).round() as usize - 2;
            let behind = if nines == 0 { String::new() } else { format!(".{}", "9".repeat(nines)) };
            ticks.push((at, format!("99{behind}")));
            at *= 10.0;
        }
        ticks.retain(|(at, _)| *at <= greatest);
        Self { name: "percentile".to_owned(), from: 1.0, to: greatest.max(2.0), scale: Scale::Log, ticks }
    }

    /// Of rounds, from 1.
    pub fn rounds(count: usize) -> Self {
        let step = count.div_ceil(12).max(1);
        let ticks = (1..=count).step_by(step).map(|round| (round as f64, round.to_string())).collect();
        Self { name: "round".to_owned(), from: 0.5, to: count as f64 + 0.5, scale: Scale::Linear, ticks }
    }

    /// Of seconds.
    pub fn seconds(name: &str, values: impl Iterator<Item = f64>) -> Self {
        let (from, to) = ends(values);
        let to = if to > from { to } else { from + 1.0 };
        let label = |tick: f64| (tick, format!("{} s", number(tick)));
        let ticks = linear_ticks(from, to).into_iter().map(label).collect();
        Self { name: name.to_owned(), from, to, scale: Scale::Linear, ticks }
    }
}

/// The least and the greatest; 0 and 1 of none.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    let (from, to) = values
        .filter(|value| value.is_finite())
        .fold(start, |(from, to), value| (from.min(value), to.max(value)));
    if from > to { (0.0, 1.0) } else { (from, to) }
}

/// Powers of ten and what lies between them, as many as fit; `None` where that is too few.
fn log_ticks(from: f64, to: f64) -> Option<Vec<f64>> {
    let between: [&[f64]; 3] = [&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0]];
    let decades = (from.log10().floor() as i32)..=(to.log10().ceil() as i32);
    between
        .into_iter()
        .map(|digits| {
            let all = decades.clone().flat_map(|decade| digits.iter().map(move |d| d * 10_f64.powi(decade)));
            all.filter(|tick| (from..=to).contains(tick)).collect::<Vec<f64>>()
        })
        .find(|ticks| ticks.len() <= TICKS_MAX)
        .filter(|ticks| ticks.len() >= TICKS_MIN)
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(from: f64, to: f64) -> Vec<f64> {
    let least = (to - from).max(1e-12) / STEPS_MAX;
    let power = 10_f64.powf(least.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|d| d * power).find(|step| *step >= least).unwrap_or(least);
    let (first, last) = ((from / step).ceil() as i64, (to / step).floor() as i64);
    (first..=last).take(2 * TICKS_MAX).map(|index| index as f64 * step).collect()
}

/// A number with three digits that count, and no zeros behind them.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A value with its unit, as a tick has it: `10 µs`, `20 k/s`.
pub fn amount(value: f64, unit: Unit) -> String {
    let steps: &[(f64, &str)] = match unit {
        Unit::Nanos => &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")],
        Unit::MessagesPerSecond | Unit::DatagramsPerSecond => &[(1e6, " M/s"), (1e3, " k/s"), (1.0, "/s")],
        Unit::BytesPerSecond => &[(1e9, " GB/s"), (1e6, " MB/s"), (1e3, " kB/s"), (1.0, " B/s")],
        Unit::Instructions | Unit::Count => &[(1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")],
        Unit::Bytes => &[(1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " B")],
        Unit::SecondsPerMillion => &[(1.0, " s"), (1e-3, " ms"), (1e-6, " µs")],
        Unit::Ratio => &[(1.0, "")],
    };
    if unit == Unit::Ratio {
        let text = format!("{value:.3}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    // A number rounded to a thousand is one of the next unit.
    let fits = steps.iter().find(|(by, _)| value.abs() >= by * 0.9995).or(steps.last());
    fits.map_or_else(String::new, |(by, name)| format!("{}{name}", number(value / by)))
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let place = |value: f64| if self.scale == Scale::Log { value.max(1e-12).ln() } else { value };
        let (from, to) = (place(self.from), place(self.to));
        let share = ((place(*value) - from) / (to - from)).clamp(0.0, 1.0);
        limit.0 + (f64::from(limit.1 - limit.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(tick, _)| *tick).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(tick, _)| tick == value);
        tick.map_or_else(String::new, |(_, label)| label.clone())
    }
}
