//! Percentiles that are really there, and ratios of what was measured side by side.

use crate::results::Figures;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use lockstep_wire::Nanos;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A percentile is the edge of a tail; a tail of fewer samples says nothing about where it begins.
const TAIL_MIN: f64 = 10.0;
/// The percentiles of every table, and what they are called; behind them comes the greatest sample.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];
/// The greatest one that is recorded as it is, in nanoseconds: 100 s.
const GREATEST: u64 = 100_000_000_000;

/// Latencies of one round.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet. Three digits, up to a hundred seconds.
    ///
    /// # Errors
    /// Never with these bounds.
    pub fn new() -> Result<Self, String> {
        Histogram::new_with_bounds(1, GREATEST, 3).map(Self).map_err(|error| error.to_string())
    }

    /// One more.
    #[inline]
    pub fn record(&mut self, ns: Nanos) {
        self.0.saturating_record(ns);
    }

    /// The value that `percentile` per cent do not exceed, in nanoseconds; `None` where fewer than ten
    /// samples lie above it.
    pub fn at(&self, percentile: f64) -> Option<Nanos> {
        // A thousandth of a sample is the rounding of the percentage, not a sample.
        let above = self.0.len() as f64 * (100.0 - percentile) / 100.0 + 0.001;
        (above >= TAIL_MIN).then(|| self.0.value_at_quantile(percentile / 100.0))
    }

    /// The greatest, in nanoseconds; `None` where there is none.
    pub fn max(&self) -> Option<Nanos> {
        (!self.0.is_empty()).then(|| self.0.max())
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The percentiles that enough samples tell, and the greatest, in nanoseconds.
    pub fn figures(&self) -> Figures {
        let percentiles = PERCENTILES.into_iter().map(|(name, percentile)| (name, self.at(percentile)));
        let all = percentiles.chain([("max", self.max())]);
        all.filter_map(|(name, ns)| Some((name.to_owned(), ns? as f64))).collect()
    }

    /// The histogram itself, of nanoseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// Those of `other` as well.
    ///
    /// # Errors
    /// Some of them are out of bounds.
    pub fn add(&mut self, other: &Self) -> Result<(), String> {
        self.0.add(&other.0).map_err(|error| error.to_string())
    }

    /// As HdrHistogram's logs have it: V2, deflated, in base64.
    ///
    /// # Errors
    /// It cannot be written, which does not happen in memory.
    pub fn encode(&self) -> Result<String, String> {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.0, &mut bytes);
        written.map_err(|error| format!("writing a histogram: {error:?}"))?;
        Ok(BASE64.encode(bytes))
    }

    /// Reads what [`Latencies::encode`] wrote, or another tool as HdrHistogram has it.
    ///
    /// # Errors
    /// It is no such text.
    pub fn decode(text: &str) -> Result<Self, String> {
        let fails = |error: &dyn fmt::Debug| format!("a histogram that is none: {error:?}");
        let bytes = BASE64.decode(text).map_err(|error| fails(&error))?;
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| fails(&error))?;
        let mut latencies = Self::new()?;
        latencies.0.add(histogram).map_err(|error| fails(&error))?;
        Ok(latencies)
    }
}

/// The median of some rounds, and how far they lie apart.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one; of an even number, the mean of the two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of `values`; `None` where there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { values[middle - 1].midpoint(values[middle]) };
        Some(Self { median, min, max })
    }

    /// The same in another unit.
    pub fn scaled(self, by: f64) -> Self {
        Self { median: self.median * by, min: self.min * by, max: self.max * by }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let between = if self.min < 0.0 { " to " } else { "-" };
        write!(f, "{:.digits$} [{:.digits$}{between}{:.digits$}]", self.median, self.min, self.max)
    }
}

/// A spread as a table's cell, `-` where there is none.
pub fn cell(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(|| String::from("-"), |spread| format!("{spread:.digits$}"))
}

/// What `f` makes of `over` and `under`, round by round: only what was measured side by side is compared.
/// Rounds in which either is missing do not count.
pub fn paired(over: &[Option<f64>], under: &[Option<f64>], f: fn(f64, f64) -> f64) -> Option<Spread> {
    let both = over.iter().zip(under).filter_map(|(over, under)| Some(f((*over)?, (*under)?)));
    Spread::of(both)
}
