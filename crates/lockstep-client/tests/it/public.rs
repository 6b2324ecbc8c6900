//! The public surface is a list in the repository: `PUBLIC.txt` beside the manifest of each crate that others
//! depend on.
//!
//! The reader follows the `pub use` of a crate's front page to the definitions, also in the crates below, and
//! lists types, fields, variants, functions and constants. So a change that a user may notice is a line of a
//! diff. A name of a struct with a part that it is given (`type Publisher = StreamHandle<…>`) is
//! written as a user sees it: a struct, with those functions that it has with that part.
//!
//! `RELEASED.txt` beside it is that list in the last release, below its version. As long as the version
//! promises compatibility with that release, nothing in the list may be removed or changed.

use quote::ToTokens;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use syn::{
    Attribute, Fields, GenericArgument, GenericParam, ImplItem, Item, ItemImpl, PathArguments, Type,
    TypeParamBound, UseTree, Visibility,
};

/// The crates with a list, and the most names of their front pages.
const CRATES: [(&str, usize); 5] =
    [("lockstep-client", 57), ("soupbintcp", 40), ("moldudp64", 30), ("ouch50", 42), ("itch50", 42)];

const REFRESH: &str = "if that is intended, write it anew and read the diff: REWRITE=1 cargo test -p lockstep-client --test it public";

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the crates").to_owned()
}

fn parsed(path: &Path) -> syn::File {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All items of a crate outside of tests, with their files.
fn items(source: &Path) -> Vec<(String, Item)> {
    let (mut found, mut folders) = (Vec::new(), vec![source.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut entries: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
                let name = path.strip_prefix(source).expect("inside").to_string_lossy().into_owned();
                found.extend(parsed(&path).items.into_iter().map(|item| (name.clone(), item)));
            }
        }
    }
    found
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string().replace(' ', "");
        text.contains("doc(hidden)")
            || text.starts_with("#[cfg(test)")
            || text.starts_with("#[cfg(all(doctest")
    })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Source text with readable spaces, whatever the tokens' printer puts.
fn text_of(tokens: impl ToTokens) -> String {
    let printed = tokens.to_token_stream().to_string();
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '\'';
    let letters: Vec<char> = printed.chars().collect();
    let mut text = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let before = text.chars().last().unwrap_or(' ');
        let after = letters.get(index + 1).copied().unwrap_or(' ');
        if !letter.is_whitespace() || (is_word(before) && (is_word(after) || after == '&')) {
            text.push(letter);
        }
    }
    let text = text.replace(',', ", ").replace("->", " -> ").replace("::", "\u{0}");
    let text = text.replace(':', ": ").replace('\u{0}', "::").replace("=", " = ").replace('+', " + ");
    text.replace(", )", ")")
        .replace("mut&", "mut &")
        .replace("mut[", "mut [")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// `name` or `name (non_exhaustive)`.
fn named(kind: &str, name: &impl ToString, attributes: &[Attribute]) -> String {
    let may_grow = attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"));
    format!("{kind} {}{}", name.to_string(), if may_grow { " (non_exhaustive)" } else { "" })
}

fn fields(fields: &Fields, public_only: bool) -> String {
    let shown = |field: &&syn::Field| !public_only || is_public(&field.vis);
    let each = fields.iter().filter(shown).map(|field| match &field.ident {
        Some(name) => format!("{name}: {}", text_of(&field.ty)),
        None => text_of(&field.ty),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The lines of an item called `name`, without its functions.
fn lines_of(item: &Item, name: &str) -> Option<Vec<String>> {
    match item {
        Item::Struct(item) if item.ident == name && is_public(&item.vis) => {
            let public = item.fields.iter().filter(|field| is_public(&field.vis) && !is_hidden(&field.attrs));
            let mut lines = vec![named("struct", &item.ident, &item.attrs)];
            lines.extend(public.map(|field| match &field.ident {
                Some(name) => format!("    {name}: {}", text_of(&field.ty)),
                None => format!("    0: {}", text_of(&field.ty)),
            }));
            Some(lines)
        }
        Item::Enum(item) if item.ident == name && is_public(&item.vis) => {
            let mut lines = vec![named("enum", &item.ident, &item.attrs)];
            lines.extend(item.variants.iter().filter(|variant| !is_hidden(&variant.attrs)).map(|variant| {
                match &variant.fields {
                    Fields::Unit => format!("    {}", variant.ident),
                    Fields::Named(_) => {
                        format!("    {} {{ {} }}", variant.ident, fields(&variant.fields, false))
                    }
                    Fields::Unnamed(_) => {
                        format!("    {}({})", variant.ident, fields(&variant.fields, false))
                    }
                }
            }));
            Some(lines)
        }
        Item::Type(item) if item.ident == name && is_public(&item.vis) => {
            Some(vec![format!("type {name} = {}", text_of(&item.ty))])
        }
        Item::Const(item) if item.ident == name && is_public(&item.vis) => {
            Some(vec![format!("const {name}: {}", text_of(&item.ty))])
        }
        Item::Fn(item) if item.sig.ident == name && is_public(&item.vis) => Some(vec![text_of(&item.sig)]),
        Item::Trait(item) if item.ident == name && is_public(&item.vis) => {
            Some(vec![named("trait", &item.ident, &item.attrs)])
        }
        _ => None,
    }
}

/// Whether the path of a type ends with this name.
fn ends_with(written: &Type, name: &str) -> bool {
    matches!(written, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// The last name of a type's path, and that of the first part that it is given.
fn assembled(written: &Type) -> Option<(String, String)> {
    let Type::Path(path) = written else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let Some(GenericArgument::Type(Type::Path(part))) = arguments.args.first() else { return None };
    Some((last.ident.to_string(), part.path.segments.last()?.ident.to_string()))
}

/// The functions that the type called `name` has as another name of a struct with a part that it is given:
/// those of the blocks for each part that has certain traits, if this one has them.
fn functions_by_part(items: &[(String, Item)], name: &str) -> Option<Vec<String>> {
    let (owner, part) = items.iter().find_map(|(_, item)| match item {
        Item::Type(item) if item.ident == name => assembled(&item.ty),
        _ => None,
    })?;
    let blocks =
        || items.iter().filter_map(|(_, item)| if let Item::Impl(block) = item { Some(block) } else { None });
    let has = |wanted: &TypeParamBound| {
        let TypeParamBound::Trait(wanted) = wanted else { return false };
        let wanted = wanted.path.segments.last().map(|last| &last.ident);
        blocks().any(|block| {
            let of = block.trait_.as_ref().and_then(|(_, of, _)| of.segments.last()).map(|last| &last.ident);
            of.is_some() && of == wanted && ends_with(&block.self_ty, &part)
        })
    };
    let takes = |block: &&ItemImpl| {
        block.trait_.is_none()
            && !is_hidden(&block.attrs)
            && assembled(&block.self_ty).is_some_and(|(of, name)| {
                let is_part = |one: &GenericParam| {
                    matches!(one, GenericParam::Type(one) if one.ident == name && one.bounds.iter().all(has))
                };
                of == owner && block.generics.params.iter().any(is_part)
            })
    };
    Some(blocks().filter(takes).flat_map(functions_of).collect())
}

/// The public functions and constants of a type.
fn functions(item: &Item, name: &str) -> Vec<String> {
    let Item::Impl(block) = item else { return vec![] };
    let is_its = ends_with(&block.self_ty, name);
    if block.trait_.is_some() || !is_its || is_hidden(&block.attrs) { vec![] } else { functions_of(block) }
}

/// The public functions and constants of a block.
fn functions_of(block: &ItemImpl) -> Vec<String> {
    let line = |item: &ImplItem| match item {
        ImplItem::Fn(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
            Some(format!("    {}", text_of(&item.sig)))
        }
        ImplItem::Const(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
            Some(format!("    const {}: {}", item.ident, text_of(&item.ty)))
        }
        _ => None,
    };
    block.items.iter().filter_map(line).collect()
}

/// The paths that a `use` imports, each with its local name.
fn brought(tree: &UseTree, path: &mut Vec<String>, out: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            brought(&inner.tree, path, out);
            path.pop();
        }
        UseTree::Name(last) => out.push((path.clone(), last.ident.to_string())),
        UseTree::Rename(last) => panic!("{}: a public name has one spelling", last.rename),
        UseTree::Glob(_) => panic!("{}::*: name what is public", path.join("::")),
        UseTree::Group(group) => group.items.iter().for_each(|tree| brought(tree, path, out)),
    }
}

/// The public surface of a crate, one definition below the other, and the number of names on its front page.
fn surface(package: &str) -> (String, usize) {
    let source = crates().join(package).join("src");
    let (mut names, mut own) = (Vec::new(), Vec::new());
    for item in parsed(&source.join("lib.rs")).items {
        match item {
            Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                brought(&item.tree, &mut Vec::new(), &mut names);
            }
            Item::Mod(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                own.push((item.ident.to_string(), vec![format!("mod {}", item.ident)]));
            }
            other => {
                if let Some(name) = defined(&other) {
                    own.extend(lines_of(&other, &name).map(|lines| (name, lines)));
                }
            }
        }
    }
    // Each crate is parsed once, whatever number of names lead to it.
    let mut read = BTreeMap::new();
    let items_here = items(&source);
    for (_, lines) in &mut own {
        let name = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
        lines.extend(items_here.iter().flat_map(|(_, item)| functions(item, &name)));
    }
    read.insert(source.clone(), items_here);
    let mut all = own;
    for (path, name) in names {
        let first = path.first().map(String::as_str).unwrap_or_default();
        let source = match first.starts_with("lockstep_") {
            true => crates().join(first.replace('_', "-")).join("src"),
            false => source.clone(),
        };
        let items = read.entry(source).or_insert_with_key(|source| items(source));
        let mut found: Vec<_> =
            items.iter().filter_map(|(file, item)| Some((file, lines_of(item, &name)?))).collect();
        if found.len() > 1 {
            let module = path.last().expect("a module");
            found.retain(|(file, _)| file.contains(module.as_str()));
        }
        let [(_, lines)] = &found[..] else {
            panic!("{}::{name} has {} definitions", path.join("::"), found.len())
        };
        let mut lines = lines.clone();
        lines.extend(items.iter().flat_map(|(_, item)| functions(item, &name)));
        if let Some(more) = functions_by_part(items, &name) {
            lines[0] = format!("struct {name}");
            lines.extend(more);
        }
        all.push((name, lines));
    }
    all.sort();
    let count = all.len();
    (all.into_iter().flat_map(|(_, lines)| lines).map(|line| line + "\n").collect(), count)
}

/// The name of an item that the front page itself defines.
fn defined(item: &Item) -> Option<String> {
    Some(match item {
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        _ => return None,
    })
}

#[test]
fn the_public_surface_is_the_list_in_the_repository() {
    for (package, max) in CRATES {
        let (surface, count) = surface(package);
        let file = crates().join(package).join("PUBLIC.txt");
        if std::env::var_os("REWRITE").is_some() {
            fs::write(&file, &surface).expect("writing the list");
        }
        let list = fs::read_to_string(&file).unwrap_or_default();
        let (old, new): (Vec<_>, Vec<_>) = (list.lines().collect(), surface.lines().collect());
        let gone: Vec<_> =
            old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}")).collect();
        let added: Vec<_> =
            new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}")).collect();
        assert!(
            list == surface,
            "the public surface of {package} is not that of {}:\n{}\n{}\n{REFRESH}",
            file.display(),
            gone.join("\n"),
            added.join("\n")
        );
        assert!(
            count <= max,
            "{package} has {count} public names, and {max} are its bound: a user reads all of them"
        );
    }
}

#[test]
fn the_reader_sees_what_a_user_sees() {
    let text = "#[non_exhaustive] pub enum E { A, B { at: u64 }, C(Vec<u8>), #[doc(hidden)] D }
        impl E { pub fn f<'a>(&'a mut self, to: &[u8]) -> Option<&'a str> { None } fn g(&self) {} #[doc(hidden)] pub fn h() {} }
        impl Drop for E { fn drop(&mut self) {} }";
    let items = syn::parse_file(text).expect("Rust").items;
    let lines: Vec<_> = items.iter().filter_map(|item| lines_of(item, "E")).flatten().collect();
    assert_eq!(lines, ["enum E (non_exhaustive)", "    A", "    B { at: u64 }", "    C(Vec<u8>)"]);
    let functions: Vec<_> = items.iter().flat_map(|item| functions(item, "E")).collect();
    assert_eq!(functions, ["    fn f<'a>(&'a mut self, to: &[u8]) -> Option<&'a str>"]);
}

#[test]
fn a_name_of_a_struct_with_a_part_has_the_functions_of_that_part_alone() {
    let text = "pub struct H<E>(E); pub type A = H<One<u8>>; pub type B = H<Two>; pub type Plain = u8;
        impl<T> Reads for One<T> {} impl Writes for Two {} impl Reads for Other {}
        impl A { pub fn own(&self) {} } impl<E> H<E> { pub fn each(&self) {} }
        impl<E: Reads> H<E> { pub fn read(&self) {} } impl<E: Writes> H<E> { pub fn write(&self) {} }";
    let items: Vec<_> = syn::parse_file(text).expect("Rust").items;
    let items: Vec<_> = items.into_iter().map(|item| (String::new(), item)).collect();
    let of = |name: &str| functions_by_part(&items, name);
    assert_eq!(of("A"), Some(vec!["    fn each(&self)".to_owned(), "    fn read(&self)".to_owned()]));
    assert_eq!(of("B"), Some(vec!["    fn each(&self)".to_owned(), "    fn write(&self)".to_owned()]));
    assert_eq!(of("Plain"), None);
}

// ---------------------------------------------------------------------------- since the last release

/// The lines of a list, each with the line of its type: `enum E`, `    A`. Whether the type may grow is not
/// part of its line.
fn by_type(list: &str) -> Vec<(&str, &str, bool)> {
    let (mut owner, mut may_grow) = ("", false);
    let lines = list.lines().map(|line| {
        if !line.starts_with(' ') {
            may_grow = line.ends_with(GROWS);
            owner = line.trim_end_matches(GROWS);
        }
        (owner, line.trim_end_matches(GROWS), may_grow)
    });
    lines.collect()
}

const GROWS: &str = " (non_exhaustive)";

/// The changes that break a program that compiles with `released`: a line that was removed or changed, a type
/// that programs may no longer match or write completely, or an additional variant or public field in one
/// that they may.
fn broken(released: &str, now: &str) -> Vec<String> {
    let (old, new) = (by_type(released), by_type(now));
    let holds = |lines: &[(&str, &str, bool)], owner: &str, line: &str| {
        lines.iter().any(|(other, there, _)| (*other, *there) == (owner, line))
    };
    let gone = old.iter().filter(|(owner, line, _)| !holds(&new, owner, line));
    let gone = gone.map(|(owner, line, _)| format!("- {owner}: {}", line.trim()));
    let closed = old.iter().filter(|(owner, line, grows)| {
        owner == line
            && !grows
            && new.iter().any(|(other, there, grows)| other == there && other == owner && *grows)
    });
    let closed = closed.map(|(owner, ..)| format!("- {owner}: it has become non_exhaustive"));
    let is_part = |line: &str| {
        let line = line.trim_start();
        !["fn ", "async fn ", "unsafe fn ", "const "].iter().any(|kind| line.starts_with(kind))
    };
    let more = new.iter().filter(|(owner, line, _)| {
        let is_whole = |(other, there, grows): &(&str, &str, bool)| {
            other == owner && other != there && !grows && is_part(there)
        };
        owner != line && is_part(line) && old.iter().any(is_whole) && !holds(&old, owner, line)
    });
    let more = more.map(|(owner, line, _)| format!("+ {owner}: {}", line.trim()));
    gone.chain(closed).chain(more).collect()
}

/// Whether cargo accepts the newer version where the older one was requested.
fn is_compatible(older: &str, newer: &str) -> bool {
    let numbers = |version: &str| version.split('.').map(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
    let (older, newer) = (numbers(older), numbers(newer));
    let first = older.iter().position(|number| *number != Some(0)).unwrap_or(older.len() - 1);
    older[..=first] == newer[..=first]
}

#[test]
fn a_version_keeps_the_public_surface_of_the_last_release() {
    let now = env!("CARGO_PKG_VERSION");
    for (package, _) in CRATES {
        let list = fs::read_to_string(crates().join(package).join("PUBLIC.txt")).expect("PUBLIC.txt");
        let file = crates().join(package).join("RELEASED.txt");
        if std::env::var_os("RELEASE").is_some() {
            fs::write(&file, format!("# {now}\n{list}")).expect("writing the list");
        }
        let text = fs::read_to_string(&file).expect("RELEASED.txt");
        let (version, released) = text.split_once('\n').expect("the version, and the list");
        let version = version.trim_start_matches("# ");
        let broken = broken(released, &list);
        assert!(
            broken.is_empty() || !is_compatible(version, now),
            "{package} {now} promises to be compatible with {version}, and is not:\n{}\nkeep it, or raise the \
             version (docs/RELEASING.md)",
            broken.join("\n")
        );
    }
}

#[test]
fn a_change_that_breaks_programs_is_found() {
    let released = "enum E\n    A\n    fn f(&self)\nenum G (non_exhaustive)\n    A\nstruct S\n    a: u8\n    fn f(&self)\n\
                    struct T\n    fn f(&self)\n";
    let change = |old: &str, new: &str| broken(released, &released.replacen(old, new, 1));
    assert!(broken(released, released).is_empty());
    assert!(change("struct T\n", "struct R\nstruct T\n    b: u8\n    fn g(&self)\n").is_empty());
    assert!(change("(non_exhaustive)\n", "(non_exhaustive)\n    B\n").is_empty(), "it may grow");
    assert_eq!(change("enum E\n    A\n", "enum E\n"), ["- enum E: A"], "G has one of that name");
    assert_eq!(change("fn f(&self)", "fn f(&mut self)"), ["- enum E: fn f(&self)"]);
    assert_eq!(change("enum E\n", "enum E\n    B\n"), ["+ enum E: B"]);
    assert_eq!(change("enum E\n", "enum E (non_exhaustive)\n"), ["- enum E: it has become non_exhaustive"]);
    assert_eq!(change("    a: u8\n", "    a: u8\n    b: u8\n"), ["+ struct S: b: u8"]);
    assert_eq!(change("struct T\n    fn f(&self)\n", "").len(), 2);
    assert!(is_compatible("0.1.0", "0.1.9") && !is_compatible("0.1.9", "0.2.0"));
    assert!(is_compatible("1.2.0", "1.9.0") && !is_compatible("1.2.0", "2.0.0"));
    assert!(is_compatible("0.0.3", "0.0.3") && !is_compatible("0.0.3", "0.0.4"));
}
