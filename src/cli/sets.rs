//! A command over a set: the file describes several streams, and none was chosen. What a command does for one
//! cluster it then does for each stream, as a process of its own with `LOCKSTEP_STREAM`, so that no command
//! knows of sets. Each line that it prints begins with the stream's name; a JSON object has it as `stream`.

use super::args::Command as Asked;
use super::inspect::health::HealthFormat;
use super::inspect::health::set::{SetReportKind, answer as answer_of_set};
use super::inspect::top::set::run as top_of_set;
use super::operate::keys::KeysCommand;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::FAILED;
use lockstep_process::child::end_with_parent;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// The variable that chooses a stream, as `--stream` does.
const VARIABLE: &str = "LOCKSTEP_STREAM";
/// What stands before the lines about all streams, and is the key of an object about them.
const SET: &str = "set";

/// How a command is done for all streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// For all at once, and printed in the order of the file.
    AtOnce,
    /// For one behind the other, the home stream first, up to the first that fails.
    InTurn,
    /// For all at once, each line as it comes.
    Followed,
    /// As a monitor reads it: for all at once, the gravest first.
    Graded,
}

impl Asked {
    /// Where the file of a command that speaks of all streams is, and how it is done for them. A command
    /// that is about one stream has none: it needs `--stream`.
    fn of_all_streams(&self) -> Option<(&ClusterArgs, Way)> {
        Some(match self {
            Self::Status(args) => (&args.cluster, Way::AtOnce),
            Self::Why(args) => (&args.cluster, Way::AtOnce),
            Self::Doctor(args) => (&args.cluster, Way::AtOnce),
            Self::Losses(args) => (&args.cluster, Way::AtOnce),
            Self::Counters(args) => (&args.cluster, Way::AtOnce),
            Self::Check(args) if args.diff.is_empty() => (&args.cluster, Way::AtOnce),
            Self::Events(args) if args.follow => (&args.cluster, Way::Followed),
            Self::Events(args) => (&args.cluster, Way::AtOnce),
            Self::Health(args) if args.format == HealthFormat::Json => (&args.cluster, Way::AtOnce),
            Self::Health(args) => (&args.cluster, Way::Graded),
            Self::Wait(args) => (&args.operator.cluster, Way::AtOnce),
            Self::Day(args) => (args.command.cluster(), Way::InTurn),
            Self::Keys(args) => match &args.command {
                KeysCommand::New(cluster) => (cluster, Way::InTurn),
                KeysCommand::Show(args) => (&args.cluster, Way::AtOnce),
                _ => return None,
            },
            _ => return None,
        })
    }
}

impl Asked {
    /// The report about the set as a whole, beside its streams, and how long a leader is looked for.
    fn of_the_set(&self) -> Option<(Duration, SetReportKind)> {
        match self {
            Self::Status(args) => Some((args.timeout, SetReportKind::Status { json: args.json })),
            Self::Why(args) => Some((args.timeout, SetReportKind::Why)),
            Self::Health(args) if args.replica.is_none() => {
                Some((args.timeout, SetReportKind::Health(args.format)))
            }
            _ => None,
        }
    }
}

/// Does the command for each stream of its file, if the file describes a set, none of its streams was chosen,
/// and the command can: the exit code is the greatest of all.
pub fn run(asked: &Asked, argv: &[OsString]) -> Option<Result<u8, Failure>> {
    if let Asked::Top(args) = asked {
        return (!args.sample.set().is_empty()).then(|| top_of_set(args, argv, VARIABLE));
    }
    let (cluster, way) = asked.of_all_streams()?;
    let file = match asked {
        Asked::Check(args) => args.file.as_ref().unwrap_or(&cluster.config),
        _ => &cluster.config,
    };
    let names = streams_not_chosen(cluster, file);
    let set = || asked.of_the_set().map(|(timeout, kind)| Answer::of_set(cluster, timeout, kind));
    (!names.is_empty()).then(|| match way {
        Way::AtOnce => at_once(&names, argv, set),
        Way::InTurn => in_turn(&names, argv),
        Way::Followed => followed(&names, argv),
        Way::Graded => graded(&names, argv, set),
    })
}

/// The streams of a file of which none was chosen; none of one that describes one cluster.
pub fn streams_not_chosen(cluster: &ClusterArgs, file: &Path) -> Vec<String> {
    // Flags that cannot be read are refused by the command itself.
    let is_chosen = cluster.overrides(&[]).map_or(true, |all| all.iter().any(|(key, ..)| key == "stream"));
    if is_chosen { Vec::new() } else { Config::streams_in(file) }
}

/// What one stream's process printed, and its exit code.
struct Answer {
    text: String,
    code: u8,
}

impl Answer {
    /// Of the set as a whole.
    fn of_set(cluster: &ClusterArgs, timeout: Duration, kind: SetReportKind) -> Self {
        match answer_of_set(cluster, timeout, kind) {
            Ok((text, code)) => Self { text, code },
            Err(failure) => {
                let text = format!("nothing is known of the merged order: {}\n", failure.lines().join("; "));
                Self { text, code: failure.code() }
            }
        }
    }

    /// Prints it, each line with the stream's name.
    fn print(&self, name: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        self.text.lines().try_for_each(|line| writeln!(out, "{}", named(name, line)))
    }
}

/// This program again, with the same arguments, for one stream. It ends with this process.
fn start(name: &str, argv: &[OsString], stderr: Stdio) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(argv.iter().skip(1)).env(VARIABLE, name);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    end_with_parent(&mut command);
    command.spawn()
}

/// Waits for its end and prints its errors. A process that a signal ended has failed.
fn ended(name: &str, child: Child) -> io::Result<Answer> {
    let output = child.wait_with_output()?;
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        eprintln!("{name}: {line}");
    }
    let code = output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED);
    Ok(Answer { text: String::from_utf8_lossy(&output.stdout).into_owned(), code })
}

/// The answers of the set, if something is asked of it, and of each stream, with their names.
fn all_at_once(
    names: &[String],
    argv: &[OsString],
    set: impl FnOnce() -> Option<Answer>,
) -> Result<Vec<(String, Answer)>, Failure> {
    let children: Vec<_> =
        names.iter().map(|name| start(name, argv, Stdio::piped())).collect::<Result<_, _>>()?;
    let set = set().map(|answer| Ok((SET.to_owned(), answer)));
    let of_streams = names.iter().zip(children).map(|(name, child)| Ok((name.clone(), ended(name, child)?)));
    set.into_iter().chain(of_streams).collect()
}

fn at_once(names: &[String], argv: &[OsString], set: impl FnOnce() -> Option<Answer>) -> Result<u8, Failure> {
    let all = all_at_once(names, argv, set)?;
    all.iter().try_for_each(|(name, answer)| answer.print(name))?;
    let answers = all.iter().map(|(_, answer)| answer);
    Ok(answers.map(|answer| answer.code).max().unwrap_or(0))
}

fn in_turn(names: &[String], argv: &[OsString]) -> Result<u8, Failure> {
    for (index, name) in names.iter().enumerate() {
        let answer = ended(name, start(name, argv, Stdio::piped())?)?;
        answer.print(name)?;
        if answer.code > 0 {
            let done = match &names[..index] {
                [] => "nothing was done".to_owned(),
                done => format!("it is done for {}", done.join(", ")),
            };
            let left = names[index..].join(", ");
            let what = format!("stream {name} failed, and {done}: give --stream for each of {left}");
            return Err(Failure::new(answer.code, what));
        }
    }
    Ok(0)
}

fn followed(names: &[String], argv: &[OsString]) -> Result<u8, Failure> {
    let children: Vec<_> =
        names.iter().map(|name| start(name, argv, Stdio::inherit())).collect::<Result<_, _>>()?;
    let (gravest, out) = (Mutex::new(0), Mutex::new(io::stdout()));
    std::thread::scope(|scope| {
        for (name, mut child) in names.iter().zip(children) {
            let (gravest, out) = (&gravest, &out);
            scope.spawn(move || {
                let lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
                for line in lines.map_while(Result::ok) {
                    let mut out = out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if writeln!(out, "{}", named(name, &line)).and_then(|()| out.flush()).is_err() {
                        break; // nobody reads any more
                    }
                }
                let code = ended(name, child).map_or(FAILED, |answer| answer.code);
                let mut gravest = gravest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *gravest = code.max(*gravest);
            });
        }
    });
    Ok(gravest.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// How grave an exit code of a monitor's plugin is: critical before unknown before a warning.
fn gravity(code: u8) -> u8 {
    match code {
        0 => 0,
        1 => 1,
        2 => 3,
        _ => 2,
    }
}

/// A monitor shows the first line, and takes the numbers behind its bar: that line is the gravest stream's.
fn graded(names: &[String], argv: &[OsString], set: impl FnOnce() -> Option<Answer>) -> Result<u8, Failure> {
    let mut all = all_at_once(names, argv, set)?;
    all.sort_by_key(|(_, answer)| std::cmp::Reverse(gravity(answer.code)));
    let mut out = io::stdout().lock();
    for (name, answer) in &all {
        for line in answer.text.lines() {
            match line.split_once(" - ") {
                Some((grade, rest)) if grade.starts_with("LOCKSTEP ") => {
                    writeln!(out, "{grade} - {name}: {rest}")?;
                }
                _ => writeln!(out, "{name}: {line}")?,
            }
        }
    }
    Ok(all.first().map_or(0, |(_, answer)| answer.code))
}

/// A line of this stream.
fn named(name: &str, line: &str) -> String {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => {
            let own = match name {
                SET => (SET.to_owned(), Value::from(true)),
                name => ("stream".to_owned(), Value::from(name)),
            };
            let mut whole = serde_json::Map::from_iter([own]);
            whole.extend(object);
            Value::Object(whole).to_string()
        }
        _ => format!("{name}: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_streams_name_and_an_object_has_it_as_a_field() {
        assert_eq!(named("orders", "healthy"), "orders: healthy");
        assert_eq!(named("orders", "[1]"), "orders: [1]");
        let object: Value = serde_json::from_str(&named("orders", r#"{"schema":"x","seq":7}"#)).unwrap();
        assert_eq!((&object["stream"], &object["seq"]), (&Value::from("orders"), &Value::from(7)));
        let object: Value = serde_json::from_str(&named(SET, r#"{"schema":"x"}"#)).unwrap();
        assert_eq!((&object[SET], &object["stream"]), (&Value::from(true), &Value::Null));
    }

    #[test]
    fn critical_is_graver_than_unknown_and_that_than_a_warning() {
        let mut codes = [0, 1, 2, 3];
        codes.sort_by_key(|code| std::cmp::Reverse(gravity(*code)));
        assert_eq!(codes, [2, 3, 1, 0]);
    }
}
