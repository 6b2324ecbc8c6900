//! What `deny.toml` says of licences, sources and banned crates, judged without `cargo deny`, which few
//! machines have. Advisories need its database, and are left to it.

use super::{none, root};
use serde_json::Value;
use std::process::Command;

/// The lists of `deny.toml` that are judged here.
struct Rules {
    licences: Vec<String>,
    /// A crate that may have another one, and which.
    exceptions: Vec<(String, String)>,
    /// A banned crate, and those that may use it.
    bans: Vec<(String, Vec<String>)>,
}

impl Rules {
    fn read(text: &str) -> Self {
        let file: toml::Table = text.parse().expect("deny.toml is TOML");
        let texts = |value: Option<&toml::Value>| -> Vec<String> {
            let list = value.and_then(toml::Value::as_array).cloned().unwrap_or_default();
            list.iter().filter_map(toml::Value::as_str).map(str::to_string).collect()
        };
        let exceptions = file["licenses"].get("exceptions").and_then(toml::Value::as_array);
        let exceptions = exceptions.into_iter().flatten().flat_map(|exception| {
            let name = exception["crate"].as_str().expect("a name").to_string();
            texts(exception.get("allow")).into_iter().map(move |licence| (name.clone(), licence))
        });
        let bans = file["bans"]["deny"].as_array().expect("bans.deny is a list");
        Self {
            licences: texts(file["licenses"].get("allow")),
            exceptions: exceptions.collect(),
            bans: bans
                .iter()
                .map(|ban| (ban["crate"].as_str().expect("a name").to_string(), texts(ban.get("wrappers"))))
                .collect(),
        }
    }

    /// Whether an SPDX expression leaves a choice of allowed licences alone. `/` is the `OR` of old crates.
    fn allow(&self, expression: &str) -> bool {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut at = 0;
        self.any(&words, &mut at) && at == words.len()
    }

    fn any(&self, words: &[&str], at: &mut usize) -> bool {
        let mut allowed = self.all(words, at);
        while words.get(*at) == Some(&"OR") {
            *at += 1;
            allowed |= self.all(words, at);
        }
        allowed
    }

    fn all(&self, words: &[&str], at: &mut usize) -> bool {
        let mut allowed = self.one(words, at);
        while words.get(*at) == Some(&"AND") {
            *at += 1;
            allowed &= self.one(words, at);
        }
        allowed
    }

    fn one(&self, words: &[&str], at: &mut usize) -> bool {
        let Some(word) = words.get(*at) else { return false };
        *at += 1;
        if *word == "(" {
            let allowed = self.any(words, at);
            *at += 1; // its end
            return allowed;
        }
        let mut licence = word.to_string();
        if words.get(*at) == Some(&"WITH") {
            licence = format!("{word} WITH {}", words.get(*at + 1).unwrap_or(&""));
            *at += 2;
        }
        self.licences.contains(&licence)
    }
}

/// The packages of `cargo metadata` that break a rule, and which.
fn judge(rules: &Rules, metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or("");
        let is_excepted = |(except, may): &(String, String)| except == name && may == licence;
        if !rules.allow(licence) && !rules.exceptions.iter().any(is_excepted) {
            wrong.push(format!("{name}: its licence is '{licence}', which deny.toml does not allow"));
        }
        let source = package["source"].as_str().unwrap_or("");
        if !source.is_empty() && !source.starts_with("registry+") {
            wrong.push(format!("{name}: it comes from {source}, which is no registry"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // What a package needs for its own tests is not built here.
            if dependency["kind"] == "dev" && !source.is_empty() {
                continue;
            }
            let used = dependency["name"].as_str().unwrap_or("");
            let ban = rules.bans.iter().find(|(banned, _)| banned == used);
            if ban.is_some_and(|(_, wrappers)| !wrappers.iter().any(|wrapper| wrapper == name))
                && is_linked(metadata, package, used)
            {
                wrong.push(format!("{name}: it uses {used}, which deny.toml bans"));
            }
        }
    }
    wrong
}

/// Whether the dependency is in the resolved graph: an optional one may be switched off.
fn is_linked(metadata: &Value, package: &Value, used: &str) -> bool {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let node = nodes.iter().find(|node| node["id"] == package["id"]);
    let deps = node.and_then(|node| node["deps"].as_array()).into_iter().flatten();
    let used = used.replace('-', "_");
    deps.into_iter().any(|dep| dep["name"] == used.as_str())
}

/// What cargo says of the workspace with all features.
fn metadata(more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version=1", "--all-features", "--locked"])
        .args(more)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

#[test]
fn every_crate_that_is_built_has_an_allowed_licence_and_source() {
    let rules = Rules::read(&std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml"));
    let metadata = metadata(&["--filter-platform=x86_64-unknown-linux-gnu"]);
    none(judge(&rules, &metadata), "crates that deny.toml refuses");
}

#[test]
fn a_licence_a_source_and_a_crate_that_are_not_allowed_are_found() {
    let rules = Rules::read(
        "[licenses]\nallow = ['MIT', 'Apache-2.0', 'Apache-2.0 WITH LLVM-exception']\n\
         [bans]\ndeny = [{ crate = 'cc', wrappers = ['ring'] }]\n",
    );
    for allowed in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "(MIT OR GPL-3.0) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(rules.allow(allowed), "{allowed}");
    }
    for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT WITH LLVM-exception", "MIT MIT"] {
        assert!(!rules.allow(refused), "{refused}");
    }
    let package = |name: &str, source: &str, licence: &str| {
        serde_json::json!({ "id": name, "name": name, "source": source, "license": licence,
            "dependencies": [{ "name": "cc", "kind": "build" }] })
    };
    let metadata = serde_json::json!({
        "packages": [
            package("ring", "registry+x", "MIT"),
            package("other", "registry+x", "MIT"),
            package("unused", "registry+x", "MIT"),
            package("from-git", "git+x", "GPL-3.0"),
        ],
        "resolve": { "nodes": [
            { "id": "ring", "deps": [{ "name": "cc" }] },
            { "id": "other", "deps": [{ "name": "cc" }] },
            { "id": "unused", "deps": [] },
            { "id": "from-git", "deps": [] },
        ] },
    });
    assert_eq!(
        judge(&rules, &metadata),
        [
            "other: it uses cc, which deny.toml bans",
            "from-git: its licence is 'GPL-3.0', which deny.toml does not allow",
            "from-git: it comes from git+x, which is no registry",
        ]
    );
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
    let metadata = metadata(&[]);
    let text = std::fs::read_to_string(root().join("docs/DEPENDENCIES.md")).expect("docs/DEPENDENCIES.md");
    let (named, rows) = (direct_dependencies(&metadata), rows(&text));
    let missing = named.iter().filter(|one| !rows.contains(one)).map(|(name, of)| format!("{name} {of}"));
    none(missing.collect(), "docs/DEPENDENCIES.md lacks the rows of these crates, in these versions");
    let stale = rows.iter().filter(|one| !named.contains(one)).map(|(name, of)| format!("{name} {of}"));
    none(stale.collect(), "docs/DEPENDENCIES.md has rows of crates that no manifest names");
    assert!(rows.len() > 30, "the table is read: {} rows", rows.len());
}
