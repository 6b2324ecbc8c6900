//! Acknowledges each message for everybody, once, in as many copies as run: a deterministic application with
//! snapshots.
//!
//! ```text
//! cargo run --example application -- lockstep.toml /var/lib/application
//! ```
//! The configuration is that of a running cluster, e.g. `configs/demo.toml`. Each copy has a folder of its
//! own; kill any of them, start it again, remove its folder: what it publishes stands in the stream once.
//! `docs/APPLICATION.md` says why.

use lockstep_client::{CHANNELS, Delivery, Endpoint, Outputs, Publisher, Start, Subscriber, SubscriberEvent};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the copies publish under, and the nonce that they share.
const NAME: &str = "application";
const NONCE: [u64; 2] = [0x6170_706c, 0x6963_6174];
/// Messages between two snapshots.
const SNAPSHOT_EVERY: u64 = 1_000;

/// The application: here no more than how many messages it has taken.
#[derive(Default)]
struct State {
    taken: u64,
}

impl State {
    /// Takes a message, and says what is to be published.
    fn take(&mut self, payload: &[u8]) -> Vec<u8> {
        self.taken += 1;
        format!("{}: {} bytes", self.taken, payload.len()).into_bytes()
    }
}

/// State and outputs as the last snapshot has them, and where the stream goes on.
fn restore(file: &Path) -> Option<(State, Outputs, Start)> {
    let text = fs::read(file).ok()?;
    let (cursor, rest) = text.split_at_checked(text.iter().position(|byte| *byte == b'\n')?)?;
    let cursor = std::str::from_utf8(cursor).ok()?.parse().ok()?;
    let (taken, rest) = rest[1..].split_first_chunk()?;
    let (outputs, _) = Outputs::restore(NAME, rest)?;
    Some((State { taken: u64::from_le_bytes(*taken) }, outputs, Start::Cursor(cursor)))
}

/// Written beside, then renamed: the old snapshot or the new one.
fn save(file: &Path, state: &State, outputs: &Outputs, subscriber: &Subscriber) -> std::io::Result<()> {
    let Some(cursor) = subscriber.cursor() else { return Ok(()) };
    let mut bytes = format!("{cursor}\n").into_bytes();
    bytes.extend_from_slice(&state.taken.to_le_bytes());
    outputs.save(subscriber.deliver_next(), &mut bytes);
    let beside = file.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::File::open(&beside)?.sync_all()?;
    fs::rename(&beside, file)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let usage = "usage: application CONFIGURATION FOLDER";
    let (config, folder) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    let (endpoint, file) = (Endpoint::from_file(&config)?, folder.join("snapshot"));
    fs::create_dir_all(&folder)?;
    let fresh = || (State::default(), Outputs::new(NAME), Start::From(1));
    let (mut state, mut outputs, start) = restore(&file).unwrap_or_else(fresh);
    let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, start)?;
    let mut publisher = Publisher::connect(&endpoint)?;
    publisher.open_outputs(&mut outputs, NONCE, Duration::from_secs(10))?;
    let mut saved_at = state.taken;
    loop {
        let mut ended = None;
        let mut work = subscriber.poll(256, |event| {
            match outputs.on_event(&event) {
                Ok(true) => {}
                // The state has it: it is told again behind a snapshot.
                Ok(false) => return ControlFlow::Continue(()),
                Err(divergence) => ended = Some(divergence.to_string()),
            }
            match event {
                // Its own answers are for a channel: it does not answer them.
                SubscriberEvent::Message(message) if message.destination == 0 => {
                    let answer = state.take(message.payload);
                    outputs.push(CHANNELS + 1, &answer);
                }
                SubscriberEvent::Abandoned { oldest, .. } => {
                    ended =
                        Some(format!("the stream is only held from seq {oldest} on: start from a snapshot"));
                }
                SubscriberEvent::Refused { why, .. } => {
                    ended = Some(format!("the stream is refused: {why:?}"))
                }
                _ => {}
            }
            if ended.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        work += publisher.poll(256, |event| outputs.on_publisher(&event));
        if let Some(why) = ended.or_else(|| outputs.end().map(|end| format!("its name is lost: {end:?}"))) {
            return Err(why.into());
        }
        work += publisher.hand_in(&mut outputs)?;
        if state.taken >= saved_at + SNAPSHOT_EVERY {
            save(&file, &state, &outputs, &subscriber)?;
            saved_at = state.taken;
        }
        if work == 0 {
            std::thread::yield_now();
        }
    }
}
