//! Documents of `docs/` and their commands: what is in code style, and begins with the name of a program.

use lockstep_testkit::processes::{Cluster, Outcome, Process, command, command_of, program, run};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A command that asks something of a host which a machine of tests may lack.
pub struct Host {
    /// As the document has it.
    pub command: &'static str,
    /// What it says where the host lacks what it asks: then its words and options were understood.
    pub understood: &'static [&'static str],
    /// Why it may not run here.
    pub why: &'static str,
}

/// A command that another test runs, on a ground of its own.
pub struct Elsewhere {
    /// The beginning of the command, as the document has it.
    pub command: &'static str,
    /// The file of the test.
    pub file: &'static str,
    /// The test.
    pub test: &'static str,
}

/// See the module.
pub struct Page {
    name: String,
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
        let codes = text.split('`').skip(1).step_by(2).map(words_of);
        let mut commands: BTreeSet<_> = codes.filter(|code| could_be_command(code)).collect();
        for word in words {
            assert!(commands.remove(*word), "{name} has no `{word}` any more: take it off the list of words");
        }
        assert!(commands.len() > 20, "{name}: {commands:?}");
        Self { name: name.to_owned(), host, commands, has_run: BTreeSet::new() }
    }

    /// Reads documents for the commands of this program alone, in code style and in blocks. `names` are
    /// those that stand for a command which needs arguments; `elsewhere` run in other tests.
    ///
    /// # Panics
    /// One of these is in no document, is no command, or has no test.
    pub fn read_ours(files: &[&str], names: &[&str], elsewhere: &[Elsewhere]) -> Self {
        let (name, text) = (files.join(", "), files.iter().map(|file| self::text(file)).collect::<String>());
        let blocks = text.split("\n```").skip(1).step_by(2);
        let mut commands: BTreeSet<String> = blocks.flat_map(commands_of_block).collect();
        let beside: String = text.split("\n```").step_by(2).collect();
        commands.extend(beside.lines().filter(|line| line.starts_with("    lockstep ")).map(words_of));
        let codes = beside.split('`').skip(1).step_by(2).map(words_of);
        commands.extend(codes.filter(|code| code.starts_with("lockstep ")));
        for word in names {
            assert!(commands.remove(*word), "{name} has no `{word}` any more: take it off the list of names");
            let words: Vec<_> = ["help"].into_iter().chain(word.split(' ').skip(1)).collect();
            run(command(&words), b"").with_code(0);
        }
        let mut page = Self { name, host: &[], commands, has_run: BTreeSet::new() };
        page.leave_out(elsewhere);
        assert!(page.commands.len() > 20, "{}: {:?}", page.name, page.commands);
        page
    }

    /// These commands run in other tests.
    ///
    /// # Panics
    /// The document has one of them no more, or it has no test.
    pub fn leave_out(&mut self, elsewhere: &[Elsewhere]) {
        let Self { name, commands, .. } = self;
        for Elsewhere { command, file, test } in elsewhere {
            let before = commands.len();
            commands.retain(|known| !known.starts_with(command));
            assert!(commands.len() < before, "{name} has no `{command}` any more");
            assert!(text(file).contains(&format!("fn {test}(")), "{file} has no {test}");
        }
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
        self.run_fed(cluster, command, names, more, b"")
    }

    /// The same with `input` for its stdin.
    #[track_caller]
    pub fn run_fed(
        &mut self,
        cluster: &Cluster,
        command: &str,
        names: &[(&str, &str)],
        more: &str,
        input: &[u8],
    ) -> Shown {
        let line = self.line(command, names, more);
        Shown { outcome: run(shell(cluster, &line), input), line }
    }

    /// Starts a command of the document that goes on; `name` is that of its log.
    #[track_caller]
    pub fn start(&mut self, cluster: &Cluster, name: &str, command: &str) -> Process {
        let line = self.line(&format!("lockstep {command}"), &[], "");
        cluster.start_command(name, shell(cluster, &format!("exec {line}")))
    }

    /// Notes that a command runs, and returns what a shell is given.
    #[track_caller]
    fn line(&mut self, command: &str, names: &[(&str, &str)], more: &str) -> String {
        assert!(self.commands.contains(command), "{} has no `{command}`", self.name);
        self.has_run.insert(command.to_owned());
        let mut line = command.to_owned();
        for (documents, ours) in names {
            assert!(line.contains(documents), "no {documents} in `{command}`");
            line = line.replace(documents, ours);
        }
        line + more
    }

    /// Another way in which the document has a command that has run.
    #[track_caller]
    pub fn is_another_form_of(&mut self, form: &str, command: &str) {
        assert!(self.has_run.contains(command), "`{command}` has not run");
        self.line(form, &[], "");
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

/// Code of a document without the ends of its lines.
fn words_of(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The commands in a block of a document: those behind a prompt, and those of a block that is for a shell.
fn commands_of_block(block: &str) -> Vec<String> {
    let is_shell = block.starts_with("sh\n");
    let joined = block.replace("\\\n", " ");
    let command = |line: &str| {
        let line = line.strip_prefix("$ ").or(is_shell.then_some(line))?;
        let line = line.split(" # ").next().unwrap_or_default();
        line.starts_with("lockstep ").then(|| words_of(line))
    };
    joined.lines().filter_map(command).collect()
}

/// A shell with our program and a cluster's file, in the folder of that.
fn shell(cluster: &Cluster, line: &str) -> Command {
    let folder = program().parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = command_of(Command::new("sh"), &["-c", line]);
    shell.env("PATH", format!("{folder}:{path}")).env("LOCKSTEP_CONFIG", cluster.config());
    shell.current_dir(cluster.path(""));
    shell
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
