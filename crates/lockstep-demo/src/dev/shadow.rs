//! `--watch`: before a new version of a machine takes over, it and the former one are run over the recorded
//! stream, by the debugger that `run` of a machine opens where it is asked for. Nothing is published.
//!
//! ```text
//!   former file ─▶ LOCKSTEP_DEBUG, `t` ─▶ a line for each input ─┐
//!   new file    ─▶ LOCKSTEP_DEBUG, `t` ─▶ a line for each input ─┴▶ the first that differs ─▶ `g SEQ`, `p` of both
//! ```

use super::app::{AppCommand, AppEnvironment};
use lockstep_app::DEBUG_VARIABLE;
use lockstep_process::child::{ChildGuard, clear_settings, end_with_parent};
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long one reading of the stream may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a program that reads.
const LOOK: Duration = Duration::from_millis(10);

/// What a comparison has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Compared {
    /// The effects of so many inputs are equal; the state differs behind that of this seq, if it does.
    Equal { inputs: usize, state_from: Option<u64> },
    /// What differs, for people.
    Differs(String),
}

/// An input in a trace.
#[derive(Debug, PartialEq, Eq)]
struct Traced {
    seq: u64,
    /// The input and its effects.
    words: String,
    digest: String,
}

/// What one version makes of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trace {
    inputs: Vec<Traced>,
    /// Where the stream has another output: the seq of the input, and both.
    differs: Option<(u64, String)>,
}

impl Trace {
    /// `None`: these are not the lines of a whole trace.
    fn parse(text: &str) -> Option<Self> {
        let (mut trace, mut is_whole) = (Self::default(), false);
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                ["trace", seq, words, digest] => {
                    let (words, digest) = (words.to_owned(), digest.to_owned());
                    trace.inputs.push(Traced { seq: seq.parse().ok()?, words, digest });
                }
                ["differs", seq, words] if trace.differs.is_none() => {
                    trace.differs = Some((seq.parse().ok()?, words.to_owned()));
                }
                ["end", _] => is_whole = true,
                _ => {}
            }
        }
        is_whole.then_some(trace)
    }
}

/// Two versions of a program.
pub struct Versions {
    pub command: AppCommand,
    pub environment: AppEnvironment,
    /// A copy of the file that runs.
    pub earlier: PathBuf,
}

impl Versions {
    /// Runs both over the stream, and compares them.
    pub fn compare(&self) -> Compared {
        let new = match self.trace(&self.command.path) {
            Ok(trace) => trace,
            Err(why) => return Compared::Differs(format!("the new version cannot be compared: {why}")),
        };
        match self.trace(&self.earlier) {
            Ok(earlier) => self.judge(&earlier, &new),
            Err(why) => self.judge_by_the_stream(&new, &why),
        }
    }

    fn judge(&self, earlier: &Trace, new: &Trace) -> Compared {
        // The stream has grown meanwhile.
        let pairs = || earlier.inputs.iter().zip(&new.inputs);
        if let Some((one, _)) =
            pairs().find(|(one, other)| (one.seq, &one.words) != (other.seq, &other.words))
        {
            let states = [("former", &*self.earlier), ("new", &*self.command.path)];
            return Compared::Differs(self.shown(one.seq, &states));
        }
        let state_from = pairs().find(|(one, other)| one.digest != other.digest).map(|(one, _)| one.seq);
        Compared::Equal { inputs: pairs().count(), state_from }
    }

    /// The former version cannot be run any more: its outputs are in the stream.
    fn judge_by_the_stream(&self, new: &Trace, why: &str) -> Compared {
        match &new.differs {
            None => Compared::Equal { inputs: new.inputs.len(), state_from: None },
            Some((seq, what)) => {
                let shown = self.shown(*seq, &[("new", &*self.command.path)]);
                Compared::Differs(format!(
                    "{shown}{what}\nthe former version's state is not shown, as it cannot be run any more: {why}\n"
                ))
            }
        }
    }

    /// The input, the effects and the states at this seq.
    fn shown(&self, seq: u64, versions: &[(&str, &Path)]) -> String {
        let mut text = format!("the first input that differs is that of seq {seq}:\n");
        for (name, path) in versions {
            let printed = self.debugger(path, &format!("g {seq}\np\nx\n")).unwrap_or_else(|why| why);
            for line in printed.lines() {
                let _ = writeln!(text, "{name:>8} | {line}"); // writing into a string cannot fail
            }
        }
        text
    }

    fn trace(&self, path: &Path) -> Result<Trace, String> {
        let printed = self.debugger(path, "t\nx\n")?;
        Trace::parse(&printed).ok_or_else(|| {
            let last = printed.lines().last().unwrap_or("nothing");
            format!("it has not read the stream to its end; the last line that it printed: {last}")
        })
    }

    /// What the program prints, as a debugger of its machine, for a script.
    fn debugger(&self, path: &Path, script: &str) -> Result<String, String> {
        let ran = self.try_debugger(path, script);
        ran.map_err(|error| format!("{} as a debugger: {error}", path.display()))?
    }

    fn try_debugger(&self, path: &Path, script: &str) -> io::Result<Result<String, String>> {
        let mut command = Command::new(path);
        command.args(&self.command.args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        clear_settings(&mut command);
        self.environment.set(&mut command);
        command.env(DEBUG_VARIABLE, "1");
        end_with_parent(&mut command);
        let mut child = ChildGuard::from(command.spawn()?);
        let (printed, errors) = (reading(child.stdout.take()), reading(child.stderr.take()));
        if let Some(mut stdin) = child.stdin.take() {
            // A program that has ended already says so by its status.
            let _ = stdin.write_all(script.as_bytes());
        }
        let began = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None if began.elapsed() > PATIENCE => {
                    return Ok(Err(format!("it has not read the stream within {PATIENCE:?}")));
                }
                None => std::thread::sleep(LOOK),
            }
        };
        let [printed, errors] = [printed, errors].map(|thread| thread.join().unwrap_or_default());
        Ok(match status.success() {
            true => Ok(printed),
            false => Err(format!("it ended ({status}): {}", errors.lines().last().unwrap_or_default())),
        })
    }
}

/// Reads a pipe to its end.
fn reading(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes); // what was read counts
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that answers as a debugger does: with a trace, or with what it is called with.
    fn program(folder: &Path, name: &str, trace: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join(name);
        let text = format!(
            "#!/bin/sh\nread line\nif [ \"$line\" = t ]; then printf '{trace}'; else echo \"{name}: $line $1\"; fi\n"
        );
        std::fs::write(&path, text).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        path
    }

    fn compared(earlier: &str, new: &str) -> Compared {
        let folder = tempfile::tempdir().expect("a folder");
        let path = program(folder.path(), "new", new);
        let command = AppCommand { name: "app".to_owned(), path, args: vec!["argument".to_owned()] };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let environment = AppEnvironment { config: folder.path().join("none"), stream: None, path };
        Versions { command, environment, earlier: program(folder.path(), "former", earlier) }.compare()
    }

    const ONE: &str = r"trace\t3\tmessage; publishes x\t01\ntrace\t5\tmessage\t02\n";

    #[test]
    fn versions_are_equal_as_far_as_both_have_read_and_their_states_are_compared() {
        let equal =
            compared(&format!(r"{ONE}end\t2\n"), &format!(r"noise\n{ONE}trace\t9\tlater\t03\nend\t3\n"));
        assert_eq!(equal, Compared::Equal { inputs: 2, state_from: None });
        let state = compared(&format!(r"{ONE}end\t2\n"), &format!(r"{}end\t2\n", ONE.replace("02", "77")));
        assert_eq!(state, Compared::Equal { inputs: 2, state_from: Some(5) });
    }

    #[test]
    fn the_first_effect_that_differs_is_shown_by_both() {
        let new = ONE.replace(r"\tmessage\t02", r"\tmessage; sets timer 1\t02");
        let Compared::Differs(text) = compared(&format!(r"{ONE}end\t2\n"), &format!(r"{new}end\t2\n")) else {
            panic!("they differ");
        };
        assert_eq!(
            text,
            "the first input that differs is that of seq 5:\n  former | former: g 5 argument\n     new | new: g 5 argument\n"
        );
    }

    #[test]
    fn where_the_former_cannot_be_run_the_stream_has_its_outputs() {
        let new = format!(r"differs\t3\toutput 1 is another\n{ONE}end\t2\n");
        let Compared::Differs(text) = compared("", &new) else { panic!("they differ") };
        assert!(
            text.contains("new: g 3 argument\noutput 1 is another\nthe former version's state is not shown"),
            "{text}"
        );
        assert_eq!(compared("", &format!(r"{ONE}end\t2\n")), Compared::Equal { inputs: 2, state_from: None });
    }

    #[test]
    fn a_new_version_that_does_not_read_to_the_end_is_no_equal_one() {
        let Compared::Differs(text) = compared(&format!(r"{ONE}end\t2\n"), ONE) else {
            panic!("it is not whole")
        };
        assert!(text.contains("cannot be compared") && text.contains("trace\t5"), "{text}");
    }
}
