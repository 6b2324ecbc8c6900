//! The size of a type: functions and lines of all its `impl` blocks, in whichever files they stand. A bound
//! on files and functions alone lets a type grow sideways.

use super::is_name_char;
use super::prose::all_sources;
use super::ratchets::package_of;
use super::sizes::body_end;
use super::source::{code_only, word_offsets};
use std::collections::BTreeMap;

/// A type with more functions, or more lines of them, answers more than one question.
const FUNCTIONS_MAX: usize = 60;
const LINES_MAX: usize = 1_200;

/// The `impl` blocks of a text: the type's name, functions and lines of each.
fn blocks(text: &str) -> Vec<(String, usize, usize)> {
    let code = code_only(text);
    let all = word_offsets(&code, "impl").filter_map(|at| {
        // Anything else before it makes it a type: `-> impl Fn()`.
        let before = code[..at].trim_end().trim_end_matches("unsafe").trim_end();
        if !before.is_empty() && !before.ends_with(['{', '}', ';', ']']) {
            return None;
        }
        let block = &code[at..at + body_end(&code[at..])?];
        let (head, body) = block.split_once('{')?;
        Some((type_of(head)?, functions(body), block.lines().count()))
    });
    all.collect()
}

/// The name of the type in `impl<'a, T: Trait> Trait<T> for a::Name<'a, T> where …`; none for what has no
/// name of its own, such as a slice or a macro's parameter.
fn type_of(head: &str) -> Option<String> {
    let head = head.trim_start_matches("impl").trim_start();
    let mut rest = head;
    if head.starts_with('<') {
        let (mut depth, mut last) = (0, ' ');
        let end = head.char_indices().find_map(|(at, c)| {
            depth += match c {
                '<' => 1,
                '>' if last != '-' => -1,
                _ => 0,
            };
            last = c;
            (depth == 0).then_some(at + 1)
        });
        rest = &head[end?..];
    }
    let bounds = word_offsets(rest, "where").next().unwrap_or(rest.len());
    let rest = &rest[..bounds];
    let is_type = |&at: &usize| !rest[at + 3..].trim_start().starts_with('<');
    let name = word_offsets(rest, "for").find(is_type).map_or(rest, |at| &rest[at + 3..]);
    let path = name.trim().split(|c: char| !is_name_char(c) && c != ':').next()?;
    path.rsplit("::").next().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The functions that stand in a block itself; `fn(u8)` is a type.
fn functions(body: &str) -> usize {
    let is_own = |&at: &usize| {
        let before = &body[..at];
        let depth = before.matches('{').count() - before.matches('}').count();
        depth == 0 && !body[at + 2..].trim_start().starts_with('(')
    };
    word_offsets(body, "fn").filter(is_own).count()
}

/// Functions and lines of each type by package and name. Types of one name in one package count as one.
fn sizes(sources: &[(String, String)]) -> BTreeMap<String, (usize, usize)> {
    let mut sizes: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (file, text) in sources {
        for (name, functions, lines) in blocks(text) {
            let size = sizes.entry(format!("{} {name}", package_of(file))).or_default();
            *size = (size.0 + functions, size.1 + lines);
        }
    }
    sizes
}

/// The types with the most functions: name, functions and lines of each.
pub fn largest(count: usize) -> Vec<(String, usize, usize)> {
    let sizes = sizes(&all_sources()).into_iter();
    let mut all: Vec<_> = sizes.map(|(name, (functions, lines))| (name, functions, lines)).collect();
    all.sort_by_key(|(_, functions, lines)| std::cmp::Reverse((*functions, *lines)));
    all.truncate(count);
    all
}

/// The numbers over the bounds, for `ratchets.toml`.
pub fn measured() -> Vec<(&'static str, String, usize)> {
    let sizes = sizes(&all_sources());
    assert!(sizes.len() > 500, "the types are read: {}", sizes.len());
    over(sizes)
}

fn over(sizes: BTreeMap<String, (usize, usize)>) -> Vec<(&'static str, String, usize)> {
    let rows = sizes.into_iter().flat_map(|(name, (functions, lines))| {
        let functions = (functions > FUNCTIONS_MAX).then(|| ("functions", name.clone(), functions));
        functions.into_iter().chain((lines > LINES_MAX).then_some(("lines", name, lines)))
    });
    rows.collect()
}

#[test]
fn the_functions_and_lines_of_a_type_are_summed_over_its_files() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let sizes = sizes(&[
        file(
            "crates/x/src/a.rs",
            "impl A {\n fn a() { fn inner() {} }\n const F: fn(u8) = b;\n}\nfn c() -> impl B { d }",
        ),
        file(
            "crates/x/src/b/c.rs",
            "impl<'a, F: Fn() -> u8> b::B<F> for a::A<'a>\nwhere F: B {\n fn d() {}\n fn e();\n}",
        ),
        file("crates/y/src/a.rs", "unsafe impl A {}\nimpl<T> [T] {}\nm! { impl $name { fn f() {} } }"),
    ]);
    assert_eq!(sizes.get("crates/x A"), Some(&(3, 9)), "{sizes:?}");
    assert_eq!(sizes.get("crates/y A"), Some(&(0, 1)), "{sizes:?}");
    assert_eq!(sizes.len(), 2, "{sizes:?}");
    assert_eq!(type_of("impl for<'a> Fn(&'a u8) for Name "), Some("Name".to_owned()));
}

#[test]
fn a_type_over_the_bounds_is_found() {
    let methods = (0..=FUNCTIONS_MAX).map(|index| format!("fn f{index}() {{}}\n")).collect::<String>();
    let lines = "\n".repeat(LINES_MAX);
    let text = format!("impl A {{\n{methods}}}\nimpl B {{{lines}}}\nimpl C {{}}");
    let found = over(sizes(&[("src/a.rs".to_owned(), text)]));
    assert_eq!(
        found,
        [("functions", ". A".to_owned(), FUNCTIONS_MAX + 1), ("lines", ". B".to_owned(), LINES_MAX + 1)]
    );
}
