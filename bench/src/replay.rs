//! How fast a journal is replayed over TCP, beside what `cat` of the same segments into a socket reaches.
//!
//! ```text
//!  cat:     segment ─read─▶ memory ─write─▶ socket ─▶ reader that looks at nothing
//!  server:  segment ─sendfile─▶ socket ─▶ the same reader
//!  reader:  segment ─sendfile─▶ socket ─▶ a reader that judges each frame (seal, kind, entries)
//!  packed:  lz4 blocks ─unpack─▶ socket ─▶ the reader that looks at nothing
//! ```
//!
//! All on loopback, on one journal of real frames, in alternating rounds. The ratio to `cat` of the same round
//! is the figure; the rates drift with the machine.

mod live;

use crate::cluster::MTU;
use crate::environment;
use crate::frames::{CLUSTER, Frame, Frames, HISTORY};
use crate::progress::Progress;
use crate::results::{Output, Results, Round, Row, Unit, Verdict};
use clap::Args;
use lockstep_core::engine::replay::{Piece, REPLAY_BUFFER_LEN, piece};
use lockstep_node::io::journal_files::{self, JournalConfig, OpenJournal};
use lockstep_node::io::journal_thread::{Handle, ThreadSettings, spawn};
use lockstep_node::io::replay::{Server, ServerSettings};
use lockstep_wire::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tools::processes::memory_folder;

const ME: Identity = Identity { replica: 1, incarnation: 1 };
/// No step takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is measured.
#[derive(Args)]
pub struct Arguments {
    /// Bytes of the journal, in MiB
    #[arg(long, default_value_t = 512)]
    mebibytes: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 64)]
    payload: usize,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where the journal lies; a folder in memory if nothing is said
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Leaves packed segments out
    #[arg(long)]
    plain: bool,
    /// Measures instead what a replay costs those who read live
    #[arg(long)]
    live: bool,
    /// Messages per second that flow meanwhile
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Of them, messages that are measured in each run
    #[arg(long, default_value_t = 60_000)]
    messages: u64,
    #[command(flatten)]
    output: Output,
}

/// The floor, and what it is.
const CAT: (&str, &str) = ("cat", "read, write into a socket");
/// The others.
const SERVER: (&str, &str) = ("server", "sendfile, thrown away");
const READER: (&str, &str) = ("reader", "the same, frames judged");
const PACKED: (&str, &str) = ("packed", "lz4 segments, thrown away");

/// Measures, and gives out what was found.
///
/// # Errors
/// What failed.
pub fn run(arguments: &Arguments) -> Result<Verdict, String> {
    let Arguments { mebibytes, payload, rounds, .. } = *arguments;
    if arguments.live {
        return match live::run(rounds, arguments.messages, arguments.rate)? {
            Some(results) => arguments.output.give(&results),
            None => Ok(Verdict::Passed),
        };
    }
    let title = "bytes a second of a journal that is replayed, over cat of its segments into a socket";
    let mut results = Results::begin("replay", title, environment::facts());
    let (began, progress) = (Instant::now(), Progress::new("replay"));
    let memory = memory_folder();
    let folder = arguments.folder.clone().unwrap_or_else(|| memory.path().to_path_buf());
    results.tell("clock", "monotonic, of the reader, from its first call to the last byte");
    results.tell("cores", format!("not bound, of {}", environment::cores()));
    results.tell("idle", "all block");
    results.tell("journal", format!("{mebibytes} MiB in {}", folder.display()));
    results.tell("loop", "closed: as fast as it is read, over loopback TCP");
    results.tell("warm-up", "none: the journal was written just before");
    progress.say("the journals are written");
    let plain = Journal::fill(&folder.join("plain"), arguments, false)?;
    let packed =
        (!arguments.plain).then(|| Journal::fill(&folder.join("packed"), arguments, true)).transpose()?;
    let case = format!("journal of {mebibytes} MiB, messages of {payload} B");
    let axes = [("bytes", payload as f64), ("mib", mebibytes as f64)];
    for number in 1..=rounds {
        let mut add = |(key, words): (&str, &str), read: &dyn Fn() -> Result<f64, String>| {
            progress.say(&format!("round {number} of {rounds}, {key}"));
            let (at_s, since) = (began.elapsed().as_secs_f64(), Instant::now());
            let value = Round::value(read()?);
            let round = Round { at_s, seconds: since.elapsed().as_secs_f64(), ..value };
            let row = || Row::new(&case, key, words, Unit::BytesPerSecond).over(axes);
            results.add(&case, key, round, || row().as_floor(key == CAT.0));
            Ok::<_, String>(())
        };
        add(CAT, &|| cat(&plain.segments()?))?;
        add(SERVER, &|| replay(plain.address(), plain.next, false))?;
        add(READER, &|| replay(plain.address(), plain.next, true))?;
        if let Some(packed) = &packed {
            add(PACKED, &|| replay(packed.address(), packed.next, false))?;
        }
    }
    drop(progress);
    arguments.output.give(&results)
}

struct Journal {
    folder: PathBuf,
    next: Seq,
    server: Server,
    _handle: Handle,
    _lock: journal_files::Lock,
}

impl Journal {
    /// A journal of `arguments`' size, and its server.
    fn fill(folder: &Path, arguments: &Arguments, packs: bool) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        std::fs::create_dir_all(folder).map_err(|error| text(&error))?;
        let config = JournalConfig {
            dir: folder.join("journal"),
            tail: folder.join("tail"),
            tail_len: 64 << 20,
            segment_len: 64 << 20,
            cluster: CLUSTER,
            replica: ME.replica,
            power: false,
            frame_len_max: frame_len_max(MTU),
        };
        journal_files::format(&config.dir, CLUSTER, ME).map_err(|error| text(&error))?;
        let OpenJournal { opened, reader, store, lock, .. } =
            journal_files::open(&config).map_err(|error| text(&error))?;
        let settings = ThreadSettings { packs, ..ThreadSettings::new(false) };
        let handle =
            spawn(store, reader, opened.writer, opened.superblock, settings).map_err(|error| text(&error))?;
        handle.set_lineage(lockstep_core::proto::lineage::Lineage::of(HISTORY));
        let mut tail = opened.tail;
        let mut frames = Frames::full(tail.end(), arguments.payload);
        let mut bytes = 0;
        while bytes < arguments.mebibytes << 20 {
            let Frame { header, bytes: frame } = frames.next()?;
            bytes += frame.len() as u64;
            wait("room in the tail", || match tail.room() {
                Ok(room) => {
                    room[..frame.len()].copy_from_slice(&frame);
                    true
                }
                Err(_) => false,
            })?;
            tail.keep(&header);
        }
        let next = tail.end().next;
        handle.set_committed(next, false);
        let written = handle.written();
        wait("the segments", || written().commit_next == next)?;
        let segments = config.dir.join("segments");
        if packs {
            // All but the last two.
            wait("packing", || files(&segments, "seg").is_ok_and(|plain| plain.len() <= 2))?;
        }
        let settings = ServerSettings {
            cluster: CLUSTER,
            identity: ME,
            listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            journal: config.dir.clone(),
            readers_max: 4,
            rate_bytes_per_s: u64::MAX,
            by_leader: true,
        };
        let server = Server::start(settings, handle.written()).map_err(|error| text(&error))?;
        Ok(Self { folder: segments, next, server, _handle: handle, _lock: lock })
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn segments(&self) -> Result<Vec<PathBuf>, String> {
        files(&self.folder, "seg")
    }
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|has| has == extension)).collect();
    paths.sort();
    Ok(paths)
}

fn wait(what: &str, mut is: impl FnMut() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while !is() {
        if began.elapsed() > PATIENCE {
            return Err(format!("{what}: waited in vain"));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// `cat segments | socket` to a reader that looks at nothing, in bytes per second.
fn cat(segments: &[PathBuf]) -> Result<f64, String> {
    let text = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> std::io::Result<()> {
            let (mut socket, _) = listener.accept()?;
            let mut buffer = vec![0; 128 << 10]; // as cat has it
            for segment in segments {
                let mut file = std::fs::File::open(segment)?;
                loop {
                    match file.read(&mut buffer)? {
                        0 => break,
                        count => socket.write_all(&buffer[..count])?,
                    }
                }
            }
            Ok(())
        });
        let began = Instant::now();
        let mut socket = TcpStream::connect(address).map_err(text)?;
        let mut buffer = vec![0; REPLAY_BUFFER_LEN];
        let mut bytes = 0;
        loop {
            match socket.read(&mut buffer).map_err(text)? {
                0 => break,
                count => bytes += count,
            }
        }
        let rate = bytes as f64 / began.elapsed().as_secs_f64();
        writer.join().map_err(|_| "the writer panicked".to_owned())?.map_err(text)?;
        Ok(rate)
    })
}

/// All of the log up to `next`, in bytes per second; `judged` looks at each frame.
fn replay(address: SocketAddr, next: Seq, judged: bool) -> Result<f64, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut socket = TcpStream::connect(address).map_err(text)?;
    let mut request = [0; SMALL_LEN_MAX];
    let header = Header { cluster: CLUSTER, ..Header::new(Kind::ReplayRequest) };
    let len = write_replay_request(&mut request, header, ReplayRequestBody { from: 1, to: next });
    let began = Instant::now();
    socket.write_all(&request[..len]).map_err(text)?;
    let mut buffer = vec![0; REPLAY_BUFFER_LEN];
    let (mut end, mut bytes, mut seen) = (0, 0, 1);
    loop {
        let count = socket.read(&mut buffer[end..]).map_err(text)?;
        if count == 0 {
            break;
        }
        bytes += count;
        if !judged {
            continue;
        }
        end += count;
        let mut at = 0;
        while let Some((found, len)) =
            piece(&buffer[at..end], CLUSTER).map_err(|reject| format!("the bytes are no replay: {reject}"))?
        {
            if let Piece::Frame(frame) = found {
                seen = frame.header.next_seq();
            }
            at += len;
        }
        buffer.copy_within(at..end, 0);
        end -= at;
    }
    if judged && seen != next {
        return Err(format!("the replay ended at seq {seen} instead of {next}"));
    }
    Ok(bytes as f64 / began.elapsed().as_secs_f64())
}
