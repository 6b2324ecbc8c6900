//! The cost of snapshots of a machine with a large state, and the time that they save, on a running cluster.
//!
//! ```text
//! lockstep dev                                                   # in another terminal; then its `export` lines
//! cargo run --profile dist -p lockstep-app --example snapshots -- 10000000 1000000 20000 fork
//! ```
//! Arguments: orders in the state, entries behind the snapshot, messages a second while latencies are
//! measured, and `fork` or `pause`. Each order has 32 bytes.
//!
//! 1. The orders are published as fast as they are accepted, and applied live.
//! 2. A snapshot is written, and the entries behind it are published; then one replica begins with the
//!    snapshot, and another at the stream's beginning.
//! 3. At a constant rate messages change random orders, first without snapshots, then while one is written
//!    every four seconds: latencies are measured from the time at which a message was to be sent until it was
//!    applied.

#![allow(clippy::disallowed_methods, reason = "it measures")]

use lockstep_app::{
    App, AppSettings, EVERYBODY, Input, InputEvent, Output, Seq, SnapshotMode, StateDigest, StateMachine,
};
use lockstep_client::{Endpoint, PublishError, Publisher};
use std::error::Error;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Orders by their number. Those of an earlier run of this program do not count.
#[derive(Default)]
struct Book {
    run: u64,
    messages: u64,
    orders: Vec<[u64; 4]>,
}

impl StateMachine for Book {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, _: &mut Output) {
        let InputEvent::Message { payload, .. } = input.event else { return };
        let (words, []) = payload.as_chunks::<8>() else { return };
        let [run, at, quantity, _] = words else { return };
        let [run, at, quantity] = [run, at, quantity].map(|word| u64::from_le_bytes(*word));
        if run != self.run {
            *self = Self { run, messages: 0, orders: Vec::new() };
        }
        self.messages += 1;
        if at == self.orders.len() as u64 {
            self.orders.push([at, quantity, input.seq, input.time]);
        } else if let Some(order) = self.orders.get_mut(at as usize) {
            *order = [at, quantity, input.seq, input.time];
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        [self.run, self.messages].iter().try_for_each(|word| out.write_all(&word.to_le_bytes()))?;
        let write = |order: &[u64; 4]| {
            let mut bytes = [0; 32];
            bytes
                .as_chunks_mut::<8>()
                .0
                .iter_mut()
                .zip(order)
                .for_each(|(to, word)| *to = word.to_le_bytes());
            out.write_all(&bytes)
        };
        self.orders.iter().try_for_each(write)
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut word = [0; 8];
        let mut next = || from.read_exact(&mut word).map(|()| u64::from_le_bytes(word));
        let (run, messages) = (next()?, next()?);
        let (mut orders, mut bytes) = (Vec::new(), vec![0; 1 << 20]);
        let mut have = 0;
        loop {
            let count = from.read(&mut bytes[have..])?;
            have += count;
            let (rows, rest) = bytes[..have].as_chunks::<32>();
            let row = |row: &[u8; 32]| {
                let mut words = [0; 4];
                let pieces = row.as_chunks::<8>().0;
                words.iter_mut().zip(pieces).for_each(|(word, piece)| *word = u64::from_le_bytes(*piece));
                words
            };
            orders.extend(rows.iter().map(row));
            let (from, left) = (have - rest.len(), rest.len());
            if count == 0 {
                return Ok(Self { run, messages, orders });
            }
            bytes.copy_within(from..have, 0);
            have = left;
        }
    }

    fn digest(&self) -> u64 {
        let mut digest = StateDigest::default();
        let last = self.orders.last().copied().unwrap_or_default();
        [self.run, self.messages].iter().chain(&last).for_each(|word| digest.write(&word.to_le_bytes()));
        digest.value()
    }
}

/// Publishes messages: order numbers, each at its time.
struct Sender {
    publisher: Publisher,
    orders: u32,
    run: u64,
}

impl Sender {
    fn connect(endpoint: &Endpoint, run: u64) -> Outcome<Self> {
        let mut publisher = Publisher::connect(endpoint)?;
        let orders = publisher.open("orders", Duration::from_secs(5))?;
        Ok(Self { publisher, orders, run })
    }

    fn send(&mut self, at: u64, quantity: u64) -> Outcome<()> {
        let mut message = [0; 32];
        let words = [self.run, at, quantity, 0];
        message.as_chunks_mut::<8>().0.iter_mut().zip(words).for_each(|(to, word)| *to = word.to_le_bytes());
        while let Err(error) = self.publisher.try_publish(self.orders, EVERYBODY, &message) {
            if error != PublishError::Backpressure {
                return Err(error.into());
            }
            self.poll();
        }
        Ok(())
    }

    fn poll(&mut self) {
        if self.publisher.poll(256, |_| {}) == 0 {
            std::thread::yield_now();
        }
    }

    fn drain(&mut self) {
        while !self.publisher.is_drained() {
            self.poll();
        }
    }
}

fn turn(app: &mut App<Book>) -> Outcome<()> {
    if app.turn(|_, _| {}).map_err(|error| error.to_string())? == 0 {
        std::thread::yield_now();
    }
    Ok(())
}

/// Turns until the machine has applied this many messages of the run, and prints how long that took.
fn until(app: &mut App<Book>, words: &str, run: u64, messages: u64) -> Outcome<()> {
    let (began, before) = (Instant::now(), app.replica().core.inputs());
    while (app.replica().core.machine().run, app.replica().core.machine().messages) != (run, messages) {
        turn(app)?;
    }
    let (took, inputs) = (began.elapsed(), app.replica().core.inputs() - before);
    let rate = inputs as f64 / took.as_secs_f64();
    println!("{words:<50} {inputs:>9} inputs in {took:>9.2?}: {rate:>9.0}/s");
    Ok(())
}

/// Quantiles of latencies.
fn print_latencies(words: &str, latencies: &mut [u64]) {
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        Duration::from_nanos(latencies.get(place).copied().unwrap_or(0))
    };
    let [half, most, tail] = [0.5, 0.99, 0.999].map(at);
    println!(
        "{words:<50} {:>9} messages: p50 {half:>9.1?}, p99 {most:>9.1?}, p99.9 {tail:>9.1?}",
        latencies.len()
    );
}

/// Latencies at a constant rate, separated by whether a snapshot was being written.
fn latencies(
    (endpoint, app): (&Endpoint, &mut App<Book>),
    run: u64,
    (orders, rate, seconds): (u64, u64, u64),
) -> Outcome<()> {
    // The sending thread and the replica have one clock: a message contains the time at which it was to be
    // sent.
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let elapsed = || BEGAN.get_or_init(Instant::now).elapsed().as_nanos() as u64;
    elapsed();
    let is_over = AtomicBool::new(false);
    let (mut calm, mut saving) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| -> Outcome<()> {
        let sending = scope.spawn(|| -> Outcome<()> {
            let mut sender = Sender::connect(endpoint, run)?;
            let (first, mut place) = (elapsed(), 1_u64);
            for number in 0..rate * seconds {
                let due = first + number * 1_000_000_000 / rate;
                while elapsed() < due {
                    sender.poll();
                }
                place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                sender.send((place >> 16) % orders, due)?;
            }
            sender.drain();
            is_over.store(true, Ordering::Release);
            Ok(())
        });
        while !is_over.load(Ordering::Acquire) {
            let list = if app.is_writing_snapshot() { &mut saving } else { &mut calm };
            let observe = |input: &Input<'_>, _: &Output| {
                let InputEvent::Message { payload, .. } = input.event else { return };
                if let Some(due) = payload.get(16..24).and_then(|word| word.first_chunk()) {
                    list.push(elapsed().saturating_sub(u64::from_le_bytes(*due)));
                }
            };
            if app.turn(observe).map_err(|error| error.to_string())? == 0 {
                std::thread::yield_now();
            }
        }
        sending.join().map_err(|_| "the sending thread has panicked")?
    })?;
    if saving.is_empty() {
        print_latencies("without snapshots", &mut calm);
        return Ok(());
    }
    print_latencies("between snapshots, with what waited for one", &mut calm);
    print_latencies("while one is written", &mut saving);
    calm.append(&mut saving);
    print_latencies("with snapshots, all", &mut calm);
    Ok(())
}

fn settings(folder: &Path, number: u8, mode: SnapshotMode, every: Seq) -> AppSettings {
    let mut settings = AppSettings::new("book", number, folder);
    (settings.snapshot_mode, settings.snapshot_every, settings.snapshots) = (mode, every, 1);
    settings
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default| args.next().map_or(Ok(default), |number| number.parse::<u64>());
    let (orders, behind, rate) = (number(1_000_000)?, number(100_000)?, number(20_000)?);
    let mode = match args.next().as_deref() {
        Some("pause") => SnapshotMode::Pause,
        _ => SnapshotMode::Fork,
    };
    let endpoint = Endpoint::from_env()?;
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64;
    let folder = std::env::temp_dir().join(format!("snapshots-{run}"));
    let connect = |number, mode, every| {
        App::connect(&endpoint, settings(&folder, number, mode, every), Book::default)
            .map_err(|error| error.to_string())
    };
    let mut app = connect(1, mode, orders)?;
    std::thread::scope(|scope| -> Outcome<()> {
        let sending = scope.spawn(|| -> Outcome<()> {
            let mut sender = Sender::connect(&endpoint, run)?;
            (0..orders).try_for_each(|at| sender.send(at, 0))?;
            sender.drain();
            Ok(())
        });
        until(&mut app, "live, beside its publisher and the cluster", run, orders)?;
        sending.join().map_err(|_| "the sending thread has panicked")?
    })?;
    let began = Instant::now();
    while app.is_writing_snapshot() || app.saved_next() <= orders {
        turn(&mut app)?;
        // Entries that are not messages make the snapshot due.
        if began.elapsed() > Duration::from_secs(60) {
            return Err("no snapshot was written".into());
        }
    }
    println!("{:<50} {:>34.2?}", "the snapshot is on the disk after", began.elapsed());
    let mut sender = Sender::connect(&endpoint, run)?;
    for number in 0..behind {
        sender.send(number % orders, number)?;
        if number % 256 == 0 {
            turn(&mut app)?;
        }
    }
    sender.drain();
    until(&mut app, "live, the entries behind the snapshot", run, orders + behind)?;
    drop(app);

    let began = Instant::now();
    let mut restored = connect(1, mode, Seq::MAX / 2)?;
    println!("{:<50} {:>34.2?}", "the snapshot is restored after", began.elapsed());
    until(&mut restored, "replay behind the snapshot", run, orders + behind)?;
    println!("{:<50} {:>34.2?}", "from the start of a replica to serving", began.elapsed());
    drop(restored);
    let began = Instant::now();
    let mut replayed = connect(2, SnapshotMode::Never, Seq::MAX / 2)?;
    until(&mut replayed, "replay from the stream's beginning", run, orders + behind)?;
    println!("{:<50} {:>34.2?}", "from the start of a replica to serving", began.elapsed());
    drop(replayed);

    let (seconds, mut all) = (20, orders + behind);
    for every in [Seq::MAX / 2, rate * 4] {
        let mut measured = connect(1, mode, every)?;
        until(&mut measured, "behind the snapshot, for what follows", run, all)?;
        latencies((&endpoint, &mut measured), run, (orders, rate, seconds))?;
        all += rate * seconds;
    }
    Ok(std::fs::remove_dir_all(folder)?)
}
