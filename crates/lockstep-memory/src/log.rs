//! A leader's log made by hand, and the datagrams around it: every byte that an engine hears in a test.

use crate::world::{CLUSTER, FRAME_LEN_MAX, HISTORY, address, epoch, identity, member_list};
use bytemuck::Zeroable;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::window::Window;
use lockstep_replica::journal::Founding;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// A log, as long as the test wants it, of as many leaders. A clone is another future of the same past.
#[derive(Clone)]
pub struct Log {
    /// Where it ends.
    pub end: LogEnd,
    /// The replica that leads its epoch.
    pub epoch: Epoch,
    /// Its history.
    pub history: u64,
    /// The same, and the former ones.
    pub lineage: Lineage,
    /// Everything below it is committed.
    pub commit_next: Seq,
    /// Every frame: the birth, the epoch start, and what was pushed.
    pub frames: Vec<Vec<u8>>,
    /// Its epochs, oldest first.
    pub epochs: Vec<EpochBase>,
    number: u64,
}

impl Log {
    /// The birth of `members` members and the start of epoch 1 under replica 1.
    pub fn begun(members: u32) -> Self {
        Self::of_history(members, HISTORY)
    }

    /// The same under another history.
    pub fn of_history(members: u32, history: u64) -> Self {
        let (end, number) = (LogEnd::BLANK, 0);
        let epochs = vec![EpochBase { epoch: epoch(0, 1).0, base: 1 }];
        let (epoch_0, frames) = (epoch(0, 1), Vec::new());
        let lineage = Lineage::of(history);
        let mut log = Self { end, epoch: epoch_0, history, lineage, commit_next: 1, frames, epochs, number };
        let members = member_list(members);
        log.push_entries(&[(EntryKind::Genesis, bytemuck::cast_slice(&members).to_vec())]);
        log.begin(epoch(1, 1), &members);
        log
    }

    /// Epoch `epoch` starts here. Returns its frame.
    pub fn begin(&mut self, epoch: Epoch, members: &[MemberBody]) -> Vec<u8> {
        self.begin_with_rows(epoch, members, 0)
    }

    /// The same with a table that leaves out the `skipped` oldest rows: they lie below the commit.
    pub fn begin_with_rows(&mut self, epoch: Epoch, members: &[MemberBody], skipped: usize) -> Vec<u8> {
        let body = EpochStartBody {
            epoch: epoch.0,
            base: self.end.next,
            chain_at_base: self.end.chain,
            ..EpochStartBody::zeroed()
        };
        self.epochs.push(EpochBase { epoch: epoch.0, base: self.end.next });
        let mut payload = vec![0; EPOCH_START_LEN_MAX];
        let (table, ancestors) = (&self.epochs[skipped..], self.lineage.ancestors());
        let length = write_epoch_start(&mut payload, body, members, table, ancestors);
        payload.truncate(length);
        self.epoch = epoch;
        self.push_entries(&[(EntryKind::EpochStart, payload)])
    }

    /// Replica `founder` founds `history` on this log. Returns the frame.
    pub fn found(&mut self, founder: Identity, history: u64) -> Vec<u8> {
        let founding = Founding {
            keys: &Keyring::none(CLUSTER).into(),
            history,
            ancestor: &self.lineage,
            end: self.end,
            epochs: &self.epochs,
            promised: self.epoch,
            member: MemberBody::full(founder, address(founder.replica)),
            window: Window { entries: 1_000, bytes: 100_000 },
            durability: Durability::Process,
        };
        let bytes = founding.frame().expect("a log to found on");
        let frame = FrameView::from_prefix(&bytes).expect("sealed");
        self.lineage = self.lineage.founded(history, &self.end);
        self.epochs.push(EpochBase { epoch: frame.header.epoch, base: self.end.next });
        self.end = self.end.follow(&frame).expect("it follows");
        (self.epoch, self.history, self.commit_next) = (self.end.epoch, history, frame.header.first_seq);
        self.frames.push(bytes.clone());
        bytes
    }

    /// A change of the membership after that of `after`: `member` joins or leaves, and `members` are listed
    /// from then on. Returns its frame.
    pub fn push_change(
        &mut self,
        after: Seq,
        change: Change,
        member: MemberBody,
        members: &[MemberBody],
    ) -> Vec<u8> {
        let mut payload = vec![0; MEMBERSHIP_LEN_MAX];
        let length = write_membership(&mut payload, after, change, member, members);
        payload.truncate(length);
        self.push_entries(&[(EntryKind::Membership, payload)])
    }

    /// The past of this log below `next`, where a frame ends: what another leader may go on with.
    pub fn before(&self, next: Seq) -> Self {
        let mut log = Self { end: LogEnd::BLANK, frames: Vec::new(), ..self.clone() };
        for bytes in &self.frames {
            if log.end.next < next {
                let frame = FrameView::from_prefix(bytes).expect("sealed");
                log.end = log.end.follow(&frame).expect("it followed");
                log.frames.push(bytes.clone());
            }
        }
        assert_eq!(log.end.next, next, "a frame ends there");
        log.epochs.retain(|row| row.base < next);
        log.epoch = log.end.epoch;
        log
    }

    /// The frame that begins at `seq`.
    pub fn at(&self, seq: Seq) -> Vec<u8> {
        let found = self.frames.iter().find(|bytes| Header::peek(bytes).unwrap().first_seq == seq);
        found.expect("a frame begins there").clone()
    }

    /// One frame of messages of nobody in particular. Returns its bytes.
    pub fn push(&mut self, payloads: &[&str]) -> Vec<u8> {
        let entries: Vec<_> =
            payloads.iter().map(|payload| (EntryKind::Message, payload.as_bytes().to_vec())).collect();
        self.push_entries(&entries)
    }

    /// One frame of messages of `publisher`, with these numbers. Returns its bytes.
    pub fn push_of(&mut self, publisher: PublisherId, numbers: &[PublisherSeq]) -> Vec<u8> {
        let round = self.epoch.round();
        let entry = |&number| {
            let (header, _) = of(EntryKind::Message, publisher, number);
            (header, format!("{number} stamped in epoch {round}").into_bytes())
        };
        self.push_headed(&numbers.iter().map(entry).collect::<Vec<_>>())
    }

    /// A part of a message of `publisher`, in a frame of its own. Returns its bytes.
    pub fn push_part(
        &mut self,
        publisher: PublisherId,
        number: PublisherSeq,
        flags: u8,
        text: &str,
    ) -> Vec<u8> {
        let header = EntryHeader { flags, ..of(EntryKind::Message, publisher, number).0 };
        self.push_headed(&[(header, text.as_bytes().to_vec())])
    }

    /// The open of `name` as `publisher`, behind its message `last`. Returns the frame's bytes.
    pub fn push_open(
        &mut self,
        name: &str,
        (publisher, nonce): (PublisherId, [u64; 2]),
        incarnation: u32,
        last: PublisherSeq,
    ) -> Vec<u8> {
        let mut payload = vec![0; 24 + name.len()];
        write_open(&mut payload, nonce, incarnation, name);
        self.push_headed(&[(of(EntryKind::Open, publisher, last).0, payload)])
    }

    /// The close of `publisher`, as its message `number`. Returns the frame's bytes.
    pub fn push_close(&mut self, publisher: PublisherId, number: PublisherSeq) -> Vec<u8> {
        self.push_headed(&[of(EntryKind::Close, publisher, number)])
    }

    /// The same with a reason.
    pub fn push_close_saying(
        &mut self,
        publisher: PublisherId,
        number: PublisherSeq,
        reason: &[u8],
    ) -> Vec<u8> {
        self.push_headed(&[(of(EntryKind::Close, publisher, number).0, reason.to_vec())])
    }

    /// A mark of a trading day.
    pub fn push_day(&mut self, publisher: PublisherId, number: PublisherSeq, mark: DayMark<'_>) -> Vec<u8> {
        let mut payload = [0; 1 + DAY_LEN_MAX];
        let length = mark.write(&mut payload);
        self.push_headed(&[(of(EntryKind::Day, publisher, number).0, payload[..length].to_vec())])
    }

    fn push_entries(&mut self, entries: &[(EntryKind, Vec<u8>)]) -> Vec<u8> {
        let headed = entries.iter().map(|(kind, payload)| (of(*kind, 0, 0).0, payload.clone()));
        self.push_headed(&headed.collect::<Vec<_>>())
    }

    fn push_headed(&mut self, entries: &[(EntryHeader, Vec<u8>)]) -> Vec<u8> {
        let mut memory = vec![0; FRAME_LEN_MAX];
        let mut open = OpenFrame::default();
        for (header, payload) in entries {
            assert!(open.push(&mut memory, *header, payload));
        }
        let header = Header { number: 0, ..self.header(Kind::Frame, self.epoch.leader()) };
        let length = open.len();
        open.close(&mut memory, &Keyring::none(CLUSTER), header, length);
        memory.truncate(length);
        let frame = FrameView::from_prefix(&memory).expect("sealed");
        self.end = self.end.follow(&frame).expect("it follows");
        self.frames.push(memory.clone());
        memory
    }

    /// A header as `sender` would write it at the log's end.
    pub fn header(&self, kind: Kind, sender: Identity) -> Header {
        Header {
            cluster: CLUSTER,
            history: self.history,
            epoch: self.epoch.0,
            sender: sender.replica,
            incarnation: sender.incarnation,
            first_seq: self.end.next,
            commit_next: self.commit_next,
            timestamp: self.end.timestamp,
            chain: self.end.chain,
            number: self.number,
            ..Header::new(kind)
        }
    }

    /// The leader's heartbeat.
    pub fn heartbeat(&mut self) -> Vec<u8> {
        self.heartbeat_with(|_, _| {})
    }

    /// The leader's heartbeat with something changed.
    pub fn heartbeat_with(&mut self, change: impl Fn(&mut Header, &mut HeartbeatBody)) -> Vec<u8> {
        self.number += 1;
        let mut header = self.header(Kind::Heartbeat, self.epoch.leader());
        let start = self.epochs.last().map_or(0, |row| row.base);
        let mut body = HeartbeatBody {
            credit_entries: 99,
            process_nonce: 1,
            epoch_start_seq: start,
            membership_seq: start,
            ..HeartbeatBody::zeroed()
        };
        change(&mut header, &mut body);
        written(|out| write_heartbeat(out, &Keyring::none(CLUSTER), header, body))
    }

    /// An ack of replica `from` up to `next`.
    pub fn ack(&mut self, from: u32, next: Seq) -> Vec<u8> {
        self.ack_with(from, next, |_, _| {})
    }

    /// An ack with something changed.
    pub fn ack_with(&mut self, from: u32, next: Seq, change: impl Fn(&mut Header, &mut AckBody)) -> Vec<u8> {
        self.number += 1;
        let mut header = Header { first_seq: next, chain: 0, ..self.header(Kind::Ack, identity(from)) };
        let mut body = AckBody { process_nonce: u64::from(from) };
        change(&mut header, &mut body);
        written(|out| write_ack(out, &Keyring::none(CLUSTER), header, body))
    }

    /// Frame `index` as replica `repairer` repairs it, whose commit is `commit_next`.
    pub fn repair(&self, index: usize, repairer: u32, commit_next: Seq) -> Vec<u8> {
        self.repair_for(0, index, repairer, commit_next)
    }

    /// The same as the answer to the request `token`.
    pub fn repair_for(&self, token: u64, index: usize, repairer: u32, commit_next: Seq) -> Vec<u8> {
        let frame = &self.frames[index];
        let repairer = (identity(repairer), self.history);
        let trailer =
            repair_trailer(&Keyring::none(CLUSTER), repairer, self.epoch, commit_next, token, frame);
        [frame.as_slice(), &trailer].concat()
    }

    /// Replica `from` refuses the request `token`.
    pub fn answer(&self, from: u32, token: u64, reason: RepairReject, oldest_seq: Seq) -> Vec<u8> {
        let body = RepairRejectBody {
            token,
            range: SeqRange { from: 1, to: u64::MAX >> 1 },
            oldest_seq,
            reason: reason as u32,
            retry_after_ns: 0,
        };
        written(|out| {
            write_repair_reject(
                out,
                &Keyring::none(CLUSTER),
                self.header(Kind::RepairReject, identity(from)),
                body,
            )
        })
    }
}

/// An entry's header, and a payload that nobody reads.
fn of(kind: EntryKind, publisher: PublisherId, publisher_seq: PublisherSeq) -> (EntryHeader, Vec<u8>) {
    let header = EntryHeader { kind: kind as u8, publisher, publisher_seq, ..EntryHeader::zeroed() };
    (header, Vec::new())
}

/// What a writer of small datagrams wrote.
pub fn written(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0; SMALL_LEN_MAX];
    let length = write(&mut out);
    out.truncate(length);
    out
}

/// A submission of (kind, publisher, number, incarnation, payload).
pub fn submission(entries: &[(EntryKind, PublisherId, PublisherSeq, u32, &[u8])]) -> Vec<u8> {
    let mut memory = vec![0; FRAME_LEN_MAX];
    let mut open = OpenFrame::default();
    for &(kind, publisher, publisher_seq, incarnation, payload) in entries {
        let header = EntryHeader {
            kind: kind as u8,
            publisher,
            publisher_seq,
            time_or_incarnation: incarnation,
            ..EntryHeader::zeroed()
        };
        assert!(open.push(&mut memory, header, payload));
    }
    let header = Header { cluster: CLUSTER, history: HISTORY, ..Header::new(Kind::Submission) };
    let length = open.len();
    open.close(&mut memory, &Keyring::none(CLUSTER), header, length);
    memory.truncate(length);
    memory
}

/// The submission of an open that follows incarnation `after`.
pub fn open_submission(name: &str, nonce: [u64; 2], after: u32) -> Vec<u8> {
    let mut payload = vec![0; 24 + name.len()];
    write_open(&mut payload, nonce, after, name);
    submission(&[(EntryKind::Open, 0, 0, 0, &payload)])
}

/// The submission of messages `from..to` of a publisher's first incarnation, all in one datagram.
pub fn messages(publisher: PublisherId, from: PublisherSeq, to: PublisherSeq) -> Vec<u8> {
    let entries: Vec<_> =
        (from..to).map(|number| (EntryKind::Message, publisher, number, 1, b"order".as_slice())).collect();
    submission(&entries)
}

/// A request of a node that follows `epoch`.
pub fn nack(epoch: Epoch, history: u64, token: u64, ranges: &[(Seq, Seq)]) -> Vec<u8> {
    let header = Header {
        cluster: CLUSTER,
        history,
        epoch: epoch.0,
        sender: 900,
        incarnation: 1,
        ..Header::new(Kind::Nack)
    };
    let ranges: Vec<_> = ranges.iter().map(|&(from, to)| SeqRange { from, to }).collect();
    written(|out| write_nack(out, &Keyring::none(CLUSTER), header, token, &ranges))
}
