//! # tidy: the house checks itself
//!
//! Reads the project's own text and refuses what no compiler refuses: an import against the
//! direction of the rooms, a rule without a test or without a sentence, `unsafe` outside its room, a
//! crate without a reason, a configuration that no document mentions, a dead link. Each check is a
//! function of text, and each is shown to fail on bad input beside the test that runs it.

mod bounds;
mod circles;
mod decisions;
mod dependencies;
mod features;
mod figures;
mod giants;
mod overview;
mod papers;
mod phrases;
mod programs;
mod proposals;
mod prose;
mod published;
mod ratchets;
mod reading;
mod sizes;
mod source;
mod words;

use source::{code_only, is_name_char, line_of, paths_from, test_parts, word_offsets};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms: the folder or file of each, and which others it may use. Most are a crate, and cargo holds what
/// a crate may use; the others are parts of one.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("wire", "crates/lockstep-wire/src/", &[]),
    ("ring", "crates/lockstep-core/src/ring.rs", &[]),
    ("proto", "crates/lockstep-core/src/proto/", &["wire"]),
    ("engine", "crates/lockstep-core/src/engine/", &["wire", "ring", "proto"]),
    ("io", "crates/lockstep-io/src/", &["wire", "engine"]),
    ("process", "crates/lockstep-process/src/", &["wire", "engine", "io"]),
    ("config", "crates/lockstep-config/src/", &["wire", "proto", "engine", "io"]),
    ("doctor", "crates/lockstep-doctor/src/", &["engine", "io", "process", "config"]),
    ("notary", "crates/lockstep-notary/src/", &["wire"]),
    ("client", "crates/lockstep-client/src/", &["wire", "proto", "engine", "io", "config", "notary"]),
    ("journal", "crates/lockstep-replica/src/journal/", &["wire", "ring", "proto"]),
    ("replica", "crates/lockstep-replica/src/", &["wire", "ring", "proto", "engine", "journal"]),
    (
        "files",
        "crates/lockstep-node/src/io/",
        &["wire", "ring", "proto", "engine", "journal", "replica", "io", "process"],
    ),
    (
        "settings",
        "crates/lockstep-node/src/settings",
        &["wire", "proto", "engine", "journal", "replica", "io", "process", "node", "config"],
    ),
    ("local", "crates/lockstep-node/src/local", &["wire", "io", "config", "node"]),
    (
        "node",
        "crates/lockstep-node/src/",
        &["wire", "proto", "engine", "journal", "replica", "io", "process", "files", "client", "notary"],
    ),
    ("soupbintcp", "crates/soupbintcp/src/", &[]),
    ("moldudp64", "crates/moldudp64/src/", &[]),
    ("ouch50", "crates/ouch50/src/", &[]),
    ("itch50", "crates/itch50/src/", &[]),
    (
        "gateway",
        "crates/lockstep-gateway/src/",
        &["wire", "proto", "engine", "soupbintcp", "moldudp64", "ouch50"],
    ),
    ("machine", "crates/lockstep-machine/src/", &["wire", "engine"]),
    ("metrics", "crates/lockstep-metrics/src/", &["wire", "engine", "io", "process"]),
    (
        "app",
        "crates/lockstep-app/src/",
        &["wire", "proto", "engine", "journal", "io", "process", "client", "machine", "metrics", "streams"],
    ),
    ("memory", "crates/lockstep-memory/src/", &["wire", "proto", "engine", "journal", "replica"]),
    (
        "sim",
        "crates/lockstep-sim/src/",
        &[
            "wire",
            "ring",
            "proto",
            "engine",
            "journal",
            "replica",
            "memory",
            "gateway",
            "machine",
            "set",
            "soupbintcp",
            "moldudp64",
            "ouch50",
        ],
    ),
    ("features", "crates/lockstep-features/src/", &[]),
    ("simulator", "crates/lockstep-sim-program/src/", &["engine", "io", "process", "sim"]),
    ("lab", "crates/lockstep-lab/src/", &["sim"]),
    ("testkit", "crates/lockstep-testkit/src/", &[]),
    ("top", "crates/lockstep-top/src/", &["operations"]),
    ("schema", "crates/lockstep-schema/src/", &["wire"]),
    ("set", "crates/lockstep-set/src/", &["wire", "engine"]),
    ("streams", "crates/lockstep-streams/src/", &["wire", "io", "config", "client", "set"]),
    ("names", "crates/lockstep-names/src/", &["client"]),
    (
        "bridge",
        "crates/lockstep-bridge/src/",
        &["wire", "client", "names", "config", "io", "schema", "moldudp64"],
    ),
    ("flat", "bindings/flat/src/", &["client", "streams"]),
    ("c", "bindings/c/src/", &["process", "client", "streams", "app", "sim", "flat"]),
    (
        "python",
        "bindings/python/src/",
        &[
            "wire", "engine", "io", "config", "node", "client", "streams", "machine", "app", "sim",
            "metrics", "flat", "schema",
        ],
    ),
    (
        "operations",
        "crates/lockstep-operations/src/",
        &[
            "wire", "proto", "engine", "journal", "io", "process", "client", "files", "node", "notary",
            "gateway", "metrics", "config", "set",
        ],
    ),
    ("values", "crates/lockstep-daemon/src/config.rs", &["config", "settings"]),
    (
        "daemon",
        "crates/lockstep-daemon/src/",
        &[
            "wire",
            "proto",
            "engine",
            "journal",
            "io",
            "process",
            "client",
            "node",
            "notary",
            "gateway",
            "machine",
            "app",
            "streams",
            "metrics",
            "soupbintcp",
            "moldudp64",
            "config",
            "values",
            "local",
            "operations",
            "set",
        ],
    ),
    ("trial", "crates/lockstep-trial/src/", &["wire", "engine", "io", "process", "client", "node", "daemon"]),
    (
        "cli",
        "src/cli/",
        &[
            "wire",
            "proto",
            "engine",
            "io",
            "process",
            "doctor",
            "client",
            "journal",
            "files",
            "node",
            "notary",
            "gateway",
            "metrics",
            "top",
            "schema",
            "names",
            "streams",
            "config",
            "values",
            "local",
            "daemon",
            "operations",
            "trial",
            "set",
        ],
    ),
    (
        "demo",
        "crates/lockstep-demo/src/",
        &[
            "wire",
            "engine",
            "io",
            "process",
            "client",
            "files",
            "node",
            "gateway",
            "app",
            "soupbintcp",
            "values",
            "local",
            "daemon",
            "operations",
            "set",
            "trial",
        ],
    ),
];

/// Files that name rooms and are in none.
const MAPS: [&str; 4] =
    ["src/lib.rs", "src/main.rs", "crates/lockstep-core/src/lib.rs", "crates/lockstep-replica/src/lib.rs"];

/// Where `unsafe` may stand; every other room forbids it itself, so that nobody can allow it further down.
const UNSAFE_ROOMS: [&str; 5] = ["io", "process", "files", "c", "python"];

/// Folders whose files are the product.
const PRODUCT: [&str; 3] = ["src", "crates", "bindings"];

// ---------------------------------------------------------------------------- the tree

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files under `folder` with this extension (any, if empty), sorted; none if it does not exist. What was
/// built is nobody's source.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("a folder that can be read").path();
            if path.is_dir() {
                folders.extend((!path.ends_with("target")).then_some(path));
            } else if extension.is_empty() || path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The path as the project writes it: from its root, with slashes.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn sources(folder: &str) -> Vec<(String, String)> {
    files(folder, "rs").iter().map(|path| (name(path), read(path))).collect()
}

fn none(found: Vec<String>, why: &str) {
    assert!(found.is_empty(), "{why}:\n  {}", found.join("\n  "));
}

// ---------------------------------------------------------------------------- imports

/// The room that a file belongs to: the first whose folder it lies in.
fn room_of(file: &str) -> Option<&'static str> {
    ROOMS.iter().find(|(_, folder, _)| file.starts_with(folder)).map(|(name, ..)| *name)
}

/// The sources of the package in which a file of the product lies.
fn source_of(file: &str) -> &str {
    file.split_once("/src/").map_or("src", |(package, _)| &file[..package.len() + "/src".len()])
}

/// The packages with rooms by their names in imports, and the sources of each.
fn packages() -> BTreeMap<String, &'static str> {
    let named = |(_, folder, _): &(&str, &'static str, _)| {
        let source = source_of(folder);
        let (top, package) = source.strip_suffix("/src")?.split_once('/')?;
        let name = package.replace('-', "_");
        Some((if top == "bindings" { format!("lockstep_{name}") } else { name }, source))
    };
    ROOMS.iter().filter_map(named).chain([("lockstep".to_owned(), "src")]).collect()
}

/// The room that a path into the first module of a package leads to: `module` is what stands behind
/// `lockstep_x::`, or behind `crate::` there.
fn room_within(source: &str, module: &str) -> Option<&'static str> {
    [format!("{source}/{module}/"), format!("{source}/{module}.rs")].iter().find_map(|path| room_of(path))
}

/// Imports of a file of the product that point the wrong way, as `file:line: engine -> io`.
fn wrong_imports(file: &str, text: &str) -> Vec<String> {
    if MAPS.contains(&file) {
        return vec![];
    }
    let Some(room) = room_of(file) else {
        return vec![format!("{file}:1: belongs to no room: say in tests/tidy/main.rs what it may use")];
    };
    let (_, _, allowed) = ROOMS.iter().find(|(name, ..)| *name == room).expect("it was found there");
    let code = code_only(text);
    let mut wrong = Vec::new();
    let mut report = |at: usize, what: String| wrong.push(format!("{file}:{}: {what}", line_of(&code, at)));
    let mut roots = packages();
    roots.insert("crate".to_owned(), source_of(file));
    for (root, source) in &roots {
        for (at, module) in paths_from(&code, root) {
            match room_within(source, &module) {
                Some(used) if used == room || allowed.contains(&used) => {}
                Some(used) => report(at, format!("{room} -> {used}")),
                None => report(at, format!("{room} -> {root}::{module}: name the room that it comes from")),
            }
        }
    }
    for at in word_offsets(&code, "crate").filter(|at| code[at + 5..].trim_start().starts_with("as ")) {
        report(at, "the crate under another name hides what is used".to_owned());
    }
    for (at, used) in paths_from(&code, "super") {
        if used == "super" {
            report(at, "super::super: write crate::…".to_owned());
        }
    }
    // A test within the sources may draw in the samples of another crate's tests.
    let drawn: &[&str] = if file.contains("/tests/") { &[] } else { &["#[path", "include!"] };
    for at in drawn.iter().flat_map(|way| code.match_indices(way)).map(|(at, _)| at) {
        report(at, "no file is drawn in past its room".to_owned());
    }
    wrong
}

/// What tests share: it may use every room.
const TEST_KIT: &str = "crates/lockstep-testkit/";

/// All files of the product but examples, tests of the crates' public face, and build scripts.
fn product() -> Vec<(String, String)> {
    let all = PRODUCT.iter().flat_map(|folder| sources(folder));
    let is_product = |file: &str| {
        !file.starts_with(TEST_KIT)
            && !matches!(file.split('/').nth(2), Some("examples" | "tests" | "build.rs"))
    };
    all.filter(|(file, _)| is_product(file)).collect()
}

#[test]
fn imports_point_towards_wire() {
    // Tests in a folder of a module draw from the kit, as those in a crate's own folder do.
    let product = product().into_iter().filter(|(file, _)| !file.contains("/tests/"));
    let wrong = product.flat_map(|(file, text)| wrong_imports(&file, &text)).collect();
    none(wrong, "imports against the direction of the rooms (ARCHITECTURE.md)");
    for (file, text) in sources("bench").into_iter().chain(sources("tools")) {
        assert!(!code_only(&text).contains("#[path"), "{file}: reaches the library's files past the library");
    }
}

#[test]
fn an_import_against_the_direction_is_named() {
    let engine_file = "crates/lockstep-core/src/engine/mod.rs";
    let engine = |text| wrong_imports(engine_file, text);
    assert_eq!(engine("//! x\nuse lockstep_io::udp;"), [format!("{engine_file}:2: engine -> io")]);
    assert_eq!(
        engine("use crate::{proto::log,\n nowhere};"),
        [format!("{engine_file}:2: engine -> crate::nowhere: name the room that it comes from")]
    );
    assert_eq!(engine("use crate as x;").len(), 1);
    assert_eq!(engine("#[path = \"../io/udp.rs\"] mod udp;").len(), 1);
    assert!(engine("use lockstep_wire::Seq; // lockstep_io::x\nlet s = \"lockstep_io::x\";").is_empty());
    assert_eq!(wrong_imports("crates/lockstep-io/src/a/b.rs", "use super::super::x;").len(), 1);
    let proto = "crates/lockstep-core/src/proto/a.rs";
    assert_eq!(wrong_imports(proto, "use crate::engine::ports;"), [format!("{proto}:1: proto -> engine")]);
    assert_eq!(wrong_imports("crates/lockstep-replica/src/journal/a.rs", "use crate::replica::X;").len(), 1);
    assert_eq!(wrong_imports("bindings/flat/src/a.rs", "use crate::b; use lockstep_c::x;").len(), 1);
    assert_eq!(
        wrong_imports("crates/lockstep-node/src/settings.rs", "use lockstep_sim::Plan;"),
        ["crates/lockstep-node/src/settings.rs:1: settings -> sim"]
    );
    assert_eq!(
        wrong_imports("crates/lockstep-daemon/src/config.rs", "use crate::gateway::run;"),
        ["crates/lockstep-daemon/src/config.rs:1: values -> daemon"]
    );
    assert_eq!(wrong_imports("crates/lockstep-attic/src/a.rs", "").len(), 1);
    assert_eq!(wrong_imports("src/stray.rs", "").len(), 1);
    assert!(
        wrong_imports("src/cli/a.rs", "use lockstep_io::Udp;\nuse lockstep_daemon::config::Config;")
            .is_empty()
    );
}

// ---------------------------------------------------------------------------- rules

/// `S3`, `GAP-1`: capitals, perhaps a dash, a number.
fn is_rule_id(word: &str) -> bool {
    let digits = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
    let (head, number) = word.split_at(digits);
    head.starts_with(|c: char| c.is_ascii_uppercase())
        && head.chars().all(|c| c.is_ascii_uppercase() || c == '-')
        && !number.is_empty()
        && number.chars().all(|c| c.is_ascii_digit())
}

/// The ids in the first column of the tables under `heading`.
fn rule_rows(rules: &str, heading: &str) -> Vec<String> {
    let under = rules.lines().skip_while(|line| *line != heading).skip(1);
    let rows = under.take_while(|line| !line.starts_with("## ")).filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.split(' ').next()).filter(|word| is_rule_id(word)).map(str::to_owned).collect()
}

/// The rule that a comment line states: `/// S7 (where a log ends): …` or `// S7: …`.
fn rule_tag(line: &str) -> Option<&str> {
    let comment = line.trim_start().strip_prefix("//")?.trim_start_matches(['/', '!']).trim_start();
    let end = comment.find([' ', ':'])?;
    let (id, rest) = comment.split_at(end);
    (is_rule_id(id) && (rest.starts_with(" (") || rest.starts_with(':'))).then_some(id)
}

/// The text with its tests blanked, lines kept: a test may name a rule in any way it likes.
fn without_tests(file: &str, text: &str) -> String {
    if is_test_file(file) {
        return String::new();
    }
    let blank = |text: String, part: &str| text.replacen(part, &"\n".repeat(part.matches('\n').count()), 1);
    test_parts(text).into_iter().fold(text.to_owned(), blank)
}

fn is_test_file(file: &str) -> bool {
    let judges = ["crates/lockstep-sim/", "crates/lockstep-memory/"];
    judges.iter().any(|judge| file.starts_with(judge))
        || file.ends_with("/tests.rs")
        || file.contains("/tests/")
}

/// The rooms of rules: whose datagrams count is decided where they are opened.
fn places_of_rules() -> Vec<(String, String)> {
    let places = ["crates/lockstep-core/src/proto", "crates/lockstep-wire/src"];
    places.iter().flat_map(|place| sources(place)).collect()
}

/// The errors between the rules' sentences, their code (file and text) and the text of all tests.
fn wrong_rules(rules: &str, proto: &[(String, String)], tests: &str) -> Vec<String> {
    let mut tags: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let code: Vec<_> = proto.iter().map(|(file, text)| (file, without_tests(file, text))).collect();
    for (file, text) in &code {
        for (index, line) in text.lines().enumerate() {
            if let Some(id) = rule_tag(line) {
                tags.entry(id).or_default().push(format!("{file}:{}", index + 1));
            }
        }
    }
    let (in_force, to_come) = (rule_rows(rules, "## In force"), rule_rows(rules, "## To come"));
    let mut wrong = Vec::new();
    for (index, id) in in_force.iter().enumerate() {
        match tags.get(id.as_str()).map_or(&[][..], Vec::as_slice) {
            [] => wrong
                .push(format!("{id} is in force in docs/rules.md and stands nowhere in the rooms of rules")),
            [_] => {}
            places => wrong.push(format!("{id} stands more than once: {}", places.join(", "))),
        }
        if in_force[..index].contains(id) || to_come.contains(id) {
            wrong.push(format!("{id} has two rows in docs/rules.md"));
        }
        let is_whole = |at: usize| {
            let joins = |c: char| is_name_char(c) || c == '-';
            !tests[..at].ends_with(joins) && !tests[at + id.len()..].starts_with(is_name_char)
        };
        if !tests.match_indices(id.as_str()).any(|(at, _)| is_whole(at)) {
            wrong.push(format!("{id} is in no test"));
        }
    }
    for (id, places) in tags.iter().filter(|(id, _)| !in_force.iter().any(|row| row == *id)) {
        wrong.push(format!("{}: {id} is not in force in docs/rules.md", places.join(", ")));
    }
    wrong
}

/// The text of everything that is a test: folders `tests`, the simulator, `tests.rs` files, `#[cfg(test)]`
/// parts. This program is left out: its examples prove nothing.
fn text_of_tests() -> String {
    let scripts = ["tests", "crates"].iter().flat_map(|folder| files(folder, "txt"));
    let mut text = scripts.map(|path| read(&path)).collect::<Vec<_>>().join("\n");
    let programs = ["tests", "crates", "examples"].iter().flat_map(|folder| sources(folder));
    let is_program = |file: &str| file.split('/').nth(2) == Some("tests") || file.starts_with("tests/");
    for (file, source) in programs.filter(|(file, _)| is_program(file) && !file.starts_with("tests/tidy")) {
        text += &format!("// {file}\n{source}\n");
    }
    for (file, source) in product() {
        if is_test_file(&file) {
            text += &source;
        } else {
            text += &test_parts(&source).join("\n");
        }
    }
    text
}

#[test]
fn each_rule_has_one_place_and_a_test() {
    let rules = read(&root().join("docs/rules.md"));
    assert!(!rule_rows(&rules, "## In force").is_empty(), "docs/rules.md has no table under '## In force'");
    none(wrong_rules(&rules, &places_of_rules(), &text_of_tests()), "rules without their place");
}

/// The names in backticks of a text.
fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a test of this name is in the text of all tests.
fn is_test(name: &str, tests: &str) -> bool {
    tests.contains(&format!("fn {name}("))
}

/// The tests that a text names in backticks, as `docs/FAULTS.md` does, and that are none.
fn missing_tests(text: &str, tests: &str) -> Vec<String> {
    let is_name = |word: &&str| {
        let plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        plain && word.matches('_').count() > 2
    };
    let missing = backticked(text).filter(is_name).filter(|name| !is_test(name, tests));
    missing.map(|name| format!("docs/FAULTS.md: no test is called {name}")).collect()
}

#[test]
fn each_test_that_shows_a_fault_exists() {
    let faults = read(&root().join("docs/FAULTS.md"));
    none(missing_tests(&faults, &text_of_tests()), "faults without their test");
    assert_eq!(missing_tests("| x | `a_test_that_is_gone`, `a_b` |", "fn another_test_of_ours()").len(), 1);
}

#[test]
fn a_rule_without_place_sentence_or_test_is_named() {
    let rules =
        "## In force\n\n| id | rule |\n|---|---|\n| S7 | ends |\n| GAP-1 | asks |\n## To come\n| S4 | x |\n";
    let proto = |text: &str| vec![("src/proto/a.rs".to_owned(), text.to_owned())];
    let both = "/// S7 (an end): x\n    // GAP-1: y\n";
    assert!(wrong_rules(rules, &proto(both), "S7, and GAP-1").is_empty());
    assert_eq!(wrong_rules(rules, &proto(both), "S7, S71, GAP-10, XGAP-1"), ["GAP-1 is in no test"]);
    assert_eq!(wrong_rules(rules, &proto("/// S7 (x)\n"), "S7 GAP-1").len(), 1, "GAP-1 has no code");
    let twice = format!("{both}//! S7: again\n");
    assert_eq!(
        wrong_rules(rules, &proto(&twice), "S7 GAP-1"),
        ["S7 stands more than once: src/proto/a.rs:1, src/proto/a.rs:3"]
    );
    let tested = format!("{both}#[cfg(test)]\nmod tests {{\n// S7: tested\n}}\n");
    assert!(wrong_rules(rules, &proto(&tested), "S7 GAP-1").is_empty());
    let early = format!("{both}/// S4 (commit): x\n");
    assert_eq!(
        wrong_rules(rules, &proto(&early), "S7 GAP-1"),
        ["src/proto/a.rs:3: S4 is not in force in docs/rules.md"]
    );
    let doubled = rules.replace("| S4 |", "| S7 |");
    assert_eq!(wrong_rules(&doubled, &proto(both), "S7 GAP-1"), ["S7 has two rows in docs/rules.md"]);
    assert_eq!(rule_tag("/// as S7 (x) says"), None);
    assert_eq!(rule_tag("let s7 = 1; // S7: x"), None);
}

// ---------------------------------------------------------------------------- unsafe

fn has_forbid(text: &str) -> bool {
    code_only(text).lines().any(|line| line.trim() == "#![forbid(unsafe_code)]")
}

fn unsafe_lines(file: &str, text: &str) -> Vec<String> {
    let code = code_only(text);
    word_offsets(&code, "unsafe").map(|at| format!("{file}:{}: unsafe", line_of(&code, at))).collect()
}

#[test]
fn unsafe_code_stands_in_io_alone() {
    let is_safe = |file: &str| !room_of(file).is_some_and(|room| UNSAFE_ROOMS.contains(&room));
    let all = files("crates", "rs").into_iter().chain(files("bindings", "rs"));
    let roots = all.filter(|path| path.ends_with("src/lib.rs"));
    for path in roots.filter(|path| is_safe(&name(path)) && !name(path).contains("lockstep-node")) {
        assert!(has_forbid(&read(&path)), "{} lacks #![forbid(unsafe_code)]", path.display());
    }
    let outside = product().into_iter().filter(|(file, _)| is_safe(file));
    none(outside.flat_map(|(file, text)| unsafe_lines(&file, &text)).collect(), "unsafe outside of io");
}

#[test]
fn unsafe_code_and_a_missing_forbid_are_found() {
    assert_eq!(unsafe_lines("a.rs", "\nfn f() { unsafe { x() } }"), ["a.rs:2: unsafe"]);
    assert!(unsafe_lines("a.rs", "#![forbid(unsafe_code)] // unsafe\nlet x = \"unsafe\";").is_empty());
    assert!(has_forbid("//! x\n#![forbid(unsafe_code)]\n") && !has_forbid("// #![forbid(unsafe_code)]\n"));
}
