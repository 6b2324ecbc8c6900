//! A publisher of the demo: its share of the order flow, each message when it is due.

use super::PUBLISHERS;
use super::said::{Published, Said};
use crate::cli::Failure;
use crate::cli::args::DemoPublisherArgs;
use crate::cli::failure::{FAILED, FENCED, NOT_READY};
use crate::cli::orders::OrderFlow;
use crate::client::{PublishError, Publisher, PublisherEvent};
use crate::config::Config;
use crate::engine::counters::Counter;
use crate::io::cpu;
use crate::wire::{Nanos, PublisherId};
use std::io::BufRead;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

/// How long the name may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// The publisher gives up when nothing is committed for so long.
const COMMIT_TIMEOUT_NS: Nanos = 25_000_000_000;
/// Everybody is for everybody.
const DESTINATION: u32 = 0;

/// Publishes its share and prints a summary.
pub fn run(args: &DemoPublisherArgs) -> Result<u8, Failure> {
    let flow = OrderFlow::recorded().map_err(|error| Failure::new(FAILED, error))?;
    let endpoint = Config::load(Some(&args.client.config), &[])?.endpoint();
    if let Some(core) = args.client.core {
        cpu::pin(core);
    }
    cpu::short_slice();
    let start = start_time()?;
    let mut publisher = Publisher::connect(&endpoint)?;
    let id = publisher.open(&format!("demo-{}", args.number), OPEN_TIMEOUT)?;
    Said::Ready.say()?;
    let mut waiter = endpoint.idle.waiter(&publisher.net().sockets())?;
    let began = loop {
        let work = publisher.poll(usize::MAX, |_| {});
        match start.try_recv() {
            Ok(began) => break began,
            Err(TryRecvError::Disconnected) => return Err(abandoned()),
            Err(TryRecvError::Empty) if work == 0 => waiter.wait(1_000_000),
            Err(TryRecvError::Empty) => {}
        }
    };
    let mut share = Share { args, flow, id, began, next: 0, published: 0, backpressure: 0 };
    let (mut committed, mut ended) = (0, None);
    let mut progress = (0, publisher.clock().now());
    loop {
        let taken = share.publish(&mut publisher)?;
        let work = publisher.poll(usize::MAX, |event| match event {
            PublisherEvent::Committed { .. } => committed += 1,
            PublisherEvent::Fenced { .. } => ended = Some((FENCED, "fenced by another demo's publisher")),
            PublisherEvent::Closed { .. } => ended = Some((FAILED, "closed by somebody else")),
            PublisherEvent::Lost => ended = Some((FAILED, "further behind than any replica remembers")),
            _ => {}
        });
        if let Some((code, why)) = ended {
            return Err(Failure::new(code, format!("publisher demo-{}: {why}", args.number)));
        }
        if share.next >= args.client.messages && publisher.is_drained() {
            break;
        }
        let now = publisher.clock().now();
        if committed > progress.0 || publisher.is_drained() {
            progress = (committed, now);
        } else if now > progress.1 + COMMIT_TIMEOUT_NS {
            let open = share.published - committed;
            return Err(Failure::new(NOT_READY, format!("{open} messages were not committed in time")));
        }
        if taken + work == 0 {
            if matches!(start.try_recv(), Err(TryRecvError::Disconnected)) {
                return Err(abandoned());
            }
            waiter.wait(share.due(share.next).saturating_sub(now));
        }
    }
    let counts = publisher.net().counts();
    let summary = Published {
        messages: share.published,
        committed,
        backpressure: share.backpressure,
        resends: publisher.counters().get(Counter::Resends),
        datagrams_in: counts.datagrams_in,
        datagrams_out: counts.datagrams_out,
        dropped: counts.dropped,
        repairs: publisher.counters().get(Counter::RepairsIn),
    };
    Said::Published(summary).say()?;
    Ok(0)
}

/// Reads from stdin when to begin, by the monotonic clock. The channel breaks when stdin ends: then
/// nobody needs this process any more.
fn start_time() -> Result<Receiver<Nanos>, Failure> {
    let (to, from) = channel();
    let read = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Ok(began) = line.trim().parse()
                && to.send(began).is_err()
            {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("lockstep-stdin".into()).spawn(read);
    thread.map_err(|error| {
        Failure::new(FAILED, format!("starting the thread that reads stdin failed: {error}"))
    })?;
    Ok(from)
}

fn abandoned() -> Failure {
    Failure::new(FAILED, "the demo that started this publisher is gone")
}

/// One publisher's part of the flow.
struct Share<'a> {
    args: &'a DemoPublisherArgs,
    flow: OrderFlow,
    id: PublisherId,
    /// When message 0 of the flow is due.
    began: Nanos,
    /// The next message of the flow, whoever sends it.
    next: u64,
    published: u64,
    backpressure: u64,
}

impl Share<'_> {
    /// When a message of the flow is due; at rate 0 at once.
    fn due(&self, index: u64) -> Nanos {
        // In 128 bits: a long run's index times a thousand million does not fit in 64.
        let after = (u128::from(index) * 1_000_000_000).checked_div(u128::from(self.args.rate));
        self.began + after.unwrap_or(0) as Nanos
    }

    /// Hands over what is due, until the window is full. Returns how many.
    fn publish(&mut self, publisher: &mut Publisher) -> Result<usize, Failure> {
        let mut taken = 0;
        while self.next < self.args.client.messages {
            if self.flow.publisher(self.next, PUBLISHERS) != self.args.number {
                self.next += 1;
                continue;
            }
            let (due, now) = (self.due(self.next), publisher.clock().now());
            if now < due {
                break;
            }
            let mut order = self.flow.message(self.next);
            order.sent_ns = if self.args.rate == 0 { now } else { due };
            match publisher.try_publish(self.id, DESTINATION, bytemuck::bytes_of(&order)) {
                Ok(_) => {
                    self.next += 1;
                    self.published += 1;
                    taken += 1;
                }
                Err(PublishError::Backpressure) => {
                    self.backpressure += 1;
                    break;
                }
                Err(error) => {
                    let code = if error == PublishError::Fenced { FENCED } else { FAILED };
                    return Err(Failure::new(code, error));
                }
            }
        }
        Ok(taken)
    }
}
