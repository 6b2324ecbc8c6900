//! See the library: this is its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    lockstep_bench::run()
}
