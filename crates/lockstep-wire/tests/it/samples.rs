//! One sample of every datagram and record, built through the wire's own API. No two fields of a sample hold
//! the same value, so that an exchanged offset shows in the bytes.

use lockstep_wire::Keyring;
use lockstep_wire::*;

pub const CLUSTER: u64 = 0xc7c6_c5c4_c3c2_c1c0;
pub const LEADER: Identity = Identity { replica: 2, incarnation: 0x0a3_f9c1 };
pub const STANDBY: Identity = Identity { replica: 3, incarnation: 0x0b4_e8d2 };

pub fn epoch() -> Epoch {
    Epoch::new(5, LEADER)
}

pub fn header(kind: Kind) -> Header {
    Header {
        cluster: CLUSTER,
        history: 0xb7b6_b5b4_b3b2_b1b0,
        epoch: epoch().0,
        sender: LEADER.replica,
        incarnation: LEADER.incarnation,
        first_seq: 0x1716_1514_1312_1110,
        commit_next: 0x1706_0504_0302_0100,
        timestamp: 0x2726_2524_2322_2120,
        chain: 0x3736_3534_3332_3130,
        number: 0x4746_4544_4342_4140,
        ..Header::new(kind)
    }
}

pub fn entry(kind: EntryKind) -> EntryHeader {
    EntryHeader {
        kind: kind as u8,
        flags: 0,
        length: 0,
        publisher: 0x5352_5150,
        publisher_seq: 0x6766_6564_6362_6160,
        destination: 0x7372_7170,
        time_or_incarnation: 0x7776_7574,
    }
}

pub fn member(identity: Identity) -> MemberBody {
    MemberBody::full(identity, "10.1.2.3:7005".parse().expect("an address"))
}

pub fn epoch_start() -> Vec<u8> {
    epoch_start_of(&[])
}

/// An epoch start that founds its history on another one, which was founded on a third.
pub fn founding() -> Vec<u8> {
    let left = Ancestor { history: 0xd2, next: 0x1716_1514_1312_1110, chain: 0x3736_3534_3332_3130 };
    epoch_start_of(&[left, Ancestor { history: 0xd3, next: 0xe3, chain: 0xf3 }])
}

fn epoch_start_of(ancestors: &[Ancestor]) -> Vec<u8> {
    let body = EpochStartBody {
        epoch: epoch().0,
        base: 0x1716_1514_1312_1110,
        chain_at_base: 0x3736_3534_3332_3130,
        secret_hash: std::array::from_fn(|index| 0x80 + index as u8),
        window_entries: 0xa3a2_a1a0,
        window_bytes: 0xa7a6_a5a4,
        durability: 1,
        members: 0,
        epochs: 0,
        ancestors: 0,
        reserved: [0; 4],
    };
    let table = [EpochBase { epoch: 0xd0, base: 0xe0 }, EpochBase { epoch: 0xd1, base: 0xe1 }];
    let mut out = vec![0; EPOCH_START_LEN_MAX];
    let length = write_epoch_start(&mut out, body, &[member(LEADER), member(STANDBY)], &table, ancestors);
    out.truncate(length);
    out
}

pub fn open() -> Vec<u8> {
    let mut out = vec![0; 24 + NAME_LEN_MAX];
    let nonce = [0x8786_8584_8382_8180, 0x8f8e_8d8c_8b8a_8988];
    let length = write_open(&mut out, nonce, 0x9392_9190, "risk-é");
    out.truncate(length);
    out
}

/// A membership entry: stamped with a new list, or submitted without one.
pub fn membership(change: Change, members: &[MemberBody]) -> Vec<u8> {
    let joins = MemberBody::witness(STANDBY, "10.1.2.4:7006".parse().expect("an address"));
    written(MEMBERSHIP_LEN_MAX, |out| write_membership(out, 0x8786_8584_8382_8180, change, joins, members))
}

/// Every kind of entry with a typical payload.
pub fn entries() -> Vec<(&'static str, EntryHeader, Vec<u8>)> {
    let genesis = [member(LEADER), member(STANDBY)];
    vec![
        ("message", entry(EntryKind::Message), b"buy 100".to_vec()),
        (
            "a middle part of a message",
            EntryHeader { flags: PART_MORE | PART_NEXT, ..entry(EntryKind::Message) },
            b"sell 20".to_vec(),
        ),
        ("open", entry(EntryKind::Open), open()),
        ("close", entry(EntryKind::Close), vec![]),
        ("close that says why", entry(EntryKind::Close), vec![2]),
        ("a day begins", entry(EntryKind::Day), b"\x0120261121".to_vec()),
        ("birth", entry(EntryKind::Genesis), bytemuck::cast_slice(&genesis).to_vec()),
        ("epoch start", entry(EntryKind::EpochStart), epoch_start()),
        ("epoch start that founds a history", entry(EntryKind::EpochStart), founding()),
        ("membership", entry(EntryKind::Membership), membership(Change::Add, &genesis)),
        ("settled", entry(EntryKind::ChangeCommitted), vec![]),
        ("a day that an operator marks", entry(EntryKind::Day), signed(b"\x02".to_vec())),
        ("order of an operator", entry(EntryKind::Order), order(Some((3, "alice")), OperatorOrder::Handover)),
        ("order of a day", entry(EntryKind::Order), order(Some((3, "alice")), OperatorOrder::Day)),
        ("order to upgrade", entry(EntryKind::Order), order(Some((3, "alice")), OperatorOrder::Upgrade)),
        ("order of time", entry(EntryKind::Order), order(Some((3, "alice")), OperatorOrder::Time)),
        ("order by a replica's key", entry(EntryKind::Order), order(None, OperatorOrder::Membership)),
        ("membership as submitted", entry(EntryKind::Membership), membership(Change::Remove, &[])),
        (
            "membership as an operator submits it",
            entry(EntryKind::Membership),
            signed(membership(Change::Remove, &[])),
        ),
    ]
}

/// The proof of an operator.
pub fn proof() -> OrderProof {
    OrderProof { nonce: 0xc7c6_c5c4_c3c2_c1c0, signature: std::array::from_fn(|index| 0x40 + index as u8) }
}

/// The payload of a submitted order, which an operator has signed.
fn signed(mut payload: Vec<u8>) -> Vec<u8> {
    payload.extend_from_slice(bytemuck::bytes_of(&proof()));
    payload
}

/// The record of an order, signed by the operator with this key.
fn order(operator: Option<(u16, &str)>, order: OperatorOrder) -> Vec<u8> {
    let mark = DayMark { is_start: true, name: "20261121" };
    let arguments = match order {
        OperatorOrder::Membership => membership(Change::Remove, &[]),
        OperatorOrder::Day => day_arguments(&entry(EntryKind::Day), &mark),
        OperatorOrder::Upgrade => named_arguments(order, "4"),
        OperatorOrder::Time => named_arguments(order, "1700000000000000000"),
        OperatorOrder::Handover | OperatorOrder::DeclareDead => Vec::new(),
    };
    let asked = OrderStatement {
        order,
        history: 0xb7b6_b5b4_b3b2_b1b0,
        epoch: Epoch::new(3, Identity { replica: 1, incarnation: 7 }),
        membership_seq: 5,
        subject: Some(Identity { replica: 2, incarnation: 9 }),
        arguments: &arguments,
    };
    asked.record(operator, operator.map(|_| proof()).as_ref())
}

pub fn entry_bytes(header: EntryHeader, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff; entry_len(payload.len())];
    assert_eq!(write_entry(&mut out, header, payload), Some(out.len()));
    out
}

/// A frame of `header` with these entries, padded to `padded_len` (or to its own length, if 0).
pub fn frame(header: Header, entries: &[(EntryHeader, &[u8])], padded_len: usize) -> Vec<u8> {
    let mut memory = vec![0xff; DATAGRAM_LEN_MAX];
    let mut open = OpenFrame::default();
    for (entry, payload) in entries {
        assert!(open.push(&mut memory, *entry, payload), "the samples fit");
    }
    let length = open.len().max(padded_len);
    open.close(&mut memory, &Keyring::none(CLUSTER), header, length);
    memory.truncate(length);
    memory
}

/// A sealed submission: entries behind a header, as a publisher builds it.
pub fn submission(mut header: Header, entries: &[(EntryHeader, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    entries.iter().for_each(|(entry, payload)| bytes.extend(entry_bytes(*entry, payload)));
    header.count = entries.len() as u16;
    seal(&mut bytes, header);
    bytes
}

/// The bytes that `write` puts into a buffer of `len`.
pub fn written(len: usize, write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0xff; len];
    let length = write(&mut out);
    out.truncate(length);
    out
}

pub fn small(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    written(SMALL_LEN_MAX.max(STATUS_LONG_LEN_MAX), write)
}

/// A query with this token, about `name`.
fn query(token: u64, query_kind: QueryKind, name: &str) -> Vec<u8> {
    let keys = Keyring::none(CLUSTER);
    small(|out| write_query(out, &keys, header(Kind::Query), token, query_kind, name))
}

/// The same, which an operator has signed.
fn signed_query(token: u64, query_kind: QueryKind, name: &str) -> Vec<u8> {
    let keys = Keyring::none(CLUSTER);
    small(|out| write_order(out, &keys, header(Kind::Query), token, (query_kind, name), Some(&proof())))
}

/// Every kind of datagram and of journal record.
pub fn datagrams() -> Vec<(&'static str, Vec<u8>)> {
    let plain = frame(
        header(Kind::Frame),
        &[(entry(EntryKind::Message), b"buy 100"), (entry(EntryKind::Close), b"")],
        HEADER_LEN + 72,
    );
    let mut repair = plain.clone();
    let history = Header::peek(&plain).expect("a whole frame").history;
    repair.extend(repair_trailer(
        &Keyring::none(CLUSTER),
        (STANDBY, history),
        epoch(),
        0x8786_8584_8382_8180,
        0x8f8e_8d8c_8b8a_8988,
        &plain,
    ));
    let heartbeat = HeartbeatBody {
        membership_seq: 0x8786_8584_8382_8180,
        epoch_start_seq: 0x8f8e_8d8c_8b8a_8988,
        process_nonce: 0x9796_9594_9392_9190,
        oldest_seq: 0x9f9e_9d9c_9b9a_9998,
        credit_entries: 0xa3a2_a1a0,
        shares_over: 0xa7a6_a5a4,
        successors: [3, 1, 0, 0, 0, 0, 0, 0],
    };
    let ranges = [SeqRange { from: 0x80, to: 0x90 }, SeqRange { from: 0xa0, to: 0xb0 }];
    let answer = RepairRejectBody {
        token: 0x8786_8584_8382_8180,
        range: SeqRange { from: 0x8f8e_8d8c_8b8a_8988, to: 0x9796_9594_9392_9190 },
        oldest_seq: 0x9f9e_9d9c_9b9a_9998,
        reason: RepairReject::Limited as u32,
        retry_after_ns: 0xa7a6_a5a4,
    };
    let reply = QueryReplyBody {
        token: 0x8786_8584_8382_8180,
        query_kind: QueryKind::Publisher as u32,
        publisher: 0x8f8e_8d8c,
        incarnation: 0x9392_9190,
        role: 2,
        publisher_seq: 0x9f9e_9d9c_9b9a_9998,
        process_nonce: 0xa7a6_a5a4_a3a2_a1a0,
        nonce: [0xafae_adac_abaa_a9a8, 0xb7b6_b5b4_b3b2_b1b0],
    };
    let token = 0x8786_8584_8382_8180;
    let ballot =
        BallotBody { process_nonce: token, ballot: 0x8f8e_8d8c_8b8a_8988, about: 0x9796_9594_9392_9190 };
    let no_room = Header { flags: BALLOT_JOURNAL_FULL, ..header(Kind::Promise) };
    let presence = IdentityProbeBody {
        process_nonce: token,
        started_at: 0x8f8e_8d8c_8b8a_8988,
        token: 0x9796_9594_9392_9190,
        echoed_token: 0x9f9e_9d9c_9b9a_9998,
    };
    let proof = AddressProofBody { token, proof: 0x8f8e_8d8c_8b8a_8988 };
    let returned = Header { flags: ADDRESS_PROOF_RETURNED, ..header(Kind::AddressProof) };
    let ballots = |kind| small(|out| write_ballot(out, &Keyring::none(CLUSTER), header(kind), ballot));
    let down = DeathNoticeBody { secret: std::array::from_fn(|index| 0x80 + index as u8) };
    let step_down = StepDownBody { process_nonce: token, successor: STANDBY.packed() };
    let release = ReleaseBody {
        token: 0x5756_5554_5352_5150,
        oldest: 3,
        newest: 4,
        in_force: 3,
        reserved: [0; 5],
        release: std::array::from_fn(|index| b"0.2.0".get(index).copied().unwrap_or(0)),
    };
    let status = StatusBody {
        token,
        process_nonce: 0x8f8e_8d8c_8b8a_8988,
        leader: 0x9796_9594_9392_9190,
        epoch_since: 0x9f9e_9d9c_9b9a_9998,
        promised: 0xa7a6_a5a4_a3a2_a1a0,
        membership_seq: 0xafae_adac_abaa_a9a8,
        suspected: 0xb7b6_b5b4_b3b2_b1b0,
        suspected_age_ns: 0xbfbe_bdbc_bbba_b9b8,
        rejected_member: 0xc7c6_c5c4_c3c2_c1c0,
        rejected_age_ns: 0xcfce_cdcc_cbca_c9c8,
        denied: CommandReject::ReplicaListed as u32,
        role: 2,
        suspicion: LeaderLossReason::NoProgress as u8,
        durability: 1,
        conditions: 2,
    };
    let active = [
        ConditionRow {
            code: Condition::Exposed as u16,
            reserved: 0,
            age_s: 0xf3f2_f1f0,
            a: 0xd7d6_d5d4_d3d2_d1d0,
            b: 0xdfde_dddc_dbda_d9d8,
        },
        ConditionRow { code: Condition::DiskFull as u16, reserved: 0, age_s: 3, a: 4, b: 0 },
    ];
    let seen = StatusMember {
        member: member(STANDBY),
        acked_next: 0xe7e6_e5e4_e3e2_e1e0,
        acked_age_ns: 0xefee_edec_ebea_e9e8,
    };
    let page = EventsBody { token, ring: 0x8f8e_8d8c_8b8a_8988, oldest: 6, next: 10, from: 7 };
    let record = EventRecord {
        at: 0xc7c6_c5c4_c3c2_c1c0,
        a: 0xcfce_cdcc_cbca_c9c8,
        b: 0xd7d6_d5d4_d3d2_d1d0,
        c: 0xdfde_dddc_dbda_d9d8,
        d: 0xe7e6_e5e4_e3e2_e1e0,
        code: 0xe9e8,
        small: 0xebea,
        e: 0xefee_edec,
    };
    let events = [
        EventRow { number: 9, wall: 0xbfbe_bdbc_bbba_b9b8, record },
        EventRow { number: 7, wall: 3, record: EventRecord { code: 1004, ..EventRecord::default() } },
    ];
    let result = CommandResultBody {
        token,
        query_kind: QueryKind::DeclareDead as u32,
        reject: CommandReject::NotTwo as u32,
    };
    let join = JoinBody {
        groups: GROUPS_ALL,
        reserved: 0,
        process_nonce: token,
        proof: 0x9796_9594_9392_9190,
        padding: 0,
    };
    let lease = LeaseBody {
        term: LeaseReply::Prove as u32,
        lasts_ms: 3_000,
        process_nonce: token,
        proof: 0x9796_9594_9392_9190,
        members: 5,
        members_max: 256,
    };
    let times = TimesBody { token, stream: 0x8f8e_8d8c_8b8a_8988, quorum: 0x9796_9594_9392_9190 };
    let asked = ReplayRequestBody { from: 0x8786_8584_8382_8180, to: 0x8f8e_8d8c_8b8a_8988 };
    let chained = Header { flags: REPLAY_CHAIN, ..header(Kind::ReplayRequest) };
    let replay = ReplayBody {
        next: 0x8786_8584_8382_8180,
        oldest_seq: 0x8f8e_8d8c_8b8a_8988,
        end: ReplayEndReason::TooOld as u32,
        reserved: 0,
    };
    let row = NoticeRow {
        publisher: 0x5352_5150,
        incarnation: 0x7776_7574,
        from: 0x6766_6564_6362_6160,
        to: 0x6f6e_6d6c_6b6a_6968,
        notice: PublisherNotice::Missing as u32,
        key: 0,
    };
    let full = NoticeRow { publisher: 0, notice: PublisherNotice::TableFull as u32, ..row };
    let rows =
        [row, NoticeRow { publisher: 0x5352_5151, notice: PublisherNotice::Throttled as u32, ..row }, full];
    let record = |kind| {
        let mut bytes = vec![0; HEADER_LEN];
        seal(&mut bytes, header(kind));
        bytes
    };
    vec![
        ("frame", plain),
        ("repair", repair),
        (
            "heartbeat",
            small(|out| write_heartbeat(out, &Keyring::none(CLUSTER), header(Kind::Heartbeat), heartbeat)),
        ),
        ("submission", submission(header(Kind::Submission), &[(entry(EntryKind::Message), b"sell 7")])),
        (
            "ack",
            small(|out| {
                write_ack(out, &Keyring::none(CLUSTER), header(Kind::Ack), AckBody { process_nonce: token })
            }),
        ),
        ("nack", small(|out| write_nack(out, &Keyring::none(CLUSTER), header(Kind::Nack), token, &ranges))),
        (
            "nack for a start",
            small(|out| write_nack(out, &Keyring::none(CLUSTER), header(Kind::Nack), token, &[])),
        ),
        (
            "answer",
            small(|out| {
                write_repair_reject(out, &Keyring::none(CLUSTER), header(Kind::RepairReject), answer)
            }),
        ),
        ("question", query(token, QueryKind::Node, "")),
        ("question for events", query(token, QueryKind::Events, "4096")),
        ("question about a name", query(token, QueryKind::Publisher, "risk-é")),
        ("question to hand over", query(token, QueryKind::Handover, "")),
        ("question to upgrade", query(token, QueryKind::Upgrade, "4")),
        ("question for the release", query(token, QueryKind::Release, "")),
        ("question to set time back", query(token, QueryKind::Time, "1700000000000000000")),
        ("question for the times", query(token, QueryKind::Times, "")),
        ("question to acknowledge", query(token, QueryKind::Acknowledge, "1017 9999998")),
        ("question to declare dead", query(token, QueryKind::DeclareDead, "3:0b4e8d2")),
        ("signed question to declare dead", signed_query(token, QueryKind::DeclareDead, "3:0b4e8d2")),
        ("reply", small(|out| write_reply(out, &Keyring::none(CLUSTER), header(Kind::QueryReply), reply))),
        ("prepare", ballots(Kind::Prepare)),
        ("promise", ballots(Kind::Promise)),
        ("refuse", ballots(Kind::Refuse)),
        ("pre-vote", ballots(Kind::PreVote)),
        ("grant", ballots(Kind::Grant)),
        ("down", small(|out| write_down(out, &Keyring::none(CLUSTER), header(Kind::DeathNotice), down))),
        (
            "step-down",
            small(|out| write_step_down(out, &Keyring::none(CLUSTER), header(Kind::StepDown), step_down)),
        ),
        (
            "status",
            small(|out| {
                write_status(
                    out,
                    &Keyring::none(CLUSTER),
                    header(Kind::Status),
                    status,
                    (&[seen], &active),
                    &[],
                )
            }),
        ),
        ("times", small(|out| write_times(out, &Keyring::none(CLUSTER), header(Kind::Times), times))),
        ("release", small(|out| write_release(out, &Keyring::none(CLUSTER), header(Kind::Release), release))),
        (
            "frame of version 4",
            frame(Header { version: 4, ..header(Kind::Frame) }, &[(entry(EntryKind::Close), b"")], 0),
        ),
        (
            "events",
            small(|out| write_events(out, &Keyring::none(CLUSTER), header(Kind::Events), page, &events)),
        ),
        (
            "verdict",
            small(|out| {
                write_command_result(out, &Keyring::none(CLUSTER), header(Kind::CommandResult), result)
            }),
        ),
        ("join", small(|out| write_join(out, &Keyring::none(CLUSTER), header(Kind::Join), join))),
        ("lease", small(|out| write_lease(out, &Keyring::none(CLUSTER), header(Kind::Lease), lease))),
        ("replay request", small(|out| write_replay_request(out, &Keyring::none(CLUSTER), chained, asked))),
        (
            "replay answer",
            small(|out| write_replay(out, &Keyring::none(CLUSTER), header(Kind::ReplayAnswer), replay)),
        ),
        (
            "replay mark",
            small(|out| {
                write_replay(
                    out,
                    &Keyring::none(CLUSTER),
                    header(Kind::ReplayMark),
                    ReplayBody { end: 0, ..replay },
                )
            }),
        ),
        (
            "replay checkpoint",
            small(|out| {
                let body = ReplayCheckpointBody { offset: 0x8000, len: 0x8010 };
                let part: [u8; 16] = std::array::from_fn(|index| 0x80 + index as u8);
                let header = header(Kind::ReplayCheckpoint);
                write_replay_checkpoint(out, &Keyring::none(CLUSTER), header, body, &part)
            }),
        ),
        (
            "notice",
            small(|out| write_notice(out, &Keyring::none(CLUSTER), header(Kind::PublisherNotice), &rows)),
        ),
        (
            "presence",
            small(|out| write_presence(out, &Keyring::none(CLUSTER), header(Kind::IdentityProbe), presence)),
        ),
        (
            "address proof demanded",
            small(|out| write_address_proof(out, &Keyring::none(CLUSTER), header(Kind::AddressProof), proof)),
        ),
        (
            "address proof returned",
            small(|out| write_address_proof(out, &Keyring::none(CLUSTER), returned, proof)),
        ),
        ("promise without room", small(|out| write_ballot(out, &Keyring::none(CLUSTER), no_room, ballot))),
        ("stage", record(Kind::Stage)),
        ("switch", record(Kind::Switch)),
    ]
}

/// Whether this sample is a datagram, and not a record of the journal.
pub fn travels(name: &str) -> bool {
    !matches!(name, "stage" | "switch")
}
