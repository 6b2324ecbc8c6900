//! The page of a replica over HTTP: what it counts, as every daemon shows it; `GET /snapshots` lists,
//! `GET /snapshots/NEXT` sends one, from where it was broken off if a range is asked for; `POST /query` asks
//! the machine, and `POST /take-over` puts this replica's version in force.

use crate::store::{SnapshotStore, StoredSnapshot, verify};
use lockstep_io::IoError;
use lockstep_machine::Seq;
use lockstep_metrics::ShownProcess;
use lockstep_metrics::page::{self, PATHS};
use lockstep_process::page::{PageAnswer, PageRequest, PageServer, fetch};
use std::fs::{self, File};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::net::SocketAddrV4;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Bytes of a query and of its answer at most.
const QUERY_MAX: usize = 64 << 10;
/// Queries that may wait for the machine.
const PENDING_MAX: usize = 16;
/// How long a query waits for its answer.
const QUERY_WAIT: Duration = Duration::from_secs(1);
/// A piece of a snapshot that is fetched at once, and how long it may take.
const PIECE: usize = 4 << 20;
const PIECE_WAIT: Duration = Duration::from_secs(10);
/// Pieces in a row that may fail before a peer is given up.
const FAILURES_MAX: usize = 3;

/// What the thread of the machine is asked for.
pub(crate) enum Asked {
    /// A query of the machine.
    Query(Vec<u8>),
    /// The version of this replica is to be in force.
    TakeOver,
}

/// A request to the thread of the machine, and where its answer goes.
pub(crate) type Pending = (Asked, SyncSender<Vec<u8>>);

/// Begins to serve; what is asked comes out of the receiver, for the machine's own thread.
pub(crate) fn serve(
    address: SocketAddrV4,
    store: SnapshotStore,
    shown: ShownProcess,
) -> Result<(PageServer, Receiver<Pending>), IoError> {
    let (queries, received) = sync_channel(PENDING_MAX);
    let answer = move |request: &PageRequest<'_>| {
        let metrics = page::answer(request, &shown, |_| {});
        metrics.unwrap_or_else(|| answer(request, &store, &queries))
    };
    let server = PageServer::start(("serve", address), "lockstep-app", QUERY_MAX, answer)?;
    Ok((server, received))
}

fn answer(request: &PageRequest<'_>, store: &SnapshotStore, queries: &SyncSender<Pending>) -> PageAnswer {
    let missing = |what: String| PageAnswer::text("404 Not Found", format!("{what}\n"));
    match (request.method, request.path) {
        ("POST", "/query") => ask(Asked::Query(request.body.to_vec()), queries),
        ("POST", "/take-over") => ask(Asked::TakeOver, queries),
        ("GET", "/snapshots") => match store.list() {
            Ok(all) => {
                let line = |next: Seq, path: &std::path::Path| {
                    Some(format!("{next} {}\n", fs::metadata(path).ok()?.len()))
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
            let stored = store.list().ok().and_then(|all| all.into_iter().find(|stored| stored.next == next));
            match stored.and_then(|stored| part(&stored.path, request.header("range"))) {
                Some(answer) => answer,
                None => missing(format!("there is no snapshot below {next} any more, or not so much of it")),
            }
        }
        _ => missing(there_are()),
    }
}

fn there_are() -> String {
    format!("there are {PATHS} /snapshots /snapshots/NEXT; POST to /query or /take-over")
}

/// A piece of a file, from where the range begins.
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
        Err(TrySendError::Full(_)) => return busy("too many queries wait: ask again"),
        Err(TrySendError::Disconnected(_)) => return busy("the application has ended"),
        Ok(()) => {}
    }
    match answer.recv_timeout(QUERY_WAIT) {
        Ok(answer) => PageAnswer::bytes(answer),
        Err(RecvTimeoutError::Timeout) => busy("the machine has not answered in a second"),
        Err(RecvTimeoutError::Disconnected) => busy("the application has ended"),
    }
}

/// Asks the machine of the replica that serves at `address`.
///
/// # Errors
/// Nobody answers there, or the replica is busy.
pub fn query(address: SocketAddrV4, request: &[u8]) -> Result<Vec<u8>, IoError> {
    post(address, "/query", request, "query the machine")
}

/// Puts the version of the replica that serves at `address` in force, for all replicas, from the entry on
/// that it stamps then. Returns its answer in words. [`App::take_over`](crate::App::take_over) says what
/// follows.
///
/// # Errors
/// Nobody answers there, or the replica is busy.
pub fn take_over(address: SocketAddrV4) -> Result<String, IoError> {
    let answer = post(address, "/take-over", b"", "put the version in force of the replica")?;
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

/// Fetches the newest snapshot of the replica that serves at `peer` into `store`, from where an earlier
/// attempt was broken off, and verifies it. `None`: the peer has none.
///
/// # Errors
/// The peer does not answer, the snapshot is damaged, or the disk refuses it.
pub fn fetch_snapshot(peer: SocketAddrV4, store: &SnapshotStore) -> Result<Option<StoredSnapshot>, IoError> {
    let doing = || format!("fetch a snapshot from {peer}");
    let list = fetch((peer.into(), "/snapshots"), ("", None), (PIECE_WAIT, QUERY_MAX))?;
    let text = String::from_utf8_lossy(&list.content).into_owned();
    let row = |line: &str| {
        let (next, len) = line.split_once(' ')?;
        Some((next.parse::<Seq>().ok()?, len.parse::<u64>().ok()?))
    };
    let Some((next, len)) = text.lines().filter_map(row).max() else { return Ok(None) };
    let path = store.part(next);
    let wrong = |error| IoError::new(format!("{} into {}", doing(), path.display()), error);
    let mut file = File::options().create(true).append(true).open(&path).map_err(wrong)?;
    let (mut have, mut failures) = (file.metadata().map_err(wrong)?.len(), 0);
    while have < len {
        let range = format!("Range: bytes={have}-\r\n");
        match fetch((peer.into(), &format!("/snapshots/{next}")), (&range, None), (PIECE_WAIT, PIECE)) {
            Ok(page) if matches!(page.status, 200 | 206) && !page.content.is_empty() => {
                file.write_all(&page.content).map_err(wrong)?;
                (have, failures) = (have + page.content.len() as u64, 0);
            }
            Ok(page) => {
                let why = String::from_utf8_lossy(&page.content).trim_end().to_owned();
                return Err(IoError::because(doing(), ErrorKind::Other, &why));
            }
            Err(error) if failures == FAILURES_MAX => return Err(error),
            Err(_) => failures += 1,
        }
    }
    file.sync_all().map_err(wrong)?;
    match verify(&path) {
        Ok(head) if head.next == next && have == len => store.complete(next).map(Some).map_err(wrong),
        refused => {
            // What an earlier attempt has left may be another file's.
            fs::remove_file(&path).map_err(wrong)?;
            let why = refused
                .err()
                .map_or("it is another one than was announced".into(), |error| error.to_string());
            Err(IoError::because(doing(), ErrorKind::InvalidData, &why))
        }
    }
}
