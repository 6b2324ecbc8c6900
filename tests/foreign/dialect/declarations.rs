//! What the sources of a language declare: the parameters of each call of a handle.

use super::description::{camel, pascal};

/// A parameter, and the text of what it is where it is left out.
pub(super) type Parameter = (String, Option<String>);

/// One declaration of a call: an overload.
#[derive(Debug)]
pub(super) struct Declaration {
    pub(super) parameters: Vec<Parameter>,
    /// Those that are given by name, in any order.
    pub(super) keywords: Vec<Parameter>,
    /// What stands behind the parameters, up to the next empty line.
    pub(super) body: String,
}

/// Where a language declares what a handle has: parts of sources, and how far its declarations are indented.
struct Place {
    sections: Vec<String>,
    indent: usize,
}

const HEADER: &str = "bindings/c/include/lockstep.h";
const HPP: &str = "bindings/c/include/lockstep.hpp";
const MACHINE_HPP: &str = "bindings/c/include/lockstep_machine.hpp";
const GO: [&str; 3] = ["bindings/go/lockstep.go", "bindings/go/participant.go", "bindings/go/merged.go"];
const NODE: &str = "bindings/node/index.js";
const PYTHON: &str = "bindings/python/python/lockstep/_native.pyi";
const PYTHON_MACHINE: &str = "bindings/python/python/lockstep/_machine.py";
/// Where functions of the module are declared.
const PYTHON_MODULE: [&str; 3] =
    ["bindings/python/python/lockstep/_request.py", "bindings/python/python/lockstep/_trial.py", PYTHON];

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// A class as far as it is public: from the line that begins with `head` to the next line of its column.
fn class(text: &str, head: &str) -> Option<String> {
    let is_head = |line: &&str| line.strip_prefix(head).is_some_and(|rest| !rest.starts_with(is_name));
    let mut lines = text.lines().skip_while(|line| !is_head(line)).skip(1).peekable();
    lines.peek()?;
    let is_inside = |line: &&str| line.is_empty() || line.starts_with(' ') || *line == "public:";
    Some(lines.take_while(is_inside).collect::<Vec<_>>().join("\n"))
}

/// The parts of each language that a handle is made of, beside its own: what publishes, what reads, and what
/// every handle has.
fn parts(language: &str, owner: &str) -> Vec<&'static str> {
    let [publishing, reading, every] = match language {
        "C++" => ["class publishing", "class reading", "class handle"],
        "Go" => ["publishing", "", "stream"],
        "Java" => ["PublishingHandle", "ReadingHandle", "Handle"],
        "Node" => ["const Publishing", "const Reading", "class StreamHandle"],
        "Python" => ["class _Publishing", "", "class _Handle"],
        _ => return Vec::new(),
    };
    let parts = match owner {
        "publisher" => vec![publishing, every],
        "subscriber" => vec![reading, every],
        "participant" => vec![publishing, reading, every],
        _ => vec![],
    };
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

/// The classes of a source that a handle is made of.
fn classes(language: &str, owner: &str, text: &str) -> Vec<String> {
    let name = if language == "C++" { owner.to_owned() } else { pascal(owner) };
    let own = [format!("class {name}"), format!("struct {name}")];
    let heads = own.iter().map(String::as_str).chain(parts(language, owner));
    heads.filter_map(|head| class(text, head)).collect()
}

/// The files of Java that a handle is made of.
fn of_java(owner: &str) -> Vec<String> {
    let own = pascal(owner);
    let files = std::iter::once(own.as_str()).chain(parts("Java", owner));
    let read = |class| super::read(&format!("bindings/java/src/io/lockstep/{class}.java"));
    files.map(|class| of_interface(read(class))).collect()
}

/// A file of Java, in which the methods of an interface are public by their own words too.
fn of_interface(text: String) -> String {
    if !text.contains("\npublic interface ") {
        return text;
    }
    let is_bare = |line: &str| line.ends_with(");") && line.starts_with("    ") && !line.starts_with("     ");
    let shown = |line: &str| {
        if is_bare(line) { format!("    public {}\n", line.trim()) } else { format!("{line}\n") }
    };
    text.lines().map(shown).collect()
}

/// The receivers of Go's methods that a handle is made of.
fn receivers(owner: &str) -> Vec<String> {
    std::iter::once(pascal(owner)).chain(parts("Go", owner).into_iter().map(str::to_owned)).collect()
}

/// Where the calls of a handle are declared; without a handle, those of the module.
fn place(language: &str, owner: Option<&str>) -> Place {
    let of_classes = |text: String| owner.map_or_else(Vec::new, |owner| classes(language, owner, &text));
    let (sections, indent) = match (language, owner) {
        ("C", _) => (vec![super::read(HEADER)], 0),
        ("C++", Some(_)) => (of_classes(super::read(HPP) + &super::read(MACHINE_HPP)), 4),
        ("C++", None) => (vec![super::read(MACHINE_HPP)], 0),
        ("Go", _) => (GO.iter().map(|file| super::read(file)).collect(), 0),
        ("Java", Some(owner)) => (of_java(owner), 4),
        ("Node", _) => (of_classes(super::read(NODE)), 2),
        ("Python", None) => (PYTHON_MODULE.iter().map(|file| super::read(file)).collect(), 0),
        ("Python", _) => (of_classes(super::read(PYTHON) + &super::read(PYTHON_MACHINE)), 4),
        _ => (Vec::new(), 0),
    };
    Place { sections, indent }
}

/// The name of a call as the sources of a language have it, and the handle whose part it stands in.
pub(super) fn name_of<'a>(language: &str, owner: &'a str, name: &str) -> (String, Option<&'a str>) {
    let name = name.replace("{}", if language == "Go" { "\u{1}" } else { owner });
    let (name, place) = match name.split_once('.') {
        Some(("lockstep", name)) => (name.to_owned(), None),
        Some(("Endpoint", name)) => (name.to_owned(), Some("endpoint")),
        _ => (name, Some(owner)),
    };
    let written = match (language, place) {
        ("C", Some(owner)) => format!("lockstep_{owner}_{name}"),
        ("C", None) => format!("lockstep_{name}"),
        ("Go", Some(owner)) => format!("{}) {}", pascal(owner), pascal(&name)),
        ("Go", None) => name.replace('\u{1}', &pascal(owner)),
        ("Java" | "Node", _) => camel(&name),
        _ => name,
    };
    (written, place)
}

/// What stands between brackets that open at the begin of `text`, and behind them.
fn inside(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_u32;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if before != '-' && before != '=' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + letter.len_utf8()..]));
        }
        before = letter;
    }
    None
}

/// The pieces of a list between commas, of which those within brackets separate nothing.
fn pieces(list: &str) -> Vec<&str> {
    let (mut found, mut rest, mut at) = (Vec::new(), list, 0);
    while let Some(letter) = rest[at..].chars().next() {
        if letter == ',' {
            found.push(rest[..at].trim());
            rest = &rest[at + 1..];
            at = 0;
        } else if "([{<".contains(letter)
            && let Some((_, behind)) = inside(&rest[at..])
        {
            at = rest.len() - behind.len();
        } else {
            at += letter.len_utf8();
        }
    }
    found.push(rest.trim());
    found.retain(|piece| !piece.is_empty());
    found
}

/// The name of a parameter, without its type.
fn parameter_name(language: &str, text: &str) -> String {
    let is_first = ["Go", "Node", "Python"].contains(&language);
    let mut words = text.split(|letter| !is_name(letter)).filter(|word| !word.is_empty());
    let word = if is_first { words.next() } else { words.next_back() };
    word.unwrap_or_default().to_owned()
}

fn parameter(language: &str, piece: &str) -> Vec<Parameter> {
    // Options of Node: each of them may be left out.
    if let Some((options, _)) = piece.starts_with('{').then(|| inside(piece)).flatten() {
        return pieces(options).into_iter().flat_map(|option| parameter(language, option)).collect();
    }
    let (declared, default) = piece.split_once('=').map_or((piece, None), |(name, it)| (name, Some(it)));
    vec![(parameter_name(language, declared.trim()), default.map(|it| it.trim().to_owned()))]
}

/// The declaration whose parameters open at the begin of `text`.
pub(super) fn declaration(language: &str, text: &str) -> Option<Declaration> {
    let (list, behind) = inside(text)?;
    let body = behind.split_once("\n\n").map_or(behind, |(body, _)| body).to_owned();
    let list: Vec<_> =
        pieces(list).into_iter().filter(|piece| !["self", "cls", "void", "/"].contains(piece)).collect();
    let at = list.iter().position(|piece| *piece == "*").unwrap_or(list.len());
    let all = |pieces: &[&str]| pieces.iter().flat_map(|piece| parameter(language, piece)).collect();
    let keywords = all(list.get(at + 1..).unwrap_or_default());
    Some(Declaration { parameters: all(&list[..at]), keywords, body })
}

/// Whether a line of a source declares something that users call.
fn declares(language: &str, line: &str, indent: usize) -> bool {
    let (before, rest) = line.split_at_checked(indent).unwrap_or(("", ""));
    before.trim().is_empty()
        && !rest.starts_with([' ', '/', '*', '#', '@', '}', '"'])
        && match language {
            "Java" => ["public ", "default "].iter().any(|word| rest.starts_with(word)),
            "Python" => rest.starts_with("def "),
            _ => true,
        }
}

/// The declarations of a call by the name that the sources have.
pub(super) fn declarations(language: &str, place_of: Option<&str>, name: &str) -> Vec<Declaration> {
    let Place { sections, indent } = place(language, place_of);
    let names: Vec<_> = match (name.split_once(')'), place_of) {
        (Some((_, call)), Some(owner)) if language == "Go" => {
            receivers(owner).iter().map(|receiver| format!("{receiver}){call}")).collect()
        }
        _ => vec![name.to_owned()],
    };
    let mut found = Vec::new();
    for section in &sections {
        let mut at = 0;
        for line in section.split_inclusive('\n') {
            let behind = names.iter().find_map(|name| {
                line.match_indices(&format!("{name}(")).find_map(|(start, _)| {
                    (!line[..start].ends_with(is_name)).then_some(at + start + name.len())
                })
            });
            if let Some(behind) = behind.filter(|_| declares(language, line, indent)) {
                found.extend(declaration(language, &section[behind..]));
            }
            at += line.len();
        }
    }
    // In C the handle stands before the arguments, and behind them where the result is stored.
    for declaration in &mut found {
        let of_handle = |(name, _): &Parameter| {
            place_of.is_some_and(|owner| name == owner || owner == "cursor_file" && name == "file")
        };
        if language == "C" && declaration.parameters.first().is_some_and(of_handle) {
            declaration.parameters.remove(0);
        }
        let is_result = |(name, _): &Parameter| ["C", "C++"].contains(&language) && name == "out";
        if declaration.parameters.last().is_some_and(is_result) {
            declaration.parameters.pop();
        }
    }
    found
}

/// The names of all calls that a language declares for a handle.
pub(super) fn declared_names(language: &str, owner: &str) -> Vec<String> {
    let Place { sections, indent } = place(language, Some(owner));
    let is_constructor =
        |name: &str| name == "constructor" || language == "C++" && [owner, "handle"].contains(&name);
    let mut names = Vec::new();
    for line in sections.iter().flat_map(|section| section.lines()) {
        let head = line.split('(').next().unwrap_or_default();
        let name = match language {
            // Calls of a `cursor_file` are none of a `cursor`.
            "C" => head.split(&format!("lockstep_{owner}_")).nth(1).filter(|name| !name.starts_with("file_")),
            "Go" => receivers(owner).iter().find_map(|receiver| {
                let (_, rest) = line.split_once(&format!("*{receiver}) "))?;
                rest.split('(').next().filter(|name| name.starts_with(char::is_uppercase))
            }),
            _ => head.split(' ').next_back(),
        };
        let name = name.filter(|name| !name.is_empty() && name.chars().all(is_name));
        let is_call = declares(language, line, indent) && line.contains('(');
        let is_of_language = |name: &&str| {
            name.starts_with("__")
                || name.starts_with(char::is_uppercase) && language == "Java"
                || is_constructor(name)
        };
        names.extend(name.filter(|name| is_call && !is_of_language(name)).map(str::to_owned));
    }
    names
}

#[test]
fn declarations_of_each_language_are_read() {
    let read = |language, text| declaration(language, text).expect("a declaration");
    let names = |all: &[Parameter]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(" ");
    let c = read(
        "C",
        "(lockstep_app *app,\n  const uint8_t *bytes, size_t len, void (*f)(int a), uint32_t **out);\n",
    );
    assert_eq!(names(&c.parameters), "app bytes len a out");
    let cpp = read(
        "C++",
        "(const std::map<int, int>& a, C&& f = {}, bytes b = f(1, 2)) {\n  return 1;\n}\n\nint c;",
    );
    assert_eq!(names(&cpp.parameters), "a f b");
    assert_eq!(cpp.parameters[2].1.as_deref(), Some("f(1, 2)"));
    assert_eq!(cpp.body, " {\n  return 1;\n}");
    let go = read("Go", "(id uint32, payload []byte, answer func(*Event, []byte) bool) (uint64, error) {");
    assert_eq!(names(&go.parameters), "id payload answer");
    let node = read("Node", "({ from, delivery = Delivery.COMMITTED } = {}, limit = 2) {");
    assert_eq!(names(&node.parameters), "from delivery limit");
    assert_eq!(node.parameters[1].1.as_deref(), Some("Delivery.COMMITTED"));
    let python = read("Python", "(\n  self, a: dict[str, int], *, f: Callable[[int], int] = g,\n) -> None:");
    assert_eq!((names(&python.parameters), names(&python.keywords)), ("a".to_owned(), "f".to_owned()));
}

#[test]
fn names_follow_the_convention_of_each_language() {
    let name = |language, name| name_of(language, "cursor_file", name).0;
    assert_eq!(name("C", "start_or"), "lockstep_cursor_file_start_or");
    assert_eq!(name("C", "lockstep.debug"), "lockstep_debug");
    assert_eq!(name("Go", "start_or"), "CursorFile) StartOr");
    assert_eq!(name("Go", "lockstep.Connect{}"), "ConnectCursorFile");
    assert_eq!(name("Java", "start_or"), "startOr");
    assert_eq!(name_of("Node", "subscriber", "Endpoint.{}"), ("subscriber".to_owned(), Some("endpoint")));
}
