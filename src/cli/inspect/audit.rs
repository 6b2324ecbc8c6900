//! `lockstep audit`: who ordered what, and when, as the stream has it, and whether its operator signed it.
//!
//! It reads the committed stream from its oldest entry, from the replicas' and archivers' journals, and
//! checks each signature by the public keys that this host believes: whoever can change a journal cannot
//! make one.

use crate::cli::run::subscribe::end_of_stream;
use crate::cli::shared::shown::shown;
use crate::cli::shared::waiting::{self, Stall};
use clap::Args;
use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{self, Config};
use lockstep_daemon::ended::{Again, abandoned, ended};
use lockstep_daemon::failure::{INTEGRITY, NOT_READY};
use lockstep_daemon::secret::OPERATOR;
use lockstep_io::clock::Utc;
use lockstep_io::idle::Idle;
use lockstep_notary::{NotaryKey, verify_order};
use lockstep_wire::{Change, Identity, Nanos, OperatorOrder, OrderBody, OrderView, Seq, Signature};
use serde_json::json;
use std::collections::BTreeMap;
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
    let mut judge = Judge::new(&config)?;
    let (mut orders, mut wrong, mut first) = (0u64, 0u64, None);
    let mut stall = Stall::new(subscriber.now());
    while subscriber.deliver_next() < end {
        let mut printed = Ok(());
        let work = subscriber.poll(BATCH, |event| {
            first = first.or(event.seq());
            printed = match event {
                SubscriberEvent::Ordered { seq, timestamp, order } if seq < end => {
                    let evidence = judge.judge(seq, &order);
                    (orders, wrong) = (orders + 1, wrong + u64::from(evidence.is_wrong()));
                    print(&mut out, args.json, (seq, timestamp), &order, &evidence).map_err(Failure::from)
                }
                SubscriberEvent::Abandoned { from, oldest, why } => {
                    Err(abandoned(from, oldest, why, "run an archiver that keeps more"))
                }
                event => ended(&event, Again::Start).map_or(Ok(()), Err),
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
    drop(out);
    eprintln!("{orders} orders in seqs {} to {}", first.unwrap_or(1), end - 1);
    if wrong > 0 {
        let what = format!(
            "{wrong} of {orders} orders are not what an operator of {} signed: the journal was changed, or this list lacks a \
             key that was in use then",
            OPERATOR.list_path(&config).display()
        );
        return Err(Failure::new(INTEGRITY, what));
    }
    Ok(0)
}

/// What a record proves of its operator.
#[derive(PartialEq, Eq, Debug)]
enum Evidence {
    /// The operator signed it.
    Signed,
    /// A replica's key, or none, gave the order: nobody signs for it.
    Plain,
    /// Nobody whose public key is listed under this name signed this.
    Wrong,
    /// It is signed, as is an earlier one, of which it is a copy.
    Copy(Seq),
}

impl Evidence {
    fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong | Self::Copy(_))
    }

    /// The word for programs.
    fn name(&self) -> &'static str {
        match self {
            Self::Signed => "holds",
            Self::Plain => "none",
            Self::Wrong => "does not hold",
            Self::Copy(_) => "copied",
        }
    }
}

/// Judges records by the public keys of this host.
struct Judge {
    cluster: u64,
    operators: Vec<(NotaryKey, String)>,
    /// Where each signature stands: an order is drawn a number, so that no two have one signature.
    seen: BTreeMap<Signature, Seq>,
}

impl Judge {
    fn new(config: &Config) -> Result<Self, Failure> {
        // Where no operator has a key of its own there is no file, and nothing to check by it.
        let operators =
            if OPERATOR.list_path(config).exists() { OPERATOR.public_keys(config)? } else { Vec::new() };
        Ok(Self { cluster: config.cluster, operators, seen: BTreeMap::new() })
    }

    fn judge(&mut self, seq: Seq, order: &OrderView<'_>) -> Evidence {
        let Some(signature) = order.signature else {
            return if order.body.key == OrderBody::NO_KEY { Evidence::Plain } else { Evidence::Wrong };
        };
        let signed = order.signed(self.cluster);
        let mut keys = self.operators.iter().filter(|(_, name)| name == order.holder);
        if !keys.any(|(key, _)| verify_order(key.as_bytes(), &signed, signature)) {
            return Evidence::Wrong;
        }
        match *self.seen.entry(*signature).or_insert(seq) {
            first if first == seq => Evidence::Signed,
            first => Evidence::Copy(first),
        }
    }
}

fn print(
    out: &mut impl Write,
    json: bool,
    (seq, timestamp): (Seq, Nanos),
    order: &OrderView<'_>,
    evidence: &Evidence,
) -> std::io::Result<()> {
    let body = order.body;
    let key = (body.key != OrderBody::NO_KEY).then_some(body.key);
    let subject = order.subject().map(|identity: Identity| identity.to_string());
    if json {
        let line = json!({
            "schema": SCHEMA, "seq": seq, "time": Utc(timestamp).to_string(), "order": order.order().name(),
            "operator": key.map(|_| order.holder), "key": key, "subject": subject, "what": what(order),
            "epoch": membership_of(order).map(|_| order.epoch().to_string()), "membership_seq": membership_of(order),
            "signature": evidence.name(),
        });
        return writeln!(out, "{line}");
    }
    let operator = match key {
        Some(key) => format!("{} (key {key})", shown(order.holder)),
        None => "a holder of replica.keys".to_owned(),
    };
    let state = membership_of(order).map_or_else(String::new, |membership_seq| {
        format!(", in epoch {}, members of seq {membership_seq}", order.epoch())
    });
    let evidence = match evidence {
        Evidence::Signed => "signed".to_owned(),
        Evidence::Plain => "not signed".to_owned(),
        Evidence::Wrong => "signature does not hold".to_owned(),
        Evidence::Copy(seq) => format!("a copy of the order of seq {seq}"),
    };
    let time = Utc(timestamp);
    writeln!(out, "{time}  seq {seq}  {operator}: {}{state}; {evidence}", what(order))
}

/// What was ordered, in words.
fn what(order: &OrderView<'_>) -> String {
    let name = order.order().name();
    let subject = order.subject().map_or_else(String::new, |subject| format!(" {subject}"));
    match (order.day(), order.change()) {
        (Some((number, _, mark)), _) if mark.is_start => {
            format!("day start {}, mark {number}", shown(mark.name))
        }
        (Some((number, ..)), _) => format!("day end, mark {number}"),
        (_, Some(asked)) => match (asked.change(), asked.body.member.address()) {
            (Change::Remove, _) => format!("membership remove{subject}"),
            (change, address) => {
                let how = if change == Change::Add { "add" } else { "replace by" };
                let role = if asked.body.member.is_witness() { " as a witness" } else { "" };
                let at = address.map_or_else(String::new, |address| format!(" at {address}"));
                format!("membership {how}{subject}{at}{role}")
            }
        },
        _ => match order.time_before() {
            Some(before) => format!("{name} back from {}", Utc(before)),
            None => format!("{name}{subject}"),
        },
    }
}

/// The seq of the membership for which it was given, with an epoch; a day is for neither.
fn membership_of(order: &OrderView<'_>) -> Option<Seq> {
    (order.order() != OperatorOrder::Day).then_some(order.body.membership_seq)
}
