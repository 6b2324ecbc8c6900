//! The output of a command, with bounds of bytes and time.

use crate::cli::shared::operator::{now, pause};
use lockstep_io::capabilities;
use lockstep_process::child::{ChildGuard, await_end};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Bytes of the stderr that count.
const WORDS_MAX: usize = 4_096;
/// How long the rest of the output may take behind the command's end.
const REST: Duration = Duration::from_millis(500);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(2);

/// The output of a command.
pub struct Captured {
    /// Its stdout.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub is_cut: bool,
    /// The beginning of its stderr.
    pub words: String,
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
}

/// Runs a command with `input` to its end, and takes `bytes_max` of its stdout at most.
///
/// # Errors
/// It does not start, or does not end in time: then it is ended.
pub fn captured(
    mut command: Command,
    input: &[u8],
    bytes_max: usize,
    patience: Duration,
) -> Result<Captured, String> {
    let wrong = |error: std::io::Error| error.to_string();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = ChildGuard::from(command.spawn().map_err(wrong)?);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("its output is no pipe".to_owned());
    };
    let (bytes, words) = (reader(stdout, bytes_max), reader(stderr, WORDS_MAX));
    let stdin = child.stdin.take();
    let ended = std::thread::scope(|scope| {
        // A command may end before it has read all.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        let ended = await_end(&mut child, patience);
        if !matches!(ended, Ok(Some(_))) {
            let _ = child.kill(); // so that nobody waits for its reading
        }
        ended
    });
    let Some(status) = ended.map_err(wrong)? else {
        return Err(format!("it has not ended within {patience:?}"));
    };
    let (bytes, is_cut) = taken(bytes.map_err(wrong)?)?;
    let (words, _) = taken(words.map_err(wrong)?)?;
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    Ok(Captured { bytes, is_cut, words, code: status.code() })
}

type Reading = JoinHandle<(Vec<u8>, bool)>;

/// Reads on a thread of its own: all up to `max` bytes, and whether there were more.
fn reader(mut source: impl Read + Send + 'static, max: usize) -> std::io::Result<Reading> {
    let read = move || {
        let mut bytes = Vec::new();
        // The bytes before an error count.
        let _ = source.by_ref().take(max as u64 + 1).read_to_end(&mut bytes);
        let is_cut = bytes.len() > max;
        bytes.truncate(max);
        // The command is not to fail because its reader has enough.
        let _ = std::io::copy(&mut source, &mut std::io::sink());
        (bytes, is_cut)
    };
    capabilities::spawn(Builder::new().name("lockstep-output".into()), read)
}

fn taken(reading: Reading) -> Result<(Vec<u8>, bool), String> {
    let begun = now();
    while !reading.is_finished() {
        if begun.elapsed() > REST {
            return Err("a process that it left holds its output open".to_owned());
        }
        pause(LOOK);
    }
    reading.join().map_err(|_| "its output could not be read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str, max: usize, patience: Duration) -> Result<Captured, String> {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        captured(command, b"in", max, patience)
    }

    #[test]
    fn a_command_without_end_is_ended_and_one_that_prints_too_much_is_cut() {
        let minute = Duration::from_secs(60);
        let all = shell("cat; echo out; echo why >&2; exit 6", 100, minute).expect("it ends");
        assert_eq!(
            (&*all.bytes, &*all.words, all.code, all.is_cut),
            (&b"inout\n"[..], "why", Some(6), false)
        );
        let long = shell("head -c 1000000 /dev/zero", 100, minute).expect("it ends");
        assert_eq!((long.bytes.len(), long.is_cut, long.code), (100, true, Some(0)));
        let late = shell("exec sleep 100", 100, Duration::from_millis(300)).err();
        assert_eq!(late.as_deref(), Some("it has not ended within 300ms"));
    }
}
