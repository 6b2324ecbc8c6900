//! The files of a project: examples of this repository with the project's name in the place of the
//! counter's, and templates with `@NAME@` and `@VERSION@` in them.

/// The languages of projects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Rust, by cargo.
    Rust,
    /// Python, by pip and pytest.
    Python,
    /// C++, by CMake.
    Cpp,
    /// Java, by make.
    Java,
}

impl Language {
    /// Its name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Cpp => "C++",
            Self::Java => "Java",
        }
    }
}

/// A file of a project.
pub struct NewFile {
    /// Where it lies in the project's folder.
    pub path: &'static str,
    /// What stands in it.
    pub text: String,
}

/// The version of the packages that a project depends on.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The workflow of every project: its steps are those of the language.
const WORKFLOW: &str = include_str!("test.yml");

/// The machines of docs/APPLY.md.
const RUST_COUNTER: &str = include_str!("../../../../examples/counter.rs");
const PYTHON_COUNTER: &str = include_str!("../../../../bindings/python/examples/counter.py");
const PYTHON_TEST: &str = include_str!("../../../../bindings/python/examples/test_counter.py");
const PYTHON_CLUSTER: &str = include_str!("../../../../bindings/python/examples/test_program.py");
const JAVA_COUNTER: &str = include_str!("../../../../bindings/java/examples/Counter.java");
const CPP_COUNTER: &str = include_str!("../../../../bindings/c/examples/counter.cpp");

/// A template with the project's name, and the version of lockstep.
fn filled(template: &str, name: &str) -> String {
    template.replace("@NAME@", name).replace("@VERSION@", VERSION)
}

/// An example as the machine of the project: in the stream, in folders and in its usage the name is the
/// project's.
fn renamed(example: &str, name: &str) -> String {
    example.replace("\"counter", &format!("\"{name}")).replace("usage: counter", &format!("usage: {name}"))
}

/// An example without the comment at its top, which says how it is run in this repository.
fn body(example: &str) -> &str {
    example.split_once("\n\n").map_or(example, |(_comment, body)| body)
}

fn file(path: &'static str, text: String) -> NewFile {
    NewFile { path, text }
}

/// The files of a project.
pub fn files(name: &str, language: Language) -> Vec<NewFile> {
    let filled = |template: &str| filled(template, name);
    match language {
        Language::Rust => vec![
            file("Cargo.toml", filled(include_str!("rust/Cargo.toml.in"))),
            file("src/main.rs", rust_main(name)),
            file("src/tests.rs", include_str!("rust/tests.rs.in").to_owned()),
            file("tests/cluster.rs", filled(include_str!("rust/cluster.rs.in"))),
            file("README.md", filled(include_str!("rust/README.md.in"))),
            file(".gitignore", filled("/target\n/@NAME@-*/\n")),
            file(".github/workflows/test.yml", filled(&workflow(include_str!("rust/steps.yml")))),
        ],
        Language::Python => vec![
            file("pyproject.toml", filled(include_str!("python/pyproject.toml.in"))),
            file("counter.py", renamed(PYTHON_COUNTER, name)),
            file("test_counter.py", PYTHON_TEST.to_owned()),
            file("test_program.py", PYTHON_CLUSTER.to_owned()),
            file("README.md", filled(include_str!("python/README.md.in"))),
            file(".gitignore", filled("__pycache__/\n.venv/\nbuild/\n*.egg-info/\n/@NAME@-*/\n")),
            file(".github/workflows/test.yml", filled(&workflow(include_str!("python/steps.yml")))),
        ],
        Language::Cpp => {
            let (machine, main) = cpp_counter(name);
            vec![
                file("CMakeLists.txt", filled(include_str!("cpp/CMakeLists.txt.in"))),
                file("counter.hpp", machine),
                file("main.cpp", main),
                file("tests.cpp", include_str!("cpp/tests.cpp").to_owned()),
                file("cluster.cpp", include_str!("cpp/cluster.cpp").to_owned()),
                file("README.md", filled(include_str!("cpp/README.md.in"))),
                file(".gitignore", filled("/build/\n/@NAME@-*/\n")),
                file(".github/workflows/test.yml", filled(&workflow(include_str!("cpp/steps.yml")))),
            ]
        }
        Language::Java => vec![
            file("Makefile", filled(include_str!("java/Makefile.in"))),
            file("src/Counter.java", renamed(body(JAVA_COUNTER), name)),
            file("test/CounterTest.java", include_str!("java/CounterTest.java").to_owned()),
            file("test/ClusterTest.java", include_str!("java/ClusterTest.java").to_owned()),
            file("README.md", filled(include_str!("java/README.md.in"))),
            file(".gitignore", filled("/out/\n/lockstep.jar\n/@NAME@-*/\n")),
            file(".github/workflows/test.yml", filled(&workflow(include_str!("java/steps.yml")))),
        ],
    }
}

/// The whole program of a machine of Rust, whose tests are a module of it.
fn rust_main(name: &str) -> String {
    let head =
        format!("//! A replicated state machine on lockstep's stream. `{name} NUMBER` is a copy of it.\n\n");
    let module = "\n\n#[cfg(test)]\nmod tests;\n\n/// Messages by";
    head + &renamed(body(RUST_COUNTER), name).replacen("\n\n/// Messages by", module, 1)
}

/// The machine of C++ as a header, which the tests include as well, and its program.
fn cpp_counter(name: &str) -> (String, String) {
    let whole = renamed(body(CPP_COUNTER), name);
    let at = whole.find("int main(").unwrap_or(whole.len());
    let (machine, main) = whole.split_at(at);
    let main = format!("// `{name} NUMBER` is a copy of the machine.\n\n#include \"counter.hpp\"\n\n{main}");
    (format!("#pragma once\n\n{}\n", machine.trim_end()), main)
}

/// The workflow with these steps.
fn workflow(steps: &str) -> String {
    WORKFLOW.replace("@STEPS@\n", steps)
}

/// What to type in the project's folder, in order.
pub fn next(name: &str, language: Language) -> Vec<String> {
    let (tests, copy) = match language {
        Language::Java => {
            ("make test JAR=/where/lockstep.jar", "make run JAR=/where/lockstep.jar".to_owned())
        }
        Language::Rust => ("cargo test --release", "cargo run --release -- 1".to_owned()),
        Language::Python => ("pip install -e '.[test]' && pytest", "python counter.py 1".to_owned()),
        Language::Cpp => {
            ("cmake -B build && cmake --build build && ctest --test-dir build", format!("build/{name} 1"))
        }
    };
    [
        (tests, "its tests, and its trial under faults"),
        ("lockstep dev", "a cluster; in other terminals, after the line that it prints:"),
        (&copy, "a copy of the machine; 2 is another one"),
        ("seq 3 | lockstep publish --name me", "three messages"),
        ("lockstep subscribe --until-end", "the stream, with the machine's answer to each"),
    ]
    .map(|(command, what)| format!("{command:<40} {what}"))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_a_project_has_a_place_that_is_not_filled_or_the_name_of_the_example() {
        for language in [Language::Rust, Language::Python, Language::Cpp, Language::Java] {
            let files = files("order-book", language);
            for file in &files {
                let (path, text) = (file.path, &file.text);
                assert!(!text.contains("@NAME@") && !text.contains("@VERSION@"), "{path}:\n{text}");
                let of_the_example = ["\"counter\",", "\"counter-", "usage: counter"];
                assert!(!of_the_example.iter().any(|name| text.contains(name)), "{path}:\n{text}");
                assert!(!text.contains("@STEPS@") && text.ends_with('\n'), "{path}:\n{text}");
            }
            let has = |path: &str, part: &str| {
                files.iter().any(|file| file.path == path && file.text.contains(part))
            };
            let machine = match language {
                Language::Rust => "src/main.rs",
                Language::Python => "counter.py",
                Language::Cpp => "main.cpp",
                Language::Java => "src/Counter.java",
            };
            assert!(has(machine, "\"order-book\""), "the machine's name in the stream: {language:?}");
            let readme = files.iter().find(|file| file.path == "README.md").expect("a README");
            assert!(readme.text.lines().count() <= 30, "{}", readme.text);
            assert!(readme.text.contains(VERSION) && has(".github/workflows/test.yml", "- run: "));
        }
        let tests_of_rust = rust_main("order-book");
        assert_eq!(tests_of_rust.matches("#[cfg(test)]\nmod tests;\n").count(), 1, "{tests_of_rust}");
    }
}
