//! A cursor's file, whose process is killed.

use lockstep_client::{Cursor, CursorFile};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The path of the file, for the process that saves until it is killed.
const SAVES: &str = "LOCKSTEP_TEST_SAVES";
const KILLS: u64 = 20;

fn cursor(seq: u64) -> Cursor {
    Cursor { history: 0xab, seq, chain: seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
}

/// Saves one cursor after the other, and prints the seq of each saved one.
fn saves_until_killed(path: &std::ffi::OsStr) {
    let mut file = CursorFile::open(path).expect("the one that was killed has it no more");
    let mut out = std::io::stdout();
    for seq in file.cursor().map_or(1, |cursor| cursor.seq + 1).. {
        file.save(cursor(seq)).expect("a folder");
        writeln!(out, "\nsaved {seq}").and_then(|()| out.flush()).expect("a pipe");
    }
}

/// The test in which a process saves until it is killed.
const TEST: &str =
    "cursor_file::a_process_that_is_killed_while_it_saves_leaves_what_it_has_saved_or_the_next_cursor";

/// A process that saves, and the seqs that it has saved.
fn saving(path: &Path) -> (Child, impl Iterator<Item = u64>) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", TEST, "--nocapture"]).env(SAVES, path).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    (child, lines.filter_map(|line| line.strip_prefix("saved ")?.parse().ok()))
}

#[test]
fn a_process_that_is_killed_while_it_saves_leaves_what_it_has_saved_or_the_next_cursor() {
    if let Some(path) = std::env::var_os(SAVES) {
        return saves_until_killed(&path);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cursor");
    for kill in 1..=KILLS {
        let (mut child, mut seqs) = saving(&path);
        assert!(seqs.by_ref().nth(kill as usize).is_some(), "it saves");
        child.kill().expect("it runs");
        // It had saved and printed this before, although it was not read.
        let printed = seqs.last();
        child.wait().expect("a child");
        let stored = CursorFile::open(&path).expect("a whole file").cursor().expect("a cursor");
        assert_eq!(stored, cursor(stored.seq), "half of one and half of another");
        if let Some(printed) = printed {
            assert!((printed..=printed + 1).contains(&stored.seq), "{printed} was saved, {stored} is there");
        }
    }
}

#[test]
fn a_file_that_another_process_has_open_is_refused_with_its_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cursor");
    let (mut child, mut seqs) = saving(&path);
    assert!(seqs.next().is_some(), "it saves");
    let refused = CursorFile::open(&path).expect_err("it is in use");
    assert_eq!(refused.status(), "IN_USE", "{refused}");
    assert!(refused.to_string().contains(&format!("process {} has it open", child.id())), "{refused}");
    child.kill().expect("it runs");
    child.wait().expect("a child");
}
