//! lockstep in a task of tokio: each line of standard input is published, and every message of the stream is
//! printed. When the input has ended and all of it was delivered, the program prints the cursor with which
//! another run resumes:
//!
//! ```text
//! echo "buy 100 at 42" | LOCKSTEP_CONFIG=… with_tokio [CURSOR]
//! ```
//!
//! `select!` drops the future that completes second. A handle's future may be dropped at any time: no event
//! is lost.

use lockstep_client::{
    AsyncParticipant, Cursor, Delivery, EVERYBODY, Endpoint, Participant, ParticipantEvent, PublisherEvent,
    PublisherId, PublisherSeq, Start, SubscriberEvent,
};
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(trade())
}

async fn trade() -> Result<(), Box<dyn std::error::Error>> {
    let start = match std::env::args().nth(1) {
        Some(cursor) => Start::Cursor(cursor.parse::<Cursor>()?),
        None => Start::From(1),
    };
    let participant = Participant::connect(&Endpoint::from_env()?, Delivery::Committed, start)?;
    let mut participant = AsyncParticipant::new(participant)?;
    let (mut delivered, mut published, mut ended) = (Delivered::default(), None, false);
    let orders =
        participant.open("orders", Duration::from_secs(5), |event| delivered.on_event(event)).await?;
    delivered.orders = Some(orders);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while !ended || delivered.last < published {
        tokio::select! {
            line = lines.next_line(), if !ended => match line? {
                Some(line) => {
                    let on_event = |event: ParticipantEvent<'_>| delivered.on_event(event);
                    let number = participant.publish(orders, EVERYBODY, line.as_bytes(), on_event).await??;
                    published = Some(number);
                }
                None => ended = true,
            },
            polled = participant.poll(64, |event| delivered.on_event(event)) => { polled?; }
        }
    }
    println!("resume with {}", participant.get_ref().cursor().ok_or("the subscription has not begun")?);
    Ok(())
}
