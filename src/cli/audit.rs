//! `lockstep audit`: who ordered what, and when, as the stream has it.
//!
//! It reads the committed stream from its oldest entry, from the replicas' and archivers' journals.

use super::Failure;
use super::args::ClusterArgs;
use super::ended::{abandoned, ended};
use super::failure::NOT_READY;
use super::subscribe::end_of_stream;
use super::waiting::{self, Stall};
use crate::config;
use clap::Args;
use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_io::clock::Utc;
use lockstep_io::idle::Idle;
use lockstep_wire::{Identity, Nanos, OrderBody, OrderView, Seq};
use serde_json::json;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::time::Duration;

/// The version of a line of `--json`.
const SCHEMA: &str = "lockstep.audit/1";
/// Longest sleep between two polls: a request for missing frames may be due.
const PAUSE_NS: Nanos = 1_000_000;
/// Events between two looks at the clock.
const BATCH: usize = 4_096;

/// Flags of `audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Exits 4 when nothing was read for so long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Prints every order that the stream has.
pub fn run(args: &AuditArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    let endpoint = Endpoint::for_operator(&config)?;
    let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, Start::Oldest)?;
    let end = end_of_stream(&endpoint, args.timeout)?.next;
    let mut waiter = Idle::Park.waiter(&subscriber.net().sockets())?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut orders, mut first) = (0u64, None);
    let mut stall = Stall::new(subscriber.now());
    while subscriber.deliver_next() < end {
        let mut printed = Ok(());
        let work = subscriber.poll(BATCH, |event| {
            first = first.or(event.seq());
            printed = match event {
                SubscriberEvent::Ordered { seq, timestamp, order } if seq < end => {
                    orders += 1;
                    print(&mut out, args.json, (seq, timestamp), &order).map_err(Failure::from)
                }
                SubscriberEvent::Abandoned { from, oldest, why } => {
                    Err(abandoned(from, oldest, why, "run an archiver that keeps more"))
                }
                event => ended(&event).map_or(Ok(()), Err),
            };
            if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        printed?;
        let next = subscriber.deliver_next();
        let stood = stall.look(next, subscriber.now());
        if work == 0 && !stood.is_zero() {
            if stood > args.timeout {
                let what = format!(
                    "nothing was read for {:?}, the next entry would be seq {next}, the end is seq {end}; {}",
                    args.timeout,
                    waiting::explain(&config, &endpoint)
                );
                return Err(Failure::new(NOT_READY, what));
            }
            waiter.wait(PAUSE_NS);
        }
    }
    out.flush()?;
    eprintln!("{orders} orders in seqs {} to {}", first.unwrap_or(1), end - 1);
    Ok(0)
}

fn print(
    out: &mut impl Write,
    json: bool,
    (seq, timestamp): (Seq, Nanos),
    order: &OrderView<'_>,
) -> std::io::Result<()> {
    let body = order.body;
    let key = (body.key != OrderBody::NO_KEY).then_some(body.key);
    let subject = order.subject().map(|identity: Identity| identity.to_string());
    if json {
        let line = json!({
            "schema": SCHEMA, "seq": seq, "time": Utc(timestamp).to_string(), "order": order.order().name(),
            "operator": key.map(|_| order.holder), "key": key, "subject": subject,
            "epoch": order.epoch().to_string(), "membership_seq": body.membership_seq,
        });
        return writeln!(out, "{line}");
    }
    let operator = match key {
        Some(key) => format!("{} (key {key})", order.holder),
        None => "a holder of replica.keys".to_owned(),
    };
    let subject = subject.map_or_else(String::new, |subject| format!(" {subject}"));
    writeln!(
        out,
        "{}  seq {seq}  {operator}: {}{subject}, in epoch {}, members of seq {}",
        Utc(timestamp),
        order.order().name(),
        order.epoch(),
        body.membership_seq
    )
}
