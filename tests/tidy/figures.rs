//! Figures of state machines, and headings of modules: what they name is in the code.

use super::{PRODUCT, none, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Words of others' protocols and units, which figures have and the code has not.
const OTHERS: [&str; 4] = ["HeartBtInt", "MiB", "OrderCancelReject", "Resend"];

/// What a figure with arrows has in the place of lines and arrows.
const ARROWS: [char; 4] = ['▶', '◀', '▲', '▼'];

/// Names within a text: words that begin with a capital and a small letter.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !char.is_alphanumeric() && char != '_');
    let is_name = |word: &&str| {
        let mut chars = word.chars();
        chars.next().is_some_and(char::is_uppercase) && chars.next().is_some_and(char::is_lowercase)
    };
    words.filter(is_name).collect()
}

/// The figures with arrows of a module's own documentation.
fn figures(source: &str) -> String {
    let mut figures = String::new();
    let lines = source.lines().map_while(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join("\n");
    for figure in lines.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("text")) {
        if figure.contains(ARROWS) {
            figures.push_str(figure);
        }
    }
    figures
}

/// The code of a file, without its comments.
fn code(source: &str) -> String {
    let without = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
    source.lines().map(without).collect()
}

/// The states of a file: each enum whose name says that it is one, with its variants.
fn states(source: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut is_open = false;
    for line in source.lines() {
        if let Some((_, rest)) = line.split_once("enum ").filter(|(before, _)| !before.contains("//")) {
            let name = rest.split(|char: char| !char.is_alphanumeric()).next().unwrap_or_default();
            is_open = ["State", "Phase", "Role"].iter().any(|end| name.ends_with(end));
            found.extend(is_open.then(|| (name, Vec::new())));
        } else if line.starts_with('}') {
            is_open = false;
        } else if let Some(variant) =
            line.strip_prefix("    ").filter(|rest| rest.starts_with(char::is_uppercase))
            && is_open
        {
            let name = variant.split(|char: char| !char.is_alphanumeric()).next().unwrap_or_default();
            found.last_mut().expect("an enum").1.push(name);
        }
    }
    found
}

/// The types that public items of a file declare.
fn declared(source: &str) -> impl Iterator<Item = String> + '_ {
    let declares = |line: &str| {
        let rest = line.strip_prefix("pub ")?;
        let name = ["struct ", "enum ", "trait ", "type "].iter().find_map(|kind| rest.strip_prefix(kind))?;
        names(name).into_iter().next().map(str::to_owned)
    };
    source.lines().filter_map(declares)
}

#[test]
fn a_figure_names_what_the_code_has() {
    let mut packages: BTreeMap<String, (String, Vec<(String, String)>)> = BTreeMap::new();
    let mut types = BTreeSet::new();
    for (path, source) in PRODUCT.iter().flat_map(|folder| sources(folder)) {
        types.extend(declared(&source));
        let package = path.split("/src/").next().unwrap_or_default().to_owned();
        let (all, figures_of) = packages.entry(package).or_default();
        all.push_str(&code(&source));
        figures_of.push((path, figures(&source)));
    }
    let mut found = Vec::new();
    for (all, figures_of) in packages.values() {
        let own = names(all);
        for (path, figure) in figures_of {
            let unknown =
                |name: &&str| !own.contains(name) && !types.contains(*name) && !OTHERS.contains(name);
            found.extend(names(figure).into_iter().filter(unknown).map(|name| format!("{path}: {name}")));
        }
    }
    none(found, "figures name what no code has");
}

#[test]
fn a_figure_of_states_has_all_of_them() {
    let mut found = Vec::new();
    for (path, source) in PRODUCT.iter().flat_map(|folder| sources(folder)) {
        let figure = figures(&source);
        let drawn = names(&figure);
        for (name, variants) in states(&source) {
            let missing: Vec<_> = variants.iter().filter(|variant| !drawn.contains(*variant)).collect();
            // A figure of something else may share a word.
            if missing.len() * 2 <= variants.len() && !missing.is_empty() && variants.len() > 1 {
                found.push(format!("{path}: {name} has {missing:?} as well"));
            }
        }
    }
    none(found, "figures of states without one of them");
}

#[test]
fn a_heading_has_the_name_of_its_module() {
    let mut found = Vec::new();
    for (path, source) in PRODUCT.iter().flat_map(|folder| sources(folder)) {
        let first = source.lines().next().unwrap_or_default();
        let Some((heading, _)) = first.strip_prefix("//! # ").and_then(|rest| rest.split_once(':')) else {
            continue;
        };
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod").rsplit('/').next();
        // Of a program or a library it is its own name.
        if !["lib", "main"].contains(&module.unwrap_or_default()) && Some(heading) != module {
            found.push(format!("{path}: # {heading}"));
        }
    }
    none(found, "headings that name another module");
}

#[test]
fn names_figures_and_states_are_read_as_they_are_written() {
    let source = "//! A machine.\n//!\n//! ```text\n//!  Idle ──▶ Asking\n//! ```\nenum AskState {\n    /// Not Now.\n    Idle,\n    Asking { since: u64 },\n    Done(u32),\n}\n";
    assert_eq!(names(&figures(source)), BTreeSet::from(["Asking", "Idle"]));
    assert_eq!(states(source), [("AskState", vec!["Idle", "Asking", "Done"])]);
    assert!(!code(source).contains("Now"));
}
