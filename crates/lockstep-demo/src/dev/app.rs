//! `--app`: programs of the user beside the replicas. Each has the environment that `dev` prints for a shell,
//! and each line that it prints is printed behind its name. One that ends by an error is started again,
//! some times in a row; with `--watch` each is started again once its file has changed.

use super::shadow::{Compared, Versions};
use super::word::Words;
use super::{AGAIN, DevArgs, WatchDiffers};
use lockstep_app::MACHINE_FILE_VARIABLE;
use lockstep_process::child::{ChildGuard, clear_settings, end_with_parent};
use lockstep_process::signal::Signal;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io};

/// Ends by an error, one soon after the other, after which a program is left as it is.
const FAILURES_MAX: u32 = 5;
/// A program that ran for so long begins the count of its failures anew.
const STEADY: Duration = Duration::from_secs(10);
/// A file that did not change for so long is whole: a linker writes for some time.
const REST: Duration = Duration::from_millis(500);
/// From SIGTERM until a program is killed.
const ORDERLY: Duration = Duration::from_secs(5);
/// How long the last lines of a program may take that has ended.
const LAST_LINES: Duration = Duration::from_millis(500);
/// Between two looks while programs end.
const LOOK: Duration = Duration::from_millis(10);
/// A copy of the file that was started last, and what `run` of a machine writes.
const EARLIER: &str = "former";
const MACHINE: &str = "machine";
/// Bytes of a line that are printed as one.
const LINE_MAX: u64 = 64 << 10;

/// A program with its arguments.
#[derive(Clone, Debug)]
pub struct AppCommand {
    /// What stands before each of its lines.
    pub name: String,
    pub path: PathBuf,
    pub args: Vec<String>,
}

impl AppCommand {
    /// A path, or a path and arguments with blanks between.
    ///
    /// # Errors
    /// It names no file that can be executed.
    pub fn of(text: &str) -> Result<Self, String> {
        // A path with blanks is that path.
        let mut words = if Path::new(text).exists() { vec![text] } else { text.split_whitespace().collect() };
        if words.is_empty() {
            return Err("--app names no program: write --app PATH, or --app \"PATH ARGUMENT …\"".to_owned());
        }
        let path = Path::new(words.remove(0));
        let shown = path.display();
        let found = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("--app {shown}: there is no such file; build it first, or name its path")
            }
            _ => format!("--app {shown}: {error}"),
        })?;
        if !found.is_file() {
            return Err(format!("--app {shown} is no file; name a program in it"));
        }
        if found.permissions().mode() & 0o111 == 0 {
            return Err(format!("--app {shown} is not executable; `chmod +x {shown}` makes it so"));
        }
        let path = std::path::absolute(path).map_err(|error| format!("--app {shown}: {error}"))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, path, args: words.into_iter().map(str::to_owned).collect() })
    }
}

/// What each program finds in its environment.
#[derive(Clone, Debug)]
pub struct AppEnvironment {
    /// The cluster's file.
    pub config: PathBuf,
    /// The stream of it that a program reads where it chooses none itself.
    pub stream: Option<String>,
    /// Where programs are found.
    pub path: OsString,
}

impl AppEnvironment {
    /// Gives it to a program.
    pub fn set(&self, command: &mut Command) {
        command.env("LOCKSTEP_CONFIG", &self.config).env("PATH", &self.path);
        command.envs(self.stream.iter().map(|name| ("LOCKSTEP_STREAM", name)));
    }

    /// The folder of what is known of a program.
    fn folder(&self, name: &str) -> PathBuf {
        self.config.with_file_name("apps").join(name)
    }
}

/// Their programs and what became of them.
pub struct Apps {
    apps: Vec<App>,
    environment: AppEnvironment,
    watch: bool,
    differs: WatchDiffers,
    words: Words,
}

impl Apps {
    /// None of them runs yet: the first look starts them.
    pub fn new(args: &DevArgs, commands: Vec<AppCommand>, environment: AppEnvironment, words: Words) -> Self {
        let now = Instant::now();
        let apps = commands.into_iter().map(|command| App::of(command, State::Due(now), None)).collect();
        Self { apps, environment, watch: args.watch, differs: args.watch_differs, words }
    }

    /// The line of each that is printed at the start.
    pub fn lines(&self) -> Vec<String> {
        let again = if self.watch { "started again when its file changes, " } else { "" };
        let line = |app: &App| {
            let AppCommand { name, path, args } = &app.command;
            let command = [&[path.display().to_string()], &args[..]].concat().join(" ");
            format!("{command}: {again}its lines stand behind [{name}]")
        };
        self.apps.iter().map(line).collect()
    }

    /// Starts those that are due, and sees which have ended or have a new file.
    pub fn look(&mut self) {
        let now = Instant::now();
        for app in &mut self.apps {
            if self.watch && app.has_new_file(now) {
                app.on_new_file(now, &self.environment);
            }
            if let Some(compared) = app.take_compared() {
                app.on_compared(now, compared, self.differs, &mut self.words);
            }
            app.look(now, &self.environment, self.watch);
        }
        while let Some(line) = self.words.next() {
            self.apps.iter_mut().for_each(|app| app.on_word(now, line.trim()));
        }
    }

    /// Ends all of them: in order, or by force where that takes too long.
    pub fn end(&mut self) {
        let until = Instant::now() + ORDERLY;
        self.apps.iter_mut().for_each(|app| app.ask_to_end(until));
        while self.apps.iter_mut().any(|app| app.goes_on(Instant::now())) {
            std::thread::sleep(LOOK);
        }
        let until = Instant::now() + LAST_LINES;
        let is_read = |app: &App| app.output.iter().all(JoinHandle::is_finished);
        while !self.apps.iter().all(is_read) && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }
}

/// One program.
struct App {
    command: AppCommand,
    state: State,
    /// The file that was started last.
    stamp: Option<Stamp>,
    /// Ends by an error in a row.
    failures: u32,
    /// Another file, and since when it is as it is.
    changed: Option<(Stamp, Instant)>,
    /// Threads that print what it prints.
    output: Vec<JoinHandle<()>>,
    /// The file that is compared with the former one, or was.
    compared: Option<Stamp>,
    comparing: Option<JoinHandle<Compared>>,
    /// The compared file differs, and the developer has not said what becomes of it.
    asks: bool,
}

enum State {
    /// It is started then.
    Due(Instant),
    Running {
        child: ChildGuard,
        since: Instant,
    },
    /// It was asked to end; then it is killed.
    Ending {
        child: ChildGuard,
        until: Instant,
    },
    /// Nothing starts it again but a new file.
    Over,
}

/// What tells a file from the one that was there before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    modified: (i64, i64),
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { modified: (found.mtime(), found.mtime_nsec()), len: found.size(), inode: found.ino() })
    }
}

impl App {
    fn of(command: AppCommand, state: State, stamp: Option<Stamp>) -> Self {
        Self {
            command,
            state,
            stamp,
            failures: 0,
            changed: None,
            output: Vec::new(),
            compared: None,
            comparing: None,
            asks: false,
        }
    }

    /// Begins to compare the new file with the one that runs, if that has a machine; else it is started.
    fn on_new_file(&mut self, now: Instant, environment: &AppEnvironment) {
        let AppCommand { name, path, .. } = &self.command;
        let folder = environment.folder(name);
        let earlier = folder.join(EARLIER);
        let is_machine = folder.join(MACHINE).exists() && earlier.exists();
        if !(is_machine && matches!(self.state, State::Running { .. })) {
            say(&format!("{} has changed; {name} is started again", path.display()));
            return self.renew(now);
        }
        say(&format!("{} has changed; it is compared with the version that runs", path.display()));
        (self.compared, self.changed, self.asks) = (Stamp::of(path), None, false);
        let versions = Versions { command: self.command.clone(), environment: environment.clone(), earlier };
        self.comparing = Some(std::thread::spawn(move || versions.compare()));
    }

    /// What the comparison has found, unless the file has changed once more.
    fn take_compared(&mut self) -> Option<Compared> {
        let thread = self.comparing.take_if(|thread| thread.is_finished())?;
        let compared =
            thread.join().unwrap_or_else(|_| Compared::Differs("the comparison failed".to_owned()));
        (self.compared == Stamp::of(&self.command.path)).then_some(compared)
    }

    fn on_compared(&mut self, now: Instant, compared: Compared, differs: WatchDiffers, words: &mut Words) {
        let name = &self.command.name;
        let text = match compared {
            Compared::Equal { inputs, state_from } => {
                let state = state_from.map_or_else(String::new, |seq| {
                    format!(", though the state has another digest from seq {seq} on")
                });
                say(&format!(
                    "{name} does the same with {inputs} inputs of the stream{state}: it takes over"
                ));
                return self.renew(now);
            }
            Compared::Differs(text) => text,
        };
        say(&format!("{name} differs from the version that runs: {}", text.trim_end()));
        if differs == WatchDiffers::Take {
            say(&format!("{name} takes over"));
            return self.renew(now);
        }
        say(&format!(
            "the version that runs goes on. Write `take {name}` to start the new one (it ends at the first output that the              stream has otherwise: a new `dev` has a new stream), `leave {name}` to leave it, or change it once more"
        ));
        self.asks = true;
        words.begin();
    }

    /// A line of the developer.
    fn on_word(&mut self, now: Instant, line: &str) {
        let (word, of) = line.split_once(' ').unwrap_or((line, &self.command.name));
        if !self.asks || of.trim() != self.command.name {
            return;
        }
        match word {
            "take" => {
                say(&format!("{} takes over", self.command.name));
                self.renew(now);
            }
            "leave" => self.asks = false,
            _ => say(&format!("write `take {of}` or `leave {of}`")),
        }
    }

    /// Begins what is known of it beside its process: a copy of its file, and not yet that it has a machine.
    fn begin_watch(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        match fs::remove_file(folder.join(MACHINE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Another file, and not the same one: a process may still run the one that is there.
        let (copy, part) = (folder.join(EARLIER), folder.join("part"));
        fs::copy(&self.command.path, &part)?;
        fs::rename(part, copy)
    }

    /// Whether its file is another one than that which was started, and rests.
    fn has_new_file(&mut self, now: Instant) -> bool {
        let stamp =
            Stamp::of(&self.command.path).filter(|stamp| self.stamp.is_some_and(|started| started != *stamp));
        let stamp = stamp.filter(|stamp| self.compared != Some(*stamp));
        self.changed = match (stamp, self.changed) {
            (None, _) => None,
            (Some(stamp), Some((seen, since))) if stamp == seen => Some((stamp, since)),
            (Some(stamp), _) => Some((stamp, now)),
        };
        self.changed.is_some_and(|(_, since)| now.duration_since(since) >= REST)
    }

    /// Has it started with the file that is there now.
    fn renew(&mut self, now: Instant) {
        (self.failures, self.changed) = (0, None);
        (self.compared, self.asks) = (None, false);
        self.stamp = Stamp::of(&self.command.path);
        match &self.state {
            State::Running { .. } => self.ask_to_end(now + ORDERLY),
            State::Due(_) | State::Over => self.state = State::Due(now),
            State::Ending { .. } => {}
        }
    }

    /// Asks it to end, with all that it has started.
    fn ask_to_end(&mut self, until: Instant) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Running { child, .. } => {
                // One that has ended already is seen at the next look.
                let _ = Signal::Terminate.send_to_group(&child);
                State::Ending { child, until }
            }
            state @ State::Ending { .. } => state,
            State::Due(_) | State::Over => State::Over,
        };
    }

    /// Whether one that was asked to end has not ended yet; it is killed after its time.
    fn goes_on(&mut self, now: Instant) -> bool {
        let State::Ending { child, until } = &mut self.state else { return false };
        if !matches!(child.try_wait(), Ok(None)) {
            self.state = State::Over;
            return false;
        }
        if now >= *until {
            say(&format!("{} did not end within {ORDERLY:?} of SIGTERM; it is killed", self.command.name));
            let _ = Signal::Kill.send_to_group(child); // likewise
            *until = now + ORDERLY;
        }
        true
    }

    fn look(&mut self, now: Instant, environment: &AppEnvironment, watch: bool) {
        if matches!(self.state, State::Ending { .. }) && !self.goes_on(now) {
            self.state = State::Due(now);
        }
        match &mut self.state {
            State::Due(at) if *at <= now => self.start(now, environment, watch),
            State::Running { child, since } => {
                let steady = now.duration_since(*since) >= STEADY;
                match child.try_wait() {
                    Ok(None) => {}
                    Ok(Some(status)) => self.ended(now, status, steady, watch),
                    Err(error) => self.failed(now, &format!("was lost ({error})"), watch),
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, now: Instant, environment: &AppEnvironment, watch: bool) {
        // Before: a file that changes meanwhile is another one.
        self.stamp = Stamp::of(&self.command.path);
        match self.spawn(environment, watch) {
            Ok(child) => {
                say(&format!("{} is process {}", self.command.name, child.id()));
                self.state = State::Running { child, since: now };
            }
            Err(error) => self.failed(now, &format!("could not be started ({error})"), watch),
        }
    }

    fn spawn(&mut self, environment: &AppEnvironment, watch: bool) -> io::Result<ChildGuard> {
        let folder = environment.folder(&self.command.name);
        if watch {
            self.begin_watch(&folder)?;
        }
        let AppCommand { name, path, args } = &self.command;
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        clear_settings(&mut command);
        environment.set(&mut command);
        if watch {
            command.env(MACHINE_FILE_VARIABLE, folder.join(MACHINE));
        }
        // A group of its own: Ctrl-C in a terminal reaches `dev`, which ends them in order.
        command.process_group(0);
        end_with_parent(&mut command);
        let mut child = ChildGuard::from(command.spawn()?);
        self.output.retain(|thread| !thread.is_finished());
        let prefix = format!("[{name}] ");
        if let Some(stdout) = child.stdout.take() {
            let prefix = prefix.clone();
            self.output.push(std::thread::spawn(move || print_behind(&prefix, stdout, io::stdout)));
        }
        if let Some(stderr) = child.stderr.take() {
            self.output.push(std::thread::spawn(move || print_behind(&prefix, stderr, io::stderr)));
        }
        Ok(child)
    }

    fn ended(&mut self, now: Instant, status: ExitStatus, steady: bool, watch: bool) {
        if steady || status.success() {
            self.failures = 0;
        }
        if status.success() {
            say(&format!("{} ended ({status}){}", self.command.name, if watch { UNTIL_CHANGED } else { "" }));
            self.state = State::Over;
        } else {
            self.failed(now, &format!("ended ({status})"), watch);
        }
    }

    /// It ended by an error, or could not be started.
    fn failed(&mut self, now: Instant, why: &str, watch: bool) {
        self.failures += 1;
        let name = &self.command.name;
        if self.failures > FAILURES_MAX {
            let then = if watch { UNTIL_CHANGED } else { "; mend it, and start `dev` again" };
            say(&format!(
                "{name} {why} {} times, one soon after the other: it stays ended{then}",
                self.failures
            ));
            self.state = State::Over;
        } else {
            let count = self.failures;
            say(&format!("{name} {why}; it is started again in {AGAIN:?} ({count} of {FAILURES_MAX})"));
            self.state = State::Due(now + AGAIN);
        }
    }
}

/// What becomes of one that has ended, under `--watch`.
const UNTIL_CHANGED: &str = "; it is started again when its file changes";

/// A line on stderr.
fn say(line: &str) {
    eprintln!("dev: {line}");
}

/// Prints each line behind the prefix, until the pipe ends. What has no reader is read all the same: the
/// program must not stand still for it.
fn print_behind<O: Write>(prefix: &str, from: impl Read, out: impl Fn() -> O) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        if !from.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            return;
        }
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        // In one call: lines of two programs are not mixed.
        let _ = out().write_all(format!("{prefix}{text}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_program_that_cannot_be_run_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a program");
        fs::write(&file, "").expect("a file");
        let path = file.display().to_string();
        let folder = folder.path().display().to_string();
        for (text, part) in [
            ("", "names no program"),
            ("/nonexistent/program 1", "/nonexistent/program: there is no such file; build it first"),
            (&*folder, "is no file"),
            (&*path, "is not executable; `chmod +x"),
        ] {
            let refused = AppCommand::of(text).expect_err(text);
            assert!(refused.contains(part), "{text}: {refused}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let app = AppCommand::of(&path).expect("a program");
        assert_eq!((&*app.name, app.path == file, app.args.len()), ("a program", true, 0));
        let app = AppCommand::of("/bin/sh -c  true").expect("a program");
        assert_eq!((&*app.name, app.args), ("sh", vec!["-c".to_owned(), "true".to_owned()]));
    }

    #[test]
    fn a_file_that_still_changes_is_not_new_until_it_rests() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        fs::write(&path, "1").expect("a file");
        let command = AppCommand { name: "program".to_owned(), path: path.clone(), args: Vec::new() };
        let mut app = App::of(command, State::Over, Stamp::of(&path));
        let mut now = Instant::now();
        let mut after = |app: &mut App, rest: Duration| {
            now += rest;
            app.has_new_file(now)
        };
        assert!(!after(&mut app, REST) && !after(&mut app, REST), "it is the one that was started");
        fs::write(&path, "12").expect("a file");
        assert!(!after(&mut app, REST));
        fs::write(&path, "123").expect("a file");
        assert!(!after(&mut app, REST), "it has changed once more");
        assert!(!after(&mut app, REST / 2));
        fs::remove_file(&path).expect("it was there");
        assert!(!after(&mut app, REST), "there is none");
        fs::write(&path, "1234").expect("a file");
        assert!(!after(&mut app, REST) && after(&mut app, REST));
    }

    #[test]
    fn each_line_is_printed_behind_the_name_also_the_last_one_without_an_end() {
        #[derive(Clone, Default)]
        struct Printed(Arc<Mutex<Vec<u8>>>);
        impl Write for Printed {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("one thread").write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let printed = Printed::default();
        print_behind("[a] ", &b"one\n\ntwo \xff\nthree"[..], || printed.clone());
        let text = String::from_utf8(printed.0.lock().expect("one thread").clone()).expect("UTF-8");
        assert_eq!(text, "[a] one\n[a] \n[a] two \u{fffd}\n[a] three\n");
    }
}
