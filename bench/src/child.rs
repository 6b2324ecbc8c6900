//! A process of this very program that takes part in a measure.
//!
//! It ends when its standard input does, and so also when this process dies; what was started here is ended
//! here, by its own id, also when the measure fails half-way. What it reports is a line each: JSON where it
//! is more than a word.

use lockstep_process::child::{ChildGuard, await_end};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The first line of a process that is ready; longer ones are none.
const FIRST_LINE_MAX: u64 = 256;

/// See the module.
pub struct Own {
    child: ChildGuard,
    what: &'static str,
    /// How long it may take to end by itself before it is killed.
    patience: Duration,
}

/// Where this program is.
///
/// # Errors
/// The system does not tell.
pub fn itself() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("finding this program: {error}"))
}

impl Own {
    /// Starts `command`, which runs this program.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(what: &'static str, mut command: Command, patience: Duration) -> Result<Self, String> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let child = child.map_err(|error| format!("starting {what}: {error}"))?;
        Ok(Self { child: child.into(), what, patience })
    }

    /// The process itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The process itself, for a signal.
    pub fn process(&self) -> &Child {
        &self.child
    }

    /// Reads its first line; the rest of its output is returned with it.
    ///
    /// # Errors
    /// It has no output, or ends before.
    pub fn first_line(&mut self) -> Result<(String, BufReader<ChildStdout>), String> {
        let fails = |error: std::io::Error| format!("reading what {} reports: {error}", self.what);
        let mut output = BufReader::new(self.child.stdout.take().ok_or("a process has no output")?);
        let mut line = String::new();
        (&mut output).take(FIRST_LINE_MAX).read_line(&mut line).map_err(fails)?;
        Ok((line, output))
    }

    /// Hands what it reports to `f`, each line a JSON value, in a thread that ends with the process or when
    /// `f` returns false; at its end `None`.
    ///
    /// # Errors
    /// It has no output.
    pub fn follow<T: DeserializeOwned>(
        &mut self,
        mut f: impl FnMut(Option<Result<T, String>>) -> bool + Send + 'static,
    ) -> Result<(), String> {
        let (output, what) = (self.child.stdout.take().ok_or("a process has no output")?, self.what);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line);
                if !f(Some(value.map_err(|error| format!("{what} reports '{line}': {error}")))) {
                    return;
                }
            }
            f(None);
        });
        Ok(())
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// It has ended.
    pub fn write(&mut self, line: impl std::fmt::Display) -> Result<(), String> {
        let input = self.child.stdin.as_mut().ok_or("a process has no input")?;
        writeln!(input, "{line}").map_err(|error| format!("writing to {}: {error}", self.what))
    }

    /// Ends its standard input, which lets it end.
    pub fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.end_input();
        let _ = await_end(&mut self.child, self.patience); // if it has not ended, its guard ends it
    }
}

/// In such a process: set when standard input ends. The process that started it holds the other end, and has
/// closed it or died.
pub fn input_ends() -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::Release);
    });
    over
}

/// In such a process: reports a line.
///
/// # Errors
/// Nobody reads it.
pub fn report(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| format!("writing: {error}"))
}

/// In such a process: reports a value as a line of JSON.
///
/// # Errors
/// Nobody reads it.
pub fn report_value(value: &impl Serialize) -> Result<(), String> {
    report(&serde_json::to_string(value).map_err(|error| error.to_string())?)
}
