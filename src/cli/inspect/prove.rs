//! `lockstep prove`: that one entry stood at its place in the stream, for somebody who has neither journal
//! nor network.

use crate::cli::shared::shown::shown_bytes;
use crate::cli::shared::waiting;
use crate::cli::shared::waiting::Stall;
use clap::Args;
use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{self, Config};
use lockstep_daemon::ended::{Again, abandoned, ended};
use lockstep_daemon::failure::{FAILED, INTEGRITY, NOT_READY, USAGE};
use lockstep_daemon::notary;
use lockstep_io::clock::Utc;
use lockstep_notary::to_hex as hex;
use lockstep_notary::{ENTRIES_MAX, Proof, ProofSearch};
use lockstep_operations::bounded::read_text;
use lockstep_wire::{FrameView, Seq};
use serde_json::json;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.prove/1";
/// Longest proof that is read: a frame, its path to what was signed, and the attestation, in text.
const PROOF_LEN_MAX: u64 = 16 << 20;
/// Most messages between two looks at the clock.
const BATCH: usize = 4_096;

/// Flags of `prove`.
#[derive(Args, Debug)]
pub struct ProveArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The entry
    #[arg(value_name = "SEQ", required_unless_present = "check", conflicts_with = "check")]
    pub seq: Option<Seq>,
    /// Checks a proof instead, and prints what it proves; needs the file `notaries` of security.keys alone
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// Exits 4 when nothing was read for so long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
    /// Prints what it proves as JSON
    #[arg(long, requires = "check")]
    pub json: bool,
}

/// Prints the proof, or what a proof proves.
pub fn run(args: &ProveArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    match (&args.check, args.seq) {
        (Some(path), _) => check(&config, path, args.json),
        (None, seq) => prove(&config, seq.unwrap_or_default(), args.timeout),
    }
}

fn prove(config: &Config, seq: Seq, timeout: Duration) -> Result<u8, Failure> {
    if seq == 0 {
        return Err(Failure::new(USAGE, "the first entry of a stream has seq 1"));
    }
    let endpoint = Endpoint::for_operator(config)?;
    let from = Start::From(seq.saturating_sub(ENTRIES_MAX).max(1));
    let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, from)?;
    subscriber.report_frames();
    let mut search = ProofSearch::new(seq, notary::notaries(config)?);
    let (mut found, mut failure) = (None, None);
    let mut stall = Stall::new(subscriber.now());
    while found.is_none() {
        let work = subscriber.poll(BATCH, |event| {
            match event {
                SubscriberEvent::Frame { bytes } => {
                    found =
                        found.take().or(FrameView::known(bytes).and_then(|frame| search.on_frame(&frame)));
                }
                SubscriberEvent::Abandoned { from, oldest, why } => {
                    let hint = "a notary has signed the entry together with those before it, which are gone";
                    failure = Some(abandoned(from, oldest, why, hint));
                }
                event => failure = failure.take().or(ended(&event, Again::Start)),
            }
            if found.is_none() && failure.is_none() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        let next = subscriber.deliver_next();
        let stood = stall.look(next, subscriber.now());
        if work == 0 && !stood.is_zero() {
            if stood > timeout {
                return Err(unsigned(config, &endpoint, seq, next, timeout));
            }
            subscriber.wait(timeout)?;
        }
    }
    let text = found.map(|proof| serde_json::to_string(&proof)).transpose();
    let text = text.map_err(|error| Failure::new(FAILED, error))?.unwrap_or_default();
    writeln!(std::io::stdout(), "{text}")?;
    Ok(0)
}

/// Why there is no proof: the stream is not read so far, or nobody has signed it.
fn unsigned(config: &Config, endpoint: &Endpoint, seq: Seq, next: Seq, timeout: Duration) -> Failure {
    if next <= seq {
        let why = waiting::explain(config, endpoint);
        return Failure::new(
            NOT_READY,
            format!("seq {seq} was not read within {timeout:?}, the next is {next}; {why}"),
        );
    }
    let what = format!(
        "seq {seq} was read, and no notary that this host trusts has signed it: is `lockstep notary` \
         running, and its public key in the file `notaries` of security.keys?"
    );
    Failure::new(NOT_READY, what)
}

fn check(config: &Config, path: &Path, json: bool) -> Result<u8, Failure> {
    let wrong = |code, what: String| Failure::new(code, format!("{}: {what}", path.display()));
    let text = read_text(path, PROOF_LEN_MAX).map_err(|error| wrong(USAGE, error.to_string()))?;
    let proof: Proof =
        serde_json::from_str(&text).map_err(|error| wrong(USAGE, format!("it is no proof: {error}")))?;
    let proven = proof
        .verify(&notary::notaries(config)?)
        .map_err(|error| wrong(INTEGRITY, format!("it proves nothing: {error}")))?;
    let (entry, header) = (proven.entry, proven.frame.header);
    let time = Utc(header.timestamp + u64::from(entry.header.time_or_incarnation));
    let notary = hex(&proven.attestation.body.notary);
    let (publisher, number, destination, history) =
        (entry.header.publisher, entry.header.publisher_seq, entry.header.destination, header.history);
    let mut out = std::io::stdout();
    if json {
        let line = json!({
            "schema": SCHEMA, "seq": proven.seq, "history": format!("{history:016x}"),
            "kind": format!("{:?}", entry.kind()), "publisher": publisher, "publisher_seq": number,
            "destination": destination, "time": time.to_string(), "payload": hex(entry.payload),
            "notary": notary,
        });
        writeln!(out, "{line}")?;
    } else {
        let (kind, seq, len, payload) =
            (entry.kind(), proven.seq, entry.payload.len(), shown_bytes(entry.payload));
        writeln!(
            out,
            "seq {seq} of history {history:016x}: {kind:?} {number} of publisher {publisher} to {destination}, stamped {time}, \
             {len} bytes: {payload}"
        )?;
        writeln!(out, "signed by notary {notary}")?;
    }
    Ok(0)
}
