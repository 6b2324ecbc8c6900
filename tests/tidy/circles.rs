//! Circles of files: files of one package each of which leads to all others by its imports. None of them
//! can be read, changed or moved without the rest.
//!
//! An import leads to the file that defines what it names; a `pub use` on the way is followed. A module and
//! the modules below it are parts of one thing, so imports between them do not count, and neither do those
//! of tests.

use super::prose::all_sources;
use super::ratchets::package_of;
use super::source::{code_only, is_name_char, test_parts, word_offsets};
use std::collections::{BTreeMap, BTreeSet};

/// More files in one circle are refused.
const FILES_MAX: usize = 8;

/// A module's path below its crate: `["proto", "log"]`; that of the crate's root is empty.
type Module = Vec<String>;

/// The imports of one file.
#[derive(Default)]
struct Imports {
    /// What each name that `use` brings leads to.
    names: BTreeMap<String, Module>,
    /// Every path that is not handed on by `pub use`.
    paths: Vec<Module>,
}

// ---------------------------------------------------------------------------- reading

/// The statements `use …;` of `code`: whether it is handed on, the tree without spaces, and where it ends.
fn statements(code: &str) -> Vec<(bool, String, std::ops::Range<usize>)> {
    // What a type captures, `use<'a>`, is no import.
    let is_import = |at: &usize| !code[at + 3..].starts_with('<');
    let all = word_offsets(code, "use").filter(is_import).filter_map(|at| {
        let end = at + code[at..].find(';')?;
        let line = code[..at].rsplit(['\n', ';', '{', '}']).next().unwrap_or_default().trim();
        let tree = code[at + 3..end].split_whitespace().collect::<Vec<_>>().join(" ");
        // A space stays where it parts words: `a as b`.
        let tree = tree.replace(" as ", "@").replace(' ', "");
        (line.is_empty() || line.starts_with("pub")).then_some((!line.is_empty(), tree, at..end))
    });
    all.collect()
}

/// The paths of a tree: `a::{b, c::{d as e}}` has `a::b` and `a::c::d`, the latter under the name `e`.
fn expand(tree: &str, before: &[&str], out: &mut Vec<(String, Module)>) {
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, Some(group.strip_suffix('}').unwrap_or(group))),
        None => (tree, None),
    };
    let (path, alias) = path.split_once('@').map_or((path, None), |(path, alias)| (path, Some(alias)));
    let mut whole = before.to_vec();
    whole.extend(path.split("::").filter(|part| !part.is_empty()));
    if let Some(group) = group {
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if at > start {
                        expand(&group[start..at], &whole, out);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    if whole.len() > 1 && whole.last() == Some(&"self") {
        whole.pop();
    }
    let name = alias.or(whole.last().copied()).unwrap_or_default().to_owned();
    out.push((name, whole.into_iter().map(str::to_owned).collect()));
}

/// The paths of two names and more that stand in code: `super::Config`, `layers::Layer`.
fn chains(code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(is_name_char) {
        let mut chain = Vec::new();
        rest = &rest[start..];
        loop {
            let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
            chain.push(rest[..end].to_owned());
            rest = &rest[end..];
            match rest.strip_prefix("::").filter(|behind| behind.starts_with(is_name_char)) {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        if chain.len() > 1 {
            found.push(chain);
        }
    }
    found
}

fn imports(text: &str) -> Imports {
    let tested = test_parts(text).into_iter().fold(text.to_owned(), |text, part| text.replacen(part, "", 1));
    let mut code = code_only(&tested);
    let mut imports = Imports::default();
    for (is_public, tree, span) in statements(&code).into_iter().rev() {
        let mut paths = Vec::new();
        expand(&tree, &[], &mut paths);
        if !is_public {
            imports.paths.extend(paths.iter().map(|(_, path)| path.clone()));
        }
        imports.names.extend(paths);
        code.replace_range(span, "");
    }
    imports.paths.extend(chains(&code));
    imports
}

// ---------------------------------------------------------------------------- where a path leads

/// The modules of one package by their paths.
struct Package {
    modules: BTreeMap<Module, (String, Imports)>,
}

impl Package {
    /// Of the files below its `src`; the root is `lib.rs`, and `main.rs` where there is none.
    fn new(sources: &[(&str, &str)]) -> Self {
        let has_library = sources.iter().any(|(file, _)| *file == "lib.rs");
        let module = |file: &str| -> Module {
            let stem = file.trim_end_matches(".rs");
            match stem {
                "lib" => vec![],
                "main" if !has_library => vec![],
                "main" => vec!["main.rs".to_owned()],
                _ => stem.trim_end_matches("/mod").split('/').map(str::to_owned).collect(),
            }
        };
        let modules = sources.iter().map(|(file, text)| (module(file), ((*file).to_owned(), imports(text))));
        Self { modules: modules.collect() }
    }

    /// The module that defines what `path` names in the module `from`; `None` if it leads out of the package.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut rest = path;
        let mut at = if from.first().is_some_and(|name| name == "main.rs") { vec![] } else { from.clone() };
        match rest.first().map(String::as_str)? {
            "crate" => (at, rest) = (vec![], &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            child if self.modules.contains_key(&below(&at, child)) => {}
            _ => return None,
        }
        while let Some(name) = rest.first().filter(|name| self.modules.contains_key(&below(&at, name))) {
            at = below(&at, name);
            rest = &rest[1..];
        }
        let (_, imports) = self.modules.get(&at)?;
        // Two files can hand a name to each other by mistake; rustc says so, and this ends.
        match rest.first().and_then(|name| imports.names.get(name)).filter(|_| depth < 20) {
            Some(path) => self.resolve(&at, path, depth + 1),
            None => Some(at),
        }
    }

    /// The files that each file leads to.
    fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let edges = self.modules.iter().map(|(module, (file, imports))| {
            let used = imports.paths.iter().filter_map(|path| self.resolve(module, path, 0));
            let used = used.filter(|used| !used.starts_with(module) && !module.starts_with(used));
            (file.as_str(), used.filter_map(|used| Some(self.modules.get(&used)?.0.as_str())).collect())
        });
        edges.collect()
    }
}

fn below(module: &Module, name: &str) -> Module {
    [module.as_slice(), &[name.to_owned()]].concat()
}

/// The circles of a graph, each with its files, the largest first.
fn circles<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<Vec<&'a str>> {
    let reached = |from: &'a str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            open.extend(edges[file].iter().copied().filter(|next| seen.insert(*next)));
        }
        seen
    };
    let reached: BTreeMap<_, _> = edges.keys().map(|file| (*file, reached(file))).collect();
    let circle = |file: &&'a str| -> Vec<&'a str> {
        reached[*file].iter().copied().filter(|other| reached[other].contains(file)).collect()
    };
    let all: BTreeSet<_> = edges.keys().map(circle).filter(|circle| circle.len() > 1).collect();
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    all
}

/// A circle as a reader breaks it: each file with the files of the circle that it leads to.
fn drawn(circle: &[&str], edges: &BTreeMap<&str, BTreeSet<&str>>) -> String {
    let line = |file: &&str| {
        let used: Vec<_> = edges[file].iter().copied().filter(|used| circle.contains(used)).collect();
        format!("  {file} -> {}\n", used.join(", "))
    };
    circle.iter().map(line).collect()
}

/// The circles over the bound of each package, for `ratchets.toml`: the largest of a package is its `1`. With
/// `--show-output` the test prints them.
pub fn measured() -> Vec<(&'static str, String, usize)> {
    let sources = all_sources();
    let mut by_package: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (file, text) in &sources {
        let package = package_of(file);
        let source = if package == "." { "src/".to_owned() } else { format!("{package}/src/") };
        let is_test = file.ends_with("/tests.rs") || file.contains("/tests/");
        if let Some(below) = file.strip_prefix(&source).filter(|_| !is_test) {
            by_package.entry(package).or_default().push((below, text));
        }
    }
    assert!(by_package.len() > 20, "the packages are read: {:?}", by_package.keys());
    let mut found = Vec::new();
    for (name, files) in by_package {
        let package = Package::new(&files);
        let edges = package.edges();
        let large = circles(&edges).into_iter().filter(|circle| circle.len() > FILES_MAX);
        for (index, circle) in large.enumerate() {
            println!("{name}, circle {}:\n{}", index + 1, drawn(&circle, &edges));
            found.push(("circles", format!("{name} {}", index + 1), circle.len()));
        }
    }
    found
}

// ---------------------------------------------------------------------------- shown to find

fn found(sources: &[(&str, &str)]) -> Vec<String> {
    let package = Package::new(sources);
    let edges = package.edges();
    circles(&edges).iter().map(|circle| drawn(circle, &edges)).collect()
}

#[test]
fn a_circle_of_files_is_found_through_what_modules_hand_on() {
    let sources = [
        ("lib.rs", "mod a; mod b; mod c;\npub use a::A;"),
        ("a/mod.rs", "mod deep;\npub use deep::A;"),
        ("a/deep.rs", "use crate::{b::{self, B as Other}};\npub struct A;"),
        ("b.rs", "fn f() -> super::c::C { x }"),
        ("c.rs", "fn g(a: crate::A) {}"),
        ("d.rs", "use crate::A;"),
    ];
    assert_eq!(found(&sources), ["  a/deep.rs -> b.rs\n  b.rs -> c.rs\n  c.rs -> a/deep.rs\n"]);
}

#[test]
fn a_module_and_its_parts_are_no_circle_and_tests_import_what_they_like() {
    let sources = [
        ("main.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod part;\nuse part::P;\npub struct A;"),
        ("a/part.rs", "use super::A;\n#[cfg(test)]\nmod tests { use crate::b::B; }"),
        ("b.rs", "use crate::a::part::P; // crate::c::C\nlet x = \"crate::c::C\";"),
        ("c.rs", "use crate::b::B; use std::fmt;"),
    ];
    assert!(found(&sources).is_empty(), "{:?}", found(&sources));
}

#[test]
fn a_tree_of_names_is_read_whole() {
    let mut paths = Vec::new();
    expand("a::{self,b::{c,d@e},f::*}", &[], &mut paths);
    let paths: Vec<_> = paths.into_iter().map(|(name, path)| format!("{name}={}", path.join("::"))).collect();
    assert_eq!(paths, ["a=a", "c=a::b::c", "e=a::b::d", "*=a::f::*"]);
    let code = "pub(crate) use a::b;\nuse c::{\n d as e,\n};\nlet user = 1; fn f() { use g::h; }";
    let read: Vec<_> = statements(code).into_iter().map(|(public, tree, _)| (public, tree)).collect();
    assert_eq!(
        read,
        [(true, "a::b".to_owned()), (false, "c::{d@e,}".to_owned()), (false, "g::h".to_owned())]
    );
    assert_eq!(chains("x(a::b::<C>(), super::d)").len(), 2);
}
