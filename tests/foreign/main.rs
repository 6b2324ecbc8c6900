//! Programs of others: clients, parsers and dissectors of our protocols, compilers and interpreters of our
//! bindings, and the package manager that installs us.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "real processes, bounded by a clock")]

mod bindings;
mod dialect;
mod exchange;
mod interop;
mod packages;
mod schema;
mod wireshark;
