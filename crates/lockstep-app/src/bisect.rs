//! Finds the input of a stream at which two machines diverge.

use crate::error::AppError;
use crate::settings::AppSettings;
use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_machine::{Bisect, MachineFault, PartingInput, Seq, StateMachine};
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// The most messages of one poll.
const BATCH: usize = 256;
const PAUSE: Duration = Duration::from_millis(1);
/// How long the stream may be silent behind the wanted range.
const PATIENCE: Duration = Duration::from_secs(20);

/// Applies the committed stream below `until` to two machines or two versions of one, from its beginning,
/// compares them after each input, and returns the input at which they diverge. It publishes nothing.
///
/// # Errors
/// The stream cannot be read: its beginning is gone, it does not reach that far, or no leader answers.
pub fn bisect<A: StateMachine + Debug, B: StateMachine + Debug>(
    endpoint: &Endpoint,
    settings: &AppSettings,
    (one, other): (A, B),
    until: Seq,
) -> Result<Option<PartingInput>, AppError> {
    let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1))?;
    let mut bisect = Bisect::new(settings.machine(), one, other);
    let (mut found, mut fault, mut moved) = (None, None, Instant::now());
    while found.is_none() && subscriber.deliver_next() < until {
        let work = subscriber.poll(BATCH, |event| {
            found = bisect.on_event(&event);
            if let SubscriberEvent::Abandoned { .. } | SubscriberEvent::Refused { .. } = event {
                fault = Some(MachineFault::Stream(format!(
                    "the stream cannot be read from its beginning: {event:?}"
                )));
            }
            let is_over =
                found.is_some() || fault.is_some() || event.seq().is_some_and(|seq| seq + 1 >= until);
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        if work > 0 {
            moved = Instant::now();
        } else if moved.elapsed() > PATIENCE {
            let next = subscriber.deliver_next();
            let what = format!(
                "nothing arrives after seq {next}, and {until} is wanted: is the stream so long, and does \
                 it have a leader?"
            );
            return Err(MachineFault::Stream(what).into());
        } else {
            subscriber.wait(PAUSE)?;
        }
    }
    Ok(found)
}
