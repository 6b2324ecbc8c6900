//! By how much a sleep is too long. A thread that waits for its moment in such a way is late by that.

use super::Plan;
use crate::results::{Round, Row, Unit};
use crate::stats::Latencies;
use crate::turns::Turns;
use lockstep_io::idle::Parker;
use std::time::{Duration, Instant};

/// A short sleep; that of the kernel's timers has a slack of as much again.
const SHORT: Duration = Duration::from_micros(50);
/// The shortest time-out of epoll.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Every way to sleep for a turn.
pub fn turn(turns: &mut Turns<'_>, plan: &Plan) -> Result<(), String> {
    one(turns, plan, ("nanosleep", "nanosleep, 50 us"), SHORT, || {
        std::thread::sleep(SHORT);
        Ok(())
    })?;
    let mut parker = Parker::new(&[]).map_err(|error| error.to_string())?;
    one(turns, plan, ("timerfd", "timerfd in epoll, 50 us"), SHORT, || {
        parker.park(SHORT.as_nanos() as u64);
        Ok(())
    })?;
    let fails = |error: std::io::Error| format!("epoll: {error}");
    let (mut poll, mut events) = (mio::Poll::new().map_err(fails)?, mio::Events::with_capacity(1));
    one(turns, plan, ("epoll", "epoll's time-out, 1 ms"), MILLISECOND, || {
        poll.poll(&mut events, Some(MILLISECOND)).map_err(fails)
    })
}

fn one(
    turns: &mut Turns<'_>,
    plan: &Plan,
    (subject, words): (&str, &str),
    wanted: Duration,
    mut sleep: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let mut late = Latencies::new()?;
    let at = Instant::now();
    while at.elapsed() < plan.turn {
        let began = Instant::now();
        sleep()?;
        late.record(began.elapsed().saturating_sub(wanted).as_nanos() as u64);
    }
    let row = Row::new("timer, too late by", subject, words, Unit::Nanos);
    turns.add(row, at, at.elapsed(), Round::of(&late)?);
    Ok(())
}
