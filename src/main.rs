//! The command line: argv → role; exit codes.
fn main() {}
