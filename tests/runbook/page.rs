//! A document of `docs/` and its commands: what is in code style, and begins with the name of a program.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use tools::processes::{Cluster, Outcome, command_of, program, run};

/// A command that asks something of a host which a machine of tests may lack.
pub struct Host {
    /// As the document has it.
    pub command: &'static str,
    /// What it says where the host lacks what it asks: then its words and options were understood.
    pub understood: &'static [&'static str],
    /// Why it may not run here.
    pub why: &'static str,
}

/// See the module.
pub struct Page {
    name: &'static str,
    host: &'static [Host],
    commands: BTreeSet<String>,
    has_run: BTreeSet<String>,
}

/// A document.
pub fn text(name: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    text.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether code of a document could be a command: one of ours, or one whose first word a shell could find.
fn could_be_command(code: &str) -> bool {
    let mut words = code.split(' ');
    let first = words.next().unwrap_or_default();
    // `durability = "power"` is a setting.
    first.starts_with(|c: char| c.is_ascii_lowercase())
        && first.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit())
        && words.next() != Some("=")
}

impl Page {
    /// Reads a document. `words` are those in code style that are no commands.
    ///
    /// # Panics
    /// One of these is not in the document.
    pub fn read(name: &'static str, words: &[&str], host: &'static [Host]) -> Self {
        let text = text(name);
        let codes = text.split('`').skip(1).step_by(2).map(|code| {
            // A line of the document may end within a command.
            code.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        let mut commands: BTreeSet<_> = codes.filter(|code| could_be_command(code)).collect();
        for word in words {
            assert!(commands.remove(*word), "{name} has no `{word}` any more: take it off the list of words");
        }
        assert!(commands.len() > 20, "{name}: {commands:?}");
        Self { name, host, commands, has_run: BTreeSet::new() }
    }

    /// Runs a command of the document as it stands there.
    #[track_caller]
    pub fn run(&mut self, cluster: &Cluster, command: &str) -> Shown {
        self.run_with(cluster, command, &[], "")
    }

    /// The same with this cluster's names in the place of the document's, and `more` behind it.
    #[track_caller]
    pub fn run_with(
        &mut self,
        cluster: &Cluster,
        command: &str,
        names: &[(&str, &str)],
        more: &str,
    ) -> Shown {
        assert!(self.commands.contains(command), "{} has no `{command}`", self.name);
        self.has_run.insert(command.to_owned());
        let mut line = command.to_owned();
        for (documents, ours) in names {
            assert!(line.contains(documents), "no {documents} in `{command}`");
            line = line.replace(documents, ours);
        }
        line += more;
        let folder = program().parent().expect("a folder").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = command_of(Command::new("sh"), &["-c", &line]);
        shell.env("PATH", format!("{folder}:{path}")).env("LOCKSTEP_CONFIG", cluster.config());
        shell.current_dir(cluster.path(""));
        Shown { outcome: run(shell, b""), line }
    }

    /// Runs the commands for a host, with files of this one in the place of the document's. One that is
    /// understood and not answered here is as good.
    pub fn run_on_host(&mut self, files: &[(&str, &str)]) {
        let mut missing = Vec::new();
        for Host { command, understood, why } in self.host {
            assert!(self.commands.contains(*command), "{} has no `{command}`", self.name);
            self.has_run.insert((*command).to_owned());
            let line =
                files.iter().fold((*command).to_owned(), |line, (file, ours)| line.replace(file, ours));
            let mut words = line.split(' ');
            let mut runs = Command::new(words.next().unwrap_or_default());
            runs.args(words);
            let Ok(output) = runs.output() else {
                missing.push(format!("`{command}`: {why}"));
                continue;
            };
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let is_understood = understood.iter().any(|words| text.contains(words));
            assert!(output.status.success() || is_understood, "`{command}`: {text}");
        }
        if !missing.is_empty() {
            println!("SKIPPED: a program of a host is not installed here: {}", missing.join("; "));
        }
    }

    /// Each command of the document has run.
    #[track_caller]
    pub fn all_have_run(&self) {
        let left: Vec<_> = self.commands.difference(&self.has_run).collect();
        assert!(left.is_empty(), "{} has commands that no scene of this test runs: {left:#?}", self.name);
    }
}

/// What a command printed.
pub struct Shown {
    outcome: Outcome,
    line: String,
}

impl Shown {
    /// The same, if it ended with `code`.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        self.with_one_of(&[code])
    }

    /// The same, if it ended with one of these codes.
    #[track_caller]
    pub fn with_one_of(self, codes: &[i32]) -> Self {
        let Self { outcome: Outcome { code, out, err }, line } = &self;
        assert!(
            code.is_some_and(|code| codes.contains(&code)),
            "`{line}` ended with {code:?}:\n{out}\n{err}"
        );
        self
    }

    /// The same, if it printed all of these on stdout.
    #[track_caller]
    pub fn showing(self, texts: &[&str]) -> Self {
        let Self { outcome: Outcome { out, err, .. }, line } = &self;
        for text in texts {
            assert!(out.contains(text), "`{line}` does not show '{text}':\n{out}\n{err}");
        }
        self
    }

    /// The same, if it printed all of these on stderr.
    #[track_caller]
    pub fn saying(self, texts: &[&str]) -> Self {
        let Self { outcome: Outcome { out, err, .. }, line } = &self;
        for text in texts {
            assert!(err.contains(text), "`{line}` does not say '{text}':\n{out}\n{err}");
        }
        self
    }

    /// Its stdout.
    pub fn out(self) -> String {
        self.outcome.out
    }
}
