//! What the hot thread pays: a frame into the ring. And how many a second the segments follow.

use super::open::{Journal, Memory, Takes};
use super::{Arguments, PAYLOAD_LEN, of_frames};
use crate::harness::{Run, per_operation};
use crate::results::{Round, Row, Unit};
use crate::stats::Latencies;
use lockstep_core::proto::log::LogEnd;
use lockstep_instructions::frames::{Frame, Frames};
use lockstep_io::clock::Clock;
use lockstep_process::cpu;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Frames of each turn that do not count.
pub const WARM_UP: u64 = 1_000;
/// Frames that are timed together, and made together.
const BATCH: u64 = 64;
/// Bytes that the floor of `stream` writes at once: as many as the journal's side thread does at most.
const WRITE_LEN: usize = lockstep_replica::journal::segments::RUN_LEN_MAX as usize;

/// Appends, one by one and as a stream.
pub fn turn(run: &mut Run, arguments: &Arguments, cores: &[usize], per_frame: usize) -> Result<(), String> {
    // The journal's side thread runs on all cores but the hot one, as the scheduler likes.
    cpu::allow(&cores[1..]);
    let (mut journal, mut memory) = (Journal::make(&arguments.folder, false, false)?, Memory::touched());
    cpu::pin(cores[0]).note.map_or(Ok(()), Err)?;
    let end = journal.tail.end();
    append(run, arguments, per_frame, &mut memory, (end, "memory", "the same copy into memory", true))?;
    append(run, arguments, per_frame, &mut journal, (end, "journal", "journal", false))?;
    stream_to_file(run, arguments, per_frame)?;
    stream(run, arguments, cores, per_frame)
}

/// Both ways to time an append.
fn append(
    run: &mut Run,
    arguments: &Arguments,
    per_frame: usize,
    to: &mut impl Takes,
    (end, subject, words, floor): (LogEnd, &str, &str, bool),
) -> Result<(), String> {
    let of = of_frames(per_frame);
    let mut frames = Frames::of(end, PAYLOAD_LEN, per_frame);
    let mut batch = || (0..BATCH).map(|_| frames.next_frame()).collect::<Result<Vec<Frame>, String>>();
    let full = "the ring is full although it had much room";
    let clock = Clock::start();
    let (mut each, mut together) = (Latencies::new()?, Latencies::new()?);
    let at = Instant::now();
    let mut done = 0;
    while done < WARM_UP + arguments.frames {
        let counts = done >= WARM_UP;
        // One by one: with a reading of the clock in each.
        let made = batch()?;
        to.make_room(&made[0])?;
        let mut last = clock.now();
        for frame in &made {
            let taken = to.take(frame);
            let now = clock.now();
            if !taken {
                return Err(full.to_owned());
            }
            if counts {
                each.record(now - last);
            }
            last = now;
        }
        // All together, without.
        let made = batch()?;
        to.make_room(&made[0])?;
        let began = clock.now();
        let taken = made.iter().filter(|frame| to.take(frame)).count();
        let now = clock.now();
        if taken < made.len() {
            return Err(full.to_owned());
        }
        if counts {
            together.record(now - began);
        }
        done += BATCH;
    }
    let elapsed = at.elapsed();
    let mut add = |case: String, round| {
        run.record(Row::new(&case, subject, words, Unit::Nanos).as_floor(floor), at, elapsed, round);
    };
    add(format!("append, {of} (means of {BATCH})"), per_operation(&together, BATCH));
    add(format!("append, {of}, one by one (each with a reading of the clock)"), Round::of(&each)?);
    Ok(())
}

/// Frames of a stream, and the messages in them.
fn frames_of_stream(arguments: &Arguments, per_frame: usize) -> Result<u64, String> {
    let one = Frames::of(LogEnd::BLANK, PAYLOAD_LEN, per_frame).next_frame()?.bytes.len() as u64;
    Ok(((arguments.mebibytes << 20) / one).max(1))
}

fn add_stream(
    run: &mut Run,
    per_frame: usize,
    (subject, words, floor): (&str, &str, bool),
    (at, elapsed, frames): (Instant, Duration, u64),
) {
    let rate = (frames * per_frame as u64) as f64 / elapsed.as_secs_f64();
    let case = format!("stream, {}, until all is written", of_frames(per_frame));
    let row = Row::new(&case, subject, words, Unit::MessagesPerSecond).as_floor(floor);
    run.record(row, at, elapsed, Round { samples: frames, ..Round::value(rate) });
}

/// The same frames, gathered and written to a plain file.
fn stream_to_file(run: &mut Run, arguments: &Arguments, per_frame: usize) -> Result<(), String> {
    let total = frames_of_stream(arguments, per_frame)?;
    let mut frames = Frames::of(LogEnd::BLANK, PAYLOAD_LEN, per_frame);
    let mut file = plain_file(&arguments.folder)?;
    let fails = |error| format!("writing a file in {}: {error}", arguments.folder.display());
    let mut gathered = Vec::with_capacity(2 * WRITE_LEN);
    let at = Instant::now();
    for _ in 0..total {
        gathered.extend_from_slice(&frames.next_frame()?.bytes);
        if gathered.len() >= WRITE_LEN {
            file.write_all(&gathered).map_err(fails)?;
            gathered.clear();
        }
    }
    file.write_all(&gathered).map_err(fails)?;
    let words = ("file", "the same bytes, written to a file", true);
    add_stream(run, per_frame, words, (at, at.elapsed(), total));
    Ok(())
}

/// A file without a name.
pub fn plain_file(folder: &Path) -> Result<File, String> {
    tempfile::tempfile_in(folder).map_err(|error| format!("making a file in {}: {error}", folder.display()))
}

/// A fresh journal, filled as fast as it goes.
fn stream(run: &mut Run, arguments: &Arguments, cores: &[usize], per_frame: usize) -> Result<(), String> {
    cpu::allow(&cores[1..]);
    let mut journal = Journal::make(&arguments.folder, false, false)?;
    cpu::pin(cores[0]).note.map_or(Ok(()), Err)?;
    let total = frames_of_stream(arguments, per_frame)?;
    let mut frames = Frames::of(journal.tail.end(), PAYLOAD_LEN, per_frame);
    let at = Instant::now();
    for _ in 0..total {
        let frame = frames.next_frame()?;
        while !journal.take(&frame) {
            journal.make_room(&frame)?;
        }
    }
    journal.wait_written(journal.tail.end().next)?;
    add_stream(run, per_frame, ("journal", "journal", false), (at, at.elapsed(), total));
    Ok(())
}
