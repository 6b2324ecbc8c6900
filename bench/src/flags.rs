//! Values of flags that several measures have.

use std::ops::RangeInclusive;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_outside_of_the_bounds_are_refused_with_them() {
        assert_eq!(seconds(0.05..=40.0)("0.05"), Ok(0.05));
        for text in ["0.04", "41", "NaN", "soon", ""] {
            assert!(seconds(0.05..=40.0)(text).is_err_and(|why| why.contains("0.05 to 40")), "{text}");
        }
    }
}
