//! # cli: one file per subcommand
//!
//! Each subcommand is a function of its arguments and its output, so that tests call it as a person
//! would. The data goes to the writer, and the exit code is returned.

pub mod check;
