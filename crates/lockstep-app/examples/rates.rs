//! Rates of one replica of a small machine on a running cluster: live, by replay, and behind a snapshot.
//!
//! ```text
//! lockstep dev                                                   # in another terminal; then its `export` lines
//! cargo run --release -p lockstep-app --example rates -- 2000000
//! ```
//! The first argument is the number of messages, of 64 bytes each.

#![allow(clippy::disallowed_methods, reason = "it measures")]

use lockstep_app::{
    App, AppSettings, EVERYBODY, Input, InputEvent, Output, SnapshotMode, StateDigest, StateMachine,
};
use lockstep_client::{Endpoint, PublishError, Publisher};
use std::error::Error;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// Counts what the last run of this program has published, and sums its bytes by their publisher's number.
#[derive(Default)]
struct Totals {
    run: u64,
    messages: u64,
    sums: Vec<u64>,
}

impl StateMachine for Totals {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, _: &mut Output) {
        let InputEvent::Message { publisher_seq, payload, .. } = input.event else { return };
        let Some((run, rest)) = payload.split_first_chunk() else { return };
        let run = u64::from_le_bytes(*run);
        if run != self.run {
            *self = Self { run, messages: 0, sums: vec![0; 1 << 16] };
        }
        self.messages += 1;
        self.sums[publisher_seq as usize & 0xffff] += rest.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let words = [self.run, self.messages];
        words.iter().chain(&self.sums).try_for_each(|word| out.write_all(&word.to_le_bytes()))
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut word = || words.next().ok_or(io::Error::from(io::ErrorKind::UnexpectedEof));
        Ok(Self { run: word()?, messages: word()?, sums: words.collect() })
    }

    fn digest(&self) -> u64 {
        let mut digest = StateDigest::default();
        [self.run, self.messages].iter().for_each(|word| digest.write(&word.to_le_bytes()));
        digest.value()
    }
}

/// Publishes the messages of a run as fast as the window takes them.
fn publish(endpoint: &Endpoint, run: u64, count: u64) -> Result<(), String> {
    let mut publisher = Publisher::connect(endpoint).map_err(|error| error.to_string())?;
    let orders = publisher.open("orders", Duration::from_secs(5)).map_err(|error| error.to_string())?;
    let mut message = [7; 64];
    message[..8].copy_from_slice(&run.to_le_bytes());
    for _ in 0..count {
        while let Err(error) = publisher.try_publish(orders, EVERYBODY, &message) {
            if error != PublishError::Backpressure {
                return Err(error.to_string());
            }
            if publisher.poll(256, |_| {}) == 0 {
                std::thread::yield_now();
            }
        }
    }
    while !publisher.is_drained() {
        publisher.poll(256, |_| {});
    }
    Ok(())
}

/// Turns until the machine has all messages of a run, and prints how long that took.
fn until_all(app: &mut App<Totals>, words: &str, run: u64, count: u64) -> Result<(), Box<dyn Error>> {
    let (began, before) = (Instant::now(), app.replica().core.inputs());
    loop {
        let machine = app.replica().core.machine();
        if machine.run == run && machine.messages == count {
            break;
        }
        if app.turn(|_, _| {})? == 0 {
            std::thread::yield_now();
        }
    }
    let (took, inputs) = (began.elapsed(), app.replica().core.inputs() - before);
    println!(
        "{words:<44} {inputs:>9} inputs in {took:>10.2?}: {:>9.0}/s",
        inputs as f64 / took.as_secs_f64()
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let endpoint = Endpoint::from_env()?;
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64;
    let folder = std::env::temp_dir().join(format!("rates-{run}"));
    let settings = |number: u8, mode| {
        let mut settings = AppSettings::new("rates", number, &folder);
        (settings.snapshot_mode, settings.snapshot_every) = (mode, count * 9 / 10);
        settings
    };
    let mut live = App::connect(&endpoint, settings(1, SnapshotMode::Never), Totals::default)?;
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let publishing = scope.spawn(|| publish(&endpoint, run, count));
        until_all(&mut live, "live, beside its publisher and the cluster", run, count)?;
        Ok(publishing.join().map_err(|_| "the publisher's thread has panicked")??)
    })?;
    drop(live);
    let mut replayed = App::connect(&endpoint, settings(2, SnapshotMode::Pause), Totals::default)?;
    until_all(&mut replayed, "replay from the stream's beginning", run, count)?;
    drop(replayed);
    let began = Instant::now();
    let mut restored = App::connect(&endpoint, settings(2, SnapshotMode::Pause), Totals::default)?;
    until_all(&mut restored, "replay behind a snapshot", run, count)?;
    println!("{:<44} {:>34.2?}", "from the start of a process to its end", began.elapsed());
    Ok(std::fs::remove_dir_all(folder)?)
}
