//! Sources of other languages: a structure for each message, with its bytes and back.
//!
//! The code needs nothing but its language's own library. Text and numbers are checked where they could be
//! lost: a text that is too long, a number of more bytes than the field has. A value of an enum without a
//! name is kept, so that what is decoded is encoded to the same bytes.

mod c;
mod cpp;
mod go;
mod java;
mod names;
mod node;
mod plan;
mod python;
mod rust;
mod wireshark;

pub use wireshark::wireshark;

use crate::PayloadSchema;
use names::Name;
use plan::SourcePlan;

/// The languages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceLanguage {
    /// A module of Rust.
    Rust,
    /// A header of C99.
    C,
    /// A header of C++17.
    Cpp,
    /// A module of Python 3.11.
    Python,
    /// A class of Java 17.
    Java,
    /// A file of a package of Go 1.18.
    Go,
    /// A module of Node 18, in CommonJS.
    Node,
}

/// The source of a schema. `name` is the prefix in C, the namespace in C++, the package in Go and the class,
/// with its package, in Java; without it they are called as the schema.
///
/// # Errors
/// Two names of the schema are one in the language.
pub fn generate(
    schema: &PayloadSchema,
    language: SourceLanguage,
    name: Option<&str>,
) -> Result<String, String> {
    let plan = SourcePlan::of(schema)?;
    if let Some(name) = name {
        check_name(name, language)?;
    }
    let java_name = name.map_or_else(|| Name::of(&schema.name).pascal(), str::to_owned);
    let class = java::class_of(&java_name);
    if language == SourceLanguage::Java && plan.class_names().any(|name| name == class) {
        return Err(format!("the class {class} would have a class {class}: name it otherwise by --name"));
    }
    let name = name.unwrap_or(&schema.name);
    Ok(match language {
        SourceLanguage::Rust => rust::source(&plan),
        SourceLanguage::C => c::source(&plan, name),
        SourceLanguage::Cpp => cpp::source(&plan, name),
        SourceLanguage::Python => python::source(&plan),
        SourceLanguage::Java => java::source(&plan, &java_name),
        SourceLanguage::Go => go::source(&plan, name),
        SourceLanguage::Node => node::source(&plan),
    })
}

/// Whether a name that somebody gave is one in the language.
fn check_name(name: &str, language: SourceLanguage) -> Result<(), String> {
    let is_java = language == SourceLanguage::Java;
    let is_word = |word: &str| {
        let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
        word.starts_with(|char: char| char.is_ascii_alphabetic()) && word.chars().all(is_part)
    };
    let is_name = if is_java { name.split('.').all(is_word) } else { is_word(name) };
    let example = if is_java { "com.example.Feed" } else { "feed" };
    is_name.then_some(()).ok_or_else(|| {
        format!(
            "'{}' is no name there: write letters, digits and '_', such as {example}",
            name.escape_debug()
        )
    })
}

/// The text of a source, line by line.
#[derive(Default)]
struct Code(String);

impl Code {
    /// With a line of comment that says where the source is from.
    fn begun(comment: &str, flag: &str, plan: &SourcePlan) -> Self {
        let mut code = Self::default();
        let label = &plan.label;
        code.lines(
            0,
            format!("{comment} Written by `lockstep schema generate --{flag}` from the schema '{label}': change that."),
        );
        code
    }

    /// Adds lines, each as deep as its block: four blanks a step.
    fn lines(&mut self, depth: usize, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            if !line.is_empty() {
                self.0.push_str(&"    ".repeat(depth));
            }
            self.0.push_str(line);
            self.0.push('\n');
        }
    }

    /// Adds an empty line.
    fn gap(&mut self) {
        self.0.push('\n');
    }

    /// Adds text that has its own lines.
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }
}
