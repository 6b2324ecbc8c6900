//! A process of this host, read from its counters file, which shows as much of a process that hangs or has
//! died.

use lockstep_core::engine::counters::{CounterKind, CounterRow, Described};
use lockstep_core::engine::durations::Durations;
use lockstep_io::IoError;
use lockstep_io::clock::Utc;
use lockstep_io::counters::CountersReader;
use lockstep_io::private::FileOwners;
use lockstep_wire::Nanos;
use std::path::Path;
use std::time::Duration;

/// A process that has stored no values for so long hangs or has died: it stores them at least ten times a
/// second.
const SILENT: Duration = Duration::from_secs(2);

/// The state of a process, as its file shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// It runs, and stores its counters.
    Runs,
    /// It runs, and has stored no values for so long.
    Hangs(Duration),
    /// It has ended; its last values are so old.
    Ended(Duration),
}

impl Life {
    /// The state in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Hangs(_) => "hangs",
            Self::Ended(_) => "ended",
        }
    }
}

/// The value of a counter at one moment.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A count, a gauge, the index of a state, or a field of a record.
    Number(u64),
    /// A distribution of times.
    Durations(Box<Durations>),
}

impl Value {
    /// The number, or how many times were counted.
    pub fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Durations(durations) => durations.count(),
        }
    }

    /// The difference to `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        match (self, earlier) {
            (Self::Durations(now), Self::Durations(before)) => Self::Durations(Box::new(now.since(before))),
            (now, before) => Self::Number(now.number().saturating_sub(before.number())),
        }
    }
}

/// A process with its counters at one moment.
#[derive(Debug)]
pub struct Process {
    /// The name of its file: `replica-1`, `gateway-a`.
    pub name: String,
    /// `replica`, `archiver`, `gateway`, `feed`, `notary`, `coordinator`, `application`.
    pub kind: String,
    /// The number of its cluster.
    pub cluster: String,
    /// The release of its program.
    pub release: String,
    /// Its process id.
    pub pid: u32,
    /// The user who created the file; `None` for a process of another host.
    pub user: Option<u32>,
    /// Its state.
    pub life: Life,
    /// The time since it started.
    pub age: Duration,
    /// When the values were stored, since the Unix epoch; 0 if they never were.
    pub published_at: Nanos,
    /// Each counter with its value.
    pub rows: Vec<(Described, Value)>,
}

impl Process {
    /// Reads the file at `path` of the process called `name`; one of `owners` must have created it.
    ///
    /// # Errors
    /// The file does not exist, belongs to another user, or is no counters file.
    pub fn read(name: &str, path: &Path, owners: &FileOwners) -> Result<Self, IoError> {
        Ok(Self::of(name, &CountersReader::open_of(path, owners)?))
    }

    /// Reads the file at `path`, whichever user created it. The process has the name in the file:
    /// `replica-1`.
    ///
    /// # Errors
    /// The file does not exist, or is no counters file.
    pub fn read_file(path: &Path) -> Result<Self, IoError> {
        let reader = CountersReader::open_of(path, &FileOwners::anybody())?;
        Ok(Self::of(&name_of(&reader), &reader))
    }

    /// A process of another host, by the counters file that its page returned; its values are so old.
    pub fn of_page(reader: &CountersReader, silent: Duration) -> Self {
        let life = if silent < SILENT { Life::Runs } else { Life::Hangs(silent) };
        Self::with_life(&name_of(reader), reader, life)
    }

    /// The process called `name` with the values that the file has at this moment.
    pub fn of(name: &str, reader: &CountersReader) -> Self {
        let silent = age_of_values(reader);
        // another process may have its id by now: then this one seems to live, and to hang
        let lives = Path::new("/proc").join(reader.pid().to_string()).exists();
        let life = match lives {
            true if silent < SILENT => Life::Runs,
            true => Life::Hangs(silent),
            false => Life::Ended(silent),
        };
        Self::with_life(name, reader, life)
    }

    fn with_life(name: &str, reader: &CountersReader, life: Life) -> Self {
        let values = reader.values();
        let mut rest = values.as_slice();
        let rows = reader.rows().iter().map(|row| {
            let (words, behind) = rest.split_at(row.kind.values());
            rest = behind;
            let durations = Durations::from_words(words).filter(|_| row.kind == CounterKind::Histogram);
            (
                row.clone(),
                durations.map_or(Value::Number(words[0]), |durations| Value::Durations(Box::new(durations))),
            )
        });
        let label = |name: &str| reader.label(name).unwrap_or("?").to_owned();
        Self {
            rows: rows.collect(),
            name: name.to_owned(),
            kind: label("kind"),
            cluster: label("cluster"),
            release: label("release"),
            pid: reader.pid(),
            user: reader.owner(),
            life,
            age: ago(reader.started_at()),
            published_at: reader.published_at(),
        }
    }

    /// A process with these counters, for tests.
    #[doc(hidden)]
    pub fn of_rows(
        (kind, name): (&str, &str),
        life: Life,
        rows: impl IntoIterator<Item = (CounterRow, u64)>,
    ) -> Self {
        let rows = rows.into_iter().map(|(row, value)| (Described::from(row), Value::Number(value)));
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            cluster: String::new(),
            release: String::new(),
            pid: 1,
            user: None,
            life,
            age: Duration::ZERO,
            published_at: 0,
            rows: rows.collect(),
        }
    }

    /// The name of the present state of the counter called `name`.
    pub fn state(&self, name: &str) -> Option<&str> {
        self.row(name).map(|(row, value)| state_of(row, value))
    }

    /// The value called `name`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.row(name).map(|(_, value)| value)
    }

    fn row(&self, name: &str) -> Option<&(Described, Value)> {
        self.rows.iter().find(|(row, _)| row.name == name)
    }
}

fn ago(at: Nanos) -> Duration {
    Duration::from_nanos(Utc::now().0.saturating_sub(at))
}

/// The time since the process stored its values, or since it started.
pub fn age_of_values(reader: &CountersReader) -> Duration {
    ago(reader.published_at().max(reader.started_at()))
}

/// The name of the process, from the contents of the file: `replica-1`.
fn name_of(reader: &CountersReader) -> String {
    let label = |name: &str| reader.label(name);
    let name = label("number").or_else(|| label("name"));
    let name = format!("{}-{}", label("kind").unwrap_or("process"), name.unwrap_or("?"));
    // the file of an application has no kind in its name
    name.trim_start_matches("application-").to_owned()
}

/// The name of the present state of a counter.
pub fn state_of<'a>(row: &'a Described, value: &Value) -> &'a str {
    row.unit.split('|').nth(value.number() as usize).unwrap_or("?")
}
