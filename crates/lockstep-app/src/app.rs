//! A replica of an application on its handles.

use crate::counters::{AppCounts, ROWS, values};
use crate::error::AppError;
use crate::peers::{NoneWillDo, Peers, fetched, restored};
use crate::reading::{Reading, Source, hand_over, next_of};
use crate::serve::{Asked, Served, serve};
use crate::settings::{AppSettings, SnapshotMode};
use crate::store::{self, SnapshotStore, StoredSnapshot};
use crate::writing::Writing;
use lockstep_client::{Counted, Endpoint, IoError, OpenError, Publisher};
use lockstep_io::clock::random_u64;
use lockstep_machine::{
    Acknowledger, Input, MachineCore, MachineFault, MachineReplica, Output, Seq, SnapshotHead,
    SnapshotNotice, StateMachine,
};
use lockstep_metrics::ShownProcess;
use lockstep_process::page::PageAnswer;
use std::fmt::Display;
use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// The most messages of one turn.
const BATCH: usize = 256;
/// The pause between two looks at handles while names are opened.
const PAUSE: Duration = Duration::from_millis(1);
/// How long the names may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// A replica of an application: handles, machine, snapshots. See [`run`](crate::run).
pub struct App<M> {
    /// Of the stream into which it publishes.
    endpoint: Endpoint,
    source: Source,
    settings: AppSettings,
    /// Makes a machine at the stream's beginning.
    new: Box<dyn Fn() -> M>,
    /// Called while its names are opened, which may take long: whether to continue.
    goes_on: Box<dyn Fn() -> bool>,
    publisher: Publisher,
    reading: Reading,
    replica: MachineReplica<M>,
    store: Option<SnapshotStore>,
    /// The exclusive bound of the newest snapshot.
    saved_next: Seq,
    /// Peers that have served a snapshot that the stream has not announced.
    distrusted: Vec<SocketAddrV4>,
    /// The snapshot with which the state began, if it is not proven: the exclusive bound of its entries.
    unproven: Option<Seq>,
    /// When an unproven state had read the stream up to its end.
    read_unproven: Option<Instant>,
    /// The snapshot that is being written.
    writing: Option<Writing>,
    server: Option<Served>,
    counted: Counted,
    counts: AppCounts,
}

/// The parts that a replica makes anew at its start and at each roll-back.
struct Begun<M> {
    publisher: Publisher,
    reading: Reading,
    replica: MachineReplica<M>,
}

impl<M: StateMachine> Begun<M> {
    /// The newest sound snapshot, of this replica or of a peer, or `new` at the stream's beginning; and
    /// handles that continue there.
    fn at_newest(
        (endpoint, source): (&Endpoint, &Source),
        settings: &AppSettings,
        (store, distrusted): (Option<&SnapshotStore>, &[SocketAddrV4]),
        new: &dyn Fn() -> M,
    ) -> Result<Self, AppError> {
        let from = Peers { endpoint, settings, distrusted };
        let machine = new();
        let restored = store.map(|store| restored(&from, store, &machine)).transpose()?.flatten();
        let (core, cursor, unproven) =
            restored.unwrap_or_else(|| (MachineCore::new(settings.machine(), machine), None, None));
        let reading = Reading::begin((endpoint, source), settings, cursor)?;
        let publisher = Publisher::connect(endpoint)?;
        let mut replica = MachineReplica::new(settings.replica(), core);
        unproven.into_iter().for_each(|served| replica.begin_unproven(served));
        Ok(Self { publisher, reading, replica })
    }
}

impl App<Acknowledger> {
    /// Copy `number` of the application of the demo and of tests: it begins with the stream's first entry,
    /// stores no snapshots, and reports no digests, because its users look at each message of the stream.
    ///
    /// # Errors
    /// The device cannot be opened, or no leader answers.
    pub fn acknowledging(endpoint: &Endpoint, number: u8) -> Result<Self, AppError> {
        let mut settings = AppSettings::new(Acknowledger::NAME, number, "");
        settings.digest_every = Seq::MAX;
        settings.nonce = Acknowledger::NONCE;
        settings.snapshot_mode = SnapshotMode::Never;
        Self::connect(endpoint, settings, Acknowledger::default)
    }
}

impl<M: StateMachine> App<M> {
    /// Restores the newest sound snapshot, of this replica or of a peer, or begins with `new` at the stream's
    /// beginning; then opens the names.
    ///
    /// # Errors
    /// A file or device cannot be opened, or no leader answers.
    pub fn connect(
        endpoint: &Endpoint,
        settings: AppSettings,
        new: impl Fn() -> M + 'static,
    ) -> Result<Self, AppError> {
        Self::connect_while(endpoint, settings, new, || true)
    }

    /// As [`connect`](Self::connect), as long as `goes_on` returns true: it is called each millisecond while
    /// the names are opened, here and when a turn opens them again.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`AppError::Stopped`]: `goes_on` has returned false.
    pub fn connect_while(
        endpoint: &Endpoint,
        settings: AppSettings,
        new: impl Fn() -> M + 'static,
        goes_on: impl Fn() -> bool + 'static,
    ) -> Result<Self, AppError> {
        Self::connect_to((endpoint, Source::Stream), settings, new, goes_on)
    }

    /// As [`connect_while`](Self::connect_while), over the merged order of a set. The machine publishes into
    /// the home stream; a publisher's id has the number of its stream ([`stream_of`](crate::stream_of)). The
    /// key must allow its names in each stream: there `NAME/replica/N` publishes what the journals must
    /// retain.
    ///
    /// # Errors
    /// As [`connect_while`](Self::connect_while); the settings want another delivery than `Committed`.
    #[cfg(feature = "streams")]
    pub fn connect_set_while(
        set: &lockstep_streams::StreamSet,
        settings: AppSettings,
        new: impl Fn() -> M + 'static,
        goes_on: impl Fn() -> bool + 'static,
    ) -> Result<Self, AppError> {
        Self::connect_to((set.home_endpoint(), Source::Set(set.clone())), settings, new, goes_on)
    }

    pub(crate) fn connect_to(
        (endpoint, source): (&Endpoint, Source),
        settings: AppSettings,
        new: impl Fn() -> M + 'static,
        goes_on: impl Fn() -> bool + 'static,
    ) -> Result<Self, AppError> {
        let has_store = settings.snapshot_mode != SnapshotMode::Never;
        let store = has_store.then(|| settings.store()).transpose()?;
        let begun = Begun::at_newest((endpoint, &source), &settings, (store.as_ref(), &[]), &new)?;
        let Begun { mut publisher, mut reading, replica } = begun;
        let process = format!("{}-{}", settings.name.replace('/', "-"), settings.number);
        let counted = Counted::create(endpoint, &process, ROWS, Some(&mut publisher), reading.counted_mut())?;
        let shown = ShownProcess::default();
        let (process, path) = counted.place();
        shown.show(process, path);
        let serve = |address| serve(address, &settings, shown.clone());
        let server = settings.serve.map(serve).transpose()?;
        let mut app = Self {
            endpoint: endpoint.clone(),
            source,
            saved_next: replica.next(),
            distrusted: Vec::new(),
            unproven: replica.unproven().map(|served| served.next),
            read_unproven: None,
            settings,
            new: Box::new(new),
            goes_on: Box::new(goes_on),
            publisher,
            reading,
            replica,
            store,
            writing: None,
            server,
            counted,
            counts: AppCounts::default(),
        };
        app.open()?;
        app.tell_need()?;
        Ok(app)
    }

    /// Begins again with the newest snapshot, as a start does, except for the page and the counters file.
    fn restart(&mut self) -> Result<(), AppError> {
        if let (Some(Writing { next, .. }), Some(store)) = (self.writing.take(), &self.store) {
            store.discard(next)?;
        }
        self.read_unproven = None;
        let from = (self.store.as_ref(), &*self.distrusted);
        let begun = Begun::at_newest((&self.endpoint, &self.source), &self.settings, from, &self.new)?;
        let Begun { mut publisher, mut reading, replica } = begun;
        Counted::measure(Some(&mut publisher), reading.counted_mut());
        self.saved_next = replica.next();
        self.unproven = replica.unproven().map(|served| served.next);
        (self.publisher, self.reading, self.replica) = (publisher, reading, replica);
        self.open()
    }

    /// The stream behind the own snapshots is gone: continues with a snapshot of a peer that this version
    /// restores, and behind which the stream is still available.
    ///
    /// # Errors
    /// No peer has one.
    fn go_on_with_a_peers(
        &mut self,
        fault: MachineFault,
        (stream, oldest): (Option<u64>, Seq),
    ) -> Result<(), AppError> {
        let reaches = |head: &SnapshotHead| match next_of(&head.cursor, stream) {
            Some(seq) if seq < oldest => {
                Err(format!("the stream after its snapshot is gone as well: reading continues at seq {seq}"))
            }
            _ => Ok(()),
        };
        let from = Peers { endpoint: &self.endpoint, settings: &self.settings, distrusted: &self.distrusted };
        match self.store.as_ref().map(|store| fetched(&from, (store, self.version()), reaches)) {
            Some(Ok(_)) => {
                tracing::warn!("{fault}; this replica continues with the snapshot of a peer");
                self.restart()
            }
            Some(Err(NoneWillDo { peers, may_change })) if !peers.is_empty() => {
                Err(AppError::NoSnapshot { fault, peers, may_change })
            }
            _ => Err(fault.into()),
        }
    }

    fn open(&mut self) -> Result<(), AppError> {
        let drawn = [random_u64()?, random_u64()?];
        if !self.replica.begin_open(self.publisher.core_mut(), drawn) {
            return Err(AppError::Open(OpenError::Name(self.settings.name.clone())));
        }
        let deadline = self.publisher.now() + OPEN_TIMEOUT.as_nanos() as u64;
        while !self.replica.is_open() {
            let work = self.turn_publisher()?;
            if !(self.goes_on)() {
                return Err(AppError::Stopped(self.settings.name.clone()));
            }
            if self.publisher.now() > deadline {
                return Err(AppError::Open(OpenError::TimedOut(self.settings.name.clone(), OPEN_TIMEOUT)));
            }
            if work == 0 {
                self.publisher.wait(PAUSE)?;
            }
        }
        Ok(())
    }

    /// One turn: reads, applies, publishes, and handles snapshots and queries. It never waits. `observe` is
    /// called for each input and its effects. Returns the work done.
    ///
    /// # Errors
    /// The stream cannot be read further, the machine has failed or cannot publish, or its state is not that
    /// of most replicas.
    pub fn turn(&mut self, mut observe: impl FnMut(&Input<'_>, &Output)) -> Result<usize, AppError> {
        let Self { reading, replica, publisher, .. } = self;
        let (now, mut fault, mut faulty) = (publisher.now(), None, None);
        let mut work = reading.poll(replica.limit(BATCH), |(place, event)| {
            match hand_over(replica, now, (place, event), &mut observe) {
                Ok(()) => ControlFlow::Continue(()),
                Err(wrong) => {
                    fault.get_or_insert(wrong);
                    faulty = place.filter(|place| !place.is_home).map(|place| place.stream);
                    ControlFlow::Break(())
                }
            }
        })?;
        match fault {
            None => {}
            Some(fault @ MachineFault::Retracted(_)) => {
                tracing::warn!("{fault}");
                self.counts.rollbacks += 1;
                self.restart()?;
                return Ok(1);
            }
            Some(fault @ MachineFault::Abandoned { oldest, .. }) => {
                return self.go_on_with_a_peers(fault, (faulty, oldest)).map(|()| 1);
            }
            // The stream has other outputs than an unproven state.
            Some(MachineFault::Output(why)) if self.unproven.is_some() => {
                return self.distrust(&why.to_string()).map(|()| 1);
            }
            Some(fault) => return Err(fault.into()),
        }
        self.see_to_proof()?;
        work += self.turn_publisher()?;
        if self.replica.is_handle_lost() {
            tracing::warn!("this replica fell so far behind that it opens its names again, in a new handle");
            self.publisher = Publisher::connect(&self.endpoint)?;
            Counted::measure(Some(&mut self.publisher), None);
            self.open()?;
        }
        work += self.answer_requests();
        self.see_to_snapshots()?;
        let now = self.publisher.now();
        if self.counted.is_due(now) {
            self.counts.take_overs_refused = self.server.as_ref().map_or(0, Served::refused);
            let values = values(&self.replica, self.counts);
            self.counted.publish(now, &values, Some(&self.publisher), self.reading.counted());
        }
        Ok(work)
    }

    fn turn_publisher(&mut self) -> Result<usize, MachineFault> {
        let Self { publisher, replica, .. } = self;
        let work = publisher.poll(BATCH, |event| replica.on_publisher(&event));
        if replica.is_handle_lost() {
            return Ok(work);
        }
        let work = work + replica.turn(publisher.now(), publisher.core_mut())?;
        publisher.flush();
        Ok(work)
    }

    /// Answers queries and requests to put this version in force.
    fn answer_requests(&mut self) -> usize {
        let mut count = 0;
        while let Some((asked, answer)) =
            self.server.as_ref().and_then(|served| served.requests.try_recv().ok())
        {
            let mut bytes = Vec::new();
            match asked {
                Asked::Query(_) if self.replica.unproven().is_some() => {
                    let why =
                        "this state came from a peer, and the stream has not announced it yet: ask again\n";
                    let _ = answer.try_send(PageAnswer::text("503 Service Unavailable", why.to_owned()));
                    count += 1;
                    continue;
                }
                Asked::Query(request) => {
                    self.replica.core.machine().query(&request, &mut bytes);
                    self.counts.queries += 1;
                }
                Asked::TakeOver(peer) => {
                    let done = self.take_over();
                    tracing::warn!(%peer, "by the page: {}", done.trim_end());
                    bytes.extend_from_slice(done.as_bytes());
                }
            }
            // The caller does not wait any more.
            let _ = answer.try_send(PageAnswer::bytes(bytes));
            count += 1;
        }
        count
    }

    /// Puts the version of this replica in force, from the entry on that it stamps now: replicas of this
    /// version publish the outputs of the inputs behind it, and those of another version continue as shadows.
    /// All outputs of the inputs before it are the same in both versions, as a shadow has compared. Returns
    /// what it does, in words. A replica that is no shadow does nothing.
    pub fn take_over(&mut self) -> String {
        if !self.replica.is_shadow() {
            let why = match self.replica.core.in_force() {
                Some(_) => "is in force already",
                None => "publishes already: no version has taken over so far",
            };
            return format!("version {} {why}\n", self.version());
        }
        self.replica.take_over();
        format!("version {} takes over\n", self.version())
    }

    /// The version of the machine.
    fn version(&self) -> u32 {
        self.replica.core.machine().version()
    }

    /// A state that a peer has served is proven once the stream has announced it. One that is not announced
    /// up to the end of the stream may be a forgery.
    fn see_to_proof(&mut self) -> Result<(), AppError> {
        let Some(next) = self.unproven else { return Ok(()) };
        if self.replica.unproven().is_none() {
            tracing::info!(
                "the stream has announced the snapshot below seq {next}: this replica continues with it"
            );
            (self.unproven, self.read_unproven) = (None, None);
            self.store.iter().try_for_each(|store| store.set_proven(next))?;
            return self.tell_need();
        }
        if !self.replica.is_caught_up() {
            return Ok(());
        }
        let Some(read) = self.read_unproven else {
            tracing::warn!(
                "the state below seq {next} came from a peer, and the stream has not announced it: until it \
                 does, this replica reads, and publishes nothing"
            );
            self.read_unproven = Some(Instant::now());
            return Ok(());
        };
        if read.elapsed() > self.settings.proof_wait {
            self.distrust("the stream has been read up to its end, and announces no such snapshot")
        } else {
            Ok(())
        }
    }

    /// Removes the snapshot that a peer has served, and begins again without that peer.
    fn distrust(&mut self, why: &str) -> Result<(), AppError> {
        let (Some(next), Some(store)) = (self.unproven, &self.store) else { return Ok(()) };
        let peer = store.unproven(next);
        let of = peer.map_or_else(|| "a peer".to_owned(), |peer| peer.to_string());
        tracing::error!(
            "the snapshot below seq {next} of {of} is removed, and {of} is not asked again: {why}"
        );
        store.remove(next)?;
        self.distrusted.extend(peer);
        self.restart()
    }

    /// Begins a snapshot when one is due, and announces a complete one.
    fn see_to_snapshots(&mut self) -> Result<(), AppError> {
        if self.replica.unproven().is_some() {
            return Ok(());
        }
        let next = self.replica.next();
        let is_due = next >= self.saved_next + self.settings.snapshot_every;
        if self.writing.is_none() && !is_due {
            return Ok(());
        }
        let Some(store) = self.store.clone() else { return Ok(()) };
        if let Some(writing) = &mut self.writing {
            let Some(outcome) = writing.ended()? else { return Ok(()) };
            let &mut Writing { next, was_final, .. } = writing;
            if let Err(error) = outcome {
                self.writing = None;
                return self.on_written(next, Err(error));
            }
            // Entries that may be taken back must not be in a snapshot.
            if was_final || next <= self.replica.final_next() {
                self.writing = None;
                let stored = if was_final { Ok(store.stored(next)) } else { store.complete(next) };
                return self.on_written(next, stored);
            }
            return Ok(());
        }
        let Some((cursor, deliver_next)) = self.reading.place() else { return Ok(()) };
        let core = &self.replica.core;
        self.saved_next = next;
        let was_final = next <= self.replica.final_next();
        let save = |out: &mut _| core.save(cursor.clone(), deliver_next, out);
        match Writing::begin(&store, self.settings.snapshot_mode, (next, was_final), save) {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => self.on_written(next, Err(error))?,
        }
        Ok(())
    }

    /// A snapshot is on the disk, or could not be written: the next one follows at its time.
    fn on_written(
        &mut self,
        next: Seq,
        written: Result<StoredSnapshot, impl Display>,
    ) -> Result<(), AppError> {
        match written {
            Ok(stored) => self.announce(&stored),
            Err(error) => {
                self.counts.snapshots_failed += 1;
                tracing::error!("the snapshot below {next} was not written: {error}; the next one follows");
                Ok(())
            }
        }
    }

    /// Announces a snapshot in the stream.
    fn announce(&mut self, stored: &StoredSnapshot) -> Result<(), AppError> {
        let doing = || format!("read the snapshot {}", stored.path.display());
        let bytes = fs::metadata(&stored.path).map_err(|error| IoError::new(doing(), error))?.len();
        let head = store::head(&stored.path)
            .map_err(|error| IoError::because(doing(), io::ErrorKind::InvalidData, error.to_string()))?;
        let SnapshotHead { next, time, digest, version, .. } = head;
        self.counts.snapshot_next = next;
        let address = self.settings.serve;
        let file = self.store.as_ref().and_then(|store| store.take_digest(next));
        self.replica.announce(SnapshotNotice { next, time, digest, version, bytes, address, file });
        tracing::info!("snapshot of {bytes} bytes below seq {next}");
        self.tell_need()
    }

    /// Publishes to the journals that they must retain the log behind the oldest snapshot.
    fn tell_need(&mut self) -> Result<(), AppError> {
        let oldest = self.store.as_ref().map(SnapshotStore::oldest_to_stay).transpose()?.flatten();
        if let Some(SnapshotHead { cursor, .. }) = oldest {
            next_of(&cursor, None).into_iter().for_each(|from| self.replica.needs_from(from));
            self.reading.need(&cursor)?;
        }
        Ok(())
    }

    /// The endpoint of its cluster.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Number, name and version, as log lines begin.
    pub fn in_words(&self) -> String {
        let AppSettings { number, name, .. } = &self.settings;
        format!("copy {number} of {name}, version {},", self.version())
    }

    /// Sleeps after a turn that returned 0, until something can be read or is due, at most for `timeout`. It
    /// may return earlier.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn wait(&mut self, timeout: Duration) -> Result<(), AppError> {
        Ok(self.reading.wait(timeout.min(self.due()))?)
    }

    /// The time until the next turn is due, even if nothing arrives.
    pub fn due(&self) -> Duration {
        let due = self.publisher.due().min(self.reading.due());
        match self.replica.tick_due() {
            Some(tick) => due.min(Duration::from_nanos(tick.saturating_sub(self.publisher.now()))),
            None => due,
        }
    }

    /// The sockets of the handles, for a program that waits by itself.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.publisher.net().sockets().into_iter().chain(self.reading.sockets()).collect()
    }

    /// How often [`sockets`](Self::sockets) have changed: never, except over a set.
    pub fn socket_changes(&self) -> u64 {
        self.reading.socket_changes()
    }

    /// The replica: machine, outputs, divergences.
    pub fn replica(&self) -> &MachineReplica<M> {
        &self.replica
    }

    /// The exclusive bound of the entries in the newest snapshot of this replica, or in the one being
    /// written.
    pub fn saved_next(&self) -> Seq {
        self.saved_next
    }

    /// Whether a child process is writing a snapshot.
    pub fn is_writing_snapshot(&self) -> bool {
        self.writing.as_ref().is_some_and(Writing::is_beside)
    }

    /// Whether every output and every report is committed.
    pub fn is_drained(&self) -> bool {
        self.replica.is_drained() && self.publisher.is_drained()
    }
}
