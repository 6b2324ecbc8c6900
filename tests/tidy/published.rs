//! Checks of what a release publishes: the packages of crates, the changelog, and every place that names the
//! version.

use super::programs::members;
use super::{none, read, root};
use std::collections::BTreeSet;
use std::path::Path;

/// What each package has beside its sources; the licences are links to those of the root.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Keys that a registry shows, or that keep out of it what no user needs.
const KEYS: [&str; 7] =
    ["description", "version", "rust-version", "license", "repository", "readme", "exclude"];

/// Places outside of manifests that name the version of the workspace: the file, and the text around it.
const PLACES: [(&str, &str, &str); 7] = [
    ("contrib/debian/changelog", "lockstep (", "-1) unstable"),
    ("docs/DEPLOY.md", "dpkg -i lockstep_", "-1_amd64.deb"),
    ("docs/DEPLOY.md", "Setting up lockstep (", "-1) ..."),
    ("bindings/node/package.json", "\"version\": \"", "\","),
    ("bindings/python/Cargo.toml", "\nversion = \"", "\"\n"),
    ("bench/peers/Cargo.toml", "\nversion = \"", "\"\n"),
    ("bindings/c/Cargo.toml", "lockstep-flat = { path = \"../flat\", version = \"", "\" }"),
];

fn is_published(manifest: &toml::Table) -> bool {
    manifest["package"].get("publish").and_then(toml::Value::as_bool) != Some(false)
}

fn name_of(manifest: &toml::Table) -> String {
    manifest["package"]["name"].as_str().expect("a name").to_owned()
}

/// What a registry would miss in a package. `has` tells which files stand in its folder, and `parts` are the
/// workspace's packages that are published themselves, `all` every package of it.
fn wrong_package(
    manifest: &toml::Table,
    has: impl Fn(&str) -> bool,
    parts: &BTreeSet<String>,
    all: &BTreeSet<String>,
) -> Vec<String> {
    let (package, name) = (&manifest["package"], name_of(manifest));
    let mut wrong = Vec::new();
    wrong.extend(
        KEYS.iter().filter(|key| package.get(*key).is_none()).map(|key| format!("{name}: no `{key}`")),
    );
    let docs = package.get("metadata").and_then(|metadata| metadata.get("docs")?.get("rs"));
    if docs.and_then(|docs| docs.get("all-features")?.as_bool()) != Some(true) {
        wrong.push(format!("{name}: docs.rs would leave out what features bring"));
    }
    let readme = package.get("readme").and_then(toml::Value::as_str);
    let files = LICENCES.into_iter().chain(readme);
    wrong.extend(files.filter(|file| !has(file)).map(|file| format!("{name}: {file} is missing")));
    for (table, kinds) in
        manifest.iter().filter(|(key, _)| *key == "dependencies" || *key == "build-dependencies")
    {
        let used = kinds.as_table().expect("a table").keys();
        let closed = used.filter(|used| all.contains(*used) && !parts.contains(*used));
        wrong.extend(closed.map(|used| format!("{name}: [{table}] {used} is not published")));
    }
    wrong
}

#[test]
fn a_published_crate_has_what_a_registry_shows_and_needs_published_ones_alone() {
    let manifest = |member: &String| -> (String, toml::Table) {
        (member.clone(), read(&root().join(format!("{member}Cargo.toml"))).parse().expect("a manifest"))
    };
    let manifests: Vec<_> = members(&read(&root().join("Cargo.toml"))).iter().map(manifest).collect();
    let all: BTreeSet<String> = manifests.iter().map(|(_, manifest)| name_of(manifest)).collect();
    let published: Vec<_> = manifests.iter().filter(|(_, manifest)| is_published(manifest)).collect();
    let parts: BTreeSet<String> = published.iter().map(|(_, manifest)| name_of(manifest)).collect();
    assert!(parts.contains("lockstep-client") && parts.contains("lockstep-app"), "{parts:?}");
    let found = published.iter().flat_map(|(member, manifest)| {
        let folder = root().join(member);
        wrong_package(manifest, |file: &str| folder.join(file).exists(), &parts, &all)
    });
    none(found.collect(), "packages that are not whole (docs/RELEASING.md)");
    for (member, _) in &published {
        // `.ci/run` finds them there.
        assert!(member.starts_with("crates/"), "{member} is published: its folder is crates/NAME");
        for licence in LICENCES {
            let same = read(&root().join(member).join(licence)) == read(&root().join(licence));
            assert!(same, "{member}{licence} is not that of the root");
        }
    }
}

#[test]
fn a_package_that_is_not_whole_is_found() {
    let parts: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
    let all: BTreeSet<String> = ["a", "b", "kit"].map(str::to_owned).into();
    let wrong = |text: &str, files: &[&str]| {
        wrong_package(&text.parse().expect("TOML"), |file| files.contains(&file), &parts, &all)
    };
    let whole = "[package]\nname = 'a'\nversion = '1'\ndescription = 'x'\nrust-version = '1'\nlicense = 'MIT'\n\
                 repository = 'x'\nreadme = 'README.md'\nexclude = []\nmetadata.docs.rs.all-features = true\n\
                 [dependencies]\nb = '1'\nserde = '1'\n[dev-dependencies]\nkit = '1'\n";
    let files = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];
    assert!(wrong(whole, &files).is_empty(), "{:?}", wrong(whole, &files));
    assert_eq!(wrong(whole, &files[1..]), ["a: LICENSE-APACHE is missing"]);
    assert_eq!(wrong(whole, &files[..2]), ["a: README.md is missing"]);
    assert_eq!(wrong(&whole.replace("readme", "x"), &files), ["a: no `readme`"]);
    assert_eq!(wrong(&whole.replace("all-features = true", "x = 1"), &files).len(), 1);
    assert_eq!(
        wrong(&whole.replace("b = '1'", "kit = '1'"), &files),
        ["a: [dependencies] kit is not published"]
    );
}

// ---------------------------------------------------------------------------- the version

/// The version of the workspace.
fn version() -> String {
    let table: toml::Table = read(&root().join("Cargo.toml")).parse().expect("Cargo.toml");
    table["workspace"]["package"]["version"].as_str().expect("a version").to_owned()
}

/// The places of a text where another version stands between `before` and `behind`; `None` if nothing
/// stands there.
fn other_versions(text: &str, before: &str, behind: &str, version: &str) -> Option<Vec<String>> {
    let found = text.split(before).skip(1).filter_map(|rest| rest.split_once(behind));
    let found: Vec<_> = found.map(|(found, _)| found).filter(|found| found.len() < 20).collect();
    let other = found.iter().filter(|found| **found != version).map(ToString::to_string);
    (!found.is_empty()).then(|| other.collect())
}

/// Versions of the workspace's table of its own crates that are not `version`, or an exact one.
fn wrong_requirements(manifest: &str, version: &str) -> Vec<String> {
    let table: toml::Table = manifest.parse().expect("Cargo.toml");
    let own = table["workspace"]["dependencies"].as_table().expect("a table").iter();
    let own = own.filter(|(_, value)| value.get("path").is_some());
    let asked = own.filter_map(|(name, value)| Some((name, value.get("version")?.as_str()?)));
    let wrong = asked.filter(|(_, asked)| asked.trim_start_matches('=') != version);
    wrong.map(|(name, asked)| format!("Cargo.toml: {name} {asked}")).collect()
}

#[test]
fn each_place_that_names_the_version_names_that_of_the_workspace() {
    let version = version();
    let mut wrong = wrong_requirements(&read(&root().join("Cargo.toml")), &version);
    for (file, before, behind) in PLACES {
        match other_versions(&read(&root().join(file)), before, behind, &version) {
            None => wrong.push(format!("{file} no longer has '{}'", before.trim())),
            Some(others) => wrong.extend(others.iter().map(|other| format!("{file}: {other}"))),
        }
    }
    none(wrong, &format!("places with another version than {version}"));
    assert_eq!(other_versions("a 1.0, a 1.1,", "a ", ",", "1.0"), Some(vec!["1.1".to_owned()]));
    assert_eq!(other_versions("b", "a ", ",", "1.0"), None);
    let table = "[workspace.dependencies]\na = { path = 'a', version = '=1.0' }\nb = { path = 'b', version = '1.1' }\n\
                 c = { path = 'c' }\nd = '2'";
    assert_eq!(wrong_requirements(table, "1.0"), ["Cargo.toml: b 1.1"]);
}

// ---------------------------------------------------------------------------- the changelog

/// The errors of a changelog: the form is that of Keep a Changelog, and the newest release is `version`.
fn wrong_changelog(text: &str, version: &str) -> Vec<String> {
    let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut wrong = Vec::new();
    if headings.first() != Some(&"[Unreleased]") {
        wrong.push("the first section is `## [Unreleased]`".to_owned());
    }
    let is_date = |date: &str| {
        let parts: Vec<_> = date.split('-').map(str::len).collect();
        parts == [4, 2, 2] && date.chars().all(|c| c.is_ascii_digit() || c == '-')
    };
    let mut releases = Vec::new();
    for heading in headings.iter().skip(1) {
        let parts = heading.strip_prefix('[').and_then(|rest| rest.split_once("] - "));
        match parts.filter(|(_, date)| is_date(date)) {
            Some((release, _)) => releases.push(release),
            None => wrong.push(format!("`## {heading}`: write `## [1.2.3] - 2026-01-31`")),
        }
    }
    if releases.first() != Some(&version) {
        wrong.push(format!("no section for {version} behind [Unreleased]"));
    }
    let named = ["Unreleased"].into_iter().chain(releases);
    wrong.extend(
        named
            .filter(|name| !text.contains(&format!("\n[{name}]: https://")))
            .map(|name| format!("no link for [{name}] at the end")),
    );
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Not yet"];
    let others =
        text.lines().filter_map(|line| line.strip_prefix("### ")).filter(|kind| !kinds.contains(kind));
    wrong.extend(others.map(|kind| format!("`### {kind}` is none of {}", kinds.join(", "))));
    wrong
}

#[test]
fn the_changelog_is_cut_by_releases() {
    let text = read(&root().join(Path::new("CHANGELOG.md")));
    none(wrong_changelog(&text, &version()), "CHANGELOG.md (docs/RELEASING.md)");
    let good = "# x\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-31\n\n### Added\n\n[Unreleased]: https://x\n[0.1.0]: https://x\n";
    assert!(wrong_changelog(good, "0.1.0").is_empty(), "{:?}", wrong_changelog(good, "0.1.0"));
    assert_eq!(wrong_changelog(good, "0.2.0"), ["no section for 0.2.0 behind [Unreleased]"]);
    assert_eq!(wrong_changelog(&good.replace(" - 2026-01-31", ""), "0.1.0").len(), 2);
    assert_eq!(wrong_changelog(&good.replace("\n[0.1.0]: https://x", ""), "0.1.0").len(), 1);
    assert_eq!(wrong_changelog(&good.replace("Added", "New"), "0.1.0").len(), 1);
    assert_eq!(wrong_changelog(&good.replace("## [Unreleased]\n\n", ""), "0.1.0").len(), 2);
}
