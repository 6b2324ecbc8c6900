//! The crate as a program meets it: endpoints, errors, and the list of the public surface.

mod cursor_file;
#[cfg(feature = "config")]
mod endpoint;
mod errors;
mod public;
