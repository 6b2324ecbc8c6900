//! Tells the program which compiler made it, and by which profile of cargo: figures are nothing without them.

use std::path::{Component, Path};
use std::process::Command;

/// The profile in the folder of a build script's output: `target/[TRIPLE/]PROFILE/build/PACKAGE-HASH/out`. Cargo's
/// variable PROFILE has `release` for every profile that inherits from it.
fn profile_of(out: &Path) -> Option<&str> {
    let parts: Vec<Component<'_>> = out.components().collect();
    let build = parts.iter().rposition(|part| part.as_os_str() == "build")?;
    parts[..build].last()?.as_os_str().to_str()
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output();
    let version = version.map_or_else(
        |_| String::from("an unknown rustc"),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    println!("cargo::rustc-env=LOCKSTEP_BENCH_RUSTC={version}");
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    let profile = profile_of(Path::new(&out)).unwrap_or("unknown");
    println!("cargo::rustc-env=LOCKSTEP_BENCH_PROFILE={profile}");
}
