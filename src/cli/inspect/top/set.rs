//! `lockstep top` of a set: a row for each stream and one for their merged order. A digit opens the screen of
//! a stream, which is this program again with that stream.

use super::{KEYBOARD_WAIT, TopArgs};
use crate::cli::shared::operator::{each_interval, now, pause};
use lockstep_daemon::Failure;
use lockstep_daemon::coordinator::streams_of;
use lockstep_daemon::failure::{FAILED, USAGE};
use lockstep_daemon::signals;
use lockstep_io::capabilities;
use lockstep_operations::set::{SetLook, SetSnapshot};
use lockstep_top::{Key, Screen, ScreenInput};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a leader is looked for at the first look; a takeover lasts some milliseconds.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The newest snapshot that was not shown yet.
type Newest = Arc<Mutex<Option<SetSnapshot>>>;

/// Shows the set until the operator leaves, or prints it once. `argv` is how this program was called.
pub fn run(args: &TopArgs, argv: &[OsString], variable: &str) -> Result<u8, Failure> {
    let is_terminal = std::io::stdout().is_terminal();
    if !args.once && !args.json && !is_terminal {
        let what = "stdout is no terminal: `lockstep top --once` prints one screen as text, and --json all its figures";
        return Err(Failure::new(USAGE, what));
    }
    let configs = streams_of(&args.sample.cluster)?;
    let mut look = SetLook::open(&configs, TIMEOUT)?;
    let interval = args.sample.interval;
    if args.once || args.json {
        // Rates need two looks.
        let began = now();
        look.again();
        pause(interval.saturating_sub(now().duration_since(began)));
        let snapshot = look.again();
        let mut out = std::io::stdout().lock();
        if args.json {
            let text = serde_json::to_string(&snapshot).map_err(std::io::Error::other)?;
            writeln!(out, "{text}")?;
        } else {
            write!(out, "{snapshot}")?;
        }
        return Ok(0);
    }
    let stop = signals::stop_flag()?;
    let newest = Newest::default();
    sample(look, interval, &newest, &stop)?;
    let lost =
        |error| Failure::new(FAILED, format!("the terminal cannot be used: {error}; --once needs none"));
    let mut shown: Option<SetSnapshot> = None;
    let mut screen = Screen::open().map_err(lost)?;
    while !stop.load(Ordering::Acquire) {
        let taken = newest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut is_changed = taken.is_some();
        shown = taken.or(shown);
        match screen.input(KEYBOARD_WAIT).map_err(lost)? {
            Some(ScreenInput::Key(Key::Char('q') | Key::Ctrl('c') | Key::Esc)) => break,
            Some(ScreenInput::Key(Key::Char(digit))) => {
                let chosen = digit.to_digit(10).and_then(|digit| (digit as usize).checked_sub(1));
                let name = shown
                    .as_ref()
                    .zip(chosen)
                    .and_then(|(set, at)| Some(set.streams.get(at)?.stream.clone()));
                if let Some(name) = name {
                    drop(screen);
                    let mut command = Command::new(std::env::current_exe()?);
                    command.args(argv.iter().skip(1)).env(variable, name).status()?;
                    screen = Screen::open().map_err(lost)?;
                    is_changed = true;
                }
            }
            Some(ScreenInput::Resized) => is_changed = true,
            _ => {}
        }
        if let Some(snapshot) = shown.as_ref().filter(|_| is_changed) {
            screen.show_text(&text_of(snapshot)).map_err(lost)?;
        }
    }
    stop.store(true, Ordering::Release);
    Ok(0)
}

/// The screen: the rows, and which digit opens which stream.
fn text_of(snapshot: &SetSnapshot) -> String {
    let mut text = format!("{snapshot}\n");
    for (digit, one) in (1..10).zip(&snapshot.streams) {
        // Writing into a string cannot fail.
        let _ = write!(text, "{digit} {}   ", one.stream);
    }
    text + "q quit"
}

/// Takes a snapshot each interval, on a thread of its own, until `stop` is set.
fn sample(
    mut look: SetLook,
    interval: Duration,
    newest: &Newest,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let (newest, stop) = (Arc::clone(newest), Arc::clone(stop));
    let mut take = move || {
        if Screen::is_gone() {
            std::process::exit(0); // nothing is left to be restored
        }
        let taken = look.again();
        *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        Ok(())
    };
    let work = move || {
        take()?;
        each_interval(interval, &stop, take)
    };
    let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-top".into()), work);
    thread.map_err(|error| Failure::new(FAILED, format!("no thread could be started: {error}")))?;
    Ok(())
}
