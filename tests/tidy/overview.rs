//! The repository in figures: lines by room, the largest types, circles of files, and copies.
//!
//! `cargo test --test tidy overview -- --show-output` prints them. [`super::ratchets`] holds types and
//! circles to their bounds; copies are held here.

use super::prose::all_sources;
use super::ratchets::package_of;
use super::source::test_parts;
use super::{circles, giants, none, room_of};
use std::collections::{BTreeMap, BTreeSet};

/// Lines of code that are equal in two places are printed from this many on.
const COPY_PRINTED: usize = 12;
/// From this many on they are refused, unless [`COPIES`] has a reason.
const COPY_MAX: usize = 40;
/// Types that are printed.
const TYPES: usize = 12;

/// Longer copies: both files, and why there is no common one.
const COPIES: [(&str, &str, &str); 1] = [(
    "crates/itch50/src/field.rs",
    "crates/ouch50/src/field.rs",
    "two published codecs, neither of which is worth a dependency to the users of the other",
)];

// ---------------------------------------------------------------------------- lines by room

/// Lines of a room: those of the product, and those of its tests.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct RoomLines {
    files: usize,
    product: usize,
    tests: usize,
}

/// Where a file belongs: its room, or its package where that has none; tests of a package lie with it.
fn place_of(file: &str) -> String {
    let package = package_of(file);
    let of_tests = format!("{package}/src/");
    room_of(file).or_else(|| room_of(&of_tests).filter(|_| package != ".")).map_or_else(
        || {
            let first = file.split('/').next().unwrap_or_default();
            if package == "." { first.to_owned() } else { package.to_owned() }
        },
        str::to_owned,
    )
}

fn lines_by_room(sources: &[(String, String)]) -> BTreeMap<String, RoomLines> {
    let mut rooms: BTreeMap<String, RoomLines> = BTreeMap::new();
    for (file, text) in sources {
        let room = rooms.entry(place_of(file)).or_default();
        let is_test = file.starts_with("tests/") || file.contains("/tests/") || file.ends_with("/tests.rs");
        let all = text.lines().count();
        let within = test_parts(text).into_iter().map(|part| part.lines().count()).sum::<usize>();
        let tests = if is_test { all } else { within.min(all) };
        room.files += 1;
        room.tests += tests;
        room.product += all - tests;
    }
    rooms
}

// ---------------------------------------------------------------------------- copies

/// The lines of code of a text with their numbers: neither comments, nor imports, nor blank lines.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with("//") && !line.starts_with("use "))
        .collect()
}

/// A copy: both files with their first lines, and how many lines of code are equal.
type CopyOf = (usize, String, usize, String, usize);

/// Lines of code that stand in two places, the longest copy first.
fn copies(sources: &[(String, String)]) -> Vec<CopyOf> {
    let files: Vec<_> = sources.iter().map(|(_, text)| code_lines(text)).collect();
    let mut places: BTreeMap<Vec<&str>, Vec<(usize, usize)>> = BTreeMap::new();
    for (file, lines) in files.iter().enumerate() {
        for (at, window) in lines.windows(COPY_PRINTED).enumerate() {
            let window = window.iter().map(|(_, line)| *line).collect();
            places.entry(window).or_default().push((file, at));
        }
    }
    // Windows that lie behind each other in both files are one copy.
    let mut pairs = BTreeSet::new();
    for found in places.into_values().filter(|found| found.len() > 1) {
        let first = found[0];
        // The rows of a table are alike, and no copy of each other.
        let is_apart = |other: &&(usize, usize)| first.0 != other.0 || other.1 >= first.1 + COPY_PRINTED;
        pairs.extend(found[1..].iter().filter(is_apart).map(|other| (first, *other)));
    }
    let behind = |(file, at): (usize, usize)| (file, at + 1);
    let begins = |(a, b): &((usize, usize), (usize, usize))| {
        let before = |(file, at): (usize, usize)| Some((file, at.checked_sub(1)?));
        !before(*a).zip(before(*b)).is_some_and(|pair| pairs.contains(&pair))
    };
    let copy = |(a, b): &((usize, usize), (usize, usize))| {
        let (mut windows, mut next) = (1, (behind(*a), behind(*b)));
        while pairs.contains(&next) {
            (windows, next) = (windows + 1, (behind(next.0), behind(next.1)));
        }
        let place = |(file, at): (usize, usize)| (sources[file].0.clone(), files[file][at].0);
        let ((one, line), (other, other_line)) = (place(*a), place(*b));
        (windows + COPY_PRINTED - 1, one, line, other, other_line)
    };
    let mut copies: Vec<CopyOf> = pairs.iter().filter(|pair| begins(pair)).map(copy).collect();
    copies.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.cmp(other)));
    copies
}

// ---------------------------------------------------------------------------- the command

#[test]
fn lines_by_room_types_circles_and_copies_are_shown_and_no_copy_is_long() {
    let sources = all_sources();
    println!("{:<40} {:>6} {:>8} {:>8}", "lines by room", "files", "product", "tests");
    let rooms = lines_by_room(&sources);
    for (room, lines) in &rooms {
        println!("{room:<40} {:>6} {:>8} {:>8}", lines.files, lines.product, lines.tests);
    }
    let sum = |of: fn(&RoomLines) -> usize| rooms.values().map(of).sum::<usize>();
    let (files, product, tests) = (sum(|room| room.files), sum(|room| room.product), sum(|room| room.tests));
    println!("{:<40} {files:>6} {product:>8} {tests:>8}\n", "all");
    assert_eq!(files, sources.len(), "each file is counted once");
    println!("{:<40} {:>9} {:>8}", "the largest types", "functions", "lines");
    for (name, functions, lines) in giants::largest(TYPES) {
        println!("{name:<40} {functions:>9} {lines:>8}");
    }
    println!("\ncircles of files over the bound");
    circles::measured();
    println!("\ncopies of {COPY_PRINTED} lines of code and more");
    let copies = copies(&sources);
    for (lines, one, line, other, other_line) in &copies {
        println!("{lines:>4} lines: {one}:{line} and {other}:{other_line}");
    }
    let is_listed = |one: &str, other: &str| COPIES.iter().any(|row| (row.0, row.1) == (one, other));
    let long = copies.iter().filter(|copy| copy.0 > COPY_MAX && !is_listed(&copy.1, &copy.3));
    none(
        long.map(|(lines, one, line, other, _)| format!("{one}:{line} and {other}: {lines} lines")).collect(),
        "give both places one function, or COPIES the reason",
    );
    let is_unused = |row: &&(&str, &str, &str)| {
        !copies.iter().any(|copy| copy.0 > COPY_MAX && (&*copy.1, &*copy.3) == (row.0, row.1))
    };
    none(COPIES.iter().filter(is_unused).map(|row| row.0.to_owned()).collect(), "no such copy is left");
}

#[test]
fn a_copy_is_found_once_with_its_whole_length_and_a_file_lies_in_its_room() {
    let code = (0..COPY_PRINTED + 3).map(|n| format!("  let a = {n};\n")).collect::<String>();
    let sources = [
        (
            "crates/lockstep-core/src/proto/a.rs".to_owned(),
            format!("fn a() {{\n// a\n{code}}}\nfn c() {{}}\n"),
        ),
        (
            "bench/src/b.rs".to_owned(),
            format!("use x;\nfn b() {{\n\n{code}}}\n#[cfg(test)]\nmod tests {{\n}}\n"),
        ),
    ];
    let found = copies(&sources);
    assert_eq!(found.len(), 1, "{found:?}");
    let (lines, one, line, other, other_line) = &found[0];
    // The brace that closes the function is equal too.
    assert_eq!((*lines, *line, *other_line), (COPY_PRINTED + 4, 3, 4), "{one} {other}");
    let rooms = lines_by_room(&sources);
    assert_eq!(rooms["proto"], RoomLines { files: 1, product: COPY_PRINTED + 7, tests: 0 });
    assert_eq!(rooms["bench"], RoomLines { files: 1, product: COPY_PRINTED + 8, tests: 2 });
    let places =
        ["crates/lockstep-io/tests/it/main.rs", "tests/tidy/main.rs", "src/cli/mod.rs"].map(place_of);
    assert_eq!(places, ["io", "tests", "cli"].map(str::to_owned));
}
