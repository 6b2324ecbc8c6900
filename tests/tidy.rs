//! # tidy: the house checks itself
//!
//! Reads the project's own text and refuses what no compiler refuses: an import against the
//! direction of the rooms, a rule without a test or without a sentence, `unsafe` outside its room, a
//! crate without a reason, a configuration that no document mentions, a dead link. Each check is a
//! function of text, and each is shown to fail on bad input beside the test that runs it.

#[path = "tidy/papers.rs"]
mod papers;
#[path = "tidy/source.rs"]
mod source;

use source::{code_only, is_name_char, line_of, paths_from, test_parts, word_offsets};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may use. Imports point towards `wire`, and `config` is text in, values out.
const ROOMS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("proto", &["wire"]),
    ("journal", &["wire", "proto"]),
    ("engine", &["wire", "proto", "journal"]),
    ("io", &["wire", "proto", "journal", "engine"]),
    ("sim", &["wire", "proto", "journal", "engine", "edge"]),
    ("client", &["wire", "proto", "journal", "engine", "io"]),
    ("edge", &["wire", "proto", "engine"]),
    ("config", &["wire", "proto", "journal", "engine", "io", "client", "node"]),
    ("node", &["wire", "proto", "journal", "engine", "io", "client"]),
    ("cli", &["wire", "proto", "journal", "engine", "io", "sim", "client", "node", "edge", "config"]),
];

/// Rooms that must forbid unsafe code themselves, so that nobody can allow it further down.
const SAFE_ROOMS: [&str; 6] = ["wire", "proto", "journal", "engine", "sim", "edge"];

/// A file beyond the first is printed: look twice. Beyond the second it is refused: split it.
const LINES_PRINTED: usize = 400;
const LINES_MAX: usize = 700;

// ---------------------------------------------------------------------------- the tree

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files under `folder` with this extension (any, if empty), sorted; none if it does not exist. What was built is
/// nobody's source.
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

/// Imports of the file `file` of `src/` that point the wrong way, as `file:line: engine -> io`.
fn wrong_imports(file: &str, text: &str) -> Vec<String> {
    let inside = file.strip_prefix("src/").unwrap_or(file);
    let Some((room, below)) = inside.split_once('/') else {
        let is_map = matches!(inside, "lib.rs" | "main.rs");
        return if is_map { vec![] } else { vec![format!("{file}:1: belongs into a room")] };
    };
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{file}:1: room {room} is unknown: say in tests/tidy.rs what it may use")];
    };
    let code = code_only(text);
    let mut wrong = Vec::new();
    let mut report = |at: usize, what: String| wrong.push(format!("{file}:{}: {what}", line_of(&code, at)));
    for (at, used) in paths_from(&code, "crate") {
        if ROOMS.iter().all(|(name, _)| *name != used) {
            report(at, format!("{room} -> crate::{used}: name the room that it comes from"));
        } else if used != room && !allowed.contains(&used.as_str()) {
            report(at, format!("{room} -> {used}"));
        }
    }
    for at in word_offsets(&code, "crate").filter(|at| code[at + 5..].trim_start().starts_with("as ")) {
        report(at, "the crate under another name hides what is used".to_owned());
    }
    for (at, used) in paths_from(&code, "super") {
        if used == "super" {
            report(at, format!("super::super: write crate::{room}::…"));
        } else if below == "mod.rs" && ROOMS.iter().any(|(name, _)| *name == used) {
            // Above a room's mod.rs lies the crate.
            report(at, format!("{room} -> {used}: write crate::{used}"));
        }
    }
    for at in ["#[path", "include!"].iter().flat_map(|way| code.match_indices(way)).map(|(at, _)| at) {
        report(at, "no file is drawn in past its room".to_owned());
    }
    wrong
}

#[test]
fn imports_point_towards_wire() {
    let wrong = sources("src").iter().flat_map(|(file, text)| wrong_imports(file, text)).collect();
    none(wrong, "imports against the direction of the rooms (ARCHITECTURE.md)");
    for (file, text) in sources("bench").into_iter().chain(sources("tools")) {
        assert!(!code_only(&text).contains("#[path"), "{file}: reaches the library's files past the library");
    }
}

#[test]
fn an_import_against_the_direction_is_named() {
    let engine = |text| wrong_imports("src/engine/mod.rs", text);
    assert_eq!(engine("//! x\nuse crate::io::udp;"), ["src/engine/mod.rs:2: engine -> io"]);
    assert_eq!(engine("use crate::{wire::Seq,\n io};"), ["src/engine/mod.rs:2: engine -> io"]);
    assert_eq!(engine("use super::io;"), ["src/engine/mod.rs:1: engine -> io: write crate::io"]);
    assert_eq!(engine("use crate::Udp;").len(), 1, "a name of the root hides its room");
    assert_eq!(engine("use crate as x;").len(), 1);
    assert_eq!(engine("#[path = \"../io/udp.rs\"] mod udp;").len(), 1);
    assert!(engine("use crate::wire::Seq; // crate::io\nlet s = \"crate::io\";").is_empty());
    assert_eq!(wrong_imports("src/io/a/b.rs", "use super::super::x;").len(), 1);
    assert_eq!(wrong_imports("src/wire/a.rs", "use crate::proto::log;"), ["src/wire/a.rs:1: wire -> proto"]);
    assert_eq!(
        wrong_imports("src/config/a.rs", "use crate::sim::Plan;"),
        ["src/config/a.rs:1: config -> sim"]
    );
    assert_eq!(wrong_imports("src/sim/a.rs", "use crate::io::Udp;"), ["src/sim/a.rs:1: sim -> io"]);
    assert_eq!(wrong_imports("src/attic/a.rs", "").len(), 1);
    assert_eq!(wrong_imports("src/stray.rs", "").len(), 1);
    assert!(wrong_imports("src/cli/a.rs", "use crate::{config, io, engine};").is_empty());
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
    file.starts_with("src/sim/") || file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// What is wrong between the rules' sentences, their code (file and text) and the text of all tests.
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
            [] => wrong.push(format!("{id} is in force in docs/rules.md and stands nowhere in src/proto")),
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

/// The text of everything that is a test: `tests/`, `src/sim/`, `tests.rs` files, `#[cfg(test)]` parts.
/// This file is left out: its examples prove nothing.
fn text_of_tests() -> String {
    let scripts = files("tests", "txt").iter().map(|path| read(path)).collect::<Vec<_>>();
    let mut text = scripts.join("\n");
    for (file, source) in sources("tests").into_iter().filter(|(file, _)| !file.starts_with("tests/tidy")) {
        text += &format!("// {file}\n{source}\n");
    }
    for (file, source) in sources("src") {
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
    none(wrong_rules(&rules, &sources("src/proto"), &text_of_tests()), "rules without their place");
}

/// The tests that a text names in backticks, as `docs/FAULTS.md` does, and that are none.
fn missing_tests(text: &str, tests: &str) -> Vec<String> {
    let is_name = |word: &&str| {
        let plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        plain && word.matches('_').count() > 2
    };
    let named = text.split('`').skip(1).step_by(2).filter(is_name);
    let missing = named.filter(|name| !tests.contains(&format!("fn {name}(")));
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

// ---------------------------------------------------------------------------- sizes

/// Files that are printed and files that are refused.
fn long_files(sources: &[(String, usize)]) -> (Vec<String>, Vec<String>) {
    let beyond = |limit: usize| {
        let long = sources.iter().filter(move |(_, lines)| *lines > limit);
        long.map(|(file, lines)| format!("{file}: {lines} lines")).collect::<Vec<_>>()
    };
    (beyond(LINES_PRINTED), beyond(LINES_MAX))
}

#[test]
fn a_file_can_be_held_in_the_head() {
    let all = ["src", "tests", "bench", "tools", "examples"].iter().flat_map(|folder| sources(folder));
    let sizes: Vec<_> = all.map(|(file, text)| (file, text.lines().count())).collect();
    let (printed, refused) = long_files(&sizes);
    for line in printed {
        println!("look twice: {line}");
    }
    none(refused, "files of more than 700 lines: split them by question");
}

#[test]
fn a_long_file_is_printed_and_a_longer_one_refused() {
    let sizes = [400, 401, 700, 701].map(|lines| (lines.to_string(), lines));
    let (printed, refused) = long_files(&sizes);
    assert_eq!((printed.len(), refused), (3, vec!["701: 701 lines".to_owned()]));
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
    for room in SAFE_ROOMS {
        let path = root().join(format!("src/{room}/mod.rs"));
        // A room that is not built yet has no folder; one that is there has no way round.
        if path.parent().is_some_and(|folder| !files(&name(folder), "rs").is_empty()) {
            assert!(has_forbid(&read(&path)), "src/{room}/mod.rs lacks #![forbid(unsafe_code)]");
        }
    }
    let outside = sources("src").into_iter().filter(|(file, _)| !file.starts_with("src/io/"));
    none(outside.flat_map(|(file, text)| unsafe_lines(&file, &text)).collect(), "unsafe outside src/io");
}

#[test]
fn unsafe_code_and_a_missing_forbid_are_found() {
    assert_eq!(unsafe_lines("a.rs", "\nfn f() { unsafe { x() } }"), ["a.rs:2: unsafe"]);
    assert!(unsafe_lines("a.rs", "#![forbid(unsafe_code)] // unsafe\nlet x = \"unsafe\";").is_empty());
    assert!(has_forbid("//! x\n#![forbid(unsafe_code)]\n") && !has_forbid("// #![forbid(unsafe_code)]\n"));
}
