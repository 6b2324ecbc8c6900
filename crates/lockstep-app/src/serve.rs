//! The page of a replica over HTTP: its counters, as every daemon shows them. `GET /snapshots` lists
//! snapshots, `GET /snapshots/NEXT` sends one, or a range of it. `POST /query` asks the machine, and `POST
//! /take-over` puts this replica's version in force, with a proof of the right to do so.

use crate::reading::next_of;
use crate::settings::AppSettings;
use crate::store::{SnapshotStore, StoredSnapshot, head, served, verify};
use crate::take_over::{TakeOverGate, TakeOverKey};
use lockstep_io::IoError;
use lockstep_machine::{Seq, SnapshotCursor, SnapshotHead, SnapshotNotice};
use lockstep_metrics::ShownProcess;
use lockstep_metrics::page::{self, PATHS};
use lockstep_process::page::{PageAnswer, PageRequest, PageServer, PageSettings, fetch};
use std::fs::{self, File};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::net::{IpAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// The most bytes of a query and of its answer.
const QUERY_MAX: usize = 64 << 10;
/// The most queries that wait for the machine.
const PENDING_MAX: usize = 16;
/// How long a query waits for its answer.
const QUERY_WAIT: Duration = Duration::from_secs(1);
/// A piece of a snapshot that is fetched at once, and the time that it may take.
const PIECE: usize = 4 << 20;
const PIECE_WAIT: Duration = Duration::from_secs(10);
/// The most bytes of a snapshot that the stream has not announced.
const UNANNOUNCED_MAX: u64 = 64 << 20;
/// The least rate of a peer in bytes a second.
const BYTES_PER_S_MIN: u64 = 1 << 20;
/// The most consecutive failures before a peer is given up.
const FAILURES_MAX: usize = 3;

/// A request to the machine's thread.
pub(crate) enum Asked {
    /// A query of the machine.
    Query(Vec<u8>),
    /// Put the version of this replica in force: this address has proved its right.
    TakeOver(IpAddr),
}

/// A request to the machine's thread, and the channel of its answer.
pub(crate) type Pending = (Asked, SyncSender<PageAnswer>);

/// The page of a replica, for its thread.
pub(crate) struct Served {
    /// The server, which ends with the replica.
    _server: PageServer,
    /// Requests for the thread of the machine.
    pub requests: Receiver<Pending>,
    refused: Arc<AtomicU64>,
}

impl Served {
    /// The number of requests to put this version in force that had no valid proof.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The data from which the page answers.
struct Pages {
    store: SnapshotStore,
    queries: SyncSender<Pending>,
    gate: TakeOverGate,
    refused: Arc<AtomicU64>,
}

/// Begins to serve at `address`; the receiver returns the requests to the machine's thread.
pub(crate) fn serve(
    address: SocketAddrV4,
    settings: &AppSettings,
    shown: ShownProcess,
) -> Result<Served, IoError> {
    let (queries, requests) = sync_channel(PENDING_MAX);
    let (store, refused) = (settings.store()?, Arc::default());
    let pages =
        Pages { store, queries, gate: TakeOverGate::open(&settings.folder)?, refused: Arc::clone(&refused) };
    let answer = move |request: &PageRequest<'_>| {
        let metrics = page::answer(request, &shown, |_| {});
        metrics.unwrap_or_else(|| answer(request, &pages))
    };
    let settings = PageSettings {
        address,
        key: "serve",
        thread: "lockstep-app",
        body_max: QUERY_MAX,
        hosts: settings.hosts.clone(),
    };
    Ok(Served { _server: PageServer::start(settings, answer)?, requests, refused })
}

fn answer(request: &PageRequest<'_>, pages: &Pages) -> PageAnswer {
    let Pages { store, queries, gate, refused } = pages;
    let missing = |what: String| PageAnswer::text("404 Not Found", format!("{what}\n"));
    match (request.method, request.path) {
        ("POST", "/query") => ask(Asked::Query(request.body.to_vec()), queries),
        ("GET", "/take-over") => PageAnswer::text("200 OK", gate.challenge()),
        ("POST", "/take-over") => match gate.admits(request.body) {
            Ok(()) => ask(Asked::TakeOver(request.peer), queries),
            Err(why) => {
                // Only the first one is logged; repeated requests of a stranger only raise a counter.
                if refused.fetch_add(1, Ordering::Relaxed) == 0 {
                    let peer = request.peer;
                    tracing::warn!(%peer, "a take-over by the page was refused, as its request proves nothing");
                }
                PageAnswer::text("403 Forbidden", format!("{why}\n"))
            }
        },
        ("GET", "/snapshots") => match store.list_proven() {
            Ok(all) => {
                // A set's snapshot also has the seq of the home stream behind which it was announced.
                let line = |next: Seq, path: &std::path::Path| {
                    let len = fs::metadata(path).ok()?.len();
                    let behind = match head(path).ok()?.cursor {
                        SnapshotCursor::Stream(_) => String::new(),
                        cursor @ SnapshotCursor::Set(_) => format!(" {}", next_of(&cursor, None)?),
                    };
                    Some(format!("{next} {len}{behind}\n"))
                };
                let lines = all.iter().filter_map(|stored| line(stored.next, &stored.path)).collect();
                PageAnswer::text("200 OK", lines)
            }
            Err(error) => PageAnswer::text("500 Internal Server Error", format!("{error}\n")),
        },
        ("GET", path) => {
            let next = path.strip_prefix("/snapshots/").and_then(|next| next.parse::<Seq>().ok());
            let Some(next) = next else {
                return missing(there_are());
            };
            let stored =
                store.list_proven().ok().and_then(|all| all.into_iter().find(|stored| stored.next == next));
            match stored.and_then(|stored| part(&stored.path, request.header("range"))) {
                Some(answer) => answer,
                None => missing(format!("there is no snapshot below {next} any more, or not so much of it")),
            }
        }
        _ => missing(there_are()),
    }
}

fn there_are() -> String {
    format!("there are {PATHS} /snapshots /snapshots/NEXT /take-over; POST to /query or /take-over")
}

/// A piece of a file, from the beginning of the range.
fn part(path: &std::path::Path, range: Option<&str>) -> Option<PageAnswer> {
    let from = match range {
        None => 0,
        Some(range) => range.strip_prefix("bytes=")?.split('-').next()?.parse().ok()?,
    };
    let mut file = File::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(from)).ok()?;
    (from <= len).then(|| PageAnswer::part(file, from, len.min(from + PIECE as u64)))
}

fn ask(asked: Asked, queries: &SyncSender<Pending>) -> PageAnswer {
    let (sender, answer) = sync_channel(1);
    let busy = |why: &str| PageAnswer::text("503 Service Unavailable", format!("{why}\n"));
    match queries.try_send((asked, sender)) {
        Err(TrySendError::Full(_)) => busy("too many queries wait: ask again"),
        Err(TrySendError::Disconnected(_)) => busy("the application has ended"),
        Ok(()) => PageAnswer::later(answer, QUERY_WAIT),
    }
}

/// Asks the machine of the replica that serves at `address`.
///
/// # Errors
/// No replica answers there, or it is busy.
pub fn query(address: SocketAddrV4, request: &[u8]) -> Result<Vec<u8>, IoError> {
    post(address, "/query", request, "query the machine")
}

/// Puts the version of the replica that serves at `address` in force, for all replicas, from the entry on
/// that it stamps then, with the key in the replica's folder ([`TAKE_OVER_KEY`](crate::TAKE_OVER_KEY)).
/// Returns its answer in words; see [`App::take_over`](crate::App::take_over) for the effects.
///
/// # Errors
/// The key cannot be read or is another replica's, no replica answers there, or it is busy.
pub fn take_over(address: SocketAddrV4, key: &Path) -> Result<String, IoError> {
    let key = TakeOverKey::read(key)?;
    let page = fetch((address.into(), "/take-over"), ("", None), (2 * QUERY_WAIT, QUERY_MAX))?;
    let proof = key.proof(&String::from_utf8_lossy(&page.content));
    let answer = post(address, "/take-over", proof.as_bytes(), "put the version in force of the replica")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn post(address: SocketAddrV4, path: &str, body: &[u8], doing: &str) -> Result<Vec<u8>, IoError> {
    let page = fetch((address.into(), path), ("", Some(body)), (2 * QUERY_WAIT, QUERY_MAX))?;
    match page.status {
        200 => Ok(page.content),
        _ => {
            let why = String::from_utf8_lossy(&page.content).trim_end().to_owned();
            Err(IoError::because(format!("{doing} at {address}"), ErrorKind::Other, &why))
        }
    }
}

/// Fetches the newest snapshot of the replica that serves at `peer` into `store`, continuing an earlier
/// attempt, and verifies it. A peer is trusted only as far as the stream confirms it: `announced` returns the
/// announcements of snapshots below a seq. A snapshot that none of them is of is marked, as it may be a
/// forgery of any host at this address. A snapshot that `is_wanted` refuses, with a reason, is removed.
/// `None`: the peer has none.
///
/// # Errors
/// The peer does not answer, or the disk refuses the snapshot; [`ErrorKind::InvalidData`]: it is damaged, too
/// large, or not wanted.
pub fn fetch_snapshot(
    peer: SocketAddrV4,
    store: &SnapshotStore,
    announced: impl FnOnce(Seq) -> Vec<SnapshotNotice>,
    is_wanted: impl FnOnce(&SnapshotHead) -> Result<(), String>,
) -> Result<Option<StoredSnapshot>, IoError> {
    fetch_announced(peer, store, |next, _| announced(next), is_wanted)
}

/// As [`fetch_snapshot`]: `announced` is also given the seq of the machine's stream from which on
/// announcements stand.
pub(crate) fn fetch_announced(
    peer: SocketAddrV4,
    store: &SnapshotStore,
    announced: impl FnOnce(Seq, Seq) -> Vec<SnapshotNotice>,
    is_wanted: impl FnOnce(&SnapshotHead) -> Result<(), String>,
) -> Result<Option<StoredSnapshot>, IoError> {
    let doing = || format!("fetch a snapshot from {peer}");
    let refused = |why: String| IoError::because(doing(), ErrorKind::InvalidData, why);
    let list = fetch((peer.into(), "/snapshots"), ("", None), (PIECE_WAIT, QUERY_MAX))?;
    let text = String::from_utf8_lossy(&list.content).into_owned();
    let row = |line: &str| {
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
        let (next, len) = (numbers.next()??, numbers.next()??);
        Some((next, len, numbers.next().unwrap_or(Some(next))?))
    };
    let Some((next, len, behind)) = text.lines().filter_map(row).max() else { return Ok(None) };
    let announced = announced(next, behind);
    let most = announced.iter().map(|notice| notice.bytes).max();
    if len > most.unwrap_or(UNANNOUNCED_MAX) {
        let says =
            most.map_or("announces none there".to_owned(), |most| format!("announces {most} bytes there"));
        return Err(refused(format!(
            "its snapshot below {next} is to have {len} bytes, and the stream {says}"
        )));
    }
    let path = store.part(next);
    let wrong = |error| IoError::new(format!("{} into {}", doing(), path.display()), error);
    let mut file = File::options().create(true).append(true).open(&path).map_err(wrong)?;
    let have = fetch_pieces((peer, next), len, &mut file, &wrong)?;
    file.sync_all().map_err(wrong)?;
    let judged = verify(&path).map_err(|error| error.to_string()).and_then(|head| {
        if head.next == next && have == len {
            is_wanted(&head).and_then(|()| served(&path, &head).map_err(|error| error.to_string()))
        } else {
            Err("it differs from the announced one".to_owned())
        }
    });
    match judged {
        Ok(served) => {
            if !announced.iter().any(|notice| served.is_announced_by(notice)) {
                store.mark_unproven(next, peer).map_err(wrong)?;
            }
            store.complete(next).map(Some).map_err(wrong)
        }
        Err(why) => {
            // The remains of an earlier attempt may be of another file.
            fs::remove_file(&path).map_err(wrong)?;
            Err(refused(why))
        }
    }
}

/// Fetches the bytes that a file lacks of the `len` bytes of the snapshot below `next`. Returns how many it
/// has: more than `len` bytes were cut.
fn fetch_pieces(
    (peer, next): (SocketAddrV4, Seq),
    len: u64,
    file: &mut File,
    wrong: &impl Fn(std::io::Error) -> IoError,
) -> Result<u64, IoError> {
    let doing = || format!("fetch a snapshot from {peer}");
    let (mut have, mut failures) = (file.metadata().map_err(wrong)?.len(), 0);
    // A peer that sends byte by byte is given up as well.
    let until = Instant::now() + PIECE_WAIT * 6 + Duration::from_secs(len / BYTES_PER_S_MIN);
    while have < len {
        if Instant::now() > until {
            return Err(IoError::because(
                doing(),
                ErrorKind::TimedOut,
                format!("{have} of {len} bytes came in time"),
            ));
        }
        let range = format!("Range: bytes={have}-\r\n");
        match fetch((peer.into(), &format!("/snapshots/{next}")), (&range, None), (PIECE_WAIT, PIECE)) {
            Ok(page) if matches!(page.status, 200 | 206) && !page.content.is_empty() => {
                // More bytes than announced are cut, and refused below.
                let len = page.content.len().min((len - have) as usize + 1);
                file.write_all(&page.content[..len]).map_err(wrong)?;
                (have, failures) = (have + len as u64, 0);
            }
            Ok(page) => {
                let why = String::from_utf8_lossy(&page.content).trim_end().to_owned();
                return Err(IoError::because(doing(), ErrorKind::Other, &why));
            }
            Err(error) if failures == FAILURES_MAX => return Err(error),
            Err(_) => failures += 1,
        }
    }
    Ok(have)
}
