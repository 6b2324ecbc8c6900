//! Checks of what stands beside the code: manifests, documents, configurations, allowed skips.

use super::{files, name, none, read, root, sources};
use std::path::Path;

// ---------------------------------------------------------------------------- crates

/// Crates of a manifest that nobody gave a reason for. The reason is a comment directly above, which
/// also covers the crates of the same family behind it (`tracing`, `tracing-subscriber`).
fn crates_without_reason(manifest: &str) -> (usize, Vec<String>) {
    let family = |name: &str| name.split(['-', '_']).next().unwrap_or(name).to_owned();
    let (mut in_table, mut depth, mut seen, mut bare) = (false, 0i32, 0, Vec::new());
    let (mut reason, mut covered) = (false, String::new());
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') && depth == 0 {
            in_table = line.trim_end_matches(']').ends_with("dependencies");
            (reason, covered) = (false, String::new());
        } else if line.starts_with('#') {
            reason = true;
        } else if line.is_empty() {
            (reason, covered) = (false, String::new());
        } else if let Some((key, value)) = line.split_once('=').filter(|_| depth == 0 && in_table) {
            let name = key.trim().split('.').next().unwrap_or_default().trim_matches('"').to_owned();
            seen += 1;
            if reason {
                covered = family(&name);
            } else if !is_ours(line) && family(&name) != covered {
                bare.push(name);
            }
            reason = false;
            depth += open_brackets(value);
        } else {
            depth += open_brackets(line);
        }
    }
    (seen, bare)
}

/// A package of this workspace, whose manifest says what it is for; or one that the workspace's table gives a
/// reason for.
fn is_ours(line: &str) -> bool {
    ["path = ", "workspace = true"].iter().any(|mark| line.contains(mark))
}

fn open_brackets(text: &str) -> i32 {
    let sum = |c| match c {
        '[' | '{' => 1,
        ']' | '}' => -1,
        _ => 0,
    };
    text.chars().map(sum).sum()
}

/// How many crates the manifest's tables really name, so that the reader of lines overlooks none.
fn crate_count(table: &toml::Table) -> usize {
    let inner = table.iter().map(|(key, value)| match value.as_table() {
        Some(crates) if key.ends_with("dependencies") => crates.len(),
        Some(deeper) if matches!(key.as_str(), "workspace" | "target") || key.starts_with("cfg(") => {
            crate_count(deeper)
        }
        _ => 0,
    });
    inner.sum()
}

#[test]
fn each_crate_has_its_reason() {
    let more =
        ["bench/Cargo.toml", "bench/instructions/Cargo.toml", "tests/models/Cargo.toml", "tools/Cargo.toml"];
    let more = more.map(str::to_owned);
    let crates = files("crates", "toml").into_iter().chain(files("bindings", "toml"));
    let crates: Vec<_> = crates.map(|path| name(&path)).filter(|file| file.ends_with("Cargo.toml")).collect();
    assert!(crates.len() > 7, "{crates:?}");
    for manifest in ["Cargo.toml".to_owned()].into_iter().chain(more).chain(crates) {
        let text = read(&root().join(&manifest));
        let (seen, bare) = crates_without_reason(&text);
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{manifest}: {error}"));
        assert_eq!(seen, crate_count(&table), "{manifest}: write each crate on a line `name = …`");
        none(bare, &format!("{manifest}: crates without a comment above that says what they are for"));
    }
}

/// `cargo test` builds the program of an example only where the example is no test itself.
#[test]
fn each_example_is_built_as_a_program_by_the_test_command() {
    let packages = [root().join("Cargo.toml"), root().join("bench/Cargo.toml")];
    let others = files("crates", "toml").into_iter().chain(files("examples", "toml"));
    let mut seen = 0;
    for manifest in packages.into_iter().chain(others) {
        let table: toml::Table = read(&manifest).parse().expect("a manifest");
        let Some(examples) = table.get("example").and_then(toml::Value::as_array) else { continue };
        seen += examples.len();
        for example in examples {
            let is_test = example.get("test").is_some_and(|test| test.as_bool() != Some(false));
            assert!(!is_test, "{}: {example}: its tests go to `tests`", name(&manifest));
        }
    }
    assert!(seen > 3, "{seen}");
}

#[test]
fn the_protocols_of_the_edge_depend_on_nothing() {
    // Their tests, which lie with them, compare with what others wrote.
    for package in ["soupbintcp", "moldudp64", "ouch50", "itch50"] {
        let manifest = &format!("crates/{package}/Cargo.toml");
        let table: toml::Table = read(&root().join(manifest)).parse().expect(manifest);
        assert!(!table.contains_key("dependencies"), "{manifest}");
    }
}

#[test]
fn a_crate_without_a_reason_is_named() {
    let toml = "[package]\nname = \"x\"\n[dependencies]\n# why\na = \"1\"\na-more = { version = \"1\" }\nb = \"2\"\n\n\
                # far\n\nc = \"3\"\n[dev-dependencies]\nd = [\n\"e = 1\",\n]\n[features]\nf = []\n";
    assert_eq!(crates_without_reason(toml), (5, ["b", "c", "d"].map(str::to_owned).to_vec()));
    let hidden: toml::Table = "[target.'cfg(unix)'.dependencies.x]\nversion = \"1\"".parse().unwrap();
    assert_eq!(crate_count(&hidden), 1);
}

// ---------------------------------------------------------------------------- documents

/// Everything that a user reads.
fn documents() -> Vec<(String, String)> {
    let top =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|file| root().join(file));
    top.into_iter().chain(files("docs", "md")).map(|path| (name(&path), read(&path))).collect()
}

fn unmentioned(configs: &[String], documents: &str) -> Vec<String> {
    configs.iter().filter(|config| !documents.contains(config.as_str())).cloned().collect()
}

/// Targets of links in `text`, web addresses and anchors aside.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

#[test]
fn each_example_configuration_is_mentioned_in_a_document() {
    let configs: Vec<_> = files("configs", "").iter().map(|path| name(path)).collect();
    let text: String = documents().into_iter().map(|(_, text)| text).collect();
    none(unmentioned(&configs, &text), "configurations that neither README nor docs mention");
}

#[test]
fn each_link_leads_somewhere() {
    let mut dead = Vec::new();
    for (file, text) in documents() {
        let folder = root().join(&file).parent().map(Path::to_owned).unwrap_or_default();
        let missing = links(&text).into_iter().filter(|target| !folder.join(target).exists());
        dead.extend(missing.map(|target| format!("{file} -> {target}")));
    }
    none(dead, "dead links");
}

/// The anchors of a document: its headings, as a renderer of Markdown names them; the second of a name has
/// `-1` behind it.
pub fn anchors(text: &str) -> Vec<String> {
    let mut is_code = false;
    let headings = text.lines().filter(|line| {
        is_code ^= line.trim_start().starts_with("```");
        !is_code && line.starts_with('#')
    });
    let name = |heading: &str| {
        let is_part = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        text.chars().filter(is_part).map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    };
    let mut seen: Vec<String> = Vec::new();
    let mut anchors = Vec::new();
    for name in headings.map(name) {
        let before = seen.iter().filter(|known| **known == name).count();
        anchors.push(if before == 0 { name.clone() } else { format!("{name}-{before}") });
        seen.push(name);
    }
    anchors
}

/// The links of `text` to anchors of documents: the path, empty for the same document, and the anchor.
fn anchored(text: &str) -> Vec<(&str, &str)> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let parts = targets.filter(|target| !target.contains("://")).filter_map(|target| target.split_once('#'));
    parts.filter(|(path, _)| path.is_empty() || path.ends_with(".md")).collect()
}

#[test]
fn each_anchor_is_a_heading_of_its_document() {
    let mut dead = Vec::new();
    for (file, text) in documents() {
        let folder = root().join(&file).parent().map(Path::to_owned).unwrap_or_default();
        for (path, anchor) in anchored(&text) {
            let target = if path.is_empty() { text.clone() } else { read(&folder.join(path)) };
            if !anchors(&target).iter().any(|name| name == anchor) {
                dead.push(format!("{file} -> {path}#{anchor}"));
            }
        }
    }
    none(dead, "links to a heading that is not there");
}

#[test]
fn a_forgotten_configuration_a_link_and_a_command_are_found() {
    let configs = ["configs/a.toml", "configs/b.toml"].map(str::to_owned);
    assert_eq!(unmentioned(&configs, "see configs/a.toml"), ["configs/b.toml"]);
    let page = "a\n```sh\nx y\n```\nb\n```rust\nz\n```\n";
    assert_eq!(blocks(page), [("sh", "x y\n"), ("rust", "z\n")]);
    assert_eq!(links("[a](docs/a.md#x) [b](https://b) [c](#c) [d](d.md)"), ["docs/a.md", "d.md"]);
    assert_eq!(anchored("[a](a.md#x) [b](https://b#b) [c](#c) [d](d.md)"), [("a.md", "x"), ("", "c")]);
    assert_eq!(anchors("# A\n```\n# b\n```\n## No quorum: `x_y`?\n## A\n"), ["a", "no-quorum-x_y", "a-1"]);
}

/// Sentences of a document that begin with a relative clause instead of their subject ("Who asks …", "What is
/// lost …"): a reader parses them twice. Questions may.
fn riddles(text: &str) -> Vec<&str> {
    let words = ["Who", "Whoever", "Whom", "Whose", "What", "Whatever"];
    let is_one = |sentence: &&str| {
        let first = sentence.split(' ').next().unwrap_or_default();
        words.contains(&first) && sentence.len() > first.len()
    };
    let (mut found, mut is_code) = (Vec::new(), false);
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        // A question ends on its line, as in a table or a heading.
        if is_code || line.contains('?') {
            continue;
        }
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || "#*.>| ".contains(c));
        let sentences = [". ", ": ", "; ", "| ", "** "]
            .iter()
            .fold(vec![line], |parts, end| parts.into_iter().flat_map(|part| part.split(end)).collect());
        found.extend(sentences.into_iter().map(str::trim).filter(is_one));
    }
    found
}

#[test]
fn a_sentence_of_a_document_begins_with_its_subject() {
    // The table of keys has the words of the program.
    let prose = documents().into_iter().filter(|(file, _)| file != "docs/CONFIGURATION.md");
    let found = prose.flat_map(|(file, text)| {
        riddles(&text).into_iter().map(|line| format!("{file}: {line}")).collect::<Vec<_>>()
    });
    none(found.collect(), "sentences that begin with a relative clause: subject, verb, object");
}

#[test]
fn the_map_of_the_documents_names_each_of_them() {
    let map = read(&root().join("docs/README.md"));
    let named: Vec<_> = links(&map);
    let missing = files("docs", "md").into_iter().map(|path| name(&path)).filter(|file| {
        let file = file.trim_start_matches("docs/");
        // docs/DECISIONS.md names each file of its folder: tests/tidy/decisions.rs.
        file != "README.md" && !file.starts_with("decisions/") && !named.contains(&file)
    });
    none(missing.collect(), "documents that docs/README.md does not name");
}

#[test]
fn a_relative_clause_at_the_start_of_a_sentence_is_found() {
    let text = "Who asks waits.\nIt is so. What is lost is lost.\n| x | Whoever comes |\n1. **A.** Whom it concerns\n";
    assert_eq!(riddles(text).len(), 4, "{:?}", riddles(text));
    assert!(riddles("## What is it?\nIt is what it is.\n```\nWho x\n```\nWhatever\n").is_empty());
}

/// The first column of each table of a document, by heading.
fn first_columns(text: &str) -> Vec<(&str, Vec<String>)> {
    let sections = text.split("\n## ").skip(1);
    let column = |section: &str| {
        let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
        rows.skip(1).filter_map(|row| row.split(" | ").next()).map(str::to_lowercase).collect()
    };
    sections.map(|section| (section.lines().next().unwrap_or_default(), column(section))).collect()
}

/// The errors of a glossary whose last table has the retired words: a term in two places or out of
/// order, a retired word that is a term as well.
fn wrong_terms(glossary: &str) -> Vec<String> {
    let (mut wrong, mut terms) = (Vec::new(), Vec::new());
    for (heading, column) in first_columns(glossary) {
        let late = column.windows(2).filter(|pair| pair[0] >= pair[1]);
        wrong.extend(late.map(|pair| format!("{heading}: '{}' stands before '{}'", pair[0], pair[1])));
        let twice = column.iter().filter(|term| terms.contains(*term));
        wrong.extend(twice.map(|term| format!("{heading}: '{term}' stands above too")));
        terms.extend(column);
    }
    wrong
}

#[test]
fn the_glossary_has_each_term_once_and_in_order() {
    let glossary = read(&root().join("docs/GLOSSARY.md"));
    let tables = first_columns(&glossary);
    assert!(tables.len() > 10 && tables.iter().all(|(_, terms)| terms.len() > 3), "{tables:?}");
    none(wrong_terms(&glossary), "terms of docs/GLOSSARY.md");
}

#[test]
fn a_term_out_of_order_and_a_retired_term_are_found() {
    let glossary = "# x\n\n## A\n\n| term | y |\n|---|---|\n| b | y |\n| a | y |\n\n## Retired words\n\n| z | y |\n|---|---|\n| b | y |\n";
    assert_eq!(wrong_terms(glossary), ["A: 'b' stands before 'a'", "Retired words: 'b' stands above too"]);
}

/// The fenced blocks of a document: the word behind the fence, and the text.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("a fence ends its line")).collect()
}

#[test]
fn readme_has_exactly_two_commands_and_ci_runs_the_second() {
    let readme = read(&root().join("README.md"));
    // Commands stand in `sh` blocks and nowhere else: a block without a language would hide them from this
    // test.
    let known = |(language, _): &(&str, &str)| matches!(*language, "sh" | "rust" | "text");
    assert!(blocks(&readme).iter().all(known), "README.md: a fenced block is sh, rust or text");
    let shell = blocks(&readme).into_iter().filter(|(language, _)| *language == "sh");
    let lines = shell.flat_map(|(_, text)| text.lines());
    let commands: Vec<_> = lines.filter(|line| !line.trim().is_empty()).collect();
    let [main_job, tests] = commands[..] else { panic!("not two: {commands:?}") };
    assert!(main_job.starts_with("cargo run "), "the first command runs the main job: {main_job}");
    let ci = read(&root().join(".ci/steps.sh"));
    // What it says goes to a file, and whether it failed decides what is shown of it.
    let run = format!("if {tests} >");
    let runs = |line: &str| line.trim().starts_with(&run);
    assert!(ci.lines().any(runs), ".ci/steps.sh does not run `{tests}`");
}

#[test]
fn the_code_of_the_readme_is_the_example_that_compiles() {
    let (readme, example) = (read(&root().join("README.md")), read(&root().join("examples/hello.rs")));
    let code: Vec<_> = blocks(&readme).into_iter().filter(|(language, _)| *language == "rust").collect();
    let [(_, code)] = code[..] else { panic!("README.md has {} blocks of Rust", code.len()) };
    let is_comment = |line: &&str| line.starts_with("//!");
    let body = example.lines().skip_while(is_comment).skip(1).map(|line| format!("{line}\n"));
    assert_eq!(code, body.collect::<String>(), "README.md and examples/hello.rs differ");
}

// ---------------------------------------------------------------------------- skips

/// The allowed skips of `tests/skips.toml`: text and reason.
fn allowed_skips(toml: &str) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table = toml.parse().map_err(|error| format!("{error}"))?;
    let rows = table.get("skip").and_then(|rows| rows.as_array()).cloned().unwrap_or_default();
    let field = |row: &toml::Value, key: &str| {
        let text = row.get(key).and_then(|value| value.as_str()).unwrap_or_default().trim();
        if text.len() < 8 { Err(format!("'{row}': `{key}` says too little")) } else { Ok(text.to_owned()) }
    };
    rows.iter().map(|row| Ok((field(row, "text")?, field(row, "why")?))).collect()
}

#[test]
fn each_allowed_skip_has_a_reason_and_a_place_that_prints_it() {
    let skips = allowed_skips(&read(&root().join("tests/skips.toml"))).expect("tests/skips.toml");
    // The reason may come from the library: `guard::unsupported` gives one.
    let all: String = ["src", "crates", "bindings", "tests", "bench", "tools"]
        .iter()
        .flat_map(|f| sources(f))
        .map(|(_, t)| t)
        .collect();
    let stale = skips.iter().filter(|(text, _)| !all.contains(text.as_str()));
    none(stale.map(|(text, _)| text.clone()).collect(), "tests/skips.toml allows what nothing prints");
}

#[test]
fn a_skip_without_a_reason_is_refused() {
    assert!(allowed_skips("[[skip]]\ntext = \"needs root here\"\n").is_err());
    assert!(allowed_skips("[[skip]]\ntext = \"\"\nwhy = \"because it is so\"\n").is_err());
    let good = "[[skip]]\ntext = \"needs root here\"\nwhy = \"CI has no root\"\n";
    assert_eq!(allowed_skips(good).map(|skips| skips.len()), Ok(1));
}

#[test]
fn each_test_that_the_table_of_attacks_names_exists() {
    let text = read(&root().join("docs/SECURITY.md"));
    let table = text.split("## Attacks, and the test of each").nth(1).expect("the table of attacks");
    let table = table.split("\n## ").next().expect("its section");
    let cells =
        table.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").nth(1));
    let named: Vec<&str> = cells.flat_map(crate::backticked).collect();
    assert!(named.len() > 30, "the table is read: {named:?}");
    let code: String =
        ["tests", "crates"].iter().flat_map(|folder| sources(folder)).map(|(_, text)| text).collect();
    let missing = named.iter().filter(|name| !code.contains(&format!("fn {name}()")));
    none(
        missing.map(ToString::to_string).collect(),
        "tests that docs/SECURITY.md names and that do not exist",
    );
}
