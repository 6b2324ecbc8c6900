//! lockstep in a loop around poll(2): each line of standard input is published, and every message of the
//! stream is printed. When the input has ended and all of it was delivered, the program prints the cursor
//! with which another run resumes:
//!
//! ```text
//! echo "buy 100 at 42" | LOCKSTEP_CONFIG=… with_poll [CURSOR]
//! ```
//!
//! The loop sleeps in one call for the handle and for the program's other descriptors. Any call that takes
//! descriptors and a timeout will do: select, epoll, io_uring.

use lockstep_client::{
    Cursor, Delivery, EVERYBODY, Endpoint, Participant, ParticipantEvent, PublishError, PublisherEvent,
    PublisherId, PublisherSeq, Start, SubscriberEvent,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::read;
use std::ops::ControlFlow;
use std::time::Duration;

/// The delivered messages of this program.
#[derive(Default)]
struct Delivered {
    orders: Option<PublisherId>,
    last: Option<PublisherSeq>,
}

impl Delivered {
    fn on_event(&mut self, event: ParticipantEvent<'_>) -> ControlFlow<()> {
        match event {
            ParticipantEvent::Publisher(PublisherEvent::Committed { seq, .. }) => {
                println!("committed at seq {seq}");
            }
            ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) => {
                println!("{}: {}", message.seq, String::from_utf8_lossy(message.payload));
                if self.orders == Some(message.publisher) {
                    self.last = Some(message.publisher_seq);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Standard input, cut into lines.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// Reads once. It does not block if poll(2) has reported the input.
    fn read(&mut self) -> Result<(), rustix::io::Errno> {
        let mut chunk = [0; 4096];
        let len = read(std::io::stdin(), &mut chunk)?;
        self.ended = len == 0;
        self.bytes.extend_from_slice(&chunk[..len]);
        Ok(())
    }

    /// The first line, once it is whole.
    fn first(&self) -> Option<&[u8]> {
        let whole = self.bytes.iter().position(|byte| *byte == b'\n');
        whole.map(|end| &self.bytes[..end]).or((self.ended && !self.bytes.is_empty()).then_some(&self.bytes))
    }

    fn remove_first(&mut self) {
        let len = self.first().map_or(0, <[u8]>::len);
        self.bytes.drain(..(len + 1).min(self.bytes.len()));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = match std::env::args().nth(1) {
        Some(cursor) => Start::Cursor(cursor.parse::<Cursor>()?),
        None => Start::From(1),
    };
    let mut participant = Participant::connect(&Endpoint::from_env()?, Delivery::Committed, start)?;
    let (mut delivered, mut lines, mut published) = (Delivered::default(), Lines::default(), None);
    let orders = participant.open("orders", Duration::from_secs(5), |event| delivered.on_event(event))?;
    delivered.orders = Some(orders);
    loop {
        while participant.poll(64, |event| delivered.on_event(event)) > 0 {}
        let mut is_full = false;
        while let Some(line) = lines.first()
            && !is_full
        {
            match participant.try_publish(orders, EVERYBODY, line) {
                Ok(number) => {
                    published = Some(number);
                    lines.remove_first();
                }
                Err(PublishError::Backpressure) => is_full = true, // outcomes make room, and wake the loop
                Err(error) => return Err(error.into()),
            }
        }
        participant.flush();
        if lines.ended && lines.first().is_none() && delivered.last >= published {
            break;
        }
        let sleeps = Timespec::try_from(participant.due())?;
        let mut watched = vec![PollFd::new(&participant, PollFlags::IN)];
        let stdin = std::io::stdin();
        if !lines.ended && !is_full {
            watched.push(PollFd::new(&stdin, PollFlags::IN));
        }
        poll(&mut watched, Some(&sleeps))?;
        if watched.get(1).is_some_and(|stdin| !stdin.revents().is_empty()) {
            lines.read()?;
        }
    }
    println!("resume with {}", participant.cursor().ok_or("the subscription has not begun")?);
    Ok(())
}
