//! Values of flags that several measures have.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A number with one of `units`, each a suffix and its factor, within `bounds`; a suffix that ends another
/// one stands behind it.
///
/// # Errors
/// It is none, or lies outside: `wrong` tells what to write.
pub fn scaled(
    text: &str,
    units: &[(&str, f64)],
    bounds: RangeInclusive<f64>,
    wrong: &str,
) -> Result<f64, String> {
    let unit = units.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)));
    let value = unit.and_then(|(digits, factor)| Some(digits.trim().parse::<f64>().ok()? * factor));
    value.filter(|value| bounds.contains(value)).ok_or_else(|| format!("'{text}' {wrong}"))
}

/// Reads a number of seconds within `bounds`, and refuses others with the bounds.
pub fn seconds(bounds: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> + Clone {
    let wrong = format!("is no number of seconds that fits; write {} to {}", bounds.start(), bounds.end());
    move |text| scaled(text, &[("", 1.0)], bounds.clone(), &wrong)
}

/// Units of a length of time, and their seconds.
const TIMES: [(&str, f64); 6] =
    [("ms", 0.001), ("min", 60.0), ("m", 60.0), ("s", 1.0), ("h", 3600.0), ("d", 86_400.0)];

/// Reads a length of time like `90s`, `2m`, `24h`, of `least` to thirty days.
pub fn lasts(least: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    let wrong = format!("is no time that fits; write {least:?} to 30d, like 90s, 2m or 24h");
    let bounds = least.as_secs_f64()..=30.0 * 86_400.0;
    move |text| scaled(text, &TIMES, bounds.clone(), &wrong).map(Duration::from_secs_f64)
}

/// Units of an amount of memory, and their bytes.
const AMOUNTS: [(&str, f64); 5] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("B", 1.0),
];

/// Reads an amount like `8GiB`.
///
/// # Errors
/// It is none.
pub fn amount(text: &str) -> Result<u64, String> {
    let wrong = "is no amount; write a number with B, KiB, MiB, GiB or TiB, like 8GiB";
    scaled(text, &AMOUNTS, 0.0..=1e18, wrong).map(|bytes| bytes as u64)
}
