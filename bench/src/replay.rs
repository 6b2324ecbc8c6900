//! How fast a journal is replayed over TCP, beside what `cat` of the same segments into a socket reaches.
//!
//! ```text
//!  cat:     segment ─read─▶ memory ─write─▶ socket ─▶ reader that looks at nothing
//!  server:  segment ─sendfile─▶ socket ─▶ the same reader
//!  reader:  segment ─sendfile─▶ socket ─▶ a reader that judges each frame (seal, kind, entries)
//!  packed:  lz4 blocks ─unpack─▶ socket ─▶ the reader that looks at nothing
//! ```
//!
//! All on loopback, on one journal of real frames, in alternating rounds. The ratio to `cat` of the same
//! round is the figure; the rates drift with the machine.

mod live;

use crate::environment;
use crate::harness::{Run, Shared};
use crate::journal::open::{Journal, ME, Takes};
use crate::results::{Round, Row, RunResult, Unit};
use clap::Args;
use lockstep_core::engine::replay::{REPLAY_BUFFER_LEN, ReplayItem, piece};
use lockstep_instructions::frames::{CLUSTER, Frames};
use lockstep_node::io::replay::{ReplayServer, ServerSettings};
use lockstep_testkit::processes::memory_folder;
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No step takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The measures.
#[derive(Args)]
pub struct Arguments {
    /// Bytes of the journal, in MiB
    #[arg(long, default_value_t = 512)]
    mebibytes: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 64)]
    payload: usize,
    #[command(flatten)]
    shared: Shared,
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
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Arguments { mebibytes, payload, .. } = *arguments;
    if arguments.live {
        return live::run(&arguments.shared, arguments.messages, arguments.rate);
    }
    let title = "bytes a second of a journal that is replayed, over cat of its segments into a socket";
    let mut run = Run::begin("replay", title, environment::facts());
    let memory = memory_folder();
    let folder = arguments.folder.clone().unwrap_or_else(|| memory.path().to_path_buf());
    run.tell("clock", "monotonic, of the reader, from its first call to the last byte");
    run.tell("cores", format!("not bound, of {}", environment::cores()));
    run.tell("idle", "all block");
    run.tell("journal", format!("{mebibytes} MiB in {}", folder.display()));
    run.tell("loop", "closed: as fast as it is read, over loopback TCP");
    run.tell("warm-up", "none: the journal was written just before");
    run.show("the journals are written");
    let plain = Replayed::fill(&folder, arguments, false)?;
    let packed = (!arguments.plain).then(|| Replayed::fill(&folder, arguments, true)).transpose()?;
    let case = format!("journal of {mebibytes} MiB, messages of {payload} B");
    let axes = [("bytes", payload as f64), ("mib", mebibytes as f64)];
    run.rounds(arguments.shared.rounds, |run, _| {
        let mut add = |(key, words): (&str, &str), read: &dyn Fn() -> Result<f64, String>| {
            let at = Instant::now();
            let round = Round::value(read()?);
            let row = Row::new(&case, key, words, Unit::BytesPerSecond).over(axes);
            run.record(row.as_floor(key == CAT.0), at, at.elapsed(), round);
            Ok::<_, String>(())
        };
        add(CAT, &|| cat(&segments(&plain.journal)?))?;
        add(SERVER, &|| replay(plain.address(), plain.next, false))?;
        add(READER, &|| replay(plain.address(), plain.next, true))?;
        if let Some(packed) = &packed {
            add(PACKED, &|| replay(packed.address(), packed.next, false))?;
        }
        Ok(())
    })?;
    run.finish(&arguments.shared.output)
}

/// A journal, and the server that replays it.
struct Replayed {
    /// It ends before the journal does.
    server: ReplayServer,
    journal: Journal,
    next: Seq,
}

impl Replayed {
    /// A journal of `arguments`' size in `folder`, and its server.
    fn fill(folder: &Path, arguments: &Arguments, packs: bool) -> Result<Self, String> {
        let mut journal = Journal::make(folder, false, packs)?;
        let mut frames = Frames::full(journal.tail.end(), arguments.payload);
        let mut bytes = 0;
        while bytes < arguments.mebibytes << 20 {
            let frame = frames.next_frame()?;
            bytes += frame.bytes.len() as u64;
            while !journal.take(&frame) {
                journal.make_room(&frame)?;
            }
        }
        let next = journal.tail.end().next;
        journal.handle.set_committed(next, false);
        let written = journal.handle.written();
        wait("the segments", || written().commit_next == next)?;
        if packs {
            // All but the last two.
            wait("packing", || segments(&journal).is_ok_and(|plain| plain.len() <= 2))?;
        }
        let settings = ServerSettings {
            keys: Keyring::none(CLUSTER).into(),
            identity: ME,
            listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            journal: journal.folder(),
            readers_max: 4,
            readers_per_address: 4,
            allow: None,
            rate_bytes_per_s: u64::MAX,
            by_leader: true,
        };
        let server =
            ReplayServer::start(settings, journal.handle.written()).map_err(|error| error.to_string())?;
        Ok(Self { journal, next, server })
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// The segments that are not packed, in order.
fn segments(journal: &Journal) -> Result<Vec<PathBuf>, String> {
    files(&journal.folder().join("segments"), "seg")
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

/// A connection to a server that is to replay all of the log up to `to`.
fn ask(server: SocketAddr, cluster: u64, to: Seq) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(server)?;
    let mut request = [0; SMALL_LEN_MAX];
    let header = Header { cluster, ..Header::new(Kind::ReplayRequest) };
    let len = write_replay_request(
        &mut request,
        &Keyring::none(CLUSTER),
        header,
        ReplayRequestBody { from: 1, to },
    );
    socket.write_all(&request[..len])?;
    Ok(socket)
}

/// All of the log up to `next`, in bytes per second; `judged` looks at each frame.
fn replay(address: SocketAddr, next: Seq, judged: bool) -> Result<f64, String> {
    let text = |error: std::io::Error| error.to_string();
    let began = Instant::now();
    let mut socket = ask(address, CLUSTER, next).map_err(text)?;
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
        while let Some((found, len)) = piece(&buffer[at..end], &Keyring::none(CLUSTER))
            .map_err(|reject| format!("the bytes are no replay: {reject}"))?
        {
            if let ReplayItem::Frame(frame) = found {
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
