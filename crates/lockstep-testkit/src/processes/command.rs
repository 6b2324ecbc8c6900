//! The program under test, and commands of it that run to their end.

use crate::processes::{LOOK, PATIENCE};
use lockstep_process::child::{ChildGuard, await_end, clear_settings};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
    pub err: String,
}

impl Outcome {
    /// The same, if it ended with `code`.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// The same, if its stderr has all of `texts`.
    #[track_caller]
    pub fn saying(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "'{text}' is not in:\n{}", self.err);
        }
        self
    }

    /// What follows `digest` on stderr.
    #[track_caller]
    pub fn digest(&self) -> String {
        let digest = self.err.lines().find_map(|line| line.split_once("digest ")).map(|(_, digest)| digest);
        digest.unwrap_or_else(|| panic!("no digest in:\n{}", self.err)).to_owned()
    }
}

/// The program that is tested: cargo puts it beside `tools`, and above the tests.
///
/// # Panics
/// It is not there: `cargo build` makes it.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it lies");
    let found =
        own.ancestors().skip(1).take(2).map(|folder| folder.join("lockstep")).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no lockstep beside {}: `cargo build` first", own.display()))
}

/// A copy of that program at `to`. Another process writes it: a child that this one starts meanwhile would
/// inherit the open file, and a program that is open for writing cannot be executed.
///
/// # Panics
/// There is no room for it.
pub fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg(program()).arg(to).status().expect("every host has cp");
    assert!(copied.success(), "no room for the program at {}", to.display());
}

/// An example of the workspace, like the reference exchange; `None` after the reason of the skip is printed.
pub fn example(name: &str) -> Option<PathBuf> {
    let found = program().with_file_name("examples").join(name);
    if !found.exists() {
        println!("SKIPPED: the examples are not built: `cargo build --examples` first, as `cargo test` does");
        return None;
    }
    Some(found)
}

/// A program of ours with these arguments and a clean environment.
pub fn command(args: &[&str]) -> Command {
    command_of(Command::new(program()), args)
}

/// The same behind another program (`unshare …`).
pub fn command_of(mut command: Command, args: &[impl AsRef<OsStr>]) -> Command {
    command.args(args);
    clear_settings(&mut command);
    command
}

/// Looks until a command ends with `code`, and returns that end: on a busy host a member may be missed for a
/// moment.
#[track_caller]
pub fn await_code(code: i32, mut look: impl FnMut() -> Outcome) -> Outcome {
    let begun = Instant::now();
    loop {
        let outcome = look();
        if outcome.code == Some(code) || begun.elapsed() > PATIENCE {
            return outcome.with_code(code);
        }
        std::thread::sleep(LOOK);
    }
}

/// The same, where it may end with `before` alone until then.
#[track_caller]
pub fn await_change(before: i32, code: i32, mut look: impl FnMut() -> Outcome) -> Outcome {
    let changed =
        |outcome: Outcome| if outcome.code == Some(before) { outcome } else { outcome.with_code(code) };
    await_code(code, || changed(look()))
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &[u8]) -> Outcome {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = ChildGuard::from(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let (mut stdin, input) = (child.stdin.take().expect("piped"), input.to_vec());
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input); // a command may end before it has read all
    });
    let out = reader(child.stdout.take().expect("piped"));
    let err = reader(child.stderr.take().expect("piped"));
    let ended = await_end(&mut child, PATIENCE).expect("a child");
    let status = ended.unwrap_or_else(|| panic!("{command:?} does not end"));
    let text = |bytes: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&bytes.join().expect("a reader")).into_owned()
    };
    let outcome = Outcome { code: status.code(), out: text(out), err: text(err) };
    writer.join().expect("a writer");
    outcome
}

fn reader(mut source: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = source.read_to_end(&mut bytes); // what came before an error counts
        bytes
    })
}
