//! What `lockstep schema generate` writes, as a user of each language compiles and calls it: the same bytes
//! of the same values, the same values of the same bytes, the same words of what is refused.

use crate::bindings::has;
use lockstep_testkit::processes::{Outcome, command, run};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub(crate) const EACH: &str = "tests/foreign/schema/each.toml";
pub(crate) const FILLS: &str = "crates/lockstep-schema/tests/it/fills.xml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of one language over the sources of two schemas.
struct Program {
    folder: TempDir,
}

impl Program {
    /// The program in a folder of its own, and each schema's source in the file that is named for it.
    fn new(language: &str, program: &str, each: (&str, Option<&str>), fills: (&str, Option<&str>)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (schema, (file, name)) in [(EACH, each), (FILLS, fills)] {
            let mut arguments = vec!["schema", "generate", schema, language];
            arguments.extend(name.iter().flat_map(|name| ["--name", name]));
            let mut generate = command(&arguments);
            generate.current_dir(root());
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, run(generate, b"").with_code(0).out).expect("a file");
        }
        let made = folder.path().join(program);
        fs::copy(root().join("tests/foreign/schema").join(program), made).expect("a file");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a compiler, or what else is to succeed.
    fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        run(command, b"").with_code(0)
    }

    /// What the program says must be what all others say.
    fn says_what_all_say(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        let outcome = run(command, input().as_bytes()).with_code(0);
        assert_eq!(outcome.err, "");
        let (lines, wanted): (Vec<_>, Vec<_>) = (outcome.out.lines().collect(), wanted());
        for (index, (line, wanted)) in lines.iter().zip(&wanted).enumerate() {
            assert_eq!(line, wanted, "line {index}");
        }
        assert_eq!(lines.len(), wanted.len());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // memory takes all
        text
    })
}

/// The message of `each.toml` with a value in each field, byte by byte.
fn each() -> Vec<u8> {
    let mut bytes = vec![0, 0, 1, 2, 1, b'S', 2, 1, 200];
    bytes.extend(513u16.to_le_bytes());
    bytes.extend([1, 2, 3]);
    bytes.extend([6, 5, 4, 3, 2, 1]);
    bytes.extend(u64::MAX.to_be_bytes());
    bytes.push(0xfe);
    bytes.extend(&(-70_000i32).to_be_bytes()[1..]);
    bytes.extend(&(-5i64).to_le_bytes()[..5]);
    bytes.extend(i64::MIN.to_le_bytes());
    bytes.extend(&1_234_500u64.to_be_bytes()[2..]);
    bytes.extend((-1i32).to_le_bytes());
    bytes.extend(0.5f32.to_le_bytes());
    bytes.extend((-0.25f64).to_be_bytes());
    bytes.extend(b"AB C  xyz\0");
    bytes.extend([2, 0, 1, 7]);
    bytes
}

/// The message of `fills.xml`, with its constant numbers and the header of no leg and no note.
fn fill(block_len: u16, version: u16, late: i16) -> Vec<u8> {
    let mut bytes = [block_len, 300, 7, version].map(u16::to_le_bytes).as_flattened().to_vec();
    bytes.extend(b"ORD1\0\0\0\0");
    bytes.extend((-99_610i64).to_le_bytes());
    bytes.extend(i64::MAX.to_le_bytes());
    bytes.extend([b'2', 0, 5, 0, 1, 1, 2, 9, 0, 0, 0, 0, 0, 0]);
    bytes.extend(u64::MAX.to_le_bytes());
    bytes.extend(0.5f32.to_le_bytes());
    bytes.extend((-0.25f64).to_le_bytes());
    bytes.extend((-7i32).to_le_bytes());
    bytes.extend([0xfe, 0, 0, 0]);
    bytes.extend(late.to_le_bytes());
    bytes.extend([0, 0, 1, 0, 0, 0, 0, 0]);
    bytes
}

/// The same as an older program wrote it, whose block ended before the last field.
fn shorter() -> Vec<u8> {
    let whole = fill(63, 2, -2);
    [&whole[..8 + 63], &[0; 4 + 2]].concat()
}

/// A fill whose group has entries of no bytes.
fn none() -> Vec<u8> {
    let whole = fill(70, 2, 1);
    [&whole[..78], &[0, 0, 2, 0, 0, 0, 0, 0]].concat()
}

/// The message of `fills.xml` with groups in a group, and data.
fn basket() -> Vec<u8> {
    let mut bytes = [1u16, 302, 7, 2].map(u16::to_le_bytes).as_flattened().to_vec();
    bytes.extend([b'1', 9, 0, 2, 0, b'2']);
    bytes.extend(1_500i64.to_le_bytes());
    bytes.extend([2, 0, 0, 2, 2, 1, 2, b'A', b'B', 2, 1, 0, b'1']);
    bytes.extend((-1i64).to_le_bytes());
    bytes.extend([2, 0, 0, 0, 4, 0, 1, 0]);
    bytes.extend(0.5f32.to_le_bytes());
    bytes.extend([3, 0, 0xff, 0, 1, 2, 0xc3, 0xbc]);
    bytes
}

/// Payloads, and what becomes of each: its bytes once it was decoded and encoded, or what is wrong with it.
pub(crate) fn again() -> Vec<(&'static str, Vec<u8>, String)> {
    let with = |mut bytes: Vec<u8>, at: usize, byte: u8| {
        bytes[at] = byte;
        bytes
    };
    let halted = [[5u16, 301, 7, 2].map(u16::to_le_bytes).as_flattened(), &[255, 255, 255, 255, 77]].concat();
    let words = |words: &str| words.to_owned();
    vec![
        ("each", each(), hex(&each())),
        // Numbers of enums and bits of sets without a name are kept.
        ("each", with(each(), 5, b'?'), hex(&with(each(), 5, b'?'))),
        ("each", with(each(), 77, 0xff), hex(&with(each(), 77, 0xff))),
        ("each", with(each(), 66, 1), hex(&with(each(), 66, 1))),
        ("each", with(each(), 4, 2), words("on: it is neither 0 nor 1")),
        ("each", with(each(), 68, 0xe4), words("stock: it is not ASCII")),
        ("each", each()[..80].to_vec(), words("the payload ends too early")),
        ("each", [each(), vec![1, 2]].concat(), hex(&each())),
        ("each", b"..AB!".to_vec(), words("00004142")),
        // Every other payload is the default.
        ("each", b"z  ".to_vec(), hex(b"z ")),
        ("each", b"z".to_vec(), words("the payload ends too early")),
        ("fills", fill(70, 2, -2), hex(&fill(70, 2, -2))),
        // An older program knew no such field, and wrote a shorter block.
        ("fills", fill(70, 1, -2), hex(&fill(70, 2, i16::MIN))),
        ("fills", shorter(), hex(&fill(70, 2, i16::MIN))),
        // Entries keep their order, their own groups and their data; those that a version lacks are empty.
        ("fills", basket(), hex(&basket())),
        ("fills", with(basket(), 25, 200), words("md_allocs: the payload ends too early")),
        ("fills", with(basket(), 12, 200), words("legs: the payload ends too early")),
        ("fills", with(basket(), 25, 9), words("account: the payload ends too early")),
        ("fills", basket()[..40].to_vec(), words("legs: the payload ends too early")),
        ("fills", basket()[..basket().len() - 1].to_vec(), words("remark: the payload ends too early")),
        ("fills", none(), words("legs: its entries have no bytes")),
        ("fills", fill(70, 2, 1)[..79].to_vec(), words("legs: the payload ends too early")),
        ("fills", with(fill(70, 2, 1), 4, 8), words("the payload is no message of the schema")),
        ("fills", fill(70, 2, 1)[..7].to_vec(), words("the payload is no message of the schema")),
        ("fills", with(fill(70, 2, 1), 8, 0x80), words("cl_ord_id: it is not ASCII")),
        ("fills", halted.clone(), hex(&halted)),
    ]
}

fn input() -> String {
    again().iter().map(|(schema, payload, _)| format!("{schema} {}\n", hex(payload))).collect()
}

/// The lines of each program: what its own values become, and each payload of the input.
fn wanted() -> Vec<String> {
    let own = [hex(&each()), "u3: the number is too large".into(), "i3: the number is too large".into()];
    let own = own.into_iter().chain([
        hex(b"z "),
        hex(&fill(70, 2, -2)),
        hex(&basket()),
        "account: it is too long".into(),
    ]);
    own.chain(again().into_iter().map(|(.., wanted)| wanted)).collect()
}

#[test]
fn the_module_of_rust_has_the_bytes_of_all_languages() {
    let program = Program::new("--rust", "program.rs", ("each.rs", None), ("fills.rs", None));
    program.run("rustc", &["--edition=2021", "-Dwarnings", "-o", "program", "program.rs"]);
    program.says_what_all_say("./program", &[]);
}

#[test]
fn the_header_of_c_has_the_bytes_of_all_languages() {
    if !has("cc") {
        println!("SKIPPED: there is no compiler of C");
        return;
    }
    let program = Program::new("--c", "program.c", ("each.h", Some("each")), ("fills.h", None));
    let warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-pedantic", "-Werror"];
    let sanitizers = ["-std=c99", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    program.run("cc", &[&warnings[..], &sanitizers, &["program.c", "-o", "program"]].concat());
    program.says_what_all_say("./program", &[]);
}

#[test]
fn the_header_of_cpp_has_the_bytes_of_all_languages() {
    if !has("c++") {
        println!("SKIPPED: there is no compiler of C++");
        return;
    }
    let program = Program::new("--cpp", "program.cpp", ("each.hpp", Some("each")), ("fills.hpp", None));
    let warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-pedantic", "-Werror"];
    let sanitizers = ["-std=c++17", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    program.run("c++", &[&warnings[..], &sanitizers, &["program.cpp", "-o", "program"]].concat());
    program.says_what_all_say("./program", &[]);
}

#[test]
fn the_module_of_python_has_the_bytes_of_all_languages() {
    if !has("python3") {
        println!("SKIPPED: the module of Python needs python3");
        return;
    }
    let program = Program::new("--python", "program.py", ("each.py", None), ("fills.py", None));
    program.says_what_all_say("python3", &["-B", "-Werror", "program.py"]);
}

#[test]
fn the_class_of_java_has_the_bytes_of_all_languages() {
    if !has("javac") {
        println!("SKIPPED: there is no javac");
        return;
    }
    let fills = ("com/example/Fills.java", Some("com.example.Fills"));
    let program = Program::new("--java", "Program.java", ("EachKind.java", None), fills);
    program.run("javac", &["-Xlint:all", "-Werror", "-d", "classes", "Program.java"]);
    program.says_what_all_say("java", &["-cp", "classes", "Program"]);
}

#[test]
fn the_package_of_go_has_the_bytes_of_all_languages() {
    if !Command::new("go").arg("version").output().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: Go is not installed");
        return;
    }
    let each = ("each/each.go", Some("each"));
    let program = Program::new("--go", "program.go", each, ("fills/fills.go", None));
    fs::write(program.path("go.mod"), "module program\n\ngo 1.19\n").expect("a file");
    let cache = program.path("cache").display().to_string();
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.args(arguments).current_dir(program.folder.path());
        command
            .env("GOCACHE", &cache)
            .env("GOPATH", &cache)
            .env("GOPROXY", "off")
            .env("GOTOOLCHAIN", "local");
        run(command, b"").with_code(0)
    };
    go(&["vet", "./..."]);
    go(&["build", "-o", "program", "."]);
    program.says_what_all_say("./program", &[]);
    let written = program.run("gofmt", &["-l", "."]).out;
    assert_eq!(written, "", "files that gofmt would change");
}

#[test]
fn the_module_of_node_has_the_bytes_of_all_languages() {
    if !has("node") {
        println!("SKIPPED: Node is not installed");
        return;
    }
    let program = Program::new("--node", "program.js", ("each.js", None), ("fills.js", None));
    program.says_what_all_say("node", &["program.js"]);
}

#[test]
fn names_that_would_be_one_and_names_that_are_none_are_refused() {
    let generate = |schema: &str, arguments: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("it.toml").display().to_string();
        fs::write(&file, schema).expect("a file");
        run(command(&[&["schema", "generate", &file], arguments].concat()), b"")
    };
    let message = |name: &str, fields: &str| {
        format!("name = 'feed'\n[[message]]\nname = '{name}'\nfields = [{fields}]\n")
    };
    let field = |name: &str| format!("{{ name = '{name}', offset = 0, length = 1, kind = 'uint' }}");
    let two = message("a b", "") + "[[message]]\ntype = 1\nname = 'a_b'\n";
    generate(&two, &["--go"]).with_code(2).saying(&["two messages have the name 'a b': rename one"]);
    let alike = message("a", &[field("b_c"), field("b__c")].join(", "));
    generate(&alike, &["--c"]).with_code(2).saying(&["two fields that are named like 'b__c': rename one"]);
    generate(&message("a", ""), &["--c", "--go"]).with_code(2);
    generate(&message("a", ""), &[]).with_code(2).saying(&["--rust"]);
    generate(&message("a", ""), &["--java", "--name", "a.b c"]).with_code(2).saying(&["'a.b c' is no name"]);
    generate(&message("a", ""), &["--cpp", "--name", "9"])
        .with_code(2)
        .saying(&["'9' is no name", "such as feed"]);
    generate(&message("feed", ""), &["--java"]).with_code(2).saying(&["name it otherwise by --name"]);
    let javas = generate(&message("feed", ""), &["--java", "--name", "org.Feeds"]).with_code(0).out;
    assert!(javas.contains("package org;") && javas.contains("class Feeds {"), "{javas}");
}
