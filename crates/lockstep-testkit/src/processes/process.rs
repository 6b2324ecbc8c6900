//! A process beside its test: its log, its pipes, its signals and its end.

use crate::processes::{LOOK, PATIENCE};
use lockstep_process::child::{LoggedChild, await_end};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a process of ours needs at most to begin, on a machine that has time.
const STARTING: Duration = Duration::from_millis(500);

/// A process that ends with its test.
pub struct Process {
    child: LoggedChild,
    name: String,
}

/// The lines that a process prints, as they come.
pub struct PrintedLines(Box<dyn Iterator<Item = String> + Send>);

impl PrintedLines {
    /// The rest of the next line with this.
    #[track_caller]
    pub fn after(&mut self, mark: &str, process: &Process) -> String {
        let rest = self.0.find_map(|line| Some(line.split_once(mark)?.1.to_owned()));
        rest.unwrap_or_else(|| panic!("no line with {mark}: {}", process.log()))
    }

    /// What follows is read, and looked at by nobody: the process is not held up.
    pub fn discard(self) {
        std::thread::spawn(move || self.0.for_each(drop));
    }
}

impl Process {
    /// Starts a command; stdin and stdout are pipes, stderr goes into the file `log`. The file begins anew,
    /// so that a test waits for words of this start, and not of the one before it.
    ///
    /// # Panics
    /// It does not start.
    pub fn start(name: &str, command: Command, log: PathBuf) -> Self {
        let _ = std::fs::remove_file(&log); // there may be none
        let child = LoggedChild::start(command, Stdio::piped(), log);
        Self { child: child.unwrap_or_else(|error| panic!("{name}: {error}")), name: name.to_owned() }
    }

    /// Its stderr so far.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Waits until its stderr has `text`.
    #[track_caller]
    pub fn await_log(&mut self, text: &str) {
        self.await_log_times(text, 1);
    }

    /// Waits until its stderr has `text` so many times.
    #[track_caller]
    pub fn await_log_times(&mut self, text: &str, times: usize) {
        let began = Instant::now();
        while self.log().matches(text).count() < times {
            let ended = self.ended().map(|status| format!(" (it ended: {status})")).unwrap_or_default();
            let is_late = began.elapsed() > PATIENCE || !ended.is_empty();
            assert!(!is_late, "{} has not said '{text}'{ended}:\n{}", self.name, self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.child_mut().try_wait().expect("a child")
    }

    /// Sends it a signal by name, like TERM.
    pub fn signal(&self, name: &str) {
        signal_all(name, [self]);
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, in every namespace.
    pub fn pid(&self) -> u32 {
        self.child.child().id()
    }

    /// What all of its threads have run so far.
    ///
    /// # Panics
    /// It has ended.
    pub fn cpu_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        // The scheduler's own account, in nanoseconds; a thread may end while we look.
        let run = |thread: std::fs::DirEntry| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(threads.flatten().filter_map(run).sum())
    }

    /// Its input, to be written, closed or taken.
    pub fn stdin(&mut self) -> &mut Option<ChildStdin> {
        &mut self.child.child_mut().stdin
    }

    /// Its output, once.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.child_mut().stdout.take().expect("piped")
    }

    /// The lines of its stdout, which must be a pipe.
    pub fn take_lines(&mut self) -> PrintedLines {
        PrintedLines(Box::new(BufReader::new(self.take_stdout()).lines().map(|line| line.expect("UTF-8"))))
    }

    /// Reads so many bytes of its stdout and closes it, as a reader does that has seen enough.
    pub fn read_stdout(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut stdout = self.take_stdout();
        stdout
            .read_exact(&mut bytes)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.log()));
        bytes
    }

    /// Reads all of its stdout, to its end.
    pub fn read_all(&mut self) -> String {
        let mut text = String::new();
        let mut stdout = self.take_stdout();
        stdout.read_to_string(&mut text).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        text
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let ended = await_end(self.child.child_mut(), PATIENCE).expect("a child");
        ended.unwrap_or_else(|| panic!("{} does not end:\n{}", self.name, self.log()))
    }

    /// Ends it as an operator does, and returns its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait().code()
    }
}

/// Sends a signal to several processes, as nearly at once as one call can.
pub fn signal_all<'a>(name: &str, processes: impl IntoIterator<Item = &'a Process>) {
    let pids: Vec<String> = processes.into_iter().map(|process| process.pid().to_string()).collect();
    let status = Command::new("kill").args(["-s", name]).args(&pids).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -s {name} {pids:?}");
}

/// Lines of each log that are shown when something fails.
const LAST_LINES: usize = 40;

/// The last words of processes.
pub fn last_words(processes: &[Process]) -> String {
    let last =
        |process: &Process| format!("{}:{}\n", process.name(), process.child.last_lines(LAST_LINES, ""));
    processes.iter().map(last).collect()
}

/// Stops processes where they are, and waits until each of their threads stands still: their logs do not grow
/// from then on.
pub fn freeze(processes: &[Process]) {
    signal_all("STOP", processes);
    let began = Instant::now();
    while let Some(name) = moving(processes) {
        assert!(began.elapsed() < PATIENCE, "{name} does not stand still");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// One of these processes that does not stand still, if any: a thread of it may run.
pub fn moving(processes: &[Process]) -> Option<&str> {
    let stands = |task: std::io::Result<std::fs::DirEntry>| {
        let stat =
            task.and_then(|task| std::fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    let moves = |process: &&Process| {
        let folder = format!("/proc/{}/task", process.pid());
        !std::fs::read_dir(&folder).is_ok_and(|mut threads| threads.all(stands))
    };
    processes.iter().find(moves).map(|process| process.name.as_str())
}

/// Which part of a core each of these uses for `time`, once it has begun: what a start costs is not counted.
pub fn cpu_shares<'a>(
    processes: impl IntoIterator<Item = &'a Process>,
    time: Duration,
) -> Vec<(String, f64)> {
    let processes: Vec<_> = processes.into_iter().collect();
    std::thread::sleep(STARTING);
    let (began, before) =
        (Instant::now(), processes.iter().map(|process| process.cpu_time()).collect::<Vec<_>>());
    std::thread::sleep(time);
    let took = began.elapsed();
    let share = |(process, before): (&&Process, Duration)| {
        let used = process.cpu_time().saturating_sub(before);
        (process.name().to_owned(), used.as_secs_f64() / took.as_secs_f64())
    };
    processes.iter().zip(before).map(share).collect()
}
