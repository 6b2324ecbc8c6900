//! Checks of test programs: how many cargo links, and that the root keeps those tests alone that need the
//! program or more than one crate.

use super::source::{code_only, paths_from};
use super::{files, name, none, read, root};
use std::collections::{BTreeMap, BTreeSet};

/// Each test program is linked with all that its package uses, so their number decides what `cargo test
/// --workspace` takes. A crate has one: `tests/it/main.rs`, with a module for each topic.
const PROGRAMS_MAX: usize = 30;

/// Crates that bring the program or a cluster of its processes: a test that uses one belongs to the root.
const OF_THE_ROOT: [&str; 3] = ["lockstep", "lockstep_testkit", "tools"];

// ---------------------------------------------------------------------------- how many

/// The folders of the workspace's members; the root is `""`. A member `crates/*` is each folder there.
pub fn members(manifest: &str) -> Vec<String> {
    let table: toml::Table = manifest.parse().expect("Cargo.toml");
    let patterns = table["workspace"]["members"].as_array().expect("members is a list");
    let mut found = vec![String::new()];
    for pattern in patterns.iter().filter_map(toml::Value::as_str) {
        let Some(folder) = pattern.strip_suffix("/*") else {
            found.push(format!("{pattern}/"));
            continue;
        };
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder of members");
        let paths = entries.map(|entry| entry.expect("readable").path());
        found.extend(paths.filter(|path| path.join("Cargo.toml").exists()).map(|path| name(&path) + "/"));
    }
    found.sort();
    found
}

/// The test programs of a package as cargo finds them: `tests/x.rs`, `tests/x/main.rs`, and sections
/// `[[test]]`. `tests` has the files below the package's folder `tests`.
fn programs(manifest: &str, tests: &[&str]) -> BTreeSet<String> {
    let table: toml::Table = manifest.parse().expect("a manifest");
    let is_found = table["package"].get("autotests").and_then(toml::Value::as_bool) != Some(false);
    let by_file = tests.iter().filter_map(|file| {
        let stem = file.strip_suffix("/main.rs").or(file.strip_suffix(".rs"))?;
        (is_found && !stem.contains('/')).then(|| stem.to_owned())
    });
    let mut all: BTreeSet<String> = by_file.collect();
    for section in table.get("test").and_then(toml::Value::as_array).into_iter().flatten() {
        let name = section["name"].as_str().expect("a test has a name").to_owned();
        match section.get("test").and_then(toml::Value::as_bool) {
            Some(false) => all.remove(&name),
            _ => all.insert(name),
        };
    }
    all
}

/// All programs, if they are more than `max`.
fn surplus(all: &[String], max: usize) -> Vec<String> {
    let count = format!("{} programs, and {max} are the bound", all.len());
    if all.len() > max { [&[count], all].concat() } else { vec![] }
}

#[test]
fn the_test_programs_of_the_workspace_are_few() {
    let mut all = Vec::new();
    for member in members(&read(&root().join("Cargo.toml"))) {
        let folder = format!("{member}tests/");
        let tests: Vec<_> = files(&folder, "rs").iter().map(|path| name(path)).collect();
        let below: Vec<_> = tests.iter().filter_map(|file| file.strip_prefix(&folder)).collect();
        let manifest = read(&root().join(format!("{member}Cargo.toml")));
        all.extend(programs(&manifest, &below).into_iter().map(|program| format!("{member}{program}")));
    }
    assert!(all.len() > 3, "the members are read: {all:?}");
    none(surplus(&all, PROGRAMS_MAX), "a new test is a module of its crate's `tests/it`");
}

#[test]
fn programs_are_counted_as_cargo_finds_them() {
    let found = |manifest: &str| {
        let tests = ["a.rs", "b/main.rs", "b/more.rs", "c/mod.rs", "b/d/main.rs"];
        programs(manifest, &tests).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(found("[package]\nname = 'x'"), ["a", "b"]);
    let named = "[package]\nname = 'x'\n[[test]]\nname = 'a'\n[[test]]\nname = 'c'\npath = 'tests/c/mod.rs'";
    assert_eq!(found(named), ["a", "b", "c"], "a section names one that is found, or one more");
    assert_eq!(found("[package]\nautotests = false\n[[test]]\nname = 'it'"), ["it"]);
    assert_eq!(found("[package]\nname = 'x'\n[[test]]\nname = 'a'\ntest = false"), ["b"]);
    let two = ["a", "b"].map(str::to_owned);
    assert_eq!(surplus(&two, 1), ["2 programs, and 1 are the bound", "a", "b"]);
    assert!(surplus(&two, 2).is_empty());
    let all = members("[workspace]\nmembers = ['tools', 'crates/*']");
    assert!(all.contains(&String::new()) && all.contains(&"tools/".to_owned()), "{all:?}");
    assert!(all.contains(&"crates/lockstep-wire/".to_owned()), "{all:?}");
}

// ---------------------------------------------------------------------------- where tests live

/// The names of the workspace's libraries as imports write them.
fn libraries() -> BTreeSet<String> {
    let manifests = members(&read(&root().join("Cargo.toml")));
    let names = manifests.iter().map(|member| {
        let table: toml::Table =
            read(&root().join(format!("{member}Cargo.toml"))).parse().expect("a manifest");
        table["package"]["name"].as_str().expect("a name").replace('-', "_")
    });
    names.collect()
}

/// The tests of the root by topic: a program `tests/x.rs` with its folder, or each module of a program
/// `tests/x/main.rs` as `x::module`.
fn topics(tests: &[(String, String)]) -> BTreeMap<String, String> {
    let is_program = |folder: &str| tests.iter().any(|(file, _)| *file == format!("{folder}/main.rs"));
    let mut by_topic: BTreeMap<String, String> = BTreeMap::new();
    for (file, text) in tests {
        let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
        let topic = match parts[..] {
            [_, "main"] => continue,
            [folder, module, ..] if is_program(folder) => format!("{folder}::{module}"),
            [first, ..] => first.to_owned(),
            [] => continue,
        };
        by_topic.entry(topic).or_default().push_str(text);
    }
    by_topic
}

/// The one crate that a topic of the root is about; `None` if it needs the program or several crates. A topic
/// about none reads the repository, and one without a test helps others.
fn home(text: &str, libraries: &BTreeSet<String>) -> Option<String> {
    let code = code_only(text);
    let used: Vec<_> = libraries.iter().filter(|library| !paths_from(&code, library).is_empty()).collect();
    let (runs_the_program, has_tests) = (text.contains("CARGO_BIN_EXE_"), code.contains("#[test]"));
    match used[..] {
        [one] if has_tests && !runs_the_program && !OF_THE_ROOT.contains(&one.as_str()) => Some(one.clone()),
        _ => None,
    }
}

#[test]
fn a_test_of_the_root_needs_the_program_or_two_crates() {
    let tests = files("tests", "rs").into_iter().map(|path| (name(&path), read(&path)));
    let below = tests.filter_map(|(file, text)| Some((file.strip_prefix("tests/")?.to_owned(), text)));
    // `tests/models` is a member of its own.
    let below: Vec<_> = below.filter(|(file, _)| !file.starts_with("models/")).collect();
    let libraries = libraries();
    let homes: Vec<_> = topics(&below)
        .into_iter()
        .filter_map(|(topic, text)| Some((topic, home(&text, &libraries)?)))
        .collect();
    none(
        homes.iter().map(|(topic, library)| format!("tests/{topic} is about {library} alone")).collect(),
        "tests that belong to a crate's tests/it",
    );
}

#[test]
fn a_test_that_belongs_to_one_crate_is_found() {
    let libraries = ["lockstep", "lockstep_wire", "lockstep_io", "tools"].map(str::to_owned).into();
    let home = |text: &str| home(&format!("{text}\n#[test] fn t() {{}}"), &libraries);
    assert_eq!(
        home("use lockstep_wire::Seq;\nuse lockstep_wire::{Epoch};"),
        Some("lockstep_wire".to_owned())
    );
    assert_eq!(home("use lockstep_wire::Seq;\nuse lockstep_io::Udp;"), None, "two crates");
    assert_eq!(home("use lockstep_wire::Seq;\nuse lockstep::cli;"), None, "the program's library");
    assert_eq!(home("use lockstep_wire::Seq;\nenv!(\"CARGO_BIN_EXE_lockstep\")"), None, "the program");
    assert_eq!(home("use tools::netns;"), None, "clusters of processes");
    assert_eq!(home("// use lockstep_wire::Seq;"), None, "the repository's text");
    let file = |name: &str| (name.to_owned(), format!("{name};"));
    let files = ["cluster/main.rs", "cluster/cli.rs", "cluster/cli/a.rs", "wire.rs", "wire/b.rs"].map(file);
    let topics = topics(&files);
    assert_eq!(topics["cluster::cli"], "cluster/cli.rs;cluster/cli/a.rs;");
    assert_eq!(topics["wire"], "wire.rs;wire/b.rs;");
    assert_eq!(topics.len(), 2, "{topics:?}");
}
