//! # exchange: the simplest application behind a gateway
//!
//! It acknowledges each message of a client to that client, and so shows what an application does: it reads the
//! committed stream, and publishes for whoever is to hear. What it publishes is a function of what it reads, so
//! copies that run at the same time publish the same under one nonce, and each answer is stamped once.

use super::Failure;
use super::ended::ended;
use super::failure::{FAILED, INTEGRITY};
use crate::client::{
    Delivery, Endpoint, Flow, PublishError, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use crate::edge::gateway::clients::{ClientEvent, Clients};
use crate::wire::PublisherId;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What an answer begins with; the message that it answers follows.
pub const ACKNOWLEDGED: &[u8] = b"ack ";
/// Its name, and the nonce that its copies share.
const NAME: &str = "exchange";
const NONCE: [u64; 2] = [7, 7];
/// How long its name may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Most messages of one turn.
const BATCH: usize = 256;
/// Answers that may wait for the window: then no more is read until it moves.
const ANSWERS_MAX: usize = 4_096;

/// What it hears of its clients, in the order of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard<'a> {
    /// One came or left.
    Client(ClientEvent<'a>),
    /// One said something, which is acknowledged.
    Order {
        /// The client's user.
        user: &'a str,
        /// What it said.
        message: &'a [u8],
    },
}

/// The application, at the stream's beginning or further.
pub struct Exchange {
    publisher: Publisher,
    subscriber: Subscriber,
    own: PublisherId,
    clients: Clients,
    /// Answers that wait for the publisher's window, and whom they are for.
    answers: VecDeque<(PublisherId, Vec<u8>)>,
    published: u64,
}

impl Exchange {
    /// Opens its name, and begins with the stream's first entry.
    ///
    /// # Errors
    /// The device cannot be opened, or no leader answers.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, Failure> {
        let mut publisher = Publisher::connect(endpoint)?;
        let subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1))?;
        let own = publisher.open_as(NAME, NONCE, OPEN_TIMEOUT)?;
        let (clients, answers) = (Clients::default(), VecDeque::new());
        Ok(Self { publisher, subscriber, own, clients, answers, published: 0 })
    }

    /// Reads on, and publishes what is to be said to it. Never waits. Returns the work done.
    ///
    /// # Errors
    /// The stream cannot be read on, or its name is somebody else's.
    pub fn turn(&mut self, mut heard: impl FnMut(Heard<'_>)) -> Result<usize, Failure> {
        let Self { subscriber, clients, answers, .. } = self;
        let mut failed = None;
        let mut work = subscriber.poll(BATCH, |event| {
            failed = failed.take().or_else(|| failure_of(&event));
            if let Some(event) = clients.on_event(&event) {
                heard(Heard::Client(event));
            }
            if let SubscriberEvent::Message(message) = event
                && let Some(client) = clients.get(message.publisher)
            {
                heard(Heard::Order { user: &client.user, message: message.payload });
                answers.push_back((message.publisher, [ACKNOWLEDGED, message.payload].concat()));
            }
            if failed.is_some() || answers.len() >= ANSWERS_MAX { Flow::Stop } else { Flow::Continue }
        });
        if let Some(failure) = failed {
            return Err(failure);
        }
        self.answer()?;
        let mut ended = None;
        work += self.publisher.poll(BATCH, |event| {
            ended = ended.take().or(match event {
                PublisherEvent::Lost => Some("it fell further behind than any replica remembers"),
                PublisherEvent::Fenced { .. } => Some("its name was opened by another application"),
                PublisherEvent::Closed { .. } => Some("its name was closed by somebody else"),
                _ => None,
            });
        });
        match ended {
            Some(why) => Err(Failure::new(FAILED, format!("the exchange cannot answer any more: {why}"))),
            None => Ok(work),
        }
    }

    fn answer(&mut self) -> Result<(), Failure> {
        while let Some((to, answer)) = self.answers.front() {
            match self.publisher.try_publish(self.own, *to, answer) {
                Ok(_) => {
                    self.answers.pop_front();
                    self.published += 1;
                }
                Err(PublishError::Backpressure) => break,
                Err(error) => {
                    return Err(Failure::new(FAILED, format!("the exchange cannot answer: {error}")));
                }
            }
        }
        Ok(())
    }

    /// Answers that were published.
    pub fn answered(&self) -> u64 {
        self.published
    }

    /// Whether every answer is committed.
    pub fn is_drained(&self) -> bool {
        self.answers.is_empty() && self.publisher.is_drained()
    }

    /// What brings it something: for whoever waits.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        let published = self.publisher.net().sockets();
        published.into_iter().chain(self.subscriber.net().sockets()).collect()
    }
}

/// Why it cannot know all of the stream, if an event says so.
fn failure_of(event: &SubscriberEvent<'_>) -> Option<Failure> {
    match *event {
        SubscriberEvent::Abandoned { from, oldest, why } => {
            let why = why.name();
            let what = format!("the exchange cannot have seq {from} ({why}; the oldest is {oldest})");
            Some(Failure::new(INTEGRITY, format!("{what}: its answers are a function of all of the stream")))
        }
        _ => ended(event),
    }
}
