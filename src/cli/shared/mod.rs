//! Flags and output that several commands have.

pub mod captured;
pub mod counter_files;
pub mod fields;
pub mod filter;
pub mod flags;
pub mod lines;
pub mod operator;
pub mod remote;
pub mod set;
pub mod shown;
pub mod waiting;
