//! Measures lockstep, and the floor under it. It has no bench yet.
fn main() {}
