//! Checks of size: lines of a file, lines of a function.

use super::prose::all_sources;
use super::source::{code_only, line_of, word_offsets};
use super::{is_name_char, none};

/// A file beyond the first is printed: look twice. Beyond the second it is refused: split it.
const LINES_PRINTED: usize = 400;
const LINES_MAX: usize = 600;

/// A function of more lines is refused, unless [`LONG_FUNCTIONS`] has a reason for it.
const FUNCTION_MAX: usize = 70;

/// Longer functions, each with the reason why it is one: file, function, reason.
const LONG_FUNCTIONS: [(&str, &str, &str); 17] = [
    ("crates/lockstep-client/src/conditions.rs", "what", "one arm for each condition"),
    (
        "crates/lockstep-core/tests/it/window.rs",
        "every_message_is_sent_until_it_has_exactly_one_fate",
        "one property: one arm for each step of its model",
    ),
    ("crates/lockstep-wire/tests/it/samples.rs", "datagrams", "a table: one datagram of each kind"),
    ("crates/lockstep-wire/src/datagram.rs", "decode_rare", "one arm for each kind of datagram"),
    ("crates/lockstep-sim/src/check/datagrams.rs", "check_datagram", "one arm for each kind of datagram"),
    (
        "crates/lockstep-wire/tests/it/main.rs",
        "everything_wrong_is_refused_for_its_own_reason",
        "a table: one row for each reason",
    ),
    ("crates/lockstep-sim/src/check/events.rs", "check_node_event", "one arm for each event"),
    ("crates/lockstep-sim/src/check/events.rs", "judge_subscriber_event", "one arm for each event"),
    (
        "tests/cluster/start.rs",
        "the_page_that_begins_from_nothing_does_what_it_says",
        "one story, in the order of the page",
    ),
    ("crates/lockstep-sim/src/plan/draw.rs", "of_seed", "the order of its draws is the meaning of a seed"),
    (
        "tests/cluster/cli/recover.rs",
        "after_a_power_cut_of_all_the_longest_journal_founds_a_history_and_a_reader_that_is_ahead_is_told",
        "one story, in its order",
    ),
    ("tests/network/xdp.rs", "speaker", "one child process, in its order"),
    ("crates/lockstep-sim/src/check/events.rs", "judge_publisher_event", "one arm for each event"),
    ("crates/lockstep-demo/src/report.rs", "json", "one document with all its fields"),
    ("crates/lockstep-replica/src/journal/checkpoint.rs", "apply", "one arm for each kind of entry"),
    ("crates/lockstep-sim/src/edge/process.rs", "start", "one constructor with all settings of a gateway"),
    ("crates/lockstep-gateway/src/gateway/core/fuzz.rs", "step", "one arm for each kind of step"),
];

// ---------------------------------------------------------------------------- files

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
    let sizes: Vec<_> = all_sources().into_iter().map(|(file, text)| (file, text.lines().count())).collect();
    let (printed, refused) = long_files(&sizes);
    for line in printed {
        println!("look twice: {line}");
    }
    none(refused, "files of more than 600 lines: split them by question");
}

#[test]
fn a_long_file_is_printed_and_a_longer_one_refused() {
    let sizes = [400, 401, 600, 601].map(|lines| (lines.to_string(), lines));
    let (printed, refused) = long_files(&sizes);
    assert_eq!((printed.len(), refused), (3, vec!["601: 601 lines".to_owned()]));
}

// ---------------------------------------------------------------------------- functions

/// Each function with a body: its line, its name, its lines from `fn` to the closing brace.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let code = code_only(text);
    let all = word_offsets(&code, "fn").filter_map(|at| {
        let behind = code[at + 2..].trim_start();
        let name = behind[..behind.find(|c: char| !is_name_char(c))?].to_owned();
        let end = at + body_end(&code[at..])?;
        (!name.is_empty()).then(|| (line_of(&code, at), name, code[at..end].lines().count()))
    });
    all.collect()
}

/// Where the first body of `code` ends; `None` if a semicolon comes first, as for a function of a trait.
pub fn body_end(code: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (offset, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' if braces == 1 => return Some(offset + 1),
            '}' => braces -= 1,
            _ => {}
        }
    }
    None
}

#[test]
fn a_function_can_be_read_at_one_glance() {
    let mut refused = Vec::new();
    let mut used = [false; LONG_FUNCTIONS.len()];
    for (file, text) in all_sources() {
        for (line, name, lines) in functions(&text).into_iter().filter(|(.., lines)| *lines > FUNCTION_MAX) {
            let row =
                LONG_FUNCTIONS.iter().position(|(place, function, _)| file == *place && name == *function);
            match row {
                Some(row) => used[row] = true,
                None => refused.push(format!("{file}:{line}: {name} has {lines} lines")),
            }
        }
    }
    none(refused, "functions of more than 70 lines: split them by what they do");
    let stale = LONG_FUNCTIONS.iter().zip(used).filter(|(_, used)| !used);
    none(
        stale.map(|((file, name, _), _)| format!("{file}: {name}")).collect(),
        "exceptions that nothing needs",
    );
}

#[test]
fn the_lines_of_a_function_are_counted() {
    let text = "fn a() {}\ntrait T { fn b(x: [u8; 2]); fn c() {\n if x { '}' }\n}\n}\ntype F = fn(u8);";
    let found = functions(text);
    assert_eq!(found, [(1, "a".to_owned(), 1), (2, "c".to_owned(), 3)]);
}
