//! The running notary: a subscriber of frames, and a publisher of signatures.

use super::NotaryRunArgs;
use crate::config::{Config, KeyUse};
use crate::ended::{Again, abandoned, ended};
use crate::failure::{FAILED, FENCED, INTEGRITY, USAGE};
use crate::follows::FollowsLog;
use crate::reloader::{Daemon, Reloader};
use crate::secret::NOTARY;
use crate::sequencer::{log_effective, stop_with_stdin};
use crate::{Failure, confined, counters_or_warning, log, network_wait, signals};
use lockstep_client::{
    Counted, CursorFile, Delivery, Endpoint, PublishError, Publisher, PublisherEvent, Start, Subscriber,
    SubscriberEvent,
};
use lockstep_core::engine::counters::counter_group;
use lockstep_io::clock::random_u64;
use lockstep_io::idle::Idle;
use lockstep_io::key_file;
use lockstep_io::output::{self, OutputStream};
use lockstep_notary::{Attestation, Interval, Notary, has_signatures_alone};
use lockstep_operations::acting;
use lockstep_process::confinement::{self, Becomes};
use lockstep_process::limits;
use lockstep_process::watcher::forbid_core_dumps;
use lockstep_wire::{
    Cursor, FrameView, NOTARIES, NOTARY_NAMES, Nanos, PublisherId, PublisherSeq, RepairReject, Seq,
};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The most messages between two looks at the signals and the clock.
const BATCH: usize = 1024;
/// Longest sleep between two polls.
const PAUSE_NS: Nanos = 1_000_000;
/// How long the notary's name may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The most intervals that wait for room in the publisher's window; then nothing more is read.
const CLOSED_MAX: usize = 64;
/// How often the cursor is written.
const CURSOR_NS: Nanos = 1_000_000_000;

counter_group! {
    /// The counts of a notary's signatures.
    pub struct NotaryCounts {
        attestations count "notary_attestations" "Signatures published.",
        frames count "notary_frames" "Frames that were signed.",
        attested_next gauge "notary_attested_next" "The exclusive end of what is signed and committed.",
        seen_next gauge "notary_seen_next" "The exclusive end of the committed stream, as this notary has read it.",
        lag gauge "notary_lag_ns" "How long the oldest entry has waited that is read and not signed and committed; 0 if none waits.",
    }
}

/// The path of the file that stores how far it has signed.
fn cursor_path(args: &NotaryRunArgs) -> PathBuf {
    let cursor = args.cursor.clone();
    cursor.unwrap_or_else(|| format!("/var/lib/lockstep/{}.cursor", args.name).into())
}

/// Opens the file that stores how far it has signed.
fn cursor_file(path: &Path) -> Result<CursorFile, Failure> {
    CursorFile::open(path).map_err(|error| {
        let remedy =
            "name another file at --cursor, and the notary signs the stream from its oldest entry on";
        Failure::new(USAGE, format!("{error}; {remedy}"))
    })
}

/// The notary with this secret, which is locked in memory.
fn open_notary(args: &NotaryRunArgs, config: &Config) -> Result<Notary, Failure> {
    let notary = Notary::new(&*NOTARY.read(config, &args.name)?);
    log_effective(&key_file::lock(&[notary.place()]));
    Ok(notary)
}

fn begin(config: &Config) -> Result<(), Failure> {
    acting::not_as_root(config)?;
    log::start(&config.log);
    // The process has keys in memory.
    log_effective(&forbid_core_dumps());
    limits::in_place_of_capabilities();
    Ok(())
}

/// Runs until it must stop.
pub fn run(args: &NotaryRunArgs) -> Result<u8, Failure> {
    log::begin_daemon();
    let config = args.cluster.load(&[])?;
    begin(&config)?;
    let path = cursor_path(args);
    let reloader = Reloader::new(Daemon::Notary, &args.cluster, &[], &config)?;
    let reach = confined::of_notary((&config, reloader.file()), &path);
    confinement::begin(&reach);
    let stop = signals::stop_flag()?;
    if args.until_stdin_ends {
        stop_with_stdin(Arc::clone(&stop))?;
    }
    if !network_wait::wait(&network_wait::of_handles(&config, []), &config, &stop)? {
        return Ok(0);
    }
    let notary = open_notary(args, &config)?;
    let cursors = cursor_file(&path)?;
    let endpoint = Endpoint::for_node(&config)?;
    let observed = reloader.observed();
    let answers = reloader.start(endpoint.keys().clone(), config.key_file(KeyUse::Node))?;
    let start = cursors.start_or(Start::Oldest);
    let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, start)?;
    subscriber.report_frames();
    let mut publisher = Publisher::connect(&endpoint)?;
    let name = format!("{NOTARY_NAMES}{}", args.name);
    let nonce = [random_u64()?, random_u64()?];
    let id = publisher.open_as(&name, nonce, OPEN_TIMEOUT)?;
    let created = Counted::create_daemon(
        &endpoint,
        ("notary", &args.name),
        NotaryCounts::ROWS,
        Some(&mut publisher),
        Some(&mut subscriber),
    );
    observed.begin(&config);
    let mut counted = counters_or_warning(&observed, created);
    answers.begin_beside(counted.as_ref());
    confined::complete(&reach, Becomes::Other);
    let first = cursors.cursor().map_or("the oldest entry".to_owned(), |at| format!("seq {}", at.seq));
    let (name, public) = (&args.name, notary.public());
    output::write_line(OutputStream::Out, format_args!("notary {name} signs with {public} from {first}"));
    let mut waiter = endpoint.idle().waiter(&[subscriber.sockets(), publisher.sockets()].concat())?;
    let interval_ns = args.interval.as_nanos() as Nanos;
    let mut signing = Signing::new(notary, id, (interval_ns, endpoint.leaderless_ns_max()), cursors);
    while !stop.load(Ordering::Acquire) {
        let now = subscriber.now();
        let mut work = 0;
        if signing.closed.len() < CLOSED_MAX {
            work += subscriber.poll(BATCH, |event| signing.on_event(now, event));
        }
        if let Some(failure) = signing.failure.take() {
            return Err(failure);
        }
        work += publisher.poll(usize::MAX, |event| signing.on_publisher(&event));
        signing.turn(now, &mut publisher)?;
        if let Some(failure) = signing.failure.take() {
            return Err(failure);
        }
        if let Some(counted) = &mut counted {
            counted.publish(now, &signing.counts.values(), Some(&publisher), Some(&subscriber));
        }
        if work == 0 && endpoint.idle() != Idle::Spin {
            waiter.on_progress(subscriber.deliver_next());
            waiter.wait(PAUSE_NS.min(interval_ns));
        }
    }
    signing.write_cursor();
    tracing::info!(counts = ?signing.counts, "stopped");
    Ok(0)
}

/// The frames that are being signed, and those that will be.
struct Signing {
    notary: Notary,
    id: PublisherId,
    interval_ns: Nanos,
    /// The frames since the last interval was closed; it is open since its first new entry.
    open: Interval,
    news_since: Option<Nanos>,
    /// The intervals to sign, each with the time since which it waits.
    closed: VecDeque<(Interval, Nanos)>,
    /// The intervals that are signed and published, and not committed yet.
    published: VecDeque<(PublisherSeq, Cursor, Nanos)>,
    cursor: Option<Cursor>,
    /// Where the signed position is stored, and when it was last stored.
    cursors: CursorFile,
    written_at: Nanos,
    follows: FollowsLog,
    counts: NotaryCounts,
    failure: Option<Failure>,
}

impl Signing {
    fn new(
        notary: Notary,
        id: PublisherId,
        (interval_ns, leaderless_ns_max): (Nanos, Nanos),
        cursors: CursorFile,
    ) -> Self {
        Self {
            notary,
            id,
            interval_ns,
            open: Interval::default(),
            news_since: None,
            closed: VecDeque::new(),
            published: VecDeque::new(),
            cursor: None,
            cursors,
            written_at: 0,
            follows: FollowsLog::new("nothing new is signed", leaderless_ns_max),
            counts: NotaryCounts::default(),
            failure: None,
        }
    }

    fn on_event(&mut self, now: Nanos, event: SubscriberEvent<'_>) -> ControlFlow<()> {
        match event {
            SubscriberEvent::Frame { bytes } => {
                if let Some(frame) = FrameView::known(bytes) {
                    self.on_frame(now, &frame);
                }
            }
            SubscriberEvent::Abandoned { from, oldest, why } => self.failure = Some(lost(from, oldest, why)),
            event => self.failure = ended(&event, Again::CursorFile),
        }
        if self.failure.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn on_frame(&mut self, now: Nanos, frame: &FrameView<'_>) {
        if !self.open.takes(frame) {
            self.close(now);
        }
        self.open.push(frame);
        self.counts.seen_next = frame.header.next_seq();
        // A frame with signatures alone is signed with the next one: otherwise two notaries would answer each
        // other for ever.
        if !has_signatures_alone(frame) {
            self.news_since.get_or_insert(now);
        }
    }

    fn close(&mut self, now: Nanos) {
        let interval = std::mem::take(&mut self.open);
        let since = self.news_since.take().unwrap_or(now);
        if interval.frames() > 0 {
            self.closed.push_back((interval, since));
        }
    }

    /// How long the oldest entry has waited for its signature.
    fn lag(&self, now: Nanos) -> Nanos {
        let published = self.published.front().map(|(_, _, since)| *since);
        let oldest = published.or(self.closed.front().map(|(_, since)| *since)).or(self.news_since);
        oldest.map_or(0, |since| now.saturating_sub(since))
    }

    /// Signs and publishes the intervals that are due.
    fn turn(&mut self, now: Nanos, publisher: &mut Publisher) -> Result<(), Failure> {
        if self.news_since.is_some_and(|since| now >= since + self.interval_ns) {
            self.close(now);
        }
        while let Some((interval, since)) = self.closed.front() {
            let (Some(end), Some(attestation)) = (interval.end(), self.notary.attest(interval)) else {
                break;
            };
            match publisher.try_publish(self.id, NOTARIES, attestation.bytes()) {
                Ok(number) => self.published.push_back((number, end, *since)),
                Err(PublishError::Backpressure) => break,
                Err(PublishError::Fenced) => return Err(self.fenced()),
                Err(error) => return Err(Failure::new(FAILED, error)),
            }
            self.counts.attestations += 1;
            self.counts.frames += u64::from(interval.frames());
            self.closed.pop_front();
        }
        publisher.flush();
        self.follows.look(now, publisher.is_connected());
        self.counts.lag = self.lag(now);
        if now >= self.written_at + CURSOR_NS {
            self.written_at = now;
            self.write_cursor();
        }
        Ok(())
    }

    fn on_publisher(&mut self, event: &PublisherEvent) {
        match *event {
            PublisherEvent::Committed { publisher_seq, .. } => {
                while let Some((number, end, _)) = self.published.front().copied()
                    && number <= publisher_seq
                {
                    self.cursor = Some(end);
                    self.counts.attested_next = end.seq;
                    self.published.pop_front();
                }
            }
            PublisherEvent::Fenced { .. } => self.failure = Some(self.fenced()),
            PublisherEvent::NotAllowed { .. } => {
                let what =
                    "the leader stamps no signature of this process: the key of this host is no replica's";
                self.failure = Some(Failure::new(FAILED, what));
            }
            PublisherEvent::OutcomesUnknown => {
                let what = "this notary fell so far behind the stream that it cannot learn which signatures \
                            are in it: start it again; it continues at its cursor";
                self.failure = Some(Failure::new(FAILED, what));
            }
            PublisherEvent::Diverged { seq, .. } => {
                let what = format!("another process has published under this notary's name, at seq {seq}");
                self.failure = Some(Failure::new(INTEGRITY, what));
            }
            _ => {}
        }
    }

    fn fenced(&self) -> Failure {
        Failure::new(FENCED, "another process runs as this notary: give each a name and a key of its own")
    }

    /// A notary that cannot write its cursor begins a little earlier next time.
    fn write_cursor(&mut self) {
        let Some(cursor) = self.cursor else { return };
        if let Err(error) = self.cursors.save(cursor) {
            tracing::warn!("how far this notary has signed is not written: {error}");
        }
    }
}

/// The entries that this notary would sign next are gone.
fn lost(from: Seq, oldest: Seq, why: RepairReject) -> Failure {
    let hint = "the entries between stay unsigned; start it with another file at --cursor, and it signs \
                from the oldest entry on; an archiver retains the stream for it";
    abandoned(from, oldest, why, hint)
}

const _: () = assert!(size_of::<Attestation>() < 1_000, "each fits a datagram");
