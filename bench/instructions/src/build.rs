//! The build of this program, of which every figure is.

/// The profile whose figures are told and held to budgets: that of packages.
pub const MEASURED: &str = "dist";

/// The compiler.
pub fn rustc() -> &'static str {
    env!("LOCKSTEP_BENCH_RUSTC")
}

/// Cargo's profile, by its folder: `dist`, `release`, `debug` …
pub fn profile() -> &'static str {
    env!("LOCKSTEP_BENCH_PROFILE")
}

/// What must be said before a figure of this build is: nothing, if its profile is the one that is measured.
pub fn warning() -> Option<String> {
    (profile() != MEASURED).then(|| {
        format!(
            "this is a build by the profile `{}`: its figures are not those of a release; build it with \
             `--profile {MEASURED}`",
            profile()
        )
    })
}
