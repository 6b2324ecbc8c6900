//! # journal: what it costs to keep the log
//!
//! ```text
//!   append    frame ─copy─▶ tail (a ring in memory)                  floor: the same copy into plain memory
//!   stream    frames, as fast as the segments follow                 floor: the same bytes, written to a file
//!   written   append ─▶ side thread ─write─▶ segment                 floor: write, at once
//!   flushed   append ─▶ side thread ─write, flush─▶ segment          floor: write and fdatasync, at once
//! ```
//!
//! It is the journal of a replica: tail, side thread, segments, without the network. Floor and journal are
//! given the same sealed frames, made outside of what is timed, and take turns within each round. The floors
//! of `written` and `flushed` hold up their thread; the journal's hot thread waits for nobody, and what is
//! timed is when it is told.

mod append;
mod flushed;
pub mod open;

use crate::environment;
use crate::flags;
use crate::harness::{Run, Shared, two_cores};
use crate::results::RunResult;
use lockstep_io::idle::Idle;
use std::path::PathBuf;

/// Bytes of a message: the size that all figures of lockstep are given for.
const PAYLOAD_LEN: usize = crate::cluster::MESSAGE_LEN;
/// Messages of the frames: what a lone publisher's have, and what a full one has.
const PER_FRAME: [usize; 2] = [1, 15];

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Frames of each turn that is timed frame by frame.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    frames: u64,
    /// MiB of frames of each turn of `stream`.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=4096))]
    mebibytes: u64,
    /// Frames per second of `written` and `flushed`, from intended times.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Seconds of each turn of `written` and `flushed`.
    #[arg(long, default_value_t = 2.0, value_parser = flags::seconds(0.05..=600.0))]
    seconds: f64,
    /// Where the segments lie, and the floor's file: on the disk that is meant.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

impl Arguments {
    /// How the hot thread waits: the side thread needs a core as well.
    fn idle(&self) -> Idle {
        Idle::for_machine(2, environment::cores())
    }
}

/// Measures, and says what the journal is of its floors.
///
/// # Errors
/// A folder that cannot be written, a journal that failed. With one core alone: SKIPPED.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Some(cores) = two_cores("journal", "its hot and its side thread") else {
        return Ok(RunResult::Passed);
    };
    let mut run = Run::begin("journal", "appending to the log, and keeping it", environment::facts());
    run.tell("clock", "CLOCK_MONOTONIC");
    run.tell(
        "warm-up",
        format!("{} frames of each turn; the ring's memory is touched before", append::WARM_UP),
    );
    run.tell("messages", format!("{PAYLOAD_LEN} B"));
    run.tell("segments", arguments.folder.display());
    run.tell("tail", format!("{} MiB in memory", open::TAIL_LEN >> 20));
    run.tell("idle", arguments.idle());
    run.tell(
        "turns",
        format!(
            "{} rounds; {} frames one by one, {} MiB of stream, {} s at {}/s from intended times",
            arguments.shared.rounds, arguments.frames, arguments.mebibytes, arguments.seconds, arguments.rate
        ),
    );
    run.rounds(arguments.shared.rounds, |run, _| {
        PER_FRAME.into_iter().try_for_each(|per_frame| {
            append::turn(run, arguments, &cores, per_frame)?;
            flushed::turn(run, arguments, &cores, per_frame)
        })
    })?;
    run.finish(&arguments.shared.output)
}

/// The case's end of its name.
fn of_frames(per_frame: usize) -> String {
    format!("frames of {per_frame} message{}", if per_frame == 1 { "" } else { "s" })
}
