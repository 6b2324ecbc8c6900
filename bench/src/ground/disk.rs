//! 4 KiB until they are on the device: what stands under every commit that waits for a disk.

use super::Plan;
use crate::harness::Run;
use crate::results::{Round, Row, Unit};
use crate::stats::Latencies;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The bytes of one write.
const BLOCK: [u8; 4096] = [0x5a; 4096];
/// Blocks of the file, which are written before they count: a new block costs the file system more.
const BLOCKS: u64 = 1024;

/// The folder asked for, and memory beside it.
pub fn turn(run: &mut Run, plan: &Plan, folder: &Path) -> Result<(), String> {
    one(run, plan, "disk", folder)?;
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { one(run, plan, "memory", &memory) } else { Ok(()) }
}

fn one(run: &mut Run, plan: &Plan, subject: &str, folder: &Path) -> Result<(), String> {
    let at = Instant::now();
    let mut late = Latencies::new()?;
    let counted = flush(folder, plan.turn, &mut late)
        .map_err(|error| format!("writing and flushing a file in {}: {error}", folder.display()))?;
    let words = format!("{} ({})", folder.display(), file_system(folder));
    let case = format!("write 4 KiB, fdatasync, {subject}");
    run.record(Row::new(&case, subject, &words, Unit::Nanos), at, counted, Round::of(&late)?);
    Ok(())
}

/// One block after the other, each flushed, around the file.
fn flush(folder: &Path, turn: Duration, late: &mut Latencies) -> std::io::Result<Duration> {
    let file: File = tempfile::tempfile_in(folder)?;
    for block in 0..BLOCKS {
        file.write_all_at(&BLOCK, block * BLOCK.len() as u64)?;
    }
    file.sync_all()?;
    let began = Instant::now();
    for block in (0..BLOCKS).cycle() {
        let at = Instant::now();
        file.write_all_at(&BLOCK, block * BLOCK.len() as u64)?;
        file.sync_data()?;
        late.record(at.elapsed().as_nanos() as u64);
        if began.elapsed() >= turn {
            break;
        }
    }
    Ok(began.elapsed())
}

/// The file system that `folder` lies on: that of the longest place it is mounted at.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let rows = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((PathBuf::from(words.next()?), words.next()?))
    });
    let found = rows.filter(|(at, _)| folder.starts_with(at)).max_by_key(|(at, _)| at.as_os_str().len());
    found.map_or_else(|| "a file system of an unknown kind".to_owned(), |(_, kind)| kind.to_owned())
}
