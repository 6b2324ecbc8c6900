//! Each crate is compiled with the same features, whichever package is built: what `cargo run`, `cargo test`
//! and `--workspace` share is compiled once. `crates/lockstep-features` states what would differ otherwise.

use super::{none, root};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A crate with its version, and its features.
type Features = BTreeMap<String, BTreeSet<String>>;

/// Packages that are built by themselves: the operators' program, the programs beside it, and the chores.
const ALONE: [&str; 4] = ["lockstep", "lockstep-demo", "lockstep-sim-program", "tools"];

/// Crates that have more features in the tests of the workspace, and why that must be. They and what stands
/// on them are compiled twice.
const MORE_IN_TESTS: [(&str, &str); 6] = [
    ("lockstep-client", "`tokio`: tests have the handles of its feature, and the program has no tokio"),
    ("tracing-subscriber", "loom wants all of it; regular expressions are no part of the program"),
    ("hdrhistogram", "the bench writes histograms; the demo alone stands on it"),
    ("num-traits", "below hdrhistogram"),
    ("crc32fast", "the bench writes PNG; the demo alone reads gzip"),
    ("simd-adler32", "as crc32fast"),
];

/// What `cargo tree` prints for `{p}|{f}`, with a crate's features from all places where it stands.
fn read(tree: &str) -> Features {
    let mut all = Features::new();
    for line in tree.lines() {
        let Some((package, features)) = line.trim_end_matches(" (*)").split_once('|') else { continue };
        let name: Vec<&str> = package.split(' ').take(2).collect();
        let features = features.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned);
        all.entry(name.join(" ")).or_default().extend(features);
    }
    all
}

fn resolved(selection: &[&str]) -> Features {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p}|{f}"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(selection)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read(&String::from_utf8_lossy(&output.stdout))
}

/// The crates of `one` that have other features in `all`, and which.
fn differing(one: &Features, all: &Features) -> Vec<String> {
    let missing = |(name, features): (&String, &BTreeSet<String>)| {
        let more: Vec<&str> = all.get(name)?.difference(features).map(String::as_str).collect();
        (!more.is_empty()).then(|| format!("{name}: {}", more.join(", ")))
    };
    one.iter().filter_map(missing).collect()
}

#[test]
fn each_crate_is_compiled_with_the_same_features_whichever_package_is_built() {
    let tests = resolved(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(tests.len() > 100, "{tests:?}");
    let mut used: BTreeSet<&(&str, &str)> = BTreeSet::new();
    for package in ALONE {
        let alone = resolved(&["--package", package, "--edges", "normal,build"]);
        let wrong = differing(&alone, &tests).into_iter().filter(|line| {
            let excuse = MORE_IN_TESTS.iter().find(|(name, _)| line.starts_with(&format!("{name} ")));
            used.extend(excuse);
            excuse.is_none()
        });
        none(
            wrong.collect(),
            &format!("{package} alone lacks features: state them in crates/lockstep-features"),
        );
    }
    let idle =
        MORE_IN_TESTS.iter().filter(|excuse| !used.contains(excuse)).map(|(name, _)| (*name).to_owned());
    none(idle.collect(), "these crates have the same features by now: take them off MORE_IN_TESTS");
}

/// What `release` compiles with less care is compiled with all of it by `dist`, which inherits from it.
fn spared(manifest: &str) -> Vec<String> {
    let table: toml::Table = manifest.parse().expect("Cargo.toml");
    let level = |profile: &str, package: &str| {
        table["profile"].get(profile)?.get("package")?.get(package)?.get("opt-level")?.as_integer()
    };
    let packages = table["profile"]["release"]["package"].as_table().expect("packages of the profile");
    let less = packages.keys().filter(|package| level("release", package).is_some_and(|level| level < 3));
    less.filter(|package| level("dist", package) != Some(3)).cloned().collect()
}

#[test]
fn what_is_shipped_is_optimised_as_a_whole() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    none(spared(&manifest), "[profile.dist.package.X] does not set these back to opt-level = 3");
    let file = "[profile.release.package]\na = { opt-level = 1 }\nb = { opt-level = 0 }\n[profile.dist.package.a]\nopt-level = 3\n";
    assert_eq!(spared(file), ["b"]);
}

#[test]
fn a_crate_that_lacks_a_feature_is_named_with_it() {
    let all = read("libc v0.2.1|default,std,extra_traits\nmine v0.1.0 (/x)|\nlibc v0.2.1|std (*)\n");
    assert_eq!(
        differing(&read("libc v0.2.1|default,std\nmine v0.1.0 (/x)|"), &all),
        ["libc v0.2.1: extra_traits"]
    );
    assert!(differing(&all, &all).is_empty());
    let apart = read("libc v0.2.1|std\nlibc v0.2.1|default,extra_traits (*)");
    assert!(differing(&apart, &all).is_empty(), "in two places of one tree");
}
