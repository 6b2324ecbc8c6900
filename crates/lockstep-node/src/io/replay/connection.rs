//! One reader of a replay server.
//!
//! ```text
//!  Asking ──request──▶ Serving ──range given, refused, damaged, we stop──▶ Closing ──▶ gone
//!    │ late, garbage                 │ left, or takes nothing for long
//!    └──────────▶ Closing            └──▶ gone
//! ```

use super::sendfile::send_file;
use super::unopened::UnopenedRequests;
use crate::io::store::DirStore;
use lockstep_replica::journal::base::offered;
use lockstep_replica::journal::packed::SegmentReader;
use lockstep_replica::journal::segment_index::{SegmentIndex, SegmentIndexError, Written};
use lockstep_wire::{
    CHECKPOINT_PART_LEN_MAX, Datagram, HEADER_LEN, Header, Identity, Keys, Kind, Nanos, REPLAY_CHAIN,
    REPLAY_CHECKPOINT, REPLAY_LEN, REPLAY_REQUEST_LEN, REPLAY_STAY, ReplayBody, ReplayCheckpointBody,
    ReplayEndReason, ReplayRequestBody, Seq, write_replay, write_replay_checkpoint,
};
use mio::net::TcpStream;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

/// A request must arrive within this time.
const REQUEST_NS: Nanos = 2_000_000_000;
/// A reader that takes nothing for this long counts as disconnected.
const STUCK_NS: Nanos = 10_000_000_000;
/// The interval of marks to a reader that has everything, as a sign of life.
const MARK_NS: Nanos = 1_000_000_000;
/// The time for the reader to read the last message.
const LINGER_NS: Nanos = 1_000_000_000;
/// Bytes of a stretch: long enough that the cost of finding it is negligible.
const STRETCH_LEN: u64 = 4 << 20;
/// Bytes that are sent to one reader before the next one is served.
const QUANTUM: u64 = 256 << 10;
/// The most reads of one turn: a request needs one or two, and garbage may be endless.
const READS_MAX: usize = 8;

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ReplayServerState {
    Asking,
    Serving,
    Closing { until: Nanos },
}

/// The result of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TurnOutcome {
    /// It sent something and wants another turn soon.
    Went,
    /// The socket is full, or the request has not arrived: an event wakes the server.
    Blocked,
    /// The budget is spent.
    Spent,
    /// It has sent everything that exists.
    AtEnd,
    /// It has ended.
    Gone,
}

/// A checkpoint for nodes without a log: where its log ends, and its bytes.
#[derive(Clone, Debug)]
pub(super) struct OfferedCheckpoint {
    /// The oldest seq of the segments when the checkpoint was looked up.
    oldest: Seq,
    header: Header,
    bytes: Arc<[u8]>,
}

/// State that all connections of a server share.
pub(super) struct ReplayContext<'a> {
    pub keys: &'a Keys,
    pub identity: Identity,
    pub by_leader: bool,
    pub store: &'a DirStore,
    pub segment_index: &'a mut SegmentIndex,
    /// The checkpoint that was sent last.
    pub offered: &'a mut Option<OfferedCheckpoint>,
    pub written: Written,
    pub now: Nanos,
    pub wall: Nanos,
    pub stopping: bool,
    /// Whether the written segments cannot be read.
    pub damaged: bool,
    pub unopened: &'a mut UnopenedRequests,
}

impl ReplayContext<'_> {
    /// The exclusive bound of the frames that may be sent now.
    fn bound(&self) -> Seq {
        self.written.commit_next.min(self.segment_index.end().next)
    }

    /// The checkpoint for a node without a log, at `until` or below; one for all that ask at the same time.
    /// Or the end of the oldest one that could be sent.
    fn offer(&mut self, until: Seq) -> Result<Result<OfferedCheckpoint, Seq>, SegmentIndexError> {
        let (bound, oldest) = (self.bound(), self.segment_index.oldest_seq());
        let known = self.offered.take().filter(|known| known.oldest == oldest);
        if let Some(known) = known.filter(|known| known.header.first_seq <= until) {
            return Ok(Ok(self.offered.insert(known).clone()));
        }
        let checkpoint = match offered(self.store, self.segment_index, until, bound)? {
            Ok(checkpoint) => checkpoint,
            Err(next) => return Ok(Err(next)),
        };
        let header = Header {
            history: checkpoint.history,
            epoch: checkpoint.end.epoch.0,
            first_seq: checkpoint.end.next,
            commit_next: checkpoint.end.next,
            timestamp: checkpoint.end.timestamp,
            chain: checkpoint.end.chain,
            ..Header::new(Kind::ReplayCheckpoint)
        };
        let found = OfferedCheckpoint { oldest, header, bytes: checkpoint.to_bytes().into() };
        Ok(Ok(self.offered.insert(found).clone()))
    }
}

/// A connection: see the module.
pub(super) struct ReplayServerConnection {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// Whether it arrived when the limit of readers was reached: it receives only that refusal.
    doomed: bool,
    state: ReplayServerState,
    moved_at: Nanos,
    marked_at: Nanos,
    at_end: bool,
    asked: [u8; REPLAY_REQUEST_LEN],
    request_len: usize,
    /// Memory for messages of the server itself, and for copies; the bytes from `out_at` to `out_end` must be
    /// sent.
    out: Vec<u8>,
    out_at: usize,
    out_end: usize,
    seq: Seq,
    to: Seq,
    /// The checkpoint that precedes the frames, and how much of it was sent.
    checkpoint: Option<(OfferedCheckpoint, usize)>,
    /// A checkpoint was requested that ends below every available one: the end of the oldest one.
    offers_from: Option<Seq>,
    /// The position of the next frame, if it is known.
    place: Option<(u64, u64)>,
    /// The rest of the present stretch.
    left: u64,
    file: Option<(u64, Option<File>)>,
    /// Reads segments whose pages cannot be sent.
    reader: SegmentReader,
    pub sent_bytes: u64,
    pub end: Option<ReplayEndReason>,
}

impl ReplayServerConnection {
    pub fn new(stream: TcpStream, peer: SocketAddr, now: Nanos, doomed: bool) -> Self {
        // A small answer must not wait for more data.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            peer,
            doomed,
            state: ReplayServerState::Asking,
            moved_at: now,
            marked_at: now,
            at_end: false,
            asked: [0; REPLAY_REQUEST_LEN],
            request_len: 0,
            out: Vec::new(),
            out_at: 0,
            out_end: 0,
            seq: 0,
            to: 0,
            checkpoint: None,
            offers_from: None,
            place: None,
            left: 0,
            file: None,
            reader: SegmentReader::default(),
            sent_bytes: 0,
            end: None,
        }
    }

    /// Whether it counts towards the most readers. A refused connection, or one that was sent its last
    /// message, does not: it only lingers.
    pub fn takes_a_place(&self) -> bool {
        !self.doomed && !matches!(self.state, ReplayServerState::Closing { .. })
    }

    /// Whether it has sent a valid request of the cluster, and so is no longer limited by the share of its
    /// address. Garbage of a request's length does not count: only [`Self::judge`] sets the request's bound.
    pub fn has_asked(&self) -> bool {
        !self.doomed && self.to != 0
    }

    /// Whether it counts towards the share of its address.
    pub fn waits(&self) -> bool {
        !self.doomed && self.state == ReplayServerState::Asking
    }

    /// One turn within `allowance` bytes, from which the sent bytes are subtracted.
    pub fn turn(&mut self, desk: &mut ReplayContext<'_>, allowance: &mut u64) -> TurnOutcome {
        if !self.listen(desk) {
            return TurnOutcome::Gone;
        }
        if self.state == ReplayServerState::Serving && desk.stopping {
            self.finish(desk, ReplayEndReason::Stopping);
        } else if self.state == ReplayServerState::Serving && desk.written.leads && !desk.by_leader {
            self.finish(desk, ReplayEndReason::IsLeader);
        } else if self.state == ReplayServerState::Serving && desk.damaged {
            self.finish(desk, ReplayEndReason::Damaged);
        }
        let mut sent_bytes = 0;
        loop {
            match self.flush(desk) {
                Ok(true) => {}
                Ok(false) => return self.blocked(desk),
                Err(_) => return TurnOutcome::Gone,
            }
            match self.state {
                ReplayServerState::Asking => return self.blocked(desk),
                ReplayServerState::Closing { until } if desk.now < until => {
                    // The server's own message ends here; a reader that has read it closes.
                    let _ = self.stream.shutdown(Shutdown::Write);
                    return TurnOutcome::AtEnd;
                }
                ReplayServerState::Closing { .. } => return TurnOutcome::Gone,
                ReplayServerState::Serving if self.checkpoint.is_some() => {
                    if *allowance == 0 {
                        return TurnOutcome::Spent;
                    }
                    let sent = self.send_part(desk);
                    *allowance = allowance.saturating_sub(sent);
                }
                ReplayServerState::Serving if self.left > 0 => {
                    let most = self.left.min(QUANTUM - sent_bytes).min(*allowance);
                    if most == 0 {
                        return if sent_bytes == QUANTUM { TurnOutcome::Went } else { TurnOutcome::Spent };
                    }
                    match self.send(desk, most) {
                        Ok(0) => return self.blocked(desk),
                        Ok(sent) => {
                            sent_bytes += sent;
                            *allowance -= sent;
                        }
                        Err(_) => return TurnOutcome::Gone,
                    }
                }
                ReplayServerState::Serving => match self.find(desk) {
                    Ok(true) => {}
                    Ok(false) => return TurnOutcome::AtEnd,
                    Err(error) if error.is_gone() => self.finish(desk, ReplayEndReason::TooOld),
                    Err(error) => {
                        tracing::warn!(peer = %self.peer, seq = self.seq, "replay ends: {error}");
                        self.finish(desk, ReplayEndReason::Damaged);
                    }
                },
            }
        }
    }

    fn blocked(&self, desk: &ReplayContext<'_>) -> TurnOutcome {
        let patience = if self.state == ReplayServerState::Asking { REQUEST_NS } else { STUCK_NS };
        if desk.now > self.moved_at + patience { TurnOutcome::Gone } else { TurnOutcome::Blocked }
    }

    /// Reads the request; afterwards, checks whether the reader is still connected. A reader sends nothing
    /// else.
    fn listen(&mut self, desk: &mut ReplayContext<'_>) -> bool {
        for _ in 0..READS_MAX {
            let mut more = [0; 512];
            let room = match self.state {
                ReplayServerState::Asking => &mut self.asked[self.request_len..],
                _ => &mut more[..],
            };
            match self.stream.read(room) {
                Ok(0) => return false,
                Ok(count) if self.state == ReplayServerState::Asking => {
                    self.request_len += count;
                    self.moved_at = desk.now;
                    if self.request_len == REPLAY_REQUEST_LEN {
                        self.on_request(desk);
                    }
                }
                Ok(_) if self.state == ReplayServerState::Serving => {
                    self.finish(desk, ReplayEndReason::Malformed);
                    return true;
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        // Garbage is recognised before it is as long as a request.
        let asked = &self.asked[..self.request_len.min(4)];
        if self.state == ReplayServerState::Asking && !lockstep_wire::MAGIC.to_le_bytes().starts_with(asked) {
            self.answer(desk, Some(ReplayEndReason::Malformed));
        }
        true
    }

    fn on_request(&mut self, desk: &mut ReplayContext<'_>) {
        let judged = match Datagram::decode(&self.asked, desk.keys) {
            Ok(Datagram::ReplayRequest(header, body)) => {
                let header = *header;
                self.judge(desk, &header, &body)
            }
            _ => Ok(Err(ReplayEndReason::Malformed)),
        };
        match judged {
            Ok(refused) => self.answer(desk, refused.err()),
            Err(error) if error.is_gone() => self.answer(desk, Some(ReplayEndReason::TooOld)),
            Err(error) => {
                tracing::warn!(peer = %self.peer, "replay refused: {error}");
                self.answer(desk, Some(ReplayEndReason::Damaged));
            }
        }
    }

    /// Judges whether the range can be sent, and finds its beginning.
    fn judge(
        &mut self,
        desk: &mut ReplayContext<'_>,
        header: &Header,
        body: &ReplayRequestBody,
    ) -> Result<Result<(), ReplayEndReason>, SegmentIndexError> {
        let bound = desk.bound();
        self.seq = if body.from == 0 { desk.segment_index.oldest_seq() } else { body.from };
        self.to = body.to;
        let refused = match () {
            () if self.doomed => Some(ReplayEndReason::TooMany),
            () if desk.stopping => Some(ReplayEndReason::Stopping),
            () if desk.written.leads && !desk.by_leader => Some(ReplayEndReason::IsLeader),
            () if desk.damaged => Some(ReplayEndReason::Damaged),
            () => desk.written.admits(header.history, self.seq).err().map(|(end, next)| {
                self.seq = if end == ReplayEndReason::BeyondCommit { next } else { self.seq };
                end
            }),
        };
        if let Some(refused) = refused {
            return Ok(Err(refused));
        }
        if header.flags & REPLAY_CHECKPOINT != 0 {
            match desk.offer(body.from)? {
                Ok(found) => {
                    self.seq = found.header.first_seq;
                    self.checkpoint = Some((found, 0));
                }
                Err(next) => {
                    self.offers_from = Some(next);
                    return Ok(Err(ReplayEndReason::TooOld));
                }
            }
        }
        let chain = (header.flags & REPLAY_CHAIN != 0).then_some(header.chain);
        Ok(desk.segment_index.begin(desk.store, self.seq, chain, bound)?.map(|spot| {
            if let Some(spot) = spot {
                self.seq = spot.first_seq;
                self.place = Some((spot.number, spot.offset));
            }
        }))
    }

    fn answer(&mut self, desk: &mut ReplayContext<'_>, refused: Option<ReplayEndReason>) {
        self.send_end(desk, Kind::ReplayAnswer, refused);
        self.state = match refused {
            None => ReplayServerState::Serving,
            Some(_) => ReplayServerState::Closing { until: desk.now + LINGER_NS },
        };
        let (from, stays) = (self.seq, self.to == REPLAY_STAY);
        match refused {
            None => tracing::info!(peer = %self.peer, from, stays, "replay begins"),
            Some(ReplayEndReason::Malformed) => {
                desk.unopened.report(desk.now, self.peer.ip(), &self.asked[..self.request_len], desk.keys);
            }
            Some(end) => tracing::info!(peer = %self.peer, from, "replay refused: {}", end.name()),
        }
    }

    fn finish(&mut self, desk: &ReplayContext<'_>, end: ReplayEndReason) {
        if self.left > 0 {
            // In the middle of a frame the reader could not parse another message.
            self.left = 0;
            self.state = ReplayServerState::Closing { until: desk.now };
        } else {
            self.send_end(desk, Kind::ReplayMark, Some(end));
            self.state = ReplayServerState::Closing { until: desk.now + LINGER_NS };
        }
        self.end = Some(end);
    }

    fn send_end(&mut self, desk: &ReplayContext<'_>, kind: Kind, end: Option<ReplayEndReason>) {
        let header = Header {
            cluster: desk.keys.cluster(),
            history: desk.written.lineage.history(),
            epoch: desk.segment_index.epoch().0,
            sender: desk.identity.replica,
            incarnation: desk.identity.incarnation,
            first_seq: desk.bound(),
            commit_next: desk.written.commit_next,
            timestamp: desk.wall,
            ..Header::new(kind)
        };
        let holds_nothing = desk.written.lineage.history() == 0;
        let oldest = || if holds_nothing { 0 } else { desk.segment_index.oldest_seq() };
        let body = ReplayBody {
            next: self.seq,
            oldest_seq: self.offers_from.unwrap_or_else(oldest),
            end: end.map_or(0, |end| end as u32),
            reserved: 0,
        };
        write_replay(self.room(REPLAY_LEN), desk.keys, header, body);
        self.out_end += REPLAY_LEN;
        self.marked_at = desk.now;
        self.end = end.or(self.end);
    }

    /// Appends the next part of the checkpoint to the output. Returns its bytes.
    fn send_part(&mut self, desk: &ReplayContext<'_>) -> u64 {
        let Some((found, sent)) = self.checkpoint.take() else { return 0 };
        let OfferedCheckpoint { header, bytes, .. } = &found;
        let end = bytes.len().min(sent + CHECKPOINT_PART_LEN_MAX);
        let body = ReplayCheckpointBody { offset: sent as u64, len: bytes.len() as u64 };
        let header = Header {
            cluster: desk.keys.cluster(),
            sender: desk.identity.replica,
            incarnation: desk.identity.incarnation,
            ..*header
        };
        let len = HEADER_LEN + size_of::<ReplayCheckpointBody>() + end - sent;
        write_replay_checkpoint(self.room(len), desk.keys, header, body, &bytes[sent..end]);
        self.out_end += len;
        if end < bytes.len() {
            self.checkpoint = Some((found, end));
        }
        len as u64
    }

    /// Memory for `len` more bytes behind the output.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let end = self.out_end + len;
        if self.out.len() < end {
            self.out.resize(end, 0);
        }
        &mut self.out[self.out_end..end]
    }

    /// Sends the server's own message. Returns whether all of it is sent.
    fn flush(&mut self, desk: &ReplayContext<'_>) -> std::io::Result<bool> {
        while self.out_at < self.out_end {
            match self.stream.write(&self.out[self.out_at..self.out_end]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    self.out_at += sent;
                    self.moved_at = desk.now;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.out_at, self.out_end) = (0, 0);
        Ok(true)
    }

    /// Finds the next stretch. Returns whether there is one, or a message to send.
    fn find(&mut self, desk: &mut ReplayContext<'_>) -> Result<bool, SegmentIndexError> {
        let bound = desk.bound().min(self.to);
        if self.seq >= self.to {
            self.finish(desk, ReplayEndReason::Done);
            return Ok(true);
        }
        // Twice: at the end of a segment or a run of the log, the next one is looked up.
        for _ in 0..2 {
            if self.seq >= bound {
                break;
            }
            if self.place.is_none() {
                let Some(spot) = desk.segment_index.locate(desk.store, self.seq)? else {
                    self.finish(desk, ReplayEndReason::TooOld);
                    return Ok(true);
                };
                self.place = Some((spot.number, spot.offset));
            }
            let Some(place) = self.place.take() else { break };
            let mut found = desk.segment_index.stretch(desk.store, place, self.seq, bound, STRETCH_LEN)?;
            if found.is_none() {
                // Frames are atoms: the last one of a range is sent whole.
                found = desk.segment_index.stretch(desk.store, place, self.seq, desk.bound(), 1)?;
            }
            if let Some(found) = found {
                self.place = Some((found.number, found.offset));
                (self.left, self.seq, self.at_end) = (found.len, found.next, false);
                return Ok(true);
            }
        }
        if !self.at_end || desk.now > self.marked_at + MARK_NS {
            self.at_end = true;
            self.send_end(desk, Kind::ReplayMark, None);
            return Ok(true);
        }
        self.moved_at = desk.now;
        Ok(false)
    }

    /// Sends at most `most` bytes of the present stretch; 0 while the socket is full.
    fn send(&mut self, desk: &ReplayContext<'_>, most: u64) -> std::io::Result<u64> {
        let Some((number, offset)) = self.place else { return Err(ErrorKind::InvalidInput.into()) };
        self.open(desk, number);
        let sent = match &self.file {
            Some((_, Some(file))) => match send_file(&self.stream, file, offset, most as usize) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(sent) => sent as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    // This file system cannot send pages.
                    self.file = Some((number, None));
                    return self.copy(desk, number, offset, most);
                }
                Err(error) => return Err(error),
            },
            _ => return self.copy(desk, number, offset, most),
        };
        self.advance(desk, sent);
        Ok(sent)
    }

    /// As [`send`](Self::send), through our own memory.
    fn copy(
        &mut self,
        desk: &ReplayContext<'_>,
        number: u64,
        offset: u64,
        most: u64,
    ) -> std::io::Result<u64> {
        let mut reader = std::mem::take(&mut self.reader);
        let read = reader.read(desk.store, number, offset, self.room(most as usize));
        self.reader = reader;
        let read = read.map_err(|error| std::io::Error::other(error.to_string()))?;
        let read = read.map_err(|damage| std::io::Error::other(damage.to_string()))?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.out_end += read;
        self.advance(desk, read as u64);
        Ok(read as u64)
    }

    fn advance(&mut self, desk: &ReplayContext<'_>, sent: u64) {
        if let Some((_, offset)) = &mut self.place {
            *offset += sent;
        }
        self.left -= sent;
        self.sent_bytes += sent;
        self.moved_at = if sent > 0 { desk.now } else { self.moved_at };
    }

    /// Opens the segment's file, if pages can be sent from it.
    fn open(&mut self, desk: &ReplayContext<'_>, number: u64) {
        if self.file.as_ref().is_none_or(|(known, _)| *known != number) {
            self.file = Some((number, desk.store.open_segment(number)));
        }
    }
}
