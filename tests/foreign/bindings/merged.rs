//! The merged order of a set: programs of all languages print the lines of `lockstep subscribe --merged`,
//! from the beginning, from a cursor within, and live. Where their file is that of a smaller set they say so.

use super::{c, finished, go, java, node, python};
use lockstep_testkit::processes::{Outcome, Process, command, command_of, program, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Messages of each command that publishes.
const MESSAGES: usize = 40;

/// A set of two streams that runs.
struct Set {
    process: Process,
    file: String,
    logs: TempDir,
}

impl Set {
    /// Starts `lockstep dev --streams 2`; `None` where its program was not built.
    fn start() -> Option<Self> {
        let dev = program().with_file_name("lockstep-demo");
        if !dev.exists() {
            println!("SKIPPED: lockstep-demo is not built: `cargo build -p lockstep-demo` first");
            return None;
        }
        let logs = tempfile::tempdir().expect("a folder");
        let start = command_of(Command::new(dev), &["dev", "--until-stdin-ends", "--streams", "2"]);
        let mut process = Process::start("dev", start, logs.path().join("dev.log"));
        let mut lines = process.take_lines();
        let file = lines.after("export LOCKSTEP_CONFIG=", &process);
        lines.after("streams show", &process);
        lines.discard();
        Some(Self { process, file, logs })
    }

    fn run(&self, mut command: Command, input: &str) -> Outcome {
        command.env("LOCKSTEP_CONFIG", &self.file);
        run(command, input.as_bytes())
    }

    fn publish(&self, stream: &str, payload: &str) {
        let lines: String = (0..MESSAGES).map(|number| format!("{payload} {number}\n")).collect();
        self.run(command(&["publish", "--stream", stream, "--name", "p"]), &lines).with_code(0);
    }

    /// The lines of the whole order.
    fn lines(&self) -> Vec<String> {
        let args = ["subscribe", "--merged", "--from", "1", "--until-end", "--timeout", "30s"];
        lines_of(&self.run(command(&args), "").with_code(0).out)
    }

    /// A program that begins here and ends after so many messages, by this file of the set.
    fn outcome(program: &Command, file: &Path, start: &str, count: usize) -> Outcome {
        let mut command = Command::new(program.get_program());
        command.args(program.get_args()).args([start, &count.to_string()]);
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("LOCKSTEP_CONFIG", file);
        finished(command)
    }

    /// What such a program prints: its lines, and its cursor.
    fn read(&self, program: &Command, start: &str, count: usize) -> (Vec<String>, String) {
        let out = Self::outcome(program, Path::new(&self.file), start, count).with_code(0).out;
        let (lines, cursor) = out.split_once("resume with ").unwrap_or_else(|| panic!("no cursor: {out}"));
        (lines_of(lines), cursor.trim_end().to_owned())
    }

    /// The file of the set before its second stream was added.
    fn smaller_file(&self) -> PathBuf {
        let text = std::fs::read_to_string(&self.file).expect("the set's file");
        let mut file: toml::Table = text.parse().expect("TOML");
        file["streams"].as_array_mut().expect("the streams").truncate(1);
        let path = self.logs.path().join("smaller.toml");
        std::fs::write(&path, file.to_string()).expect("a file");
        path
    }

    fn end(mut self) {
        drop(self.process.stdin().take());
        assert!(self.process.wait().success(), "{}", self.process.log());
    }
}

fn lines_of(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The example of each language whose compiler or interpreter is here.
fn programs() -> Vec<(&'static str, Command)> {
    let mut programs = c::merged();
    programs.extend(go::merged().map(|program| ("Go", program)));
    programs.extend(java::merged().map(|program| ("Java", program)));
    programs.extend(node::merged().map(|program| ("Node", program)));
    programs.extend(python::merged().map(|program| ("Python", program)));
    programs
}

#[test]
fn the_merged_order_is_the_same_in_every_language_from_the_beginning_a_cursor_and_live() {
    let programs = programs();
    let Some(set) = Set::start() else { return };
    for payload in ["first", "second", "third"] {
        for stream in ["s1", "s2"] {
            set.publish(stream, payload);
        }
    }
    let whole = set.lines();
    assert_eq!(whole.len(), 6 * MESSAGES, "{whole:?}");
    for (language, program) in &programs {
        let (mut lines, cursor) = set.read(program, "beginning", 7);
        assert_eq!(lines, whole[..7], "{language}, from the beginning");
        let (rest, end) = set.read(program, &cursor, whole.len() - 7);
        lines.extend(rest);
        assert_eq!(lines, whole, "{language}, from a cursor within a cut");
        let (behind, live) = std::thread::scope(|scope| {
            let behind = scope.spawn(|| set.read(program, &end, 1).0);
            let live = scope.spawn(|| set.read(program, "live", 3).0);
            while !behind.is_finished() || !live.is_finished() {
                set.publish("s2", language);
            }
            (behind.join().expect("it ends"), live.join().expect("it ends"))
        });
        let now = set.lines();
        assert_eq!(behind, now[whole.len()..=whole.len()], "{language}, from the cursor of the end");
        let at = now.iter().position(|line| *line == live[0]).expect("a line of the order");
        assert_eq!(live, now[at..at + 3], "{language}, live");
    }
    let smaller = set.smaller_file();
    for (language, program) in &programs {
        let refused = Set::outcome(program, &smaller, "beginning", 1_000_000);
        assert_ne!(refused.code, Some(0), "{language}: {}", refused.out);
        let words = "the set's list names it, and this program's file does not";
        assert!(refused.err.contains(words), "{language}: {}", refused.err);
    }
    set.end();
}
