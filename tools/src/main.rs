//! Long-running checks and chores. It has none yet.
fn main() {}
