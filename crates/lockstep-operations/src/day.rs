//! A trading day begins or ends: gateways and feeds turn the day at that entry.

use crate::OperationError;
use lockstep_client::{Endpoint, OpenError, Publisher};
use lockstep_config::Config;
use lockstep_gateway::calendar::{CALENDAR, DayMarkRequest, Marked};
use lockstep_io::clock::{Clock, random_u64};
use lockstep_wire::{OperatorKey, Seq};
use std::time::Duration;

/// Marks where the trading day of this name begins, or where the open one ends, and returns the seq of the
/// mark.
///
/// # Errors
/// The day is open or not open already, another operator marks one, the leader refuses, or nobody leads in
/// time.
pub fn mark_day(
    config: &Config,
    signs: Option<&OperatorKey>,
    name: Option<&str>,
    timeout: Duration,
) -> Result<Seq, OperationError> {
    let number = random_u64()?;
    let mut publisher = Publisher::connect(&Endpoint::for_operator(config)?)?;
    let clock = Clock::start();
    let deadline = clock.now() + timeout.as_nanos() as u64;
    let late = || OpenError::TimedOut(CALENDAR.to_owned(), timeout);
    let nonce = [random_u64()?, random_u64()?];
    let order = DayMarkRequest::begin(publisher.core_mut(), name, nonce);
    let mut order = order.ok_or_else(|| OpenError::Name(CALENDAR.to_owned()))?;
    loop {
        if clock.now() > deadline {
            return Err(OperationError::from(late()).explained(|| "the day was not marked".to_owned()));
        }
        let work = publisher.poll(64, |event| order.on_publisher(&event));
        match order.turn(publisher.core_mut(), signs.map(|key| (key, number))) {
            Some(Marked::At(seq)) => return Ok(seq),
            Some(Marked::Already) => {
                let state = if name.is_some() {
                    "a trading day is open: run `lockstep day end` first"
                } else {
                    "no trading day is open"
                };
                return Err(OperationError::failed(state));
            }
            Some(Marked::Unknown) => {
                let what = "another operator marks a day at this moment: see what it did, and try again";
                return Err(OperationError::fenced(what));
            }
            Some(Marked::NotAllowed) => {
                let what = "the leader refused it: the key of this host does not allow it, or its operator's signature does not hold; \
                            `lockstep keys show` on a replica's host lists what each key allows, and its public key";
                return Err(OperationError::failed(what));
            }
            None if work == 0 => _ = publisher.wait(timeout)?,
            None => {}
        }
    }
}
