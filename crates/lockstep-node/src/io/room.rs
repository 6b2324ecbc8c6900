//! The room that a node has left, and for how long: bytes and inodes of its journal's disk and of its tail's
//! file system, and descriptors of its process.
//!
//! The journal's side thread looks once a second, through folders that stay open, so a process without
//! descriptors still sees what is left. The hot thread copies the numbers with its other counters.

mod forecast;

use forecast::Forecast;
use lockstep_core::engine::counters::CounterRow;
use lockstep_io::IoError;
use lockstep_io::host::FileSystem;
use lockstep_replica::journal::Retention;
use lockstep_wire::Nanos;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The interval of looks.
const LOOK_NS: Nanos = 1_000_000_000;
/// A resource is low if it is used up before this time.
const LOW_NS: Nanos = 3_600_000_000_000;
/// A low resource is sufficient again if it lasts for this time.
const ENOUGH_NS: Nanos = 2 * LOW_NS;
/// The time of a resource whose end is not in sight: a year.
const UNSEEN_NS: Nanos = 365 * 86_400 * 1_000_000_000;
/// A disk is low if it has room for fewer segments.
const SEGMENTS_LOW: u64 = 4;
/// Inodes are low below this number; each segment takes some.
const INODES_LOW: u64 = 64;
/// Descriptors are low below this number.
const DESCRIPTORS_LOW: u64 = 32;
/// The number of descriptors without a known limit: more than a process can have.
const UNLIMITED: u64 = 1 << 62;
/// Free room varies by this many segments where retention bounds it: the next segment, which is made in
/// advance, and one that is removed late.
const SEGMENTS_SLACK: u64 = 2;

/// The rows, in the order of [`RoomValues`].
pub const ROOM_ROWS: [CounterRow; 11] = [
    CounterRow::gauge("room_free_bytes{of=\"journal\"}", "Bytes that are free: on the disk of the journal."),
    CounterRow::gauge("room_free_bytes{of=\"tail\"}", "Bytes that are free: in the file system of the tail."),
    CounterRow::gauge(
        "room_free_inodes{of=\"journal\"}",
        "Inodes that are free: on the disk of the journal.",
    ),
    CounterRow::gauge(
        "room_free_inodes{of=\"tail\"}",
        "Inodes that are free: in the file system of the tail.",
    ),
    CounterRow::gauge("room_descriptors_open", "Descriptors that the process has open."),
    CounterRow::gauge("room_descriptors_max", "Descriptors that it may have open."),
    CounterRow::gauge(
        "room_left_ns{of=\"journal_bytes\"}",
        "Time until it is used up at the rate of the last minutes, a year where that is not in sight: bytes of the journal's disk.",
    ),
    CounterRow::gauge(
        "room_left_ns{of=\"journal_inodes\"}",
        "Time until it is used up at the rate of the last minutes, a year where that is not in sight: inodes of the journal's disk.",
    ),
    CounterRow::gauge(
        "room_left_ns{of=\"tail_bytes\"}",
        "Time until it is used up at the rate of the last minutes, a year where that is not in sight: bytes of the tail's file system.",
    ),
    CounterRow::gauge(
        "room_left_ns{of=\"tail_inodes\"}",
        "Time until it is used up at the rate of the last minutes, a year where that is not in sight: inodes of the tail's file system.",
    ),
    CounterRow::gauge(
        "room_left_ns{of=\"descriptors\"}",
        "Time until it is used up at the rate of the last minutes, a year where that is not in sight: descriptors of the process.",
    ),
];

/// The values of [`ROOM_ROWS`].
pub type RoomValues = [u64; ROOM_ROWS.len()];

/// The number of resources; a resource's number in the condition is its index plus 1.
const RESOURCES: usize = 5;
const JOURNAL_BYTES: usize = 0;

/// The room at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Bytes and inodes of the journal's disk, bytes and inodes of the tail's file system, descriptors.
    free: [u64; RESOURCES],
    descriptors_open: u64,
    /// Bytes of the journal's sealed segments, which retention counts.
    sealed_bytes: u64,
}

/// A resource that runs out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Low {
    /// The number of the resource, from 1, as the condition has it.
    pub resource: u64,
    /// Seconds until it is used up; 0 if no trend shows an end.
    pub left_s: u64,
}

/// Judges the room from the last minutes.
#[derive(Debug)]
pub struct RoomJudge {
    segment_bytes: u64,
    retention: Retention,
    forecasts: [Forecast; RESOURCES],
    /// The forecast of bytes that are free or the journal's own: others use those up.
    of_others: Forecast,
    /// Whether each resource is low.
    low: [bool; RESOURCES],
}

impl RoomJudge {
    /// A judge for a journal with segments of this size.
    pub fn new(segment_bytes: u64, retention: Retention) -> Self {
        Self {
            segment_bytes,
            retention,
            forecasts: std::array::from_fn(|_| Forecast::default()),
            of_others: Forecast::default(),
            low: [false; RESOURCES],
        }
    }

    /// Handles the room at `now`. Returns the values of [`ROOM_ROWS`], and the resource that runs out first,
    /// if one is low.
    pub fn judge(&mut self, now: Nanos, left: &Left) -> (RoomValues, Option<Low>) {
        for (forecast, free) in self.forecasts.iter_mut().zip(left.free) {
            forecast.add(now, free);
        }
        let journal_bytes = left.free[JOURNAL_BYTES];
        self.of_others.add(now, journal_bytes.saturating_add(left.sealed_bytes));
        let slack = SEGMENTS_SLACK * self.segment_bytes;
        let ends: [Option<Nanos>; RESOURCES] = std::array::from_fn(|resource| {
            let free = left.free[resource];
            match resource {
                JOURNAL_BYTES if self.is_bounded(left) => self.of_others.left(free, slack),
                JOURNAL_BYTES => self.forecasts[resource].left(free, slack),
                _ => self.forecasts[resource].left(free, 0),
            }
        });
        let least = [SEGMENTS_LOW * self.segment_bytes, INODES_LOW, 0, 0, DESCRIPTORS_LOW];
        for resource in 0..RESOURCES {
            // A resource that was low needs some reserve, so that the condition does not flap.
            let (time, part) = if self.low[resource] { (ENOUGH_NS, 3) } else { (LOW_NS, 2) };
            let is_short = left.free[resource] < least[resource] / 2 * part;
            self.low[resource] = is_short || ends[resource].is_some_and(|end| end < time);
        }
        let gravest = (0..RESOURCES)
            .filter(|resource| self.low[*resource])
            .min_by_key(|resource| ends[*resource].unwrap_or(LOW_NS));
        let low = gravest.map(|resource| Low {
            resource: resource as u64 + 1,
            left_s: ends[resource].map_or(0, |end| (end / 1_000_000_000).max(1)),
        });
        (values(left, &ends), low)
    }

    /// Whether retention keeps the journal from filling the disk: it has not grown beyond its size, and its
    /// further growth has room.
    fn is_bounded(&self, left: &Left) -> bool {
        let most = self.retention.bytes_max;
        let may_grow = most.saturating_sub(left.sealed_bytes);
        most != 0
            && left.sealed_bytes <= most + SEGMENTS_SLACK * self.segment_bytes
            && left.free[JOURNAL_BYTES] >= may_grow
    }
}

fn values(left: &Left, ends: &[Option<Nanos>; RESOURCES]) -> RoomValues {
    let [journal_bytes, journal_inodes, tail_bytes, tail_inodes, descriptors] = left.free;
    let open = left.descriptors_open;
    let mut values = [0; ROOM_ROWS.len()];
    let first =
        [journal_bytes, tail_bytes, journal_inodes, tail_inodes, open, open.saturating_add(descriptors)];
    let times = ends.map(|end| end.unwrap_or(UNSEEN_NS));
    for (value, is) in values.iter_mut().zip(first.into_iter().chain(times)) {
        *value = is;
    }
    values
}

/// Looks at the folders and the process.
#[derive(Debug)]
pub struct RoomWatch {
    folders: [(File, PathBuf); 2],
    descriptors_max: u64,
    judge: RoomJudge,
    due: Nanos,
}

impl RoomWatch {
    /// A watch over the folders of a journal and its tail.
    ///
    /// # Errors
    /// One of them does not open.
    pub fn open(journal: &Path, tail: &Path, judge: RoomJudge) -> Result<Self, IoError> {
        let open = |path: &Path| {
            let folder = File::open(path);
            let folder = folder.map_err(|e| IoError::new(format!("opening {}", path.display()), e))?;
            Ok((folder, path.to_path_buf()))
        };
        let above = tail.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folders = [open(journal)?, open(above.unwrap_or(Path::new(".")))?];
        Ok(Self { folders, descriptors_max: descriptors_max().unwrap_or(UNLIMITED), judge, due: 0 })
    }

    /// Looks, if a look is due at `now`.
    pub fn look(&mut self, now: Nanos, sealed_bytes: u64) -> Option<(RoomValues, Option<Low>)> {
        if now < self.due {
            return None;
        }
        self.due = now + LOOK_NS;
        let [journal, tail] = self.folders.each_ref().map(|(folder, path)| FileSystem::of(folder, path).ok());
        let (journal, tail) = (journal?, tail?);
        // The limit may change while the process runs (`prlimit`); a process without descriptors keeps the
        // last value.
        self.descriptors_max = descriptors_max().unwrap_or(self.descriptors_max);
        let open = match descriptors_open() {
            Ok(open) => open,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                self.descriptors_max
            }
            // A failed count is no lack of descriptors.
            Err(_) => 0,
        };
        let left = Left {
            free: [
                journal.free_bytes,
                journal.free_inodes,
                tail.free_bytes,
                tail.free_inodes,
                self.descriptors_max.saturating_sub(open),
            ],
            descriptors_open: open,
            sealed_bytes,
        };
        Some(self.judge.judge(now, &left))
    }
}

/// The numbers of the last look, from the side thread to the hot thread.
#[derive(Debug)]
pub struct RoomSeen {
    values: [AtomicU64; ROOM_ROWS.len()],
    /// Seconds and resource of a [`Low`], or 0.
    low: AtomicU64,
}

impl Default for RoomSeen {
    fn default() -> Self {
        let ends = ROOM_ROWS.len() - RESOURCES;
        let unseen = |row| AtomicU64::new(if row < ends { 0 } else { UNSEEN_NS });
        Self { values: std::array::from_fn(unseen), low: AtomicU64::new(0) }
    }
}

impl RoomSeen {
    /// Stores the result of a look.
    pub fn store(&self, values: &RoomValues, low: Option<Low>) {
        for (seen, value) in self.values.iter().zip(values) {
            seen.store(*value, Ordering::Relaxed);
        }
        self.low.store(low.map_or(0, |low| low.left_s << 3 | low.resource), Ordering::Relaxed);
    }

    /// The values of [`ROOM_ROWS`].
    pub fn values(&self) -> RoomValues {
        self.values.each_ref().map(|value| value.load(Ordering::Relaxed))
    }

    /// The resource that runs out first, if one is low.
    pub fn low(&self) -> Option<Low> {
        let low = self.low.load(Ordering::Relaxed);
        (low != 0).then_some(Low { resource: low & 7, left_s: low >> 3 })
    }
}

/// The number of files that this process has open.
fn descriptors_open() -> std::io::Result<u64> {
    let open = std::fs::read_dir("/proc/self/fd")?.count() as u64;
    // The look itself needs one.
    Ok(open.saturating_sub(1))
}

/// The most files that it may have open; `None` if that cannot be read now.
fn descriptors_max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    Some(line.split_whitespace().next()?.parse().unwrap_or(UNLIMITED))
}

#[cfg(test)]
mod tests;
