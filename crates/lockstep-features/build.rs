//! Nothing: cargo compiles build dependencies for a build script alone.

fn main() {}
