//! lockstep in a loop around mio: each line of standard input is published, and every message of the stream
//! is printed. When the input has ended and all of it was delivered, the program prints the cursor with which
//! another run resumes:
//!
//! ```text
//! echo "buy 100 at 42" | LOCKSTEP_CONFIG=… with_mio [CURSOR]
//! ```
//!
//! mio reports a descriptor once when it becomes readable. Therefore both handles are polled until a poll
//! returns 0, whatever has ended the sleep.

#![allow(
    clippy::disallowed_methods,
    reason = "a terminal and a file are no sources of mio: a thread reads them"
)]

use lockstep_client::{
    Cursor, Delivery, EVERYBODY, Endpoint, PublishError, Publisher, PublisherEvent, Start, Subscriber,
    SubscriberEvent,
};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io::BufRead;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

/// The most lines that wait to be published.
const LINES_MAX: usize = 64;

/// Reads standard input in a thread of its own, and wakes `poll` for each line and at the end.
fn read_lines(poll: &Poll) -> std::io::Result<Receiver<std::io::Result<String>>> {
    let waker = Waker::new(poll.registry(), Token(0))?;
    let (to, lines) = sync_channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if to.send(line).is_err() || waker.wake().is_err() {
                return;
            }
        }
        drop(to);
        let _ = waker.wake(); // the loop has ended, or sees the end
    });
    Ok(lines)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = match std::env::args().nth(1) {
        Some(cursor) => Start::Cursor(cursor.parse::<Cursor>()?),
        None => Start::From(1),
    };
    let endpoint = Endpoint::from_env()?;
    let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, start)?;
    let mut publisher = Publisher::connect(&endpoint)?;
    let orders = publisher.open("orders", Duration::from_secs(5))?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    poll.registry().register(&mut SourceFd(&subscriber.as_raw_fd()), Token(1), Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&publisher.as_raw_fd()), Token(2), Interest::READABLE)?;
    let lines = read_lines(&poll)?;
    let (mut next, mut ended, mut published, mut delivered) = (None, false, None, None);
    loop {
        let mut on_message = |event: SubscriberEvent<'_>| {
            if let SubscriberEvent::Message(message) = event {
                println!("{}: {}", message.seq, String::from_utf8_lossy(message.payload));
                if message.publisher == orders {
                    delivered = Some(message.publisher_seq);
                }
            }
            ControlFlow::Continue(())
        };
        while subscriber.poll(64, &mut on_message) > 0 {}
        let on_outcome = |event| {
            if let PublisherEvent::Committed { seq, .. } = event {
                println!("committed at seq {seq}");
            }
        };
        while publisher.poll(64, on_outcome) > 0 {}
        while !ended {
            let line = match next.take().map_or_else(|| lines.try_recv(), Ok) {
                Ok(line) => line?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    ended = true;
                    break;
                }
            };
            match publisher.try_publish(orders, EVERYBODY, line.as_bytes()) {
                Ok(number) => published = Some(number),
                Err(PublishError::Backpressure) => {
                    next = Some(Ok(line)); // outcomes make room, and wake the loop
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        publisher.flush();
        if ended && delivered >= published {
            break;
        }
        poll.poll(&mut events, Some(subscriber.due().min(publisher.due())))?;
    }
    println!("resume with {}", subscriber.cursor().ok_or("the subscription has not begun")?);
    Ok(())
}
