//! Orders per second through one replica, live: a publisher without a gateway hands them in as fast as the
//! cluster takes them, and is ahead of the replica by a bounded number, so that the replica follows the
//! stream as it is sent. One that falls further behind fetches what it lacks, which is another rate.

use crate::client::Failure;
use crate::cluster::BenchCluster;
use crate::machine::{BenchMachine, DIRECT, order, settings};
use lockstep_app::{App, EVERYBODY, Endpoint};
use lockstep_client::{PublishError, Publisher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

const BATCH: usize = 256;
/// The longest sleep of a thread that has nothing to do: the cluster needs the cores.
const PAUSE: Duration = Duration::from_millis(1);
/// How long opening a name may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `done`, as long as something moves.
fn poll_until(
    publisher: &mut Publisher,
    mut done: impl FnMut(&mut Publisher) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut moved = Instant::now();
    while !done(publisher)? {
        if publisher.poll(BATCH, |_| {}) > 0 {
            moved = Instant::now();
        } else if moved.elapsed() > PATIENCE {
            return Err("the cluster takes no more orders".into());
        } else {
            publisher.wait(PAUSE)?;
        }
    }
    Ok(())
}

/// Publishes the orders of all rounds; each round begins when the one before is applied.
fn publish(
    endpoint: &Endpoint,
    starts: &Receiver<u32>,
    applied: &AtomicU64,
    ahead_max: u32,
) -> Result<(), Failure> {
    let mut publisher = Publisher::connect(endpoint)?;
    let own = publisher.open(DIRECT, PATIENCE)?;
    let (mut next, mut message) = (1, Vec::new());
    loop {
        let orders = match starts.try_recv() {
            Ok(orders) => orders,
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {
                publisher.poll(BATCH, |_| {});
                publisher.wait(PAUSE)?;
                continue;
            }
        };
        for number in next..next + orders {
            message.clear();
            order(number).append(&mut message)?;
            poll_until(&mut publisher, |publisher| {
                if u64::from(number) > applied.load(Ordering::Relaxed) + u64::from(ahead_max) {
                    return Ok(false);
                }
                match publisher.try_publish(own, EVERYBODY, &message) {
                    Ok(_) => Ok(true),
                    Err(PublishError::Backpressure) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            })?;
        }
        next += orders;
        poll_until(&mut publisher, |publisher| Ok(publisher.is_drained()))?;
    }
}

/// Turns until `count` orders are applied and everything that follows from them is committed.
fn until(app: &mut App<BenchMachine>, count: u64, applied: &AtomicU64) -> Result<(), Failure> {
    let mut moved = Instant::now();
    while app.replica().core.machine().direct() < count || !app.is_drained() {
        let work = app.turn(|_, _| {})?;
        applied.store(app.replica().core.machine().direct(), Ordering::Relaxed);
        if work > 0 {
            moved = Instant::now();
        } else if moved.elapsed() > PATIENCE {
            let have = app.replica().core.machine().direct();
            return Err(format!("nothing moves: {have} of {count} orders are applied").into());
        } else {
            app.wait(PAUSE)?;
        }
    }
    Ok(())
}

/// Measures, and prints a line for each round. The publisher is at most `ahead_max` orders ahead of the
/// replica.
pub fn measure(orders: u32, rounds: u32, ahead_max: u32) -> Result<(), Failure> {
    let cluster = BenchCluster::start()?;
    let endpoint = Endpoint::from_file(&cluster.config)?;
    let machine = BenchMachine::new().map_err(|error| error.to_string())?;
    let mut app = App::connect(&endpoint, settings(1), move || machine.clone())?;
    let ((start, starts), applied) = (channel(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Dropped with this closure: then the publisher's thread ends.
        let (start, endpoint, applied) = (start, &endpoint, &applied);
        let publishing = scope.spawn(move || publish(endpoint, &starts, applied, ahead_max));
        let mut rates = Vec::new();
        for round in 1..=rounds {
            let (began, from) = (Instant::now(), app.replica().next());
            start.send(orders)?;
            until(&mut app, u64::from(orders) * u64::from(round), applied)?;
            let (took, entries) = (began.elapsed(), app.replica().next() - from);
            let per_second = |count: u64| count as f64 / took.as_secs_f64();
            println!(
                "round {round}: {orders} orders in {took:.2?}: {:.0} orders/s committed and applied, {:.0} entries/s",
                per_second(u64::from(orders)),
                per_second(entries)
            );
            rates.push(per_second(u64::from(orders)));
        }
        drop(start);
        rates.sort_by(f64::total_cmp);
        println!(
            "median of {rounds} rounds: {:.0} orders/s",
            rates.get(rates.len() / 2).unwrap_or(&f64::NAN)
        );
        publishing.join().map_err(|_| "the publisher's thread has panicked")?
    })
}
