//! The rows of docs/DEPENDENCIES.md, compared with the manifests and `Cargo.lock`. Licences, sources and bans
//! are left to `cargo deny`.

use super::{none, root};
use serde_json::Value;
use std::process::Command;

/// What cargo says of the workspace with all features.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version=1", "--all-features", "--locked"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// `name` and `major.minor` of each crate that a manifest of the workspace names, as `Cargo.lock` has it.
fn direct_dependencies(metadata: &Value) -> Vec<(String, String)> {
    let packages = metadata["packages"].as_array().expect("packages");
    let package = |id: &Value| packages.iter().find(|package| package["id"] == *id).expect("a package");
    let members = metadata["workspace_members"].as_array().expect("members");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let own = nodes.iter().filter(|node| members.contains(&node["id"]));
    let named = own.flat_map(|node| node["deps"].as_array().expect("dependencies"));
    let outside = named.map(|dep| &dep["pkg"]).filter(|id| !members.contains(id)).map(package);
    let mut all: Vec<_> = outside
        .map(|package| {
            let version = package["version"].as_str().expect("a version");
            let numbers: Vec<&str> = version.split('.').take(2).collect();
            (package["name"].as_str().expect("a name").to_owned(), numbers.join("."))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The rows of docs/DEPENDENCIES.md: crate and version.
fn rows(text: &str) -> Vec<(String, String)> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()));
    cells.filter_map(|mut cells| Some((cells.next()?, cells.next()?))).collect()
}

#[test]
fn each_crate_that_is_named_has_its_row_with_the_version_that_was_judged() {
    let metadata = metadata();
    let text = std::fs::read_to_string(root().join("docs/DEPENDENCIES.md")).expect("docs/DEPENDENCIES.md");
    let (named, rows) = (direct_dependencies(&metadata), rows(&text));
    let missing = named.iter().filter(|one| !rows.contains(one)).map(|(name, of)| format!("{name} {of}"));
    none(missing.collect(), "docs/DEPENDENCIES.md lacks the rows of these crates, in these versions");
    let stale = rows.iter().filter(|one| !named.contains(one)).map(|(name, of)| format!("{name} {of}"));
    none(stale.collect(), "docs/DEPENDENCIES.md has rows of crates that no manifest names");
    assert!(rows.len() > 30, "the table is read: {} rows", rows.len());
}
