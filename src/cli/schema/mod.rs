//! `lockstep schema`: what a schema of payloads says; and payloads as its fields, for other commands.

mod check;
mod fields;

pub use fields::{FieldsArgs, PayloadFields};

use super::Failure;
use super::failure::USAGE;
use clap::{Args, Subcommand};
use lockstep_schema::PayloadSchema;
use std::path::{Path, PathBuf};

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

/// The schema of a file.
pub fn read(path: &Path) -> Result<PayloadSchema, Failure> {
    let read = PayloadSchema::read(path);
    read.map(|(schema, _)| schema)
        .map_err(|error| Failure::new(USAGE, format!("schema {}: {error}", path.display())))
}

/// Does what the arguments say.
pub fn run(args: &SchemaArgs) -> Result<u8, Failure> {
    match &args.command {
        SchemaCommand::Check(args) => check::run(&read(&args.file)?, args.json),
    }
}
