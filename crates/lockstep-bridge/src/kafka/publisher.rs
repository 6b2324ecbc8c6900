//! The publisher of a partition's records, and which record a number belongs to.

use crate::clock;
use crate::failure::{BridgeFailure, FAILED, NOT_READY, USAGE};
use lockstep_client::{Endpoint, OpenRefusal, Publisher, PublisherEvent, PublisherId};
use lockstep_io::clock::random_u64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the cluster is waited for when the publisher is opened.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);
/// Longest sleep between two polls.
pub const PAUSE: Duration = Duration::from_millis(1);

/// The record at an offset is the publisher's message of a number; the history of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OffsetNumber {
    /// The record's.
    pub offset: i64,
    /// The publisher's.
    pub number: u64,
    /// Of the stream.
    pub history: u64,
}

impl OffsetNumber {
    /// As Kafka stores it beside the offset.
    pub fn metadata(&self) -> String {
        format!("lockstep {:016x} {}", self.history, self.number)
    }

    /// What [`OffsetNumber::metadata`] wrote; `None` for another program's.
    pub fn parse(offset: i64, metadata: &str) -> Option<Self> {
        let (history, number) = metadata.strip_prefix("lockstep ")?.split_once(' ')?;
        Some(Self { offset, number: number.parse().ok()?, history: u64::from_str_radix(history, 16).ok()? })
    }
}

/// The publisher, open.
pub struct InputPublisher {
    /// The handle.
    pub handle: Publisher,
    /// Its id.
    pub id: PublisherId,
    /// Of the stream.
    pub history: u64,
    /// The number of its next message when it was opened.
    pub next: u64,
}

/// Opens the publisher; a former bridge with this name is fenced.
///
/// # Errors
/// It is refused, or no leader is received in time.
pub fn open(endpoint: &Endpoint, name: &str, stop: &AtomicBool) -> Result<InputPublisher, BridgeFailure> {
    let mut handle = Publisher::connect(endpoint)?;
    let nonce = [random_u64()?, random_u64()?];
    if handle.begin_open(name, nonce).is_none() {
        return Err(BridgeFailure::new(USAGE, format!("--publisher {name}: a name has 1 to 64 bytes")));
    }
    let began = clock::now();
    loop {
        let mut outcome = None;
        let work = handle.poll(usize::MAX, |event| match event {
            PublisherEvent::Opened { publisher, publisher_seq, .. } => {
                outcome = Some(Ok((publisher, publisher_seq)));
            }
            PublisherEvent::Refused { reason, .. } => outcome = Some(Err(reason)),
            _ => {}
        });
        match outcome {
            Some(Ok((id, next))) => {
                let history = handle.core_mut().history();
                return Ok(InputPublisher { handle, id, history, next });
            }
            Some(Err(OpenRefusal::NotAllowed)) => {
                let what = format!("--publisher {name}: the key of this host does not allow the name");
                return Err(BridgeFailure::new(FAILED, what));
            }
            Some(Err(_)) => {
                let what = format!(
                    "--publisher {name}: the cluster has no room for another publisher (publishers_max)"
                );
                return Err(BridgeFailure::new(FAILED, what));
            }
            None => {}
        }
        if began.elapsed() >= OPEN_PATIENCE || stop.load(Ordering::Acquire) {
            let what = format!(
                "publisher {name} was not opened within {OPEN_PATIENCE:?}: no leader is received; start the sequencers"
            );
            return Err(BridgeFailure::new(NOT_READY, what));
        }
        if work == 0 {
            handle.wait(PAUSE)?;
        }
    }
}

/// Whether nothing more is committed after this event.
pub fn is_end(event: &PublisherEvent) -> bool {
    matches!(
        event,
        PublisherEvent::Fenced { .. }
            | PublisherEvent::Closed { .. }
            | PublisherEvent::Diverged { .. }
            | PublisherEvent::Discarded { .. }
            | PublisherEvent::NotAllowed { .. }
            | PublisherEvent::OutcomesUnknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_stores_is_read_again_and_another_programs_is_none() {
        let stored = OffsetNumber { offset: 9, number: 4, history: 0xab };
        assert_eq!(OffsetNumber::parse(9, &stored.metadata()), Some(stored));
        for other in ["", "lockstep", "lockstep x 4", "lockstep 00000000000000ab", "9"] {
            assert_eq!(OffsetNumber::parse(9, other), None, "{other}");
        }
    }
}
