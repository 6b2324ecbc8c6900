//! `lockstep schema`: what a schema of payloads says; and payloads as its fields, for other commands.

mod check;

use crate::cli::shared::fields::read;
use clap::{Args, Subcommand};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::USAGE;
use lockstep_schema::{SourceLanguage, generate, wireshark};
use std::io::Write;
use std::path::PathBuf;

/// What `schema` does.
#[derive(Args, Debug)]
pub struct SchemaArgs {
    /// What to do.
    #[command(subcommand)]
    command: SchemaCommand,
}

/// The subcommands of `schema`.
#[derive(Subcommand, Debug)]
pub enum SchemaCommand {
    /// Checks a schema, and prints each message: its type, and place, length and kind of its fields
    Check(SchemaCheckArgs),
    /// Prints a source with a structure for each message, which encodes and decodes its bytes
    Generate(SchemaGenerateArgs),
    /// Prints a script of Lua with which Wireshark shows the fields of payloads
    Wireshark(SchemaWiresharkArgs),
}

/// Flags of `schema check`.
#[derive(Args, Debug)]
pub struct SchemaCheckArgs {
    /// The schema: TOML, or an XML of Simple Binary Encoding
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Flags of `schema wireshark`.
#[derive(Args, Debug)]
pub struct SchemaWiresharkArgs {
    /// The schema: TOML, or an XML of Simple Binary Encoding
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Flags of `schema generate`.
#[derive(Args, Debug)]
pub struct SchemaGenerateArgs {
    /// The schema: TOML, or an XML of Simple Binary Encoding
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    language: LanguageFlags,
    /// The prefix in C, the namespace in C++, the package in Go, package and class in Java
    /// (com.example.Feed), instead of the schema's name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["rust", "python", "node"])]
    name: Option<String>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct LanguageFlags {
    /// A module of Rust
    #[arg(long)]
    rust: bool,
    /// A header of C99
    #[arg(long)]
    c: bool,
    /// A header of C++17
    #[arg(long)]
    cpp: bool,
    /// A module of Python 3.11
    #[arg(long)]
    python: bool,
    /// A class of Java 17
    #[arg(long)]
    java: bool,
    /// A file of a package of Go 1.19
    #[arg(long)]
    go: bool,
    /// A module of Node 18, in CommonJS
    #[arg(long)]
    node: bool,
}

impl LanguageFlags {
    /// The one that is set: the command line refuses none and several.
    fn language(&self) -> SourceLanguage {
        match self {
            Self { c: true, .. } => SourceLanguage::C,
            Self { cpp: true, .. } => SourceLanguage::Cpp,
            Self { python: true, .. } => SourceLanguage::Python,
            Self { java: true, .. } => SourceLanguage::Java,
            Self { go: true, .. } => SourceLanguage::Go,
            Self { node: true, .. } => SourceLanguage::Node,
            _ => SourceLanguage::Rust,
        }
    }
}

impl SchemaGenerateArgs {
    fn run(&self) -> Result<u8, Failure> {
        let schema = read(&self.file)?;
        let source = generate(&schema, self.language.language(), self.name.as_deref());
        let wrong = |what| Failure::new(USAGE, format!("schema {}: {what}", self.file.display()));
        std::io::stdout().write_all(source.map_err(wrong)?.as_bytes())?;
        Ok(0)
    }
}

/// Does what the arguments say.
pub fn run(args: &SchemaArgs) -> Result<u8, Failure> {
    match &args.command {
        SchemaCommand::Check(args) => check::run(&read(&args.file)?, args.json),
        SchemaCommand::Generate(args) => args.run(),
        SchemaCommand::Wireshark(args) => {
            std::io::stdout().write_all(wireshark(&read(&args.file)?).as_bytes())?;
            Ok(0)
        }
    }
}
