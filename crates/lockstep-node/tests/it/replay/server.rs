//! The server alone, over a journal of its own, with plain sockets as readers.

use super::{PATIENCE, wait_until};
use lockstep_core::engine::replay::{ReplayItem, piece};
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_node::io::journal_files::{self, JournalConfig, Lock, OpenJournal};
use lockstep_node::io::journal_thread::{Handle, ThreadSettings, spawn};
use lockstep_node::io::replay::{ReplayServer, ServerSettings};
use lockstep_node::io::store::DirStore;
use lockstep_node::io::tail::MappedTail;
use lockstep_replica::journal::{MadeLog, Retention, Tail, read_segments};
use lockstep_wire::Keyring;
use lockstep_wire::*;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CLUSTER: u64 = 0xC1;
const HISTORY: u64 = 9;
const IDENTITY: Identity = Identity { replica: 2, incarnation: 0x77 };
const LEN_MAX: usize = frame_len_max(1500);

/// A journal that grows, and its server.
struct Place {
    folder: TempDir,
    tail: Tail<MappedTail>,
    handle: Handle,
    server: Option<ReplayServer>,
    _lock: Lock,
}

fn member() -> MemberBody {
    MemberBody::full(IDENTITY, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7))
}

/// A frame behind `end`, stamped `step_ns` later.
fn frame(end: &LogEnd, payload_len: usize, step_ns: Nanos) -> Vec<u8> {
    let mut memory = vec![0; LEN_MAX];
    let genesis = end.next == 1;
    let kind = if genesis { EntryKind::Genesis } else { EntryKind::Message };
    let entry = EntryHeader {
        kind: kind as u8,
        flags: 0,
        length: 0,
        publisher: u32::from(!genesis),
        publisher_seq: end.next,
        destination: 0,
        time_or_incarnation: 0,
    };
    let member = member();
    // Half of it is compressible.
    let noise = |at: u64| {
        (end.next.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at.wrapping_mul(0xff51_afd7_ed55_8ccd)) >> 40
    };
    let half = payload_len as u64 / 2;
    let message: Vec<u8> =
        (0..payload_len as u64).map(|at| if at < half { noise(at) as u8 } else { 7 }).collect();
    let mut open = OpenFrame::default();
    assert!(open.push(&mut memory, entry, if genesis { bytemuck::bytes_of(&member) } else { &message }));
    if !genesis {
        // Two entries, so that a seq may lie within a frame.
        assert!(open.push(&mut memory, entry, b"second"));
    }
    let header = Header {
        cluster: CLUSTER,
        history: HISTORY,
        epoch: if genesis { Epoch::new(0, IDENTITY) } else { end.epoch }.0,
        first_seq: end.next,
        timestamp: end.timestamp + step_ns,
        chain: end.chain,
        ..Header::new(Kind::Frame)
    };
    let len = open.len();
    open.close(&mut memory, &Keyring::none(CLUSTER), header, len);
    memory.truncate(len);
    memory
}

impl Place {
    fn new(change: impl FnOnce(&mut ServerSettings)) -> Self {
        Self::with(ThreadSettings::new(false), change)
    }

    fn with(thread: ThreadSettings, change: impl FnOnce(&mut ServerSettings)) -> Self {
        let folder = TempDir::new().unwrap();
        let config = JournalConfig {
            dir: folder.path().join("journal"),
            tail: folder.path().join("tail"),
            tail_len: 1 << 20,
            segment_len: 1 << 20,
            cluster: CLUSTER,
            replica: IDENTITY.replica,
            power: false,
            frame_len_max: LEN_MAX,
        };
        journal_files::format(&config.dir, CLUSTER, IDENTITY).unwrap();
        let OpenJournal { opened, reader, store, lock, .. } = journal_files::open(&config).unwrap();
        let handle = spawn(store, reader, opened.writer, opened.superblock, thread).unwrap();
        handle.set_lineage(Lineage::of(HISTORY));
        let mut settings = ServerSettings {
            keys: Keyring::none(CLUSTER).into(),
            identity: IDENTITY,
            listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            journal: config.dir,
            readers_max: 8,
            readers_per_address: 8,
            allow: None,
            rate_bytes_per_s: u64::MAX,
            by_leader: false,
        };
        change(&mut settings);
        let server = ReplayServer::start(settings, handle.written()).unwrap();
        Self { folder, tail: opened.tail, handle, server: Some(server), _lock: lock }
    }

    /// The genesis of the history, and its first epoch: a node may begin behind them.
    fn begin(&mut self) {
        let keys = Keyring::none(CLUSTER).into();
        let (_, frames) = MadeLog::begin(keys, HISTORY, member(), LEN_MAX, 0);
        frames.iter().for_each(|bytes| self.append(bytes));
    }

    fn append(&mut self, bytes: &[u8]) {
        wait_until("room in the tail", || match self.tail.room() {
            Ok(room) => {
                room[..bytes.len()].copy_from_slice(bytes);
                true
            }
            Err(_) => false,
        });
        self.tail.pin(&Header::peek(bytes).unwrap());
    }

    /// Stores frames, and waits until the segments have them.
    fn grow(&mut self, count: usize, payload_len: usize) {
        self.grow_slowly(count, payload_len, 1);
    }

    /// As [`grow`](Self::grow), with this time from one frame to the next.
    fn grow_slowly(&mut self, count: usize, payload_len: usize, step_ns: Nanos) {
        for _ in 0..count {
            let bytes = frame(&self.tail.end(), payload_len, step_ns);
            self.append(&bytes);
        }
        let next = self.tail.end().next;
        wait_until("the segments", || self.handle.written_seq() == next);
    }

    /// Everything below `next` is committed, and the server knows it.
    fn commit(&self, next: Seq) {
        self.handle.set_committed(next, false);
        let written = self.handle.written();
        wait_until("the commit", || written().commit_next == next);
    }

    fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    /// The log's bytes from the frame that holds `from` on, below `bound`.
    fn log(&self, from: Seq, bound: Seq) -> Vec<u8> {
        let store = DirStore::reader(&self.folder.path().join("journal"));
        let mut reader = read_segments(&store, from).unwrap();
        let mut bytes = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            let frame = frame.unwrap();
            if frame.header.next_seq() > bound {
                break;
            }
            bytes.extend_from_slice(frame.bytes);
        }
        bytes
    }

    /// The chain before the frame that holds `seq`.
    fn chain(&self, seq: Seq) -> Chain {
        let store = DirStore::reader(&self.folder.path().join("journal"));
        let mut reader = read_segments(&store, seq).unwrap();
        reader.next().unwrap().unwrap().unwrap().header.chain
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn ask(&self, from: Seq, to: Seq) -> Reader {
        self.ask_with(from, to, |_| {})
    }

    fn ask_with(&self, from: Seq, to: Seq, change: impl FnOnce(&mut Header)) -> Reader {
        Self::ask_over(self.connect(), (from, to), change)
    }

    /// A connection from 127.0.0.`host`.
    fn connect_from(&self, host: u8) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).unwrap();
        socket.connect(&self.address().into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.into()
    }

    fn ask_over(mut stream: TcpStream, (from, to): (Seq, Seq), change: impl FnOnce(&mut Header)) -> Reader {
        let mut out = [0; SMALL_LEN_MAX];
        let mut header = Header { cluster: CLUSTER, ..Header::new(Kind::ReplayRequest) };
        change(&mut header);
        let len =
            write_replay_request(&mut out, &Keyring::none(CLUSTER), header, ReplayRequestBody { from, to });
        stream.write_all(&out[..len]).unwrap();
        Reader { stream, buffer: Vec::new(), frames: Vec::new(), next: 0 }
    }
}

/// The data that one connection receives.
struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The bytes of all frames.
    frames: Vec<u8>,
    /// The seq behind the last frame.
    next: Seq,
}

#[derive(PartialEq, Eq, Debug)]
enum Item {
    Answer(u32),
    Frame,
    Mark(u32),
    Closed,
}

impl Reader {
    fn hear(&mut self) -> Item {
        loop {
            if let Some((found, len)) = piece(&self.buffer, &Keyring::none(CLUSTER)).unwrap() {
                let item = match found {
                    ReplayItem::Answer(header, body) => {
                        assert_eq!(header.identity(), IDENTITY);
                        Item::Answer(body.end)
                    }
                    ReplayItem::Mark(_, body) => Item::Mark(body.end),
                    ReplayItem::Checkpoint(..) => panic!("nobody has asked for it"),
                    ReplayItem::Frame(frame) => {
                        self.next = frame.header.next_seq();
                        self.frames.extend_from_slice(frame.bytes);
                        Item::Frame
                    }
                };
                self.buffer.drain(..len);
                return item;
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Item::Closed,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) => panic!("nothing more is heard: {error}"),
            }
        }
    }

    /// Receives the answer that frames follow, the frames, and the mark behind them.
    fn hear_all(&mut self) -> u32 {
        assert_eq!(self.hear(), Item::Answer(0));
        self.hear_frames()
    }

    fn hear_frames(&mut self) -> u32 {
        loop {
            match self.hear() {
                Item::Frame => {}
                Item::Mark(end) => return end,
                other => panic!("{other:?} after {} bytes", self.frames.len()),
            }
        }
    }
}

#[test]
fn a_reader_gets_exactly_the_committed_log_from_any_seq_and_hears_when_there_is_no_more() {
    let mut place = Place::new(|_| {});
    place.grow(4_000, 900);
    let next = place.tail.end().next;
    for commit in [(next / 3) & !1, next] {
        place.commit(commit);
        for from in [1, 2, 3, 1_000, commit - 1] {
            let mut reader = place.ask(from, REPLAY_STAY);
            assert_eq!(reader.hear_all(), 0, "it stays");
            assert!(reader.frames == place.log(from, commit), "from {from} to {commit}");
            assert_eq!(reader.next, commit);
        }
    }
    let mut reader = place.ask(0, REPLAY_STAY);
    reader.hear_all();
    assert!(reader.frames == place.log(1, next), "0 is the oldest");
}

#[test]
fn a_reader_that_stays_gets_what_is_committed_later_and_nothing_before_that() {
    let mut place = Place::new(|_| {});
    place.grow(100, 100);
    place.commit(50);
    let mut reader = place.ask(1, REPLAY_STAY);
    assert_eq!((reader.hear_all(), reader.next), (0, 50));
    place.grow(2_000, 900);
    let next = place.tail.end().next;
    place.commit(next);
    while reader.next < next {
        reader.hear();
    }
    assert!(reader.frames == place.log(1, next));
}

#[test]
fn a_range_ends_when_all_of_it_was_given() {
    let mut place = Place::new(|_| {});
    place.grow(500, 900);
    place.commit(place.tail.end().next);
    let mut reader = place.ask(100, 400);
    assert_eq!(reader.hear_all(), ReplayEndReason::Done as u32);
    assert!(reader.frames == place.log(100, 400));
    assert_eq!(reader.hear(), Item::Closed);
}

#[test]
fn each_refusal_is_told_by_its_name() {
    let mut place = Place::new(|settings| settings.readers_max = 2);
    place.grow(300, 900);
    place.commit(200);
    let refused = |end: ReplayEndReason| Item::Answer(end as u32);
    assert_eq!(place.ask(201, REPLAY_STAY).hear(), refused(ReplayEndReason::Ahead));
    assert_eq!(place.ask(200, REPLAY_STAY).hear(), Item::Answer(0), "the next one is waited for");
    let other = |header: &mut Header| header.history = HISTORY + 1;
    assert_eq!(place.ask_with(1, 5, other).hear(), refused(ReplayEndReason::OtherHistory));
    for (seq, chain) in [(150, place.chain(150)), (151, place.chain(151)), (200, place.chain(200))] {
        let with = |chain| move |header: &mut Header| (header.chain, header.flags) = (chain, REPLAY_CHAIN);
        assert_eq!(place.ask_with(seq, REPLAY_STAY, with(chain)).hear(), Item::Answer(0), "{seq}");
        let wrong = place.ask_with(seq, REPLAY_STAY, with(chain ^ 1)).hear();
        assert_eq!(wrong, refused(ReplayEndReason::ChainMismatch), "{seq}");
    }
    place.handle.set_committed(200, true);
    assert_eq!(place.ask(1, 5).hear(), refused(ReplayEndReason::IsLeader));
    place.handle.set_committed(200, false);
    // The test does not wait until the refused connections are gone: they take no place.
    let mut staying = [place.ask(1, REPLAY_STAY), place.ask(1, REPLAY_STAY)];
    staying.iter_mut().for_each(|reader| _ = reader.hear_all());
    assert_eq!(place.ask(1, 5).hear(), refused(ReplayEndReason::TooMany));
    place.handle.set_committed(200, true);
    for reader in &mut staying {
        assert_eq!(reader.hear_frames(), ReplayEndReason::IsLeader as u32, "who begins to lead says so");
    }
}

/// Attack 17: endless connections to the replay port.
#[test]
fn one_address_takes_its_share_of_the_places_and_others_are_served() {
    let mut place = Place::new(|settings| settings.readers_per_address = 2);
    place.grow(300, 900);
    place.commit(200);
    // Any number of readers with a valid request is allowed: each is served before the next one connects.
    let _staying = [1, 2, 3].map(|_| {
        let mut reader = Place::ask_over(place.connect_from(9), (1, REPLAY_STAY), |_| {});
        assert_eq!(reader.hear_all(), 0);
        reader
    });
    let _first: Vec<_> = (0..2).map(|_| place.connect_from(9)).collect();
    let mut late = Place::ask_over(place.connect_from(9), (1, 5), |_| {});
    assert_eq!(late.hear(), Item::Answer(ReplayEndReason::TooMany as u32));
    let _silent: Vec<_> = (0..120).map(|_| place.connect_from(9)).collect();
    let turned_away = || place.server.as_ref().unwrap().counts().turned_away;
    wait_until("most connections to be closed", || turned_away() >= 100);
    let mut other = Place::ask_over(place.connect_from(10), (1, 5), |_| {});
    assert_eq!(other.hear_all(), ReplayEndReason::Done as u32);
}

#[test]
fn garbage_as_long_as_a_request_leaves_its_address_the_share_that_it_had() {
    let mut place = Place::new(|settings| settings.readers_per_address = 2);
    place.grow(300, 900);
    place.commit(200);
    let mut garbage = [0; REPLAY_REQUEST_LEN];
    garbage[..4].copy_from_slice(&MAGIC.to_le_bytes());
    let _senders: Vec<_> = (0..120)
        .map(|_| {
            let mut stream = place.connect_from(9);
            let _ = stream.write_all(&garbage); // most are closed already
            stream
        })
        .collect();
    let mut other = Place::ask_over(place.connect_from(10), (1, 5), |_| {});
    assert_eq!(other.hear_all(), ReplayEndReason::Done as u32);
}

#[test]
fn what_retention_has_removed_is_too_old_and_a_restart_is_no_reason_to_forget() {
    let mut place = Place::new(|_| {});
    place.grow(3_000, 900);
    let next = place.tail.end().next;
    place.commit(next);
    let segments = place.folder.path().join("journal/segments");
    std::fs::remove_file(segments.join("0000000001.seg")).unwrap();
    std::fs::remove_file(segments.join("0000000001.idx")).unwrap();
    let mut reader = place.ask(1, REPLAY_STAY);
    assert_eq!(reader.hear(), Item::Answer(ReplayEndReason::TooOld as u32));
    let mut oldest = place.ask(0, REPLAY_STAY);
    assert_eq!(oldest.hear_all(), 0);
    assert!(oldest.frames == place.log(1, next) && !oldest.frames.is_empty());
}

#[test]
fn an_archive_is_sealed_packed_and_cut_by_its_retention_and_gives_all_that_it_still_has() {
    // Two days a segment: the open trading day is never removed.
    let retention = Retention { bytes_max: 3 << 20, age_ns_max: 0 };
    let thread = ThreadSettings { packs: true, retention, ..ThreadSettings::new(false) };
    let mut place = Place::with(thread, |_| {});
    place.begin();
    place.grow_slowly(12_000, 900, 86_400_000_000_000 / 500);
    let next = place.tail.end().next;
    place.commit(next);
    let segments = place.folder.path().join("journal/segments");
    let files = |extension: &str| {
        let entries = std::fs::read_dir(&segments).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut found: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|is| is == extension)).collect();
        found.sort();
        found
    };
    wait_until("sealed segments are packed and old ones removed", || {
        let (packed, plain) = (files("lz4"), files("seg"));
        packed.len() > 1 && plain.len() <= 2 && !packed[0].ends_with("0000000001.lz4")
    });
    let mut reader = place.ask(1, REPLAY_STAY);
    assert_eq!(reader.hear(), Item::Answer(ReplayEndReason::TooOld as u32));
    let mut oldest = place.ask(0, REPLAY_STAY);
    assert_eq!(oldest.hear_all(), 0);
    assert!(oldest.frames == place.log(1, next), "all that is left, as it was written");
    assert!(oldest.frames.len() > 1 << 20 && oldest.next == next);
    // Verified as `format --verify` does it; then one bit is flipped.
    let rotten = files("lz4").pop().unwrap();
    let Place { folder, handle, server, _lock: lock, .. } = place;
    drop(server);
    handle.stop().unwrap();
    drop(lock);
    let journal = folder.path().join("journal");
    assert!(journal_files::verify(&journal).unwrap().damage.is_empty());
    let mut bytes = std::fs::read(&rotten).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&rotten, bytes).unwrap();
    let damage = journal_files::verify(&journal).unwrap().damage;
    let name = rotten.file_name().unwrap().to_string_lossy().into_owned();
    assert!(!damage.is_empty() && damage.iter().all(|one| one.to_string().contains(&name)), "{damage:?}");
}

#[test]
fn who_sends_garbage_says_nothing_or_takes_nothing_costs_the_others_nothing() {
    let mut place = Place::new(|_| {});
    place.grow(4_000, 900);
    let next = place.tail.end().next;
    place.commit(next);
    let silent = place.connect();
    let stuck: Vec<Reader> = (0..4).map(|_| place.ask(1, REPLAY_STAY)).collect();
    let mut garbage = place.connect();
    garbage.write_all(&[0x55; 300]).unwrap();
    let mut reply = Vec::new();
    let _ = garbage.read_to_end(&mut reply); // a reset is an end as well
    if let Ok(Some((ReplayItem::Answer(_, body), _))) = piece(&reply, &Keyring::none(CLUSTER)) {
        assert_eq!(body.end, ReplayEndReason::Malformed as u32);
    }
    let mut good = place.ask(1, REPLAY_STAY);
    good.hear_all();
    assert!(good.frames == place.log(1, next));
    // The silent connection is dropped, and receives nothing.
    let began = Instant::now();
    let mut silent = silent;
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let item = silent.read(&mut [0; 8]);
    assert!(matches!(item, Ok(0) | Err(_)) && began.elapsed() < PATIENCE, "{item:?}");
    // Two requests in one connection are one too many.
    let mut twice = place.ask(1, 3);
    assert_eq!(twice.hear_all(), ReplayEndReason::Done as u32);
    drop(stuck);
    wait_until("those who left are forgotten", || place.server.as_ref().unwrap().counts().readers <= 1);
}

#[test]
fn a_server_that_stops_tells_its_readers() {
    let mut place = Place::new(|_| {});
    place.grow(10, 100);
    place.commit(5);
    let mut reader = place.ask(1, REPLAY_STAY);
    assert_eq!(reader.hear_all(), 0);
    drop(place.server.take());
    let mut last = reader.hear();
    while last == Item::Mark(0) {
        last = reader.hear();
    }
    assert_eq!(last, Item::Mark(ReplayEndReason::Stopping as u32));
}

#[test]
fn while_the_stream_moves_all_readers_together_have_their_rate_and_while_it_stands_all_there_is() {
    let rate = 4 << 20;
    let mut place = Place::new(|settings| settings.rate_bytes_per_s = rate);
    place.grow(4_000, 900);
    let next = place.tail.end().next;
    place.commit(next);
    let bytes = place.log(1, next).len() as f64;
    // The test compares the time that the rate allows with the time that it took. A slow machine makes both
    // longer, so only the limit is judged.
    let mut reader = place.ask(1, REPLAY_STAY);
    let began = Instant::now();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        let stop = &stop;
        let reader = scope.spawn(move || {
            while reader.next < next {
                reader.hear();
            }
            stop.store(true, std::sync::atomic::Ordering::Release);
            began.elapsed()
        });
        while !stop.load(std::sync::atomic::Ordering::Acquire) {
            place.grow(1, 8);
            std::thread::sleep(Duration::from_millis(2));
        }
        reader.join().unwrap()
    });
    let sent = bytes / took.as_secs_f64();
    assert!(sent <= 1.25 * rate as f64, "{sent} bytes a second, {rate} are allowed");
}
