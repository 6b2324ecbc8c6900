//! Values of flags that several measures have.

use std::ops::RangeInclusive;

/// A number of seconds within `bounds`.
///
/// # Errors
/// It is none, or lies outside: with the bounds.
pub fn seconds(text: &str, bounds: RangeInclusive<f64>) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| bounds.contains(seconds));
    seconds.ok_or_else(|| {
        format!("'{text}' is no number of seconds that fits; write {} to {}", bounds.start(), bounds.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_outside_of_the_bounds_are_refused_with_them() {
        assert_eq!(seconds("0.05", 0.05..=40.0), Ok(0.05));
        for text in ["0.04", "41", "NaN", "soon", ""] {
            assert!(seconds(text, 0.05..=40.0).is_err_and(|why| why.contains("0.05 to 40")), "{text}");
        }
    }
}
