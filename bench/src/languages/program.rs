//! The programs: how they are run, what they report, and the one in Rust.
//!
//! ```text
//!   closed WARM_UP_MS MS               prints the nanoseconds of each message, a line each
//!   apply WARM_UP_MS MS                prints those of an input in the counter of docs/APPLY.md, likewise
//!   read single|batch WARM_UP_MS MS    prints MESSAGES BYTES NANOSECONDS
//! ```
//!
//! `LOCKSTEP_CONFIG` names the cluster's file.

use crate::child;
use crate::cluster::MESSAGE_LEN;
use clap::ValueEnum;
use lockstep_client::{
    Delivery, EVERYBODY, Endpoint, Participant, ParticipantEvent, PublisherId, PublisherSeq, Start,
    Subscriber, SubscriberEvent,
};
use lockstep_process::child::{ChildGuard, await_end};
use lockstep_testkit::processes::command_of;
use std::fmt::Write as _;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Beyond its own times a program may take so long, to start and to print.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a handle may take to be connected and its name to be open.
const OPEN: Duration = Duration::from_secs(10);
/// Messages of a poll at most, in every language.
const LIMIT: usize = 256;
/// Messages of a sample of `apply`, in every language.
const APPLY_MESSAGES: u64 = 2_000;
/// The longest sleep of an idle poll, in every language.
const WAIT: Duration = Duration::from_millis(1);

/// How a program is handed what it reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Mode {
    /// One event after the other.
    Single,
    /// All events of a poll at once.
    Batch,
}

impl Mode {
    /// The name and the words of a program's row.
    pub fn of(self, program: &Program) -> (String, String) {
        match self {
            Self::Single => (program.name.to_owned(), program.words.to_owned()),
            Self::Batch => (format!("{}-batch", program.name), format!("{}, batches", program.words)),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Batch => "batch",
        }
    }
}

/// What a reader has received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Messages.
    pub messages: u64,
    /// In so many nanoseconds.
    pub took_ns: u64,
}

impl Received {
    /// Reads the line of a program.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
        let Some(&[messages, bytes, took_ns]) = numbers.as_deref() else {
            return Err(format!("'{}' is not MESSAGES BYTES NANOSECONDS", text.trim()));
        };
        if bytes != messages * MESSAGE_LEN as u64 || took_ns == 0 {
            return Err(format!("{messages} messages of {MESSAGE_LEN} B have no {bytes} B"));
        }
        Ok(Self { messages, took_ns })
    }

    /// Messages a second.
    pub fn rate(self) -> f64 {
        self.messages as f64 * 1e9 / self.took_ns as f64
    }
}

/// A program of a language.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    /// Arguments in front of those of all.
    first: &'static [&'static str],
    /// In a word.
    pub name: &'static str,
    /// In words.
    pub words: &'static str,
}

impl Program {
    /// The one in Rust: this program.
    ///
    /// # Errors
    /// The system does not say where it is.
    pub fn own(name: &'static str) -> Result<Self, String> {
        Ok(Self { path: child::itself()?, first: &["language-loop"], name, words: "Rust" })
    }

    /// One that lies at `path`.
    pub fn at(path: PathBuf, name: &'static str, words: &'static str) -> Self {
        Self { path, first: &[], name, words }
    }

    /// How it can read. The handles of Rust have no batches: their callback is inlined. Those of Go and Node
    /// have nothing else.
    pub fn modes(&self) -> &'static [Mode] {
        match self.name {
            "go" | "node" => &[Mode::Batch],
            _ if self.first.is_empty() => &[Mode::Single, Mode::Batch],
            _ => &[Mode::Single],
        }
    }

    /// Whether its language has state machines, and this program one: that of C is a table, as C++ has it.
    pub fn has_machines(&self) -> bool {
        !["c", "go", "node"].contains(&self.name)
    }

    /// The nanoseconds of each message, or of each sample of inputs.
    ///
    /// # Errors
    /// It fails: in its words.
    pub fn samples(&self, config: &Path, word: &str, warm_up: f64, seconds: f64) -> Result<Vec<u64>, String> {
        let text = self.run(config, &[word], warm_up, seconds)?;
        let samples: Result<Vec<u64>, _> = text.lines().map(str::parse).collect();
        samples.map_err(|error| format!("{}: a sample that is none: {error}", self.words))
    }

    /// Reads the stream.
    ///
    /// # Errors
    /// It fails: in its words.
    pub fn read(&self, config: &Path, mode: Mode, warm_up: f64, seconds: f64) -> Result<Received, String> {
        let text = self.run(config, &["read", mode.word()], warm_up, seconds)?;
        Received::parse(&text).map_err(|error| format!("{}: {error}", self.words))
    }

    /// Runs it to its end; what it prints.
    fn run(&self, config: &Path, what: &[&str], warm_up: f64, seconds: f64) -> Result<String, String> {
        let fails = |error: std::io::Error| format!("{}: {}: {error}", self.words, self.path.display());
        let times = [warm_up, seconds].map(|seconds| format!("{:.0}", seconds * 1e3));
        let mut command = command_of(Command::new(&self.path), self.first);
        command.args(what).args(&times).env("LOCKSTEP_CONFIG", config).stdout(Stdio::piped());
        let mut child = ChildGuard::from(command.spawn().map_err(fails)?);
        let mut output = child.stdout.take().ok_or("a program has no output")?;
        let printed = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).map(|_| text)
        });
        let patience = PATIENCE + Duration::from_secs_f64(warm_up + seconds);
        let status = await_end(&mut child, patience).map_err(fails)?;
        let status = status.ok_or_else(|| format!("{} did not end within {patience:?}", self.words))?;
        let text = printed.join().map_err(|_| "reading a program's output has panicked")?.map_err(fails)?;
        if !status.success() {
            return Err(format!("{} ended with {status}; its words are above", self.words));
        }
        Ok(text)
    }
}

/// The hidden subcommand: the loop in Rust.
#[derive(clap::Args)]
pub struct LoopArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// One message in flight.
    Closed {
        /// Milliseconds before those that count.
        warm_up_ms: u64,
        /// Those that count.
        ms: u64,
    },
    /// An input of a machine.
    Apply {
        /// Milliseconds before those that count.
        warm_up_ms: u64,
        /// Those that count.
        ms: u64,
    },
    /// Reads the stream.
    Read {
        /// Batches are not for Rust.
        #[arg(value_enum)]
        mode: Mode,
        /// Milliseconds before those that count.
        warm_up_ms: u64,
        /// Those that count.
        ms: u64,
    },
}

/// Runs the loop in Rust.
///
/// # Errors
/// In words, what went wrong.
pub fn run_loop(arguments: &LoopArguments) -> Result<(), String> {
    let endpoint = || Endpoint::from_env().map_err(|errors| errors.to_string());
    match arguments.what {
        What::Apply { warm_up_ms, ms } => apply([warm_up_ms, ms].map(Duration::from_millis)),
        What::Closed { warm_up_ms, ms } => closed(&endpoint()?, [warm_up_ms, ms].map(Duration::from_millis)),
        What::Read { mode: Mode::Single, warm_up_ms, ms } => {
            read(&endpoint()?, [warm_up_ms, ms].map(Duration::from_millis))
        }
        What::Read { mode: Mode::Batch, .. } => {
            Err("the handles of Rust have no batches: read single".to_owned())
        }
    }
}

/// A participant with an open name.
struct Loop {
    participant: Participant,
    id: PublisherId,
}

impl Loop {
    fn open(endpoint: &Endpoint) -> Result<Self, String> {
        let fails = |error: &dyn std::fmt::Display| error.to_string();
        let ignore = |_: ParticipantEvent<'_>| ControlFlow::Continue(());
        let connected = Participant::connect(endpoint, Delivery::Committed, Start::Live);
        let mut participant = connected.map_err(|error| fails(&error))?;
        participant.begin(OPEN, ignore).map_err(|error| fails(&error))?;
        let id = participant.open("loop", OPEN, ignore).map_err(|error| fails(&error))?;
        Ok(Self { participant, id })
    }

    /// Publishes a message, and returns when it is delivered.
    fn pass(&mut self, message: &[u8]) -> Result<(), String> {
        let Self { participant, id } = self;
        let number: PublisherSeq =
            participant.try_publish(*id, EVERYBODY, message).map_err(|error| error.to_string())?;
        let mut is_delivered = false;
        while !is_delivered {
            let work = participant.poll(LIMIT, |event| {
                if let ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) = event {
                    is_delivered |= (message.publisher, message.publisher_seq) == (*id, number);
                }
                ControlFlow::Continue(())
            });
            if work == 0 {
                participant.wait(WAIT).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

fn closed(endpoint: &Endpoint, [warm_up, time]: [Duration; 2]) -> Result<(), String> {
    let mut handle = Loop::open(endpoint)?;
    let message = [0x5a; MESSAGE_LEN];
    let mut samples: Vec<u64> = Vec::with_capacity(1 << 20);
    let began = Instant::now();
    loop {
        let sent = Instant::now();
        handle.pass(&message)?;
        let came = Instant::now();
        if came - began >= warm_up + time {
            break;
        }
        if came - began >= warm_up {
            samples.push((came - sent).as_nanos() as u64);
        }
    }
    let mut text = String::new();
    for ns in samples {
        let _ = writeln!(text, "{ns}"); // a text takes all
    }
    child::report(text.trim_end())
}

fn apply([warm_up, time]: [Duration; 2]) -> Result<(), String> {
    let (began, mut text) = (Instant::now(), String::new());
    while began.elapsed() < warm_up + time {
        let counts = began.elapsed() >= warm_up;
        let ns = lockstep_app::counter_ns(APPLY_MESSAGES);
        if counts {
            let _ = writeln!(text, "{ns:.0}"); // a text takes all
        }
    }
    child::report(text.trim_end())
}

fn read(endpoint: &Endpoint, [warm_up, time]: [Duration; 2]) -> Result<(), String> {
    let fails = |error: lockstep_client::IoError| error.to_string();
    let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::Live).map_err(fails)?;
    subscriber.begin(OPEN, |_| ControlFlow::Continue(())).map_err(fails)?;
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    let began = Instant::now();
    let mut counted = None;
    loop {
        let work = subscriber.poll(LIMIT, |event| {
            if let SubscriberEvent::Message(message) = event {
                messages += 1;
                bytes += message.payload.len() as u64;
            }
            ControlFlow::Continue(())
        });
        let now = Instant::now();
        if counted.is_none() && now - began >= warm_up {
            counted = Some((now, messages, bytes));
        }
        if now - began >= warm_up + time {
            let (from, messages_before, bytes_before) = counted.ok_or("nothing was counted")?;
            let took = (now - from).as_nanos();
            return child::report(&format!("{} {} {took}", messages - messages_before, bytes - bytes_before));
        }
        if work == 0 {
            subscriber.wait(WAIT).map_err(fails)?;
        }
    }
}
