//! Numbers that may only fall: what is over a bound today stands in `ratchets.toml`, and nothing new may
//! join it.
//!
//! A number that has risen fails, and so does one that could be lowered, so that the table is exact:
//! `REWRITE=1 cargo test --test tidy ratchets` lowers it and never raises it. A pull request that has to
//! raise one edits the table by hand, and says why.

use super::{circles, giants, phrases, read, root};
use std::collections::BTreeMap;

/// Number by section and key.
type Table = BTreeMap<(String, String), usize>;

const LOWER: &str = "REWRITE=1 cargo test --test tidy ratchets";

const HEAD: &str = "\
# What is over a bound of tests/tidy today. The numbers may only fall: tests/tidy/ratchets.rs says how.
#   functions, lines   of all `impl` blocks of a type, by package (`.` is the root) and name
#   circles            files of a package that import each other, its largest circle first
#   phrases            the words of tests/tidy/phrases.rs
";

/// The package in which a file lies, by its folder; `.` is the root.
pub fn package_of(file: &str) -> &str {
    if let Some((package, _)) = file.split_once("/src/") {
        return package;
    }
    let depth = match file.split('/').next() {
        Some("crates" | "bindings") => 2,
        Some("examples") if file.matches('/').count() > 1 => 2,
        Some("bench" | "tools") => 1,
        _ => return ".",
    };
    file.match_indices('/').nth(depth - 1).map_or(".", |(at, _)| &file[..at])
}

fn parsed(text: &str) -> Table {
    let table: toml::Table = text.parse().expect("ratchets.toml");
    let rows = table.iter().flat_map(|(section, rows)| {
        let rows = rows.as_table().expect("a section");
        rows.iter().map(move |(key, number)| {
            let number = number.as_integer().and_then(|number| usize::try_from(number).ok());
            ((section.clone(), key.clone()), number.expect("a number"))
        })
    });
    rows.collect()
}

fn printed(table: &Table) -> String {
    let (mut text, mut last) = (HEAD.to_owned(), "");
    for ((section, key), number) in table {
        if section != last {
            text += &format!("\n[{section}]\n");
            last = section;
        }
        text += &format!("\"{key}\" = {number}\n");
    }
    text
}

/// A share moves with every comment that comes or goes, so it is lowered by whole steps of two.
fn slack(section: &str) -> usize {
    usize::from(section == "phrases")
}

/// What has risen or is new, and what could be lowered.
fn compared(listed: &Table, measured: &Table) -> (Vec<String>, Vec<String>) {
    let risen = measured.iter().filter_map(|(row, now)| {
        let (section, key) = row;
        match listed.get(row) {
            Some(number) if now <= number => None,
            Some(number) => Some(format!("[{section}] {key}: {now}, and {number} is its bound")),
            None => Some(format!("[{section}] {key}: {now}, which is over the bound for all")),
        }
    });
    let loose = listed.iter().filter_map(|(row, number)| {
        let (section, key) = row;
        match measured.get(row) {
            Some(now) if now + slack(section) >= *number => None,
            Some(now) => Some(format!("[{section}] {key}: {now} instead of {number}")),
            None => Some(format!("[{section}] {key}: no longer over the bound")),
        }
    });
    (risen.collect(), loose.collect())
}

/// The listed rows that are still over their bounds, lowered where [`compared`] says so.
fn lowered(listed: &Table, measured: &Table) -> Table {
    let rows = listed.iter().filter_map(|(row, number)| {
        let now = *measured.get(row)?;
        Some((row.clone(), if now + slack(&row.0) < *number { now } else { *number }))
    });
    rows.collect()
}

#[test]
fn numbers_that_may_only_fall_have_not_risen() {
    let file = root().join("tests/tidy/ratchets.toml");
    let all = giants::measured().into_iter().chain(circles::measured()).chain(phrases::measured());
    let measured: Table = all.map(|(section, key, number)| ((section.to_owned(), key), number)).collect();
    let mut listed = parsed(&read(&file));
    if std::env::var_os("REWRITE").is_some() {
        listed = lowered(&listed, &measured);
        std::fs::write(&file, printed(&listed)).expect("writing the table");
    }
    let (risen, loose) = compared(&listed, &measured);
    assert!(
        risen.is_empty(),
        "split the type, cut the circle (--show-output draws it), or write who does what:\n  {}",
        risen.join("\n  ")
    );
    assert!(loose.is_empty(), "better than tests/tidy/ratchets.toml says; {LOWER}\n  {}", loose.join("\n  "));
}

#[test]
fn a_number_that_rises_a_new_one_and_a_loose_one_are_found() {
    let table = |rows: &[(&str, &str, usize)]| -> Table {
        rows.iter().map(|(section, key, number)| ((section.to_string(), key.to_string()), *number)).collect()
    };
    let listed = table(&[("lines", "A", 10), ("lines", "B", 10), ("lines", "C", 10), ("phrases", "x", 10)]);
    assert_eq!(parsed(&printed(&listed)), listed);
    let measured = table(&[("lines", "A", 11), ("lines", "B", 9), ("lines", "D", 5), ("phrases", "x", 9)]);
    let (risen, loose) = compared(&listed, &measured);
    assert_eq!(
        risen,
        ["[lines] A: 11, and 10 is its bound", "[lines] D: 5, which is over the bound for all"]
    );
    assert_eq!(loose, ["[lines] B: 9 instead of 10", "[lines] C: no longer over the bound"]);
    assert_eq!(
        lowered(&listed, &measured),
        table(&[("lines", "A", 10), ("lines", "B", 9), ("phrases", "x", 10)]),
        "nothing rises and nothing joins"
    );
    assert_eq!(package_of("crates/x/src/a/b.rs"), "crates/x");
    assert_eq!(package_of("crates/x/tests/it/main.rs"), "crates/x");
    assert_eq!(package_of("bench/peers/src/a.rs"), "bench/peers");
    assert_eq!(package_of("src/cli/a.rs"), ".");
    assert_eq!(package_of("examples/hello.rs"), ".");
    assert_eq!(package_of("tests/tidy/a.rs"), ".");
}
