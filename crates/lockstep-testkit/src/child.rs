//! A test's program again, as the child of one of its tests: what ends or endangers a process (a kill, a
//! panic, a system call filter), and what a process has only one of, runs there.

use std::process::{Command, Output};
use std::time::Duration;

/// Names the test whose child a process is.
pub const CHILD: &str = "LOCKSTEP_TEST_CHILD";

/// This program, to run `test` alone (with its modules' names in front) as its own child.
#[must_use]
pub fn child_of(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["--exact", test, "--nocapture"]).env(CHILD, test);
    command
}

/// Whether this process is the child of `test`. It then ends by itself if it hangs.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "a child that hangs is ended by a thread that sleeps")]
pub fn is_child_of(test: &str) -> bool {
    let is = std::env::var(CHILD).as_deref() == Ok(test);
    if is {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(60));
            std::process::exit(99);
        });
    }
    is
}

/// What a child has printed, stderr behind stdout.
#[must_use]
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
