//! The list of the streams of a set, and what its home stream says of them.

mod read;
mod view;

pub use read::{ReadBack, SetReader};
pub use view::{CutCounts, LastCut, ListInForce, SetView};

use crate::OperationError;
use lockstep_client::{Delivery, Endpoint, PublishError, Publisher, PublisherEvent, Start, Subscriber};
use lockstep_config::{Config, SetPlace};
use lockstep_io::clock::Clock;
use lockstep_set::{SetEntry, SetRow};
use lockstep_wire::{PublisherId, SETS, Seq};
use std::ops::ControlFlow;
use std::time::Duration;

/// Lists of other operators that come in between before this one gives up.
const TRIES: usize = 4;

/// What became of a change of the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListChange {
    /// The list is as it was: what was wanted holds already.
    Same,
    /// The list of this number is in force from this seq of the home stream on.
    Listed {
        /// Its number.
        number: u64,
        /// Its seq.
        seq: Seq,
    },
}

/// Publishes a list of the streams of the set that `config` is the home stream of: what `wanted` makes of the
/// one in force, `None` if nothing is to change. Lists are numbered, so that of two operators at once one is
/// first, and the other one judges anew by that one's list.
///
/// # Errors
/// Those of `wanted`; the leader refuses, or nobody leads in time.
pub fn change_list(
    config: &Config,
    place: &SetPlace,
    timeout: Duration,
    mut wanted: impl FnMut(&SetView) -> Result<Option<Vec<SetRow>>, OperationError>,
) -> Result<(ListChange, SetView), OperationError> {
    let mut reader = SetReader::new(config, ReadBack::AsFarAsNeeded)?;
    let mut publisher = None;
    for _ in 0..TRIES {
        reader.read(0, timeout)?;
        if !reader.view.is_certain() {
            return Err(OperationError::not_ready(
                "no cut of the home stream that is retained names another one, so that the number of the list is not known: \
                 try again once a coordinator has published two cuts",
            ));
        }
        let Some(rows) = wanted(&reader.view)? else { return Ok((ListChange::Same, reader.view)) };
        let list = SetEntry { number: reader.view.number() + 1, rows };
        let (publisher, id) = match &mut publisher {
            Some(open) => open,
            none => {
                let mut publisher = Publisher::connect(&Endpoint::for_operator(config)?)?;
                let id = publisher.open(&place.list_name(), timeout)?;
                none.insert((publisher, id))
            }
        };
        let seq = publish(publisher, *id, &list, timeout)?;
        reader.read(seq + 1, timeout)?;
        if reader.view.list().is_some_and(|list| list.at == Some(seq)) {
            return Ok((ListChange::Listed { number: list.number, seq }, reader.view));
        }
    }
    Err(OperationError::fenced(
        "other operators change the list of streams at this moment: see what they did, and try again",
    ))
}

/// Publishes a list, and returns its seq once it is committed.
fn publish(
    publisher: &mut Publisher,
    id: PublisherId,
    list: &SetEntry,
    timeout: Duration,
) -> Result<Seq, OperationError> {
    let clock = Clock::start();
    let deadline = clock.now() + timeout.as_nanos() as u64;
    let number = publisher.try_publish(id, SETS, &list.to_bytes()).map_err(|error| match error {
        PublishError::Fenced => fenced(),
        error => OperationError::failed(error),
    })?;
    let mut outcome = None;
    while clock.now() < deadline {
        let work = publisher.poll(64, |event| match event {
            PublisherEvent::Committed { publisher_seq, seq, .. } if publisher_seq == number => {
                outcome = Some(Ok(seq));
            }
            PublisherEvent::Fenced { .. } => outcome = Some(Err(fenced())),
            PublisherEvent::NotAllowed { .. } => {
                outcome = Some(Err(OperationError::failed(
                    "the leader refused the list: this needs a replica's key (replica.keys), or a key that lists its name; \
                     `lockstep keys show` on a replica's host lists what each key allows",
                )));
            }
            _ => {}
        });
        if let Some(outcome) = outcome.take() {
            return outcome;
        }
        if work == 0 {
            publisher.wait(Duration::from_millis(100))?;
        }
    }
    Err(OperationError::not_ready(format!(
        "the list was not committed within {timeout:?}: see `lockstep status`"
    )))
}

fn fenced() -> OperationError {
    OperationError::fenced(
        "another operator changes the list of streams at this moment: see what it did, and try again",
    )
}

/// The seq of the next entry of a stream.
///
/// # Errors
/// Nobody leads it in time.
pub fn end_of(endpoint: &Endpoint, timeout: Duration) -> Result<Seq, OperationError> {
    let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::Live)?;
    subscriber.begin(timeout, |_| ControlFlow::Continue(()))?;
    Ok(subscriber.deliver_next())
}
