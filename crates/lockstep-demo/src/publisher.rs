//! A publisher of the demo (`--direct`): its share of the order flow, each order when it is due.

use crate::args::{DemoPublisherArgs, DemoSenderArgs};
use crate::report_lines::{ChildCommand, ChildReport, Published, abandoned};
use crate::share::Share;
use lockstep_client::{Endpoint, PublishError, Publisher, PublisherEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_daemon::Failure;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::{FAILED, FENCED, NOT_READY};
use lockstep_process::cpu;
use lockstep_wire::{Destination, Nanos, PublisherId};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

/// How long the name may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// The publisher gives up when nothing is committed for so long.
const COMMIT_TIMEOUT_NS: Nanos = 25_000_000_000;
/// Longest wait between two turns.
const PAUSE_NS: Nanos = 1_000_000;
/// The destination of orders.
const EVERYBODY: Destination = 0;

/// Publishes its share and prints a summary.
pub fn run(args: &DemoPublisherArgs) -> Result<u8, Failure> {
    let DemoPublisherArgs { sender: DemoSenderArgs { child, rate }, number } = args;
    let endpoint = Endpoint::from_config(&Config::load(Some(&child.config), &[])?)?;
    if let Some(core) = child.core {
        cpu::pin(core);
    }
    let mut share = Share::new(child.messages, *rate, *number)?;
    let commands = ChildCommand::listen()?;
    let mut publisher = Publisher::connect(&endpoint)?;
    let id = publisher.open(&format!("demo-{number}"), OPEN_TIMEOUT)?;
    ChildReport::Ready.say()?;
    let mut waiter = endpoint.idle().waiter(&publisher.net().sockets())?;
    loop {
        let work = publisher.poll(usize::MAX, |_| {});
        match commands.try_recv() {
            Ok(ChildCommand::Begin { at, lasts }) => break share.begin(at, lasts),
            Err(TryRecvError::Disconnected) => return Err(abandoned()),
            _ if work == 0 => waiter.wait(PAUSE_NS),
            _ => {}
        }
    }
    let (mut published, mut backpressure, mut committed, mut ended) = (0, 0, 0, None);
    let mut progress = (0, publisher.clock().now());
    loop {
        let taken = publish(&mut share, &mut publisher, id, &mut backpressure)?;
        published += taken;
        let work = publisher.poll(usize::MAX, |event| match event {
            PublisherEvent::Committed { .. } => committed += 1,
            PublisherEvent::Fenced { .. } => ended = Some((FENCED, "fenced by another demo's publisher")),
            PublisherEvent::Closed { .. } => ended = Some((FAILED, "closed by somebody else")),
            PublisherEvent::OutcomesUnknown => {
                ended = Some((FAILED, "further behind than any replica remembers"))
            }
            _ => {}
        });
        if let Some((code, why)) = ended {
            return Err(Failure::new(code, format!("publisher demo-{number}: {why}")));
        }
        if share.is_over() && publisher.is_drained() {
            break;
        }
        let now = publisher.clock().now();
        if committed > progress.0 || publisher.is_drained() {
            progress = (committed, now);
        } else if now > progress.1 + COMMIT_TIMEOUT_NS {
            let open = published - committed;
            return Err(Failure::new(NOT_READY, format!("{open} messages were not committed in time")));
        }
        if taken == 0 && work == 0 {
            obey(&commands, &mut share)?;
            waiter.on_progress(published + committed);
            waiter.wait(share.due().saturating_sub(now).min(PAUSE_NS));
        }
    }
    let counts = publisher.net().counts();
    let summary = Published {
        messages: published,
        committed,
        backpressure,
        resends: publisher.counters().get(Counter::Resends),
        datagrams_in: counts.datagrams_in,
        datagrams_out: counts.datagrams_out,
        dropped: counts.dropped,
        repairs: publisher.counters().get(Counter::RepairsIn),
    };
    ChildReport::Published(summary).say()?;
    Ok(0)
}

/// Carries out a command that came while orders flow.
fn obey(commands: &Receiver<ChildCommand>, share: &mut Share) -> Result<(), Failure> {
    match commands.try_recv() {
        Ok(ChildCommand::Finish) => share.finish(),
        Err(TryRecvError::Disconnected) => return Err(abandoned()),
        _ => {}
    }
    Ok(())
}

/// Hands over what is due, until the window is full. Returns how many.
fn publish(
    share: &mut Share,
    publisher: &mut Publisher,
    id: PublisherId,
    backpressure: &mut u64,
) -> Result<u64, Failure> {
    let mut taken = 0;
    loop {
        let now = publisher.clock().now();
        let Some(order) = share.next(now) else { break };
        match publisher.try_publish(id, EVERYBODY, &order.numbered(share.number())) {
            Ok(_) => {
                share.take(now);
                taken += 1;
            }
            Err(PublishError::Backpressure) => {
                *backpressure += 1;
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
