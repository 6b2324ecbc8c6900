//! The two lanes of CI: `.ci/run` judges each change in minutes, `.ci/night` takes hours. A judge that
//! wants hours runs in both, with an amount of work for each.

/// The variable that `.ci/night` sets to `1`.
pub const NIGHT: &str = "LOCKSTEP_NIGHT";

/// How much work a test does: `each_change` in `.ci/run` and at a developer's, `night` in `.ci/night`.
#[must_use]
pub fn amount<T>(each_change: T, night: T) -> T {
    if std::env::var_os(NIGHT).is_some_and(|value| value == "1") { night } else { each_change }
}
