//! Numbers and words: what each language has of them is written from `bindings/api.toml`, between comments.

use super::description::{Description, Member, camel, pascal};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How a file has the members of an enumeration.
type Form = fn(&Enumeration<'_>) -> String;

/// An enumeration, and what its file calls it.
struct Enumeration<'a> {
    members: &'a [Member],
    name: &'a str,
}

/// A part of a file that is written from the description.
struct Part {
    file: &'static str,
    /// What the comment before it names.
    what: &'static str,
    members: fn(&Description) -> &[Member],
    /// The name of the type, or what stands before the name of each member.
    name: &'static str,
    form: Form,
}

fn statuses(description: &Description) -> &[Member] {
    &description.status
}

fn event_kinds(description: &Description) -> &[Member] {
    &description.event_kind
}

fn input_kinds(description: &Description) -> &[Member] {
    &description.input_kind
}

fn deliveries(description: &Description) -> &[Member] {
    &description.delivery
}

fn start_kinds(description: &Description) -> &[Member] {
    &description.start_kind
}

const KINDS: &str = "bindings/flat/src/kind.rs";
const INPUTS: &str = "bindings/flat/src/input.rs";
const STATUSES: &str = "bindings/c/src/status.rs";
const TYPES: &str = "bindings/c/src/types.rs";
const PYTHON: &str = "bindings/python/python/lockstep/_kinds.py";
const GO: &str = "bindings/go/lockstep.go";
const NODE: &str = "bindings/node/constants.js";

macro_rules! java {
    ($class:literal) => {
        concat!("bindings/java/src/io/lockstep/", $class, ".java")
    };
}

/// All of them. The header of C is written from the enums of Rust.
const PARTS: [Part; 24] = [
    Part { file: STATUSES, what: "statuses", members: statuses, name: "", form: rust_variants },
    Part { file: STATUSES, what: "names of statuses", members: statuses, name: "Status", form: rust_names },
    Part { file: TYPES, what: "deliveries", members: deliveries, name: "", form: rust_variants },
    Part { file: TYPES, what: "kinds of starts", members: start_kinds, name: "", form: rust_variants },
    Part { file: KINDS, what: "kinds of events", members: event_kinds, name: "", form: rust_variants },
    Part { file: KINDS, what: "all kinds of events", members: event_kinds, name: "", form: rust_list },
    Part { file: INPUTS, what: "kinds of inputs", members: input_kinds, name: "", form: rust_variants },
    Part { file: INPUTS, what: "all kinds of inputs", members: input_kinds, name: "", form: rust_list },
    Part { file: java!("Status"), what: "statuses", members: statuses, name: "", form: java_constants },
    Part {
        file: java!("Kind"),
        what: "kinds of events",
        members: event_kinds,
        name: "",
        form: java_constants,
    },
    Part { file: java!("Delivery"), what: "deliveries", members: deliveries, name: "", form: java_constants },
    Part {
        file: java!("InputKind"),
        what: "kinds of inputs",
        members: input_kinds,
        name: "",
        form: java_words,
    },
    Part {
        file: java!("Start"),
        what: "kinds of starts",
        members: start_kinds,
        name: "",
        form: java_numbers,
    },
    Part { file: GO, what: "statuses", members: statuses, name: "Status", form: go_constants },
    Part { file: GO, what: "kinds of events", members: event_kinds, name: "Kind", form: go_constants },
    Part { file: GO, what: "deliveries", members: deliveries, name: "Delivery", form: go_deliveries },
    Part { file: NODE, what: "statuses", members: statuses, name: "Status", form: node_constants },
    Part { file: NODE, what: "kinds of events", members: event_kinds, name: "Kind", form: node_constants },
    Part { file: NODE, what: "deliveries", members: deliveries, name: "Delivery", form: node_constants },
    Part {
        file: NODE,
        what: "kinds of starts",
        members: start_kinds,
        name: "StartKind",
        form: node_constants,
    },
    Part { file: PYTHON, what: "deliveries", members: deliveries, name: "", form: python_members },
    Part { file: PYTHON, what: "kinds of events", members: event_kinds, name: "", form: python_members },
    Part { file: PYTHON, what: "kinds of inputs", members: input_kinds, name: "", form: python_members },
    Part { file: super::PAGE, what: "statuses", members: statuses, name: "", form: page_rows },
];

/// Lines of at most `width` columns, each behind `before`.
fn wrapped(text: &str, before: &str, width: usize) -> String {
    let (mut lines, mut line) = (String::new(), before.to_owned());
    for word in text.split(' ') {
        if line.len() > before.len() && line.chars().count() + word.chars().count() > width {
            let _ = writeln!(lines, "{}", line.trim_end());
            before.clone_into(&mut line);
        }
        line.push_str(word);
        line.push(' ');
    }
    let _ = writeln!(lines, "{}", line.trim_end());
    lines
}

fn rust_variants(of: &Enumeration<'_>) -> String {
    let mut text = String::new();
    for member in of.members {
        text.push_str(&wrapped(&member.meaning, "    /// ", 110));
        let _ = writeln!(text, "    {} = {},", pascal(&member.name), member.number);
    }
    text
}

fn rust_list(of: &Enumeration<'_>) -> String {
    let mut text = format!("    pub const ALL: [Self; {}] = [\n", of.members.len());
    for member in of.members {
        let _ = writeln!(text, "        Self::{},", pascal(&member.name));
    }
    text + "    ];\n"
}

fn rust_names(of: &Enumeration<'_>) -> String {
    let mut text = format!("const NAMES: [({}, &CStr); {}] = [\n", of.name, of.members.len());
    for member in of.members {
        let _ = writeln!(text, "    ({}::{}, c\"{}\"),", of.name, pascal(&member.name), member.name);
    }
    text + "];\n"
}

/// The text of a member in the language of `javadoc`.
fn javadoc(member: &Member) -> String {
    let mut text = String::new();
    for (index, piece) in member.meaning.split('`').enumerate() {
        if index % 2 == 0 {
            text.push_str(piece);
        } else {
            let _ = write!(text, "{{@code\u{a0}{}}}", camel(piece));
        }
    }
    let line = format!("    /** {text} */\n");
    let lines = if line.chars().count() <= 121 {
        line
    } else {
        format!("    /**\n{}     */\n", wrapped(&text, "     * ", 120))
    };
    // No line ends within a `{@code}`.
    lines.replace('\u{a0}', " ")
}

fn java(of: &Enumeration<'_>, declared: fn(&Member) -> String) -> String {
    let mut text = String::new();
    for (index, member) in of.members.iter().enumerate() {
        let end = if index + 1 == of.members.len() { ';' } else { ',' };
        let _ = writeln!(text, "{}    {}{end}", javadoc(member), declared(member));
    }
    text
}

fn java_constants(of: &Enumeration<'_>) -> String {
    java(of, |member| format!("{}({})", member.name, member.number))
}

/// Constants whose place is their number.
fn java_words(of: &Enumeration<'_>) -> String {
    java(of, |member| member.name.clone())
}

fn java_numbers(of: &Enumeration<'_>) -> String {
    let mut text = String::new();
    for member in of.members {
        let _ = writeln!(text, "    static final int {} = {};", member.name, member.number);
    }
    text
}

/// The names of C are those that its compiler finds in the header.
fn go_constants(of: &Enumeration<'_>) -> String {
    let of_c = if of.name == "Kind" { "EVENT_KIND" } else { "STATUS" };
    let names: Vec<_> =
        of.members.iter().map(|member| format!("{}{}", of.name, pascal(&member.name))).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (name, member) in names.iter().zip(of.members) {
        let _ = writeln!(text, "\t{name:width$} {} = C.LOCKSTEP_{of_c}_{}", of.name, member.name);
    }
    text
}

/// The empty line keeps the comment of the part out of the documentation.
fn go_deliveries(of: &Enumeration<'_>) -> String {
    let mut text = "\n".to_owned();
    for member in of.members {
        let (name, meaning) = (pascal(&member.name), &member.meaning);
        let lowered = meaning[..1].to_lowercase() + &meaning[1..];
        text.push_str(&wrapped(&format!("{name} is {lowered}"), "\t// ", 117));
        let _ = writeln!(text, "\t{name} {} = C.LOCKSTEP_DELIVERY_{}", of.name, member.name);
    }
    text
}

fn node_constants(of: &Enumeration<'_>) -> String {
    let mut text = format!("const {} = Object.freeze({{\n", of.name);
    for member in of.members {
        text.push_str(&wrapped(&member.meaning, "  // ", 120));
        let _ = writeln!(text, "  {}: {},", member.name, member.number);
    }
    text + "});\n"
}

fn python_members(of: &Enumeration<'_>) -> String {
    let mut text = String::new();
    for (index, member) in of.members.iter().enumerate() {
        let meaning = member.python.clone().unwrap_or_else(|| member.meaning.replace('`', ""));
        let between = if index == 0 { "" } else { "\n" };
        let _ = writeln!(text, "{between}    {} = {}", member.name, member.number);
        text.push_str(&wrapped(&format!("\"\"\"{meaning}\"\"\""), "    ", 120));
    }
    text
}

fn page_rows(of: &Enumeration<'_>) -> String {
    let mut text = "| number | status | meaning | what to do | Python |\n|---|---|---|---|---|\n".to_owned();
    for Member { number, name, meaning, remedy, python } in of.members {
        let [remedy, python] = [remedy, python].map(|text| text.as_deref().unwrap_or("–"));
        let _ = writeln!(text, "| {number} | `{name}` | {meaning} | {remedy} | {python} |");
    }
    text
}

/// What a part has to be.
fn written(part: &Part, description: &Description) -> String {
    (part.form)(&Enumeration { members: (part.members)(description), name: part.name })
}

#[test]
fn numbers_and_words_of_each_language_are_those_of_the_description() {
    let description = Description::read();
    let mut wrong = Vec::new();
    for part in &PARTS {
        super::part_of_file(part.file, part.what, &written(part, &description), &mut wrong);
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), super::REFRESH);
}

/// The words of the classes of `_errors.py`, by the name of the class.
fn words_of_python(text: &str) -> BTreeMap<&str, &str> {
    let classes = text.split("\nclass ").skip(1);
    let named = classes.filter_map(|class| {
        let (name, body) = class.split_once('(')?;
        let (_, word) = body.split_once("\n    status = \"")?;
        Some((name, word.split_once('"')?.0))
    });
    named.collect()
}

#[test]
fn the_status_of_each_exception_of_python_is_a_word_of_the_description() {
    let description = Description::read();
    let text = super::read("bindings/python/python/lockstep/_errors.py");
    let mut found = words_of_python(&text);
    let mut wrong = Vec::new();
    for Member { name, python, .. } in &description.status {
        let Some(class) = python else { continue };
        let word = found.remove(class.as_str());
        if word != Some(name) {
            wrong.push(format!("{class}: its status is {word:?} and not {name}"));
        }
    }
    let own = description.only.iter().filter(|only| only.language == "python" && only.owner == "status");
    let own: Vec<_> = own.flat_map(|only| &only.names).collect();
    for (class, word) in found {
        if !own.iter().any(|one| *one == word) {
            wrong.push(format!("{class}: the description does not know its status {word}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_are_wrapped_and_written_as_each_language_has_them() {
    let member = Member {
        number: 7,
        name: "TWO_WORDS".to_owned(),
        meaning: "It has `publisher_seq` and more.".to_owned(),
        remedy: None,
        python: None,
    };
    let of = Enumeration { members: std::slice::from_ref(&member), name: "Kind" };
    assert_eq!(rust_variants(&of), "    /// It has `publisher_seq` and more.\n    TwoWords = 7,\n");
    assert_eq!(java_constants(&of), "    /** It has {@code publisherSeq} and more. */\n    TWO_WORDS(7);\n");
    assert_eq!(go_constants(&of), "\tKindTwoWords Kind = C.LOCKSTEP_EVENT_KIND_TWO_WORDS\n");
    assert_eq!(python_members(&of), "    TWO_WORDS = 7\n    \"\"\"It has publisher_seq and more.\"\"\"\n");
    assert_eq!(wrapped("one two three", "// ", 10), "// one two\n// three\n");
}
