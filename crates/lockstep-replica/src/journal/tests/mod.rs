//! The journal's guarantees, one test each, over memory. Tests that need files are in
//! `tests/it/journal.rs` of `lockstep-node`.

mod beside;
mod damage;
mod gone;
mod mend;
mod mend_header;
mod model;
mod needs;
mod opening;
mod overview;
mod packed;
mod proof;
mod segment_index;
mod segments;
mod side;
mod switch;
mod tail;
mod times;
mod torn;

use crate::journal::memory::{MemoryStore, MemoryTail};
use crate::journal::ports::{FileName, Word};
use crate::journal::segments::Retained;
use crate::journal::{
    Completeness, Inspection, OpenedJournal, Retention, Settings, Tail, copy_behind, format, inspect, open,
    read_segments,
};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::Keyring;
use lockstep_wire::*;

pub const CLUSTER: u64 = 0xC1;
pub const IDENTITY: Identity = Identity { replica: 2, incarnation: 0x77 };
pub const BOOT: [u64; 2] = [7, 7];
pub const LEN_MAX: usize = frame_len_max(1500);
pub const RING_LEN: usize = 64 << 10;

/// A sealed frame's bytes, short in messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Vec<u8>);

impl std::ops::Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let header = Header::peek(self).unwrap();
        write!(f, "{}+{} in {:?}", { header.first_seq }, { header.count }, header.epoch())
    }
}

pub fn settings() -> Settings {
    Settings {
        cluster: CLUSTER,
        replica: IDENTITY.replica,
        boot: BOOT,
        power: false,
        frame_len_max: LEN_MAX,
        segment_len: 1 << 20,
    }
}

pub fn epoch(round: u32) -> Epoch {
    Epoch::new(round, Identity { replica: 1, incarnation: 5 })
}

/// A sealed frame behind `end`.
pub fn frame(end: &LogEnd, epoch: Epoch, entries: &[(EntryHeader, Vec<u8>)]) -> Frame {
    let mut memory = vec![0; LEN_MAX];
    let mut open = OpenFrame::default();
    for (header, payload) in entries {
        assert!(open.push(&mut memory, *header, payload));
    }
    let header = Header {
        cluster: CLUSTER,
        history: 9,
        epoch: epoch.0,
        sender: epoch.leader().replica,
        incarnation: epoch.leader().incarnation,
        first_seq: end.next,
        commit_next: end.next.saturating_sub(3),
        timestamp: end.timestamp + 10,
        chain: end.chain,
        ..Header::new(Kind::Frame)
    };
    let len = open.len();
    open.close(&mut memory, &Keyring::none(CLUSTER), header, len);
    memory.truncate(len);
    Frame(memory)
}

pub fn entry(kind: EntryKind, publisher: u32, publisher_seq: u64) -> EntryHeader {
    EntryHeader {
        kind: kind as u8,
        flags: 0,
        length: 0,
        publisher,
        publisher_seq,
        destination: 0,
        time_or_incarnation: 0,
    }
}

/// Messages of publisher 1, numbered by their seq, `len` bytes each.
pub fn messages(end: &LogEnd, count: u64, len: usize) -> Frame {
    let one = |seq: u64| (entry(EntryKind::Message, 1, seq), vec![seq as u8; len]);
    frame(end, end.epoch, &(end.next..end.next + count).map(one).collect::<Vec<_>>())
}

/// The start of `epoch` behind `end`; it lists `members` members.
pub fn epoch_start(end: &LogEnd, epoch: Epoch, members: u32) -> Frame {
    let member =
        |replica| MemberBody::full(Identity { replica, incarnation: 5 }, "127.0.0.1:7".parse().unwrap());
    let members: Vec<_> = (1..=members).map(member).collect();
    if end.next == 1 {
        let genesis = bytemuck::cast_slice(&members).to_vec();
        return frame(end, epoch, &[(entry(EntryKind::Genesis, 0, 0), genesis)]);
    }
    let body = EpochStartBody {
        epoch: epoch.0,
        base: end.next,
        chain_at_base: end.chain,
        secret_hash: [0; 32],
        window_entries: 1,
        window_bytes: 1,
        durability: 0,
        members: 0,
        epochs: 0,
        ancestors: 0,
        reserved: [0; 4],
    };
    let rows = [EpochBase { epoch: end.epoch.0, base: 1 }, EpochBase { epoch: epoch.0, base: end.next }];
    let mut payload = vec![0; EPOCH_START_LEN_MAX];
    let len = write_epoch_start(&mut payload, body, &members, &rows, &[]);
    frame(end, epoch, &[(entry(EntryKind::EpochStart, 0, 0), payload[..len].to_vec())])
}

/// The member `replica` leaves those of `epoch_start` with `members` members.
pub fn removal(end: &LogEnd, members: u32, replica: u32) -> Frame {
    let member =
        |replica| MemberBody::full(Identity { replica, incarnation: 5 }, "127.0.0.1:7".parse().unwrap());
    let left: Vec<_> = (1..=members).filter(|number| *number != replica).map(member).collect();
    let mut payload = vec![0; MEMBERSHIP_LEN_MAX];
    let len = write_membership(&mut payload, 2, Change::Remove, member(replica), &left);
    frame(end, end.epoch, &[(entry(EntryKind::Membership, 0, 0), payload[..len].to_vec())])
}

/// A publisher's open.
pub fn publisher_open(end: &LogEnd, id: u32, name: &str) -> Frame {
    let mut payload = vec![0; 128];
    let len = write_open(&mut payload, [3, id.into()], 1, name);
    frame(end, end.epoch, &[(entry(EntryKind::Open, id, 0), payload[..len].to_vec())])
}

/// A replica's journal in memory.
#[derive(Debug)]
pub struct Journal {
    pub store: MemoryStore,
    pub opened: OpenedJournal<MemoryTail>,
}

impl Journal {
    pub fn fresh() -> Self {
        Self::fresh_with(settings())
    }

    pub fn fresh_with(settings: Settings) -> Self {
        let mut store = MemoryStore::default();
        format(&mut store, CLUSTER, IDENTITY, BOOT).unwrap();
        Self::open(store, MemoryTail::new(RING_LEN), settings)
    }

    /// A history with an epoch and a publisher.
    pub fn begun() -> Self {
        Self::begun_with(settings())
    }

    /// The same, run with these settings.
    pub fn begun_with(settings: Settings) -> Self {
        let mut journal = Self::fresh_with(settings);
        let genesis = epoch_start(&journal.end(), epoch(0), 3);
        journal.append(&genesis);
        let start = epoch_start(&journal.end(), epoch(1), 3);
        journal.append(&start);
        let open = publisher_open(&journal.end(), 1, "gateway");
        journal.append(&open);
        journal
    }

    /// A run on the present journal, which is complete.
    pub fn open(mut store: MemoryStore, memory: MemoryTail, settings: Settings) -> Self {
        let opened = open(&mut store, memory, settings).unwrap();
        Self { store, opened }
    }

    pub fn tail(&mut self) -> &mut Tail<MemoryTail> {
        &mut self.opened.tail
    }

    pub fn end(&self) -> LogEnd {
        self.opened.tail.end()
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.tail().append(&FrameView::from_prefix(bytes).unwrap()).unwrap();
        self.tail().invariants();
    }

    /// `count` frames of messages, the segments following.
    pub fn grow(&mut self, count: u64, per_frame: u64, len: usize) {
        for _ in 0..count {
            let bytes = messages(&self.end(), per_frame, len);
            let frame = FrameView::from_prefix(&bytes).unwrap();
            if self.opened.tail.append(&frame).is_err() {
                self.drain();
                self.opened.tail.append(&frame).unwrap();
            }
        }
        self.tail().invariants();
    }

    /// Runs the side thread until the segments catch up.
    pub fn drain(&mut self) {
        let (tail, writer) = (&mut self.opened.tail, &mut self.opened.writer);
        while copy_behind(tail.memory_mut(), writer, &mut self.store, false).unwrap() > 0 {}
    }

    /// Retention by these limits, long ago, of what lies below `keep_from`.
    pub fn retain(&mut self, limits: Retention, keep_from: Seq, is_urgent: bool) -> Retained {
        let OpenedJournal { writer, superblock, .. } = &mut self.opened;
        writer.retain(&mut self.store, superblock, (limits, 0), keep_from, is_urgent).unwrap()
    }

    /// The side thread's work at a clean stop.
    pub fn stop(mut self) -> (MemoryStore, MemoryTail) {
        self.drain();
        self.opened.writer.mark_clean(&mut self.store, &mut self.opened.superblock).unwrap();
        (self.store, self.opened.tail.into_memory())
    }

    /// The data left when the process is killed.
    pub fn kill(self) -> (MemoryStore, MemoryTail) {
        (self.store, self.opened.tail.into_memory())
    }

    /// The data left when the machine is restarted.
    pub fn reboot(self) -> (MemoryStore, MemoryTail) {
        (self.store, MemoryTail::new(RING_LEN))
    }

    /// All frames of the log in the tail, from the oldest on.
    pub fn frames_in_tail(&self) -> Vec<Frame> {
        let tail = &self.opened.tail;
        let mut frames = Vec::new();
        let mut span = tail.find(tail.oldest_seq());
        while let Some(here) = span {
            frames.push(Frame(tail.frame(here).unwrap().bytes.to_vec()));
            span = tail.after(here);
        }
        frames
    }

    /// All frames of the log in the segments, from `from` on.
    pub fn frames_in_segments(&self, from: Seq) -> Vec<Frame> {
        frames_in_segments(&self.store, from)
    }
}

/// The findings of an inspection, with a ring and without.
pub fn inspected(store: &MemoryStore, memory: Option<&MemoryTail>, settings: Settings) -> Inspection {
    inspect(store, memory, settings).unwrap()
}

/// Whether an inspection finds it complete.
pub fn is_complete(inspected: &Inspection) -> bool {
    inspected.completeness() == &Completeness::Complete
}

/// All frames of the log in the segments of `store`, from `from` on.
pub fn frames_in_segments(store: &MemoryStore, from: Seq) -> Vec<Frame> {
    let mut reader = read_segments(store, from).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push(Frame(frame.unwrap().bytes.to_vec()));
    }
    frames
}

/// The end behind frames that follow each other from a blank log.
pub fn end_of(frames: &[Frame]) -> LogEnd {
    frames
        .iter()
        .fold(LogEnd::BLANK, |end, bytes| end.follow(&FrameView::from_prefix(bytes).unwrap()).unwrap())
}

/// The files with records in them.
pub fn segment_files(store: &MemoryStore) -> Vec<FileName> {
    use crate::journal::ports::Store;
    let is_segment = |file: &FileName| matches!(file, FileName::Segment(_));
    store.list().unwrap().into_iter().filter(is_segment).collect()
}

pub fn word(tail: &mut Tail<MemoryTail>, word: Word) -> u64 {
    use crate::journal::ports::TailSource;
    tail.memory_mut().word(word)
}
