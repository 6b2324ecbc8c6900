//! Reads the home stream of a set from its end backwards, as far as its state demands it.

use super::view::SetView;
use crate::OperationError;
use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_config::Config;
use lockstep_set::BackSteps;
use lockstep_wire::{Nanos, Seq};
use std::ops::ControlFlow;
use std::time::Duration;

/// Entries in which the list is looked for once it is certain which cuts count.
const LIST_WITHIN: Seq = 1 << 20;

/// How far back a reader goes for what it wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadBack {
    /// To the first entry that is retained, where no cut before it says which cuts count: for whoever changes
    /// the list.
    AsFarAsNeeded,
    /// At most a million entries: for a look.
    Bounded,
}

/// Reads the home stream of a set.
pub struct SetReader {
    endpoint: Endpoint,
    back: ReadBack,
    /// None before the first read.
    subscriber: Option<Subscriber>,
    /// What was read.
    pub view: SetView,
}

impl SetReader {
    /// Of the home stream that `config` describes. Nothing is read yet.
    ///
    /// # Errors
    /// The keys are missing.
    pub fn new(config: &Config, back: ReadBack) -> Result<Self, OperationError> {
        let streams = config.set.iter().flat_map(|set| &set.streams);
        let in_file = streams.map(|stream| (stream.cluster, stream.name.clone())).collect();
        let endpoint = Endpoint::for_operator(config)?;
        Ok(Self { endpoint, back, subscriber: None, view: SetView::new(0, in_file) })
    }

    /// Reads up to the present end, and at least up to `least`.
    ///
    /// # Errors
    /// Nothing was read for `timeout`, or the stream cannot be read.
    pub fn read(&mut self, least: Seq, timeout: Duration) -> Result<(), OperationError> {
        let end = super::end_of(&self.endpoint, timeout)?;
        if self.subscriber.is_none() || self.read_to(end.max(least), timeout)?.is_some() {
            self.read_back(end, timeout)?;
            self.read_to(least, timeout)?;
        }
        Ok(())
    }

    /// Reads what has arrived, without waiting for more; for whoever looks again and again.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub fn read_on(&mut self) -> Result<(), OperationError> {
        while let Some(subscriber) = &mut self.subscriber {
            let (work, gone) = Self::poll(subscriber, &mut self.view)?;
            if gone.is_some() {
                self.subscriber = None;
            }
            if work == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Whether something was read, and can be read on from there.
    pub fn is_reading(&self) -> bool {
        self.subscriber.is_some()
    }

    /// Whether it follows a leader of the home stream.
    pub fn is_connected(&self) -> bool {
        self.subscriber.as_ref().is_some_and(|subscriber| subscriber.is_connected())
    }

    /// Reads in steps, each from further back, until the list and a cut that counts are known.
    fn read_back(&mut self, end: Seq, timeout: Duration) -> Result<(), OperationError> {
        let mut steps = BackSteps::new(end);
        loop {
            self.view = self.view.again(steps.from());
            self.view.is_from_oldest = steps.is_last();
            let start = Start::From(steps.from());
            self.subscriber = Some(Subscriber::connect(&self.endpoint, Delivery::Committed, start)?);
            if let Some(oldest) = self.read_to(steps.end(), timeout)? {
                steps.on_gone(oldest);
                continue;
            }
            let is_far =
                steps.len() >= LIST_WITHIN && (self.view.is_certain() || self.back == ReadBack::Bounded);
            if self.view.is_enough() || steps.is_last() || is_far {
                return Ok(());
            }
            steps.grow();
        }
    }

    /// Reads up to `end`. Where the entries from its place on are no longer retained it returns the oldest
    /// one that is.
    fn read_to(&mut self, end: Seq, timeout: Duration) -> Result<Option<Seq>, OperationError> {
        let Some(subscriber) = &mut self.subscriber else { return Ok(None) };
        let mut moved = (subscriber.deliver_next(), subscriber.now());
        while subscriber.deliver_next() < end {
            let (work, gone) = Self::poll(subscriber, &mut self.view)?;
            if gone.is_some() {
                return Ok(gone);
            }
            let (next, now) = (subscriber.deliver_next(), subscriber.now());
            if next > moved.0 {
                moved = (next, now);
            } else if now.saturating_sub(moved.1) > timeout.as_nanos() as Nanos {
                let what = format!("nothing of the home stream was read for {timeout:?}, up to seq {next}");
                return Err(OperationError::not_ready(what));
            }
            if work == 0 {
                subscriber.wait(Duration::from_millis(100))?;
            }
        }
        Ok(None)
    }

    fn poll(subscriber: &mut Subscriber, view: &mut SetView) -> Result<(usize, Option<Seq>), OperationError> {
        let mut ended = None;
        let work = subscriber.poll(1024, |event| {
            view.on_event(&event);
            ended = ended.take().or_else(|| SetReadEnd::of(&event));
            ControlFlow::Continue(())
        });
        match ended {
            Some(SetReadEnd::Gone(oldest)) => Ok((work, Some(oldest))),
            Some(SetReadEnd::Failed(what)) => Err(OperationError::failed(what)),
            None => Ok((work, None)),
        }
    }
}

/// Why the home stream cannot be read on.
#[derive(Debug)]
enum SetReadEnd {
    Gone(Seq),
    Failed(String),
}

impl SetReadEnd {
    fn of(event: &SubscriberEvent<'_>) -> Option<Self> {
        Some(match *event {
            SubscriberEvent::Abandoned { from, oldest, .. } if oldest > from => Self::Gone(oldest),
            SubscriberEvent::Abandoned { from, .. } => {
                Self::Failed(format!("no repairer gives the home stream from seq {from} on"))
            }
            SubscriberEvent::Refused { why: Some(why), next } => {
                Self::Failed(format!("the home stream is not given from seq {next} on: {}", why.name()))
            }
            SubscriberEvent::Refused { why: None, next } => {
                Self::Failed(format!("no journal gives the home stream from seq {next} on"))
            }
            SubscriberEvent::Diverged { seq } => {
                Self::Failed(format!("what was received of the home stream differs from it at seq {seq}"))
            }
            SubscriberEvent::HistoryLost { .. } | SubscriberEvent::Ahead { .. } => {
                Self::Failed("the home stream was founded anew meanwhile: try again".to_owned())
            }
            _ => return None,
        })
    }
}
